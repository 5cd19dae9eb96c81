"""A cache on disk: entries by kind and key, shared by all processes of one user.

What is in the directory is code that gets loaded, so it must be this user's alone. An
entry says itself what it is and has a digest of its payload: what is damaged, cut short
or in another entry's place is no entry, and the next write puts a good one there. A
cache never makes a program fail: what cannot be kept is not kept, and one warning says
why.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("graphc")

MAGIC = "graphc-cache-1"
LIMIT = 4 << 30
"""The bytes that a cache may take unless told otherwise."""

STALE = 3600.0
"""After how many seconds a file that a crash left half written is removed."""

SOURCES = "sources"
"""A folder in the directory for files that others may put there: `clear` removes it."""

KEPT = 0.8
"""The part of the limit that is left filled when entries are removed."""

CHECK_EVERY = 64
"""How many writes go by before the size of the cache is looked at again."""

_UNFINISHED = ".unfinished-"
_KIND = re.compile(r"[a-z_]{1,32}")
_KEY = re.compile(r"[0-9a-f]{64}")
_HEADER = 512
"""More bytes than any entry's first line has."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        kind: What is kept, such as ``xla``.
        key: The SHA-256, in hexadecimal, of what the payload was made from.
        size: The bytes of its file.
        used: When it was last written or read, roughly, in seconds since 1970.
        path: Its file.
    """

    kind: str
    key: str
    size: int
    used: float
    path: Path


class Store:
    """A cache in a directory.

    Args:
        directory: The directory; it is made when something is first kept.
        limit: The bytes that it may take. Beyond, what was not used for the longest
            time is removed.
    """

    def __init__(self, directory: Path, limit: int = LIMIT) -> None:
        # A program that goes elsewhere keeps its cache.
        self.directory = Path(os.path.abspath(directory))
        self.limit = limit
        self._writes = 0
        self._warned = False
        self._safe = False

    def read(self, kind: str, key: str) -> bytes | None:
        """The payload kept under a key, or None if there is none that is intact."""
        path = self._path(kind, key)
        if not self._usable(make=False):
            return None
        content = _content(path)
        if content is None:
            if path.is_dir():
                _remove(path)
            return None
        payload = _payload(content, kind, key)
        if payload is None:
            _remove(path)
            return None
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - STALE:
                os.utime(path)
        return payload

    def write(self, kind: str, key: str, payload: bytes) -> bool:
        """Keeps a payload under a key; says whether that was possible."""
        path = self._path(kind, key)
        if len(payload) > self.limit * KEPT or not self._usable(make=True):
            return False
        digest = hashlib.sha256(payload).hexdigest()
        header = f"{MAGIC} {kind} {key} {digest} {len(payload)}\n".encode()
        try:
            if path.is_dir():
                _remove(path)
            replace_file(path, header + payload)
            if self._writes % CHECK_EVERY == 0:
                self.trim()
        except OSError as error:
            self._warn(f"{error.strerror or error}")
            return False
        self._writes += 1
        return True

    def entries(self) -> Iterator[Entry]:
        """All entries, damaged ones among them."""
        if not self._usable(make=False):
            return
        for path in sorted(self.directory.glob("*/*/*")):
            kind, key = path.parts[-3], path.parts[-2] + path.parts[-1]
            if _KIND.fullmatch(kind) and _KEY.fullmatch(key):
                with suppress(OSError):
                    found = path.lstat()
                    yield Entry(kind, key, found.st_size, found.st_mtime, path)

    def verify(self) -> tuple[int, int]:
        """Removes damaged entries; returns how many are intact, and how many were not."""
        intact = removed = 0
        for entry in self.entries():
            content = _content(entry.path)
            if content is None or _payload(content, entry.kind, entry.key) is None:
                removed += 1
                _remove(entry.path)
            else:
                intact += 1
        return intact, removed

    def clear(self) -> tuple[int, int]:
        """Removes all entries; returns how many there were, and their bytes."""
        count = size = 0
        for entry in self.entries():
            if _remove(entry.path):
                count, size = count + 1, size + entry.size
        self._remove_unfinished(time.time())
        if self._usable(make=False):
            shutil.rmtree(self.directory / SOURCES, ignore_errors=True)
        return count, size

    def trim(self) -> None:
        """Removes what was not used for the longest time, if the limit is exceeded."""
        now = time.time()
        # What is from the future tells nothing: the clock was set back since.
        found = sorted(
            self.entries(), key=lambda e: e.used if e.used < now + STALE else 0.0
        )
        total = sum(entry.size for entry in found)
        self._remove_unfinished(now - STALE)
        if total <= self.limit:
            return
        for entry in found:
            _remove(entry.path)
            total -= entry.size
            if total <= self.limit * KEPT:
                return

    def prepare(self) -> bool:
        """Makes the directory if need be; says whether it can be used."""
        return self._usable(make=True)

    def problem(self) -> str | None:
        """Why the directory is not used, or None if it is, or is not there yet."""
        try:
            found = os.lstat(self.directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            return error.strerror or str(error)
        if stat.S_ISLNK(found.st_mode):
            return "it is a symbolic link"
        if not stat.S_ISDIR(found.st_mode):
            return "it is not a directory"
        if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
            return "it belongs to another user"
        if found.st_mode & 0o022:
            return "others may write to it"
        return None

    def _usable(self, make: bool) -> bool:
        """Whether the directory is there and nobody else's."""
        if self._safe and not make:
            return True
        reason = self.problem()
        if reason is None:
            self._safe = self.directory.is_dir()
            if make and not self._safe:
                try:
                    self.directory.parent.mkdir(parents=True, exist_ok=True)
                    self.directory.mkdir(mode=0o700, exist_ok=True)
                    return self._usable(make=False)
                except OSError as error:
                    reason = error.strerror or str(error)
            else:
                return self._safe
        self._warn(reason)
        return False

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "nothing is kept in the cache %s: %s. GRAPHC_CACHE names another"
                " directory; GRAPHC_CACHE=off turns the cache off.",
                self.directory,
                reason,
            )

    def _path(self, kind: str, key: str) -> Path:
        if not _KIND.fullmatch(kind) or not _KEY.fullmatch(key):
            raise ValueError(
                f"Expected a kind and a SHA-256. Received: {kind!r}, {key!r}"
            )
        return self.directory / kind / key[:2] / key[2:]

    def _remove_unfinished(self, before: float) -> None:
        """Removes files that were begun before a time and never finished."""
        for path in self.directory.glob(f"*/*/{_UNFINISHED}*"):
            with suppress(OSError):
                if path.lstat().st_mtime < before:
                    path.unlink()


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file that appears whole. It need not survive a loss of power."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _remove(path: Path) -> bool:
    """Removes what stands in an entry's place, whatever it is; says whether it could."""
    try:
        path.unlink()
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
    return not os.path.lexists(path)


def _content(path: Path) -> bytes | None:
    """What a file of this user holds; None for links and files of others."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            own = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
            return file.read() if own and stat.S_ISREG(found.st_mode) else None
    except OSError:
        return None


def _payload(content: bytes, kind: str, key: str) -> bytes | None:
    """The payload of an entry's file, or None if it is not whole or another entry's."""
    end = content.find(b"\n", 0, _HEADER)
    fields = content[:end].decode("latin-1").split(" ")
    payload = content[end + 1 :]
    digest = hashlib.sha256(payload).hexdigest()
    wanted = [MAGIC, kind, key, digest, str(len(payload))]
    return payload if end >= 0 and fields == wanted else None
