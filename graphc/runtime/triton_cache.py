"""Files kept between runs: the sources of kernels and what they were compiled to."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path
from typing import Any

from graphc.codegen.triton.kernel import Kernel
from graphc.files.store import SOURCES, Store, replace_file
from graphc.ir.errors import GraphcError

KIND = "kernels"
"""What the store calls compiled kernels."""


class Cache:
    """A directory of files named by what they were made from.

    Files appear whole or not at all, so several processes may share the directory. What
    is read is checked: a damaged file is as good as none.

    Attributes:
        store: What kernels were compiled to. Where it cannot be used, sources go to a
            directory that is removed with the cache.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def source(self, kernel: Kernel) -> Path:
        """The file that holds the source of a kernel; Triton reads kernels from files.

        Raises:
            GraphcError: If the file cannot be written.
        """
        text = kernel.source.encode()
        path = self._sources / digest(text)[:16] / f"{kernel.name}.py"
        try:
            if path.read_bytes() == text:
                return path
        except OSError:
            pass
        try:
            replace_file(path, text)
        except OSError as error:
            raise GraphcError(
                f"the source of a kernel cannot be written: {error.strerror}",
                received=str(path),
                hint="GRAPHC_CACHE names another directory",
            ) from error
        return path

    def read(self, key: str) -> bytes | None:
        """The payload kept under a key, or None if there is none that is intact."""
        return self.store.read(KIND, key)

    def write(self, key: str, payload: bytes) -> None:
        """Keeps a payload under a key, if that is possible."""
        self.store.write(KIND, key, payload)

    @cached_property
    def _sources(self) -> Path:
        if self.store.prepare():
            return self.store.directory / SOURCES
        return temporary_directory(self) / SOURCES


def temporary_cache(owner: object) -> Cache:
    """A cache in a directory that is removed when `owner` is gone."""
    return Cache(Store(temporary_directory(owner)))


def temporary_directory(owner: object) -> Path:
    """A directory that is removed when `owner` is gone."""
    directory = tempfile.mkdtemp(prefix="graphc-")
    weakref.finalize(owner, shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


def import_kernel(path: Path | str, name: str) -> Any:
    """The function `name` that a file of kernel source defines."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def digest(of: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(of).hexdigest()
