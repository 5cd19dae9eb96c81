"""Where in the user's program a node comes from: captured in 1 us, resolved late."""

from __future__ import annotations

import itertools
import linecache
import os
import sys
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Self

PACKAGE_ROOT = str(Path(__file__).resolve().parent.parent) + os.sep


class Location:
    """A place in the user's source, with the layer path it was reached through.

    Attributes:
        path: The layer path, such as ``encoder/block_3/mlp``, or None.
        origin: What a derived node came from, such as ``gradient of %3``, or None.

    `file`, `line` and `column` (both counted from 1) are resolved on first use: while
    tracing only the code object and the instruction offset are stored.
    """

    __slots__ = ("_captured", "_end_column", "_site", "origin", "path")

    def __init__(
        self,
        file: str,
        line: int,
        column: int,
        path: str | None = None,
        origin: str | None = None,
    ) -> None:
        self._site: tuple[CodeType, int] | tuple[str, int, int] = (file, line, column)
        self._end_column: int | None = None
        self._captured = False
        self.path = path
        self.origin = origin

    @classmethod
    def capture(
        cls, path: str | None = None, barrier: CodeType | None = None
    ) -> Self | None:
        """The innermost frame outside graphc, or None if there is none.

        Frames at and beyond a call of `barrier` do not count.
        """
        frame = sys._getframe(1)
        while frame is not None and frame.f_code is not barrier:
            if not frame.f_code.co_filename.startswith(PACKAGE_ROOT):
                location = cls.__new__(cls)
                location._site = (frame.f_code, frame.f_lasti)
                location._end_column = None
                location._captured = True
                location.path = path
                location.origin = None
                return location
            frame = frame.f_back
        return None

    def with_path(self, path: str | None) -> Location:
        """The same place reached through another layer path."""
        return self if path == self.path else self._copy(path, self.origin)

    def derive(self, origin: str) -> Location:
        """The same place for a node made from this one, which `origin` says."""
        return self._copy(self.path, origin)

    def _copy(self, path: str | None, origin: str | None) -> Location:
        location = Location.__new__(Location)
        location._site = self._site
        location._end_column = self._end_column
        location._captured = self._captured
        location.path = path
        location.origin = origin
        return location

    def _resolve(self) -> tuple[str, int, int]:
        if len(self._site) == 3:
            return self._site
        file, line, column, self._end_column = _place(*self._site, os.getcwd())
        self._site = file, line, column
        return self._site

    @property
    def captured(self) -> bool:
        """Whether the place is one of this process, not one that a text names."""
        return self._captured

    @property
    def file(self) -> str:
        """The source file, relative to the working directory when below it."""
        return self._resolve()[0]

    @property
    def line(self) -> int:
        """The line, counted from 1."""
        return self._resolve()[1]

    @property
    def column(self) -> int:
        """The column, counted from 1."""
        return self._resolve()[2]

    def describe(self) -> str:
        """The ``at file:line:column`` lines of an error.

        A captured location shows its source with a caret. One that a text names does
        not: no file that a text names is opened.
        """
        file, line, column = self._resolve()
        head = f"  at {file}:{line}:{column}"
        if self.path:
            head += f", in layer '{self.path}'"
        if self.origin:
            head += f" ({self.origin})"
        if not self._captured:
            return head
        source = linecache.getline(os.path.join(os.getcwd(), file), line).rstrip()
        if not source:
            return head
        stripped = source.lstrip()
        indent = len(source) - len(stripped)
        end = self._end_column or len(source) + 1
        carets = "^" * max(1, min(end, len(source) + 1) - column)
        return f"{head}\n      {stripped}\n      {' ' * (column - 1 - indent)}{carets}"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Location)
            and self._resolve() == other._resolve()
            and self.path == other.path
            and self.origin == other.origin
        )

    def __hash__(self) -> int:
        return hash((self._resolve(), self.path, self.origin))

    def __repr__(self) -> str:
        file, line, column = self._resolve()
        return f"Location({file}:{line}:{column}, {self.path!r}, {self.origin!r})"


@lru_cache(maxsize=1 << 14)
def _place(
    code: CodeType, offset: int, directory: str
) -> tuple[str, int, int, int | None]:
    """The file, below `directory` if it is, the line, and the column and its end."""
    position = next(itertools.islice(code.co_positions(), offset // 2, None))
    line, end_line, column, end_column = position
    line = line or code.co_firstlineno
    source = linecache.getline(code.co_filename, line)
    end = None
    if end_line == line and end_column is not None:
        end = _characters(source, end_column) + 1
    file = code.co_filename.removeprefix(directory + os.sep)
    return file, line, _characters(source, column or 0) + 1, end


def _characters(source: str, offset: int) -> int:
    """How many characters of a line precede a UTF-8 byte offset, as Python counts."""
    if source.isascii():
        return offset
    return len(source.encode()[:offset].decode(errors="ignore"))
