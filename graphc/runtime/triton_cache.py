"""Files kept between runs: the sources of kernels and what they were compiled to."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphc.codegen.triton.kernel import Kernel
from graphc.ir.errors import GraphcError


@dataclass(frozen=True, slots=True)
class Cache:
    """A directory of files named by what they were made from.

    Files appear whole or not at all, so several processes may share the directory. What
    is read is checked: a damaged file is as good as none.
    """

    directory: Path

    def source(self, kernel: Kernel) -> Path:
        """The file that holds the source of a kernel; Triton reads kernels from files.

        Raises:
            GraphcError: If the file cannot be written.
        """
        text = kernel.source.encode()
        path = self.directory / "kernels" / digest(text)[:16] / f"{kernel.name}.py"
        try:
            intact = path.read_bytes() == text
        except OSError:
            intact = False
        if not intact:
            self._write(path, text)
        return path

    def read(self, key: str) -> bytes | None:
        """The payload kept under a key, or None if there is none that is intact."""
        try:
            content = self._entry(key).read_bytes()
        except OSError:
            return None
        checksum, _, payload = content.partition(b"\n")
        return payload if checksum.decode(errors="replace") == digest(payload) else None

    def write(self, key: str, payload: bytes) -> None:
        """Keeps a payload under a key.

        Raises:
            GraphcError: If the file cannot be written.
        """
        self._write(self._entry(key), digest(payload).encode() + b"\n" + payload)

    def _entry(self, key: str) -> Path:
        return self.directory / "compiled" / key[:2] / key[2:]

    def _write(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(content)
            os.replace(file.name, path)
        except OSError as error:
            raise GraphcError(
                f"kernels cannot be kept: {error.strerror}",
                received=str(path),
                hint="GRAPHC_CACHE names another directory",
            ) from error


def temporary_cache(owner: object) -> Cache:
    """A cache in a directory that is removed when `owner` is gone."""
    directory = tempfile.mkdtemp(prefix="graphc-")
    weakref.finalize(owner, shutil.rmtree, directory, ignore_errors=True)
    return Cache(Path(directory))


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
