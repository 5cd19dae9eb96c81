"""The environment variables that steer compilation but the passes, in one place."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from graphc.files.lock import Locked, read_locked
from graphc.files.store import LIMIT, Store
from graphc.ir.environment import read_number, read_switch


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
            for ``off``; by default ``graphc`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
        cache_limit: ``GRAPHC_CACHE_LIMIT``: the bytes that the directory may take, given
            in MiB.
        lock_file: ``GRAPHC_LOCK``: the lock file that compiles go by which are given none.
    """

    dump: Path | None = None
    verify: bool = False
    poison: bool = False
    cache: Path | None = field(default_factory=lambda: _default_cache(os.environ))
    cache_limit: int = LIMIT
    lock_file: Path | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of the environment as it is now.

        Raises:
            GraphcError: If a variable has a value that means nothing.
        """
        dump = environment.get("GRAPHC_DUMP")
        cache = environment.get("GRAPHC_CACHE")
        limit = read_number("GRAPHC_CACHE_LIMIT", environment, "MiB")
        lock_file = environment.get("GRAPHC_LOCK")
        settings = cls(
            dump=Path(dump) if dump else None,
            verify=read_switch("GRAPHC_VERIFY", environment),
            poison=read_switch("GRAPHC_POISON", environment),
            cache_limit=limit << 20 if limit is not None else LIMIT,
            lock_file=Path(lock_file) if lock_file else None,
        )
        if not cache:
            return replace(settings, cache=_default_cache(environment))
        return replace(settings, cache=None if cache == "off" else Path(cache))

    def store(self) -> Store | None:
        """What was compiled, on disk; None if nothing is to be kept."""
        return None if self.cache is None else _store(self.cache, self.cache_limit)

    def lock(self) -> Locked | None:
        """What is in the lock file; None if there is to be none.

        Raises:
            LoadError: If it cannot be read, or is damaged.
        """
        return None if self.lock_file is None else read_locked(self.lock_file)


def _default_cache(environment: Mapping[str, str]) -> Path | None:
    """The user's folder for caches, or None where the user has no home."""
    # Relative ones must be ignored, says the XDG Base Directory Specification.
    wanted = Path(environment.get("XDG_CACHE_HOME", ""))
    if wanted.is_absolute():
        return wanted / "graphc"
    try:
        return Path.home() / ".cache" / "graphc"
    except RuntimeError:
        return None


@functools.cache
def _store(directory: Path, limit: int) -> Store:
    return Store(directory, limit)
