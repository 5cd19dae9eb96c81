"""Timing and dumping the stages of a compilation."""

from pathlib import Path

import pytest

from graphc.runtime.settings import Settings
from graphc.runtime.stages import Stages


def test_times_of_a_stage_add_up(monkeypatch: pytest.MonkeyPatch):
    clock = iter([1.0, 3.0, 10.0, 14.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    stages = Stages("f", Settings())
    with stages.timed("emit"):
        pass
    with pytest.raises(ZeroDivisionError), stages.timed("emit"):
        raise ZeroDivisionError
    assert stages.seconds == {"emit": 6.0}


def test_nothing_is_written_unless_asked_for(tmp_path: Path):
    stages = Stages("f", Settings())
    stages.dump("a.txt", "text")
    assert not stages.dumps
    assert stages.place("b") is None


def test_each_compilation_has_a_folder(tmp_path: Path):
    settings = Settings(dump=tmp_path)
    (tmp_path / "0002-f").mkdir()  # left by another process
    for _ in range(2):
        stages = Stages("f", settings)
        stages.dump("a.txt", "text \udc80")
        stages.dump("b.txt", 7)
    assert sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*")
    ) == [
        *("0003-f/01-a.txt", "0003-f/02-b.txt"),
        *("0004-f/01-a.txt", "0004-f/02-b.txt"),
    ]
    assert (tmp_path / "0003-f" / "01-a.txt").read_text() == "text ?"
