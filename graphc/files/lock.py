"""``graphc.lock``: what tuning chose, as text that people read, diff and merge.

The first line is the header. Each other line is one kernel or graph, of one shape, on one
device: eight fields between `` | ``. Lines are sorted, so two people's lines merge as
text; what a merge leaves wrong, the reader names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from graphc.files.atomic_file import write_file
from graphc.files.opening import opened
from graphc.ir.errors import CompileError, LoadError

NAME = "graphc.lock"
"""What the file is called unless a user says otherwise."""

CANONICAL = "canonical"
"""How the choice is spelled that is made where nothing was measured."""

STATIC = "static"
"""The shape of what has no sizes that could be others."""

HEADER = (
    "# graphc.lock 1: key | shape | device | choice | median | spread | trials | by"
)

MAX_BYTES = 64 << 20
MAX_FIELD = 1000
MAX_TRIALS = 10**9

_SEPARATOR = " | "
_FIELDS = 8
_TIME = re.compile(r"(\d{1,12}\.\d{3}) us")
_TRIALS = re.compile(r"(\d{1,10}) trials")
_TEXT = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

Key: TypeAlias = tuple[str, str, str]
"""What a line is about: the kernel or graph, its shape, the device."""

_ON = " on "
"""What stands between a target and what it runs on, in the name of a device."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was chosen for a kernel or graph.

    Attributes:
        key: The kernel or graph: its kind, its name, and a digest of what it computes.
        shape: The sizes of its symbols, or the types of its arrays.
        device: The target and what it runs on.
        choice: The choice, as `Space.text` spells it.
        median: The median seconds of a run.
        spread: The median absolute deviation.
        trials: How many choices were tried.
        tools: The versions of what compiled and ran it.
    """

    key: str
    shape: str
    device: str
    choice: str
    median: float
    spread: float
    trials: int
    tools: str

    @property
    def about(self) -> Key:
        """What the line is about."""
        return self.key, self.shape, self.device

    def __str__(self) -> str:
        return _SEPARATOR.join(
            (
                *(self.key, self.shape, self.device, self.choice),
                *(f"{self.median * 1e6:.3f} us", f"{self.spread * 1e6:.3f} us"),
                *(f"{self.trials} trials", self.tools),
            )
        )


Lock: TypeAlias = Mapping[Key, Line]


def device_of(target: str, hardware: str) -> str:
    """What lines call a target on some hardware: ``triton:sm_90 on NVIDIA H100``."""
    return plain(f"{target}{_ON}{hardware}")


def target_of(device: str) -> str:
    """The target of what `device_of` made, or `device` itself if it is one."""
    return device.partition(_ON)[0]


def hardware_of(device: str) -> str:
    """The hardware of what `device_of` made; empty if none is named."""
    return device.partition(_ON)[2]


def plain(text: str) -> str:
    """A name without what separates fields of a lock file."""
    return re.sub(r"[^\x21-\x7e]+|\|", " ", text).strip()


@dataclass(frozen=True, slots=True)
class Locked:
    """The lines that a compile goes by.

    Attributes:
        lines: The lines of a lock file.
        required: Whether it is an error that there is none about what is compiled.
    """

    lines: tuple[Line, ...]
    required: bool = False

    @property
    def lock(self) -> dict[Key, Line]:
        """The lines, by what they are about."""
        return {line.about: line for line in self.lines}

    def missing(self, about: Key) -> CompileError:
        """The error that there is no line about what is compiled."""
        return CompileError(
            "the lock has no line about what is compiled",
            received=_SEPARATOR.join(about),
            hint="`graphc tune` writes it, for the same sizes and target; or do not"
            " require lines: what has none is compiled as usual",
        )


def lock_text(lines: Iterable[Line]) -> str:
    """The text of a lock file, sorted.

    Raises:
        LoadError: If a field holds what would not read back.
    """
    text = "\n".join([HEADER, *sorted(map(str, lines))]) + "\n"
    parse_lock(text, NAME)
    return text


def write_lock(path: str | os.PathLike[str], lock: Lock) -> None:
    """Writes a lock file, whole or not at all."""
    write_file(os.fspath(path), [lock_text(lock.values()).encode()])


def read_lock(path: str | os.PathLike[str]) -> dict[Key, Line]:
    """The lines of a lock file, by what they are about.

    Raises:
        LoadError: If it cannot be read, is too large, is no text, or has a line that is
            none; says which and why.
    """
    name = os.fspath(path)
    with opened(name) as file:
        content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise LoadError("it is too large for a lock file")
        try:
            text = content.decode("ascii")
        except UnicodeDecodeError as error:
            raise LoadError("it is no text", received=f"byte {error.start}") from None
        return parse_lock(text)


def read_locked(path: str | os.PathLike[str], required: bool = False) -> Locked:
    """The lines of a lock file, for compiles to go by.

    Raises:
        LoadError: As `read_lock`.
    """
    return Locked(tuple(read_lock(path).values()), required)


def parse_lock(text: str, name: str = "") -> dict[Key, Line]:
    """The lines of the text of a lock file.

    Raises:
        LoadError: As `read_lock`.
    """
    prefix = f"{name}: " if name else ""
    first, *rows = text.split("\n")
    if first != HEADER:
        raise LoadError(
            f"{prefix}it is no lock file of this release",
            received=ascii(first[:80]),
            hint=f"the first line must be {HEADER!r}; tune again",
        )
    if not rows or rows.pop() != "":
        raise LoadError(f"{prefix}its last line is cut off", hint="tune again")
    found: dict[Key, Line] = {}
    before = ""
    for number, row in enumerate(rows, 2):
        where = f"{prefix}line {number}"
        line = _parsed(row, where)
        if line.about in found:
            raise LoadError(
                f"{where} is about the same as one before",
                received=ascii(row[:200]),
                hint="keep one of the two",
            )
        if row < before:
            raise LoadError(f"{where} is not in order", hint=f"sort {name or 'it'}")
        before = row
        found[line.about] = line
    return found


def _parsed(row: str, where: str) -> Line:
    """One line.

    Raises:
        LoadError: If it is none.
    """
    received = ascii(row[:200])
    if row.startswith(("<<<<<<<", "=======", ">>>>>>>")):
        raise LoadError(
            f"{where} is a mark of an unfinished merge",
            received=received,
            hint="keep the lines of both sides, sorted, one for each kernel",
        )
    fields = row.split(_SEPARATOR)
    if len(fields) != _FIELDS:
        raise LoadError(
            f"{where} has {len(fields)} fields, not {_FIELDS}", received=received
        )
    key, shape, device, choice, median, spread, trials, tools = fields
    for field in (key, shape, device, choice, tools):
        if len(field) > MAX_FIELD or not _TEXT.fullmatch(field):
            raise LoadError(
                f"{where} has a field that is no text", received=ascii(field[:80])
            )
    times = [_TIME.fullmatch(median), _TIME.fullmatch(spread)]
    count = _TRIALS.fullmatch(trials)
    if not all(times) or count is None or not 1 <= int(count[1]) <= MAX_TRIALS:
        raise LoadError(
            f"{where} has no median, spread and trials",
            received=ascii(_SEPARATOR.join((median, spread, trials))[:80]),
        )
    seconds, deviation = (float(time[1]) * 1e-6 for time in times if time)
    if not seconds > 0:
        raise LoadError(f"{where} has no time", received=received)
    return Line(key, shape, device, choice, seconds, deviation, int(count[1]), tools)


def agreement(first: Lock, second: Lock) -> float:
    """The part of the lines of either that both have, with the same choice."""
    keys = {*first, *second}
    same = sum(
        key in first and key in second and first[key].choice == second[key].choice
        for key in keys
    )
    return same / len(keys) if keys else 1.0
