"""What XLA compiled, kept on disk: jax's own compilation cache, backed by our store.

jax asks its cache before it compiles, so a kept executable becomes an ordinary compiled
function, with jax's fast dispatch. jax's own directory cache notices damage but never
mends it, and reads what others may have written; `graphc.files.store` does neither.
What is not plainly public stays in this file and is tried out before it is relied on.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from jax._src import compilation_cache, config
from jax._src.compilation_cache_interface import CacheInterface

from graphc.files.store import Store
from graphc.runtime.processor import processor

KIND = "xla"
"""What the store calls executables of XLA."""


class Kept(Protocol):
    """Where executables are kept by key."""

    def read(self, key: str) -> bytes | None:
        """What is kept under a key, or None."""
        ...

    def write(self, key: str, payload: bytes) -> None:
        """Keeps a payload under a key."""
        ...


@dataclass(frozen=True, slots=True)
class StoredExecutables:
    """Executables in a store.

    Attributes:
        store: The store.
    """

    store: Store

    def read(self, key: str) -> bytes | None:
        """What is kept under a key, or None."""
        return self.store.read(KIND, key)

    def write(self, key: str, payload: bytes) -> None:
        """Keeps a payload under a key."""
        self.store.write(KIND, key, payload)


@dataclass(frozen=True, slots=True)
class RecordedExecutables:
    """Executables in memory.

    Attributes:
        payloads: The executables by key.
    """

    payloads: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def read(self, key: str) -> bytes | None:
        """What is kept under a key, or None."""
        return self.payloads.get(key)

    def write(self, key: str, payload: bytes) -> None:
        """Keeps a payload under a key."""
        self.payloads[key] = payload

    def in_order(self) -> list[bytes]:
        """The executables in the order of their keys."""
        return [self.payloads[key] for key in sorted(self.payloads)]


class _ThreadsCache(CacheInterface):  # type: ignore[misc]
    """Serves the threads that are in `keeping`; all others get jax's own cache."""

    def __init__(self) -> None:
        self._path = Path()
        self.local = threading.local()
        self.lock = threading.Lock()
        self.users = 0
        self.replaced: tuple[CacheInterface | None, bool] = (None, False)

    def get(self, key: str) -> bytes | None:
        kept: Kept | None = getattr(self.local, "kept", None)
        if kept is not None:
            return kept.read(_salted(key))
        original, _ = self.replaced
        return None if original is None else original.get(key)

    def put(self, key: str, value: bytes) -> None:
        kept: Kept | None = getattr(self.local, "kept", None)
        original, _ = self.replaced
        if kept is not None:
            kept.write(_salted(key), value)
        elif original is not None:
            original.put(key, value)


_CACHE = _ThreadsCache()


@contextmanager
def keeping(kept: Kept | None) -> Iterator[None]:
    """Makes jax look for executables in `kept`, and put them there, in this thread.

    Where jax's cache is not as expected, nothing is kept.
    """
    if kept is None or not _works():
        yield
        return
    with _CACHE.lock:
        if _CACHE.users == 0:
            _CACHE.replaced = (
                compilation_cache._cache,
                compilation_cache._cache_initialized,
            )
            compilation_cache._cache = _CACHE
            compilation_cache._cache_initialized = True
        _CACHE.users += 1
    _CACHE.local.kept = kept
    try:
        with config.persistent_cache_min_compile_time_secs(0.0):
            yield
    finally:
        _CACHE.local.kept = None
        with _CACHE.lock:
            _CACHE.users -= 1
            if _CACHE.users == 0:
                cache, initialized = _CACHE.replaced
                compilation_cache._cache = cache
                compilation_cache._cache_initialized = initialized


@functools.cache
def _works() -> bool:
    """Whether jax has the places that `keeping` uses."""
    names = ("_cache", "_cache_initialized", "get_executable_and_time")
    state = getattr(config, "persistent_cache_min_compile_time_secs", None)
    return all(hasattr(compilation_cache, name) for name in names) and callable(state)


def _salted(key: str) -> str:
    """jax's key, which does not know the processor, as a key of the store."""
    return hashlib.sha256(f"{processor()} {key}".encode()).hexdigest()
