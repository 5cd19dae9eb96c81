"""The environment variables that steer compilation, read in one place."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from graphc.files.store import LIMIT, Store
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
        cache: ``GRAPHC_CACHE``: the directory that what was compiled is kept in, or None
            for ``off``.
        cache_limit: ``GRAPHC_CACHE_LIMIT``: the bytes that the directory may take, given
            in MiB.
    """

    dump: Path | None = None
    verify: bool = False
    poison: bool = False
    cache: Path | None = field(
        default_factory=lambda: Path.home() / ".cache" / "graphc"
    )
    cache_limit: int = LIMIT

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of the environment as it is now.

        Raises:
            GraphcError: If a variable has a value that means nothing.
        """
        dump = environment.get("GRAPHC_DUMP")
        cache = environment.get("GRAPHC_CACHE")
        limit = environment.get("GRAPHC_CACHE_LIMIT", "")
        if limit and not limit.isdecimal():
            raise GraphcError(
                "GRAPHC_CACHE_LIMIT must be a number of MiB", received=repr(limit)
            )
        settings = cls(
            dump=Path(dump) if dump else None,
            verify=_switch(environment, "GRAPHC_VERIFY"),
            poison=_switch(environment, "GRAPHC_POISON"),
            cache_limit=int(limit) << 20 if limit else LIMIT,
        )
        if not cache:
            return settings
        return replace(settings, cache=None if cache == "off" else Path(cache))

    def store(self) -> Store | None:
        """What was compiled, on disk; None if nothing is to be kept."""
        return None if self.cache is None else _store(self.cache, self.cache_limit)


@functools.cache
def _store(directory: Path, limit: int) -> Store:
    return Store(directory, limit)


def _switch(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "")
    if value not in _SWITCH:
        raise GraphcError(f"{name} must be 0 or 1", received=repr(value))
    return _SWITCH[value]
