"""The environment variables that steer compilation, read in one place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from graphc.ir.errors import GraphcError

_SWITCH = {"": False, "0": False, "1": True}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment asks for.

    Attributes:
        dump: ``GRAPHC_DUMP``: the directory that every stage is written to.
        verify: ``GRAPHC_VERIFY=1``: check graphs before and after the passes.
        poison: ``GRAPHC_POISON=1``: overwrite the temporaries and results of Triton
            programs with NaN before each run, so that reads of what was never written
            show. On the interpreter that is always done.
        cache: ``GRAPHC_CACHE``: the directory that compiled kernels are kept in.
    """

    dump: Path | None = None
    verify: bool = False
    poison: bool = False
    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "graphc")

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of the environment as it is now.

        Raises:
            GraphcError: If a variable has a value that means nothing.
        """
        dump = environment.get("GRAPHC_DUMP")
        cache = environment.get("GRAPHC_CACHE")
        settings = cls(
            dump=Path(dump) if dump else None,
            verify=_switch(environment, "GRAPHC_VERIFY"),
            poison=_switch(environment, "GRAPHC_POISON"),
        )
        return replace(settings, cache=Path(cache)) if cache else settings


def _switch(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "")
    if value not in _SWITCH:
        raise GraphcError(f"{name} must be 0 or 1", received=repr(value))
    return _SWITCH[value]
