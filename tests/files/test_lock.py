"""Lock files: what is written reads back; each kind of damage has its own error."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from graphc.files.lock import (
    HEADER,
    MAX_BYTES,
    Line,
    agreement,
    lock_text,
    parse_lock,
    read_lock,
    write_lock,
)
from graphc.ir import LoadError
from graphc.tuning.locked import choice_of
from tests.tuning.simulated import space_of

LINES = [
    Line(
        f"graph:f@{n:016x}", f"B={n}", "a device", "axis0=v1", n * 1e-6, 1e-7, 9, "t 1"
    )
    for n in (8, 1, 32)
]
LOCK = {line.about: line for line in LINES}


def test_lines_are_sorted_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "graphc.lock"
    write_lock(path, LOCK)
    text = path.read_text()
    assert text.splitlines()[0] == HEADER
    assert text.splitlines()[1:] == sorted(map(str, LINES))
    assert read_lock(path) == LOCK
    assert lock_text(read_lock(path).values()) == text


def test_a_union_of_two_files_sorted_is_a_file() -> None:
    first, second = (lock_text([line]) for line in LINES[:2])
    merged = sorted({*first.splitlines(), *second.splitlines()})
    assert len(parse_lock("\n".join(merged) + "\n")) == 2


GOOD = lock_text(LINES)
ROW = str(LINES[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no lock file of this release"),
        (GOOD.replace("lock 1:", "lock 2:"), "no lock file of this release"),
        (GOOD[:-1], "last line is cut off"),
        (GOOD[:-20], "last line is cut off"),
        (GOOD + ROW + "\n", "line 5 is about the same as one before"),
        ("\n".join([HEADER, *reversed(GOOD.splitlines()[1:]), ""]), "not in order"),
        (GOOD + "<<<<<<< HEAD\n", "line 5 is a mark of an unfinished merge"),
        (GOOD + "=======\n", "unfinished merge"),
        (GOOD + "\n", "line 5 has 1 fields, not 8"),
        (GOOD.replace(" | t 1", " | t 1 | x", 1), "line 2 has 9 fields"),
        (GOOD.replace("B=1 ", "B=\x1b ", 1), "line 2 has a field that is no text"),
        (GOOD.replace("B=1 ", " " * 1001, 1), "a field that is no text"),
        (GOOD.replace("1.000 us", "1e999 us", 1), "no median, spread and trials"),
        (GOOD.replace("1.000 us", "nan us", 1), "no median, spread and trials"),
        (GOOD.replace("1.000 us", "0.000 us", 1), "line 2 has no time"),
        (GOOD.replace("9 trials", "0 trials", 1), "no median, spread and trials"),
        (GOOD.replace("9 trials", f"{10**12} trials", 1), "no median, spread"),
    ],
)
def test_damage_is_named(text: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        parse_lock(text)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "graphc.lock"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(LoadError, match=r"graphc\.lock: it is no text"):
        read_lock(path)
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(LoadError, match="too large"):
        read_lock(path)
    with pytest.raises(LoadError, match="not a regular file"):
        read_lock(tmp_path)


def test_mutants_read_as_other_lines_or_not_at_all() -> None:
    draw = random.Random(0)
    for _ in range(2000):
        content = bytearray(GOOD.encode())
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            found = parse_lock(content.decode("latin-1"))
        except LoadError:
            continue
        assert len(found) == len(LINES)
        assert lock_text(found.values()) == content.decode("latin-1")


def test_choices_are_those_of_the_space() -> None:
    assert choice_of(LINES[0], space_of(2, 2)) == ("v1", "v0")
    with pytest.raises(LoadError, match=r"graph:f@0{15}8: the choice is none"):
        choice_of(LINES[0], space_of(1, 2))


def test_agreement_counts_lines_of_both() -> None:
    assert agreement(LOCK, LOCK) == 1.0
    assert agreement({}, {}) == 1.0
    fewer = dict(list(LOCK.items())[:2])
    assert agreement(LOCK, fewer) == 2 / 3
