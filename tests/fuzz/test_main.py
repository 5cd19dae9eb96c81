from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from graphc.fuzz import CHECKS
from graphc.fuzz.__main__ import main
from graphc.fuzz.checks import Subject
from graphc.ir import parse


def test_programs_that_pass(tmp_path: Path):
    options = ["--count", "3", "--seed", "5", "--nodes", "5", "--check", "text"]
    result = CliRunner().invoke(main, [*options, "--output", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.startswith("3 of 3 programs, up to seed 7, ")
    assert not (tmp_path / "out").exists()


def test_programs_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def check(subject: Subject) -> str | None:
        return "it is there" if subject.seed == 9 else None

    monkeypatch.setitem(CHECKS, "text", check)
    options = ["--count", "10", "--seed", "1", "--nodes", "5", "--check", "text"]
    result = CliRunner().invoke(main, [*options, "--output", str(tmp_path)])
    path = tmp_path / "text-9.gir"
    assert result.exit_code == 1
    assert result.stdout == f"seed 9: text: it is there\nreduced: {path}\n"
    assert result.stderr.splitlines()[-1].endswith("1 failed")
    assert parse(path.read_text()).attributes["seed"] == 9


def test_a_check_that_there_is_not():
    result = CliRunner().invoke(main, ["--check", "everything"])
    assert result.exit_code == 2
    assert "'everything' is not one of" in result.output
