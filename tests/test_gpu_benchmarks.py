"""The scripts of `benchmarks/gpu`: that they run, time fairly and report what came out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton")

from benchmarks.gpu import __main__ as program
from benchmarks.gpu import cases, measure, results
from benchmarks.gpu.frameworks import EAGER, INTERPRETER, JAX, OURS, TUNED, Options
from benchmarks.gpu.rows import ROWS
from tests.closeness import assert_close

CHECK = Options(target=INTERPRETER, tiny=True, rounds=0, steps=2)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("row", ROWS)
def test_rows_compute_what_they_should_at_tiny_sizes(row: str):
    found: list[dict[str, Any]] = []
    assert program.run_row(row, CHECK, found.append) is None
    assert found
    for case in found:
        assert {OURS, JAX} <= case["contestants"].keys()


# -- timing ------------------------------------------------------------------------------


class Clock:
    """Time that passes only in contestants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.order: list[str] = []
        monkeypatch.setattr(measure.time, "perf_counter", lambda: self.now)

    def contestant(self, name: str, seconds: float, calls: int = 1) -> Any:
        return measure.Contestant(
            name, partial(self.pass_time, name, seconds), lambda: None, calls
        )

    def pass_time(self, name: str, seconds: float) -> None:
        self.now += seconds
        self.order.append(name)


def test_contestants_take_turns(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)
    contestants = [clock.contestant("a", 1.0), clock.contestant("b", 3.0)]
    times = measure.interleaved(contestants, 4, warm=2)
    assert clock.order == [*"aaa", *"bbb", *"ab", *"ba", *"ab", *"ba"]
    assert times == {"a": [1.0] * 4, "b": [3.0] * 4}
    found = measure.compared(times, "a")
    assert found["b"]["ratio"] == {"median": 3.0, "min": 3.0, "max": 3.0}


def test_short_calls_are_repeated(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)
    contestants = [clock.contestant("a", 0.001), clock.contestant("b", 0.004, calls=4)]
    times = measure.interleaved(contestants, 1, warm=0)
    assert clock.order == ["a", "b", *["a"] * 20, *["b"] * 5]
    assert_close(times["a"], [0.001])
    assert_close(times["b"], [0.001])


# -- results -----------------------------------------------------------------------------


def measured(name: str = "one", **ratios: float) -> dict[str, Any]:
    """The result of a case in which graphc takes a millisecond."""
    times = {OURS: [1e-3], **{name: [1e-3 * r] for name, r in ratios.items()}}
    return {
        "gpu": "NVIDIA H200",
        "date": "2026-01-01",
        "commit": "12345678",
        "ceilings": {"copy": 4e12, "gemm": 7e14},
        "name": name,
        "rounds": 1,
        "bytes_per_second": 3e12,
        "contestants": measure.compared(times, OURS),
    }


def test_cases_are_merged_into_the_file_of_the_gpu(tmp_path: Path):
    path = results.path_for("NVIDIA H200 (141 GB)", tmp_path)
    assert path.name == "NVIDIA-H200-141-GB.json"
    assert results.load(path) == {}
    results.keep(path, "K5", measured())
    results.keep_error(path, "K4", "out of memory")
    assert results.load(path)["K4"] == {"cases": [], "error": "out of memory"}
    for name in ("one", "two", "one"):
        results.keep(path, "K4", measured(name))
    found = results.load(path)
    assert list(found) == ["K4", "K5"]
    assert [case["name"] for case in found["K4"]["cases"]] == ["two", "one"]
    assert "error" not in found["K4"]
    assert results.measured(path, "K4", "12345678") == {"one", "two"}
    assert not results.measured(path, "K4", "another")


def test_the_table_says_what_was_reached():
    slow = measured(**{EAGER: 3.0, TUNED: 0.9, JAX: 1.15})
    failed = {"cases": [measured()], "error": "out of memory"}
    text = results.table({"K4": {"cases": [slow]}, "K1": failed})
    assert "12345678, 4.00 TB/s copied, 700 TFLOP/s GEMM" in text
    assert "75% of the copy rate (goal 78%)" in text
    assert "failed: out of memory" in text
    lines = {line.split("  ")[1]: line for line in text.splitlines() if "mean" in line}
    assert lines[f"mean vs {EAGER}"].endswith("3.00 goal 2.00: reached")
    assert lines[f"mean vs {TUNED}"].endswith("0.90 is below the floor of 0.97")
    assert lines[f"mean vs {JAX}"].endswith("1.15 goal 1.15: reached")


@dataclass(frozen=True)
class Named:
    """A case that fails if its name says so."""

    name: str

    def run(self, options: Options) -> dict[str, Any]:
        if "wrong" in self.name:
            raise cases.WrongError("graphc: relative error 1\nmore")
        return {}


def test_cases_run_up_to_the_first_that_fails(monkeypatch: pytest.MonkeyPatch):
    row = ROWS["K4"]
    made = [Named(name) for name in ("a", "b", "wrong", "c")]
    rows = {"K4": type(row)(row.question, lambda tiny: made, row.goals)}
    monkeypatch.setattr(program, "ROWS", rows)

    def names(**options: Any) -> tuple[list[str], str | None]:
        found: list[dict[str, Any]] = []
        error = program.run_row("K4", CHECK, found.append, **options)
        return [case["name"] for case in found], error

    assert names() == (["a", "b"], "WrongError: graphc: relative error 1")
    assert names(containing="b") == (["b"], None)
    assert names(known={"a", "wrong"}) == (["b", "c"], None)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Stands for the processes that run rows; some rows fail."""

    def use(*failing: str) -> list[list[str]]:
        started: list[list[str]] = []

        def run(
            names: list[str], options: argparse.Namespace, deadline: float
        ) -> tuple[int, bool]:
            started.append(names)
            for number, name in enumerate(names):
                if name in failing:
                    return number, False
            return len(names), True

        monkeypatch.setattr(program, "_in_process", run)
        return started

    return use


def test_rows_go_on_after_one_that_failed(
    processes: Callable[..., list[list[str]]], tmp_path: Path
):
    started = processes("K2", "K4")
    arguments = ["--rows", "K1,K2,K3,K4", "--output", str(tmp_path)]
    assert program.main(arguments) == 1
    assert started == [["K1", "K2", "K3", "K4"], ["K3", "K4"]]
    started = processes()
    assert program.main(arguments) == 0
    assert started == [["K1", "K2", "K3", "K4"]]


def test_unknown_rows(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="unknown: 'K9'; known are K1, K2"):
        program.main(["--rows", "K9"])
