"""Writing a file so that a crash at any moment leaves the old one or the new one."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterable
from contextlib import suppress

_ENDING = ".tmp"

WRITE_SIZE = 1 << 26
"""The most bytes handed to the system at once, so that an interrupt gets through."""


STALE = 3600.0
"""After how many seconds a file that a crash left half written is removed."""


def write_file(path: str, chunks: Iterable[bytes | memoryview]) -> None:
    """Replaces the file at `path` by one that consists of `chunks`.

    The data go to a new file in the same folder, which takes the name of the old one
    when all is on the disk. A file that exists keeps its permissions; where `path` is
    a symbolic link, what it points to is replaced.

    Args:
        path: The file's name.
        chunks: Its contents.

    Raises:
        OSError: If the system refuses; then the old file is as it was.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    mode = _mode_of(path)
    _remove_leftovers(folder, name)
    # Names may be up to 255 bytes long, and this one gets longer.
    unfinished = f"{_prefix(name)}{secrets.token_hex(8)}{_ENDING}"
    temporary = os.path.join(folder, unfinished)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(temporary, flags, 0o666 if mode is None else 0o600)
    except OSError as error:  # the temporary name is nothing that the user gave
        error.filename = path
        raise
    try:
        try:
            for chunk in chunks:
                _write_all(descriptor, memoryview(chunk))
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _prefix(name: str) -> str:
    return f".{name[:100]}."


def _remove_leftovers(folder: str, name: str) -> None:
    """Removes what killed processes left: nobody else does, and models are large."""
    with suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            middle = entry.name.removeprefix(_prefix(name)).removesuffix(_ENDING)
            if len(entry.name) - len(middle) != len(_prefix(name)) + len(_ENDING):
                continue
            if len(middle) == 16 and time.time() - entry.stat().st_mtime > STALE:
                with suppress(OSError):
                    os.unlink(entry.path)


def _mode_of(path: str) -> int | None:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data[:WRITE_SIZE]) :]


def _sync_folder(folder: str) -> None:
    """Makes the new name durable; some file systems cannot, which loses no data."""
    with suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
