"""The environment variables that steer compilation, read in one place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
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
    """

    dump: Path | None = None
    verify: bool = False

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of the environment as it is now.

        Raises:
            GraphcError: If a variable has a value that means nothing.
        """
        dump = environment.get("GRAPHC_DUMP")
        return cls(
            dump=Path(dump) if dump else None,
            verify=_switch(environment, "GRAPHC_VERIFY"),
        )


def _switch(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "")
    if value not in _SWITCH:
        raise GraphcError(f"{name} must be 0 or 1", received=repr(value))
    return _SWITCH[value]
