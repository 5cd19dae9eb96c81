"""The stages of a compilation: how long each takes, and what it leaves behind."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphc.files.lock import Line, Locked
from graphc.ir.errors import GraphcError
from graphc.runtime.settings import Settings


class Stages:
    """One compilation.

    Attributes:
        settings: What the environment asks for.
        lock: The choices that it goes by, if any.
        seconds: How long each stage took, in order.
        origins: Where the schedule of each kernel is from, by the kernel's name.
        lines: The lines of the lock that are about what is compiled, in order.
    """

    def __init__(
        self, name: str, settings: Settings, lock: Locked | None = None
    ) -> None:
        self.settings = settings
        self.lock = settings.lock() if lock is None else lock
        self.seconds: dict[str, float] = {}
        self.origins: dict[str, str] = {}
        self.lines: dict[Line, None] = {}
        self._directory: Path | None = None
        self._number = 0
        if settings.dump is not None:
            self._directory = _new_directory(settings.dump, name)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time until the block ends to `stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + passed

    @property
    def dumps(self) -> bool:
        """Whether stages are written to files."""
        return self._directory is not None

    def dump(self, name: str, text: object) -> None:
        """Writes `text` to the next file of this compilation, if files are wanted."""
        if path := self.place(name):
            path.write_text(str(text), encoding="utf-8", errors="replace")

    def place(self, name: str) -> Path | None:
        """Where the next stage, called `name`, puts its files, if files are wanted."""
        if self._directory is None:
            return None
        self._number += 1
        return self._directory / f"{self._number:02}-{name}"


def _new_directory(parent: Path, name: str) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GraphcError(
            f"GRAPHC_DUMP must be a directory that can be written: {error.strerror}",
            received=str(parent),
        ) from error
    for number in itertools.count(1 + sum(1 for _ in parent.iterdir())):
        path = parent / f"{number:04}-{name}"
        try:
            path.mkdir()
        except FileExistsError:  # another process was faster
            continue
        return path
    raise AssertionError("unreachable")
