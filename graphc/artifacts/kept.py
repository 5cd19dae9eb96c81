"""Programs of artifacts that this machine has compiled, in the cache of its user.

With them an artifact starts without passes, emission and compilation, and what runs is no
machine code from the file.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from graphc.artifacts.contents import Contents
from graphc.files.json_text import dump_json, load_json
from graphc.ir.errors import LoadError
from graphc.runtime import load_backend
from graphc.runtime.backend import Packed
from graphc.runtime.settings import Settings
from graphc.runtime.targets import JAXLIB

KIND = "program"
"""What the store calls programs of artifacts."""

_HARMLESS = ("GRAPHC_CACHE", "GRAPHC_CACHE_LIMIT", "GRAPHC_VERIFY")
_PACKAGE = Path(__file__).parents[1]
_PARTS = ("artifacts", "codegen", "ir", "passes", "runtime")
_MAX_FACTS = 1 << 12


class KeptPrograms:
    """The programs of one artifact in the cache.

    Attributes:
        watched: Whether compiles are steered or looked at: then none are left out.

    Args:
        graph: The SHA-256 of the graph's text.
        contents: What else the artifact says.
    """

    def __init__(self, graph: str, contents: Contents) -> None:
        said = contents.to_json()
        asked = {
            name: said[name] for name in ("contract", "options", "inputs", "written")
        }
        self._subject = {"graph": graph, "package": _package(), **asked}
        # Whoever sets others wants to see or change what compiling does.
        others = {name for name in os.environ if name.startswith("GRAPHC_")}
        self.watched = contents.lock is not None or bool(others.difference(_HARMLESS))
        self._store = None if self.watched else Settings.read().store()

    def read(self, sizes: Mapping[str, int]) -> Packed | None:
        """The program for some sizes, if there is one."""
        if self._store is None:
            return None
        data = self._store.read(KIND, self._key(sizes))
        return None if data is None else _unpacked(data)

    def write(self, sizes: Mapping[str, int], packed: Packed) -> None:
        """Keeps a program."""
        if self._store is not None:
            self._store.write(KIND, self._key(sizes), _packed(packed))

    def _key(self, sizes: Mapping[str, int]) -> str:
        # Environments with other versions take no entries from each other.
        maker = cast(Any, load_backend(JAXLIB.backend)).maker()
        subject = {**self._subject, "maker": maker, "sizes": dict(sizes)}
        return hashlib.sha256(dump_json(subject)).hexdigest()


def _packed(packed: Packed) -> bytes:
    """A program as bytes: a line of JSON, and the parts behind it."""
    sizes = {name: len(data) for name, data in packed.files.items()}
    said = dump_json({"facts": dict(packed.facts), "files": sizes})
    return b"%d\n" % len(said) + said + b"".join(packed.files[name] for name in sizes)


def _unpacked(data: bytes) -> Packed | None:
    """The program that `_packed` wrote, or None if it is none."""
    length, newline, rest = data.partition(b"\n")
    if not newline or not length.isdigit() or int(length) > _MAX_FACTS:
        return None
    try:
        said = load_json(rest[: int(length)], "a program of the cache")
        facts, sizes = said["facts"], said["files"]
    except (LoadError, KeyError, TypeError):
        return None
    files: dict[str, bytes] = {}
    place = int(length)
    for name, size in sizes.items():
        files[name] = rest[place : place + size]
        place += size
    return Packed(facts, files) if place == len(rest) else None


@functools.cache
def _package() -> str:
    """What compiles: another graphc may make other programs."""
    found = hashlib.sha256()
    for path in sorted(p for part in _PARTS for p in (_PACKAGE / part).rglob("*.py")):
        known = path.stat()
        line = f"{path.relative_to(_PACKAGE)} {known.st_size} {known.st_mtime_ns}\n"
        found.update(line.encode())
    return found.hexdigest()
