"""``graphc tune``: a graph is tuned once, locked, exported and drawn."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import graphc
from graphc import ops
from graphc.ir import LoadError, parse
from graphc.tuning.lock import read_lock
from graphc.tuning.tuner import locked_pipeline
from tests.cli.test_commands import invoke


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph with a pooling, tuned for one batch size."""
    path = tmp_path_factory.mktemp("tune")
    spec = graphc.TensorSpec(("B", 8, 8, 4))
    graph = graphc.trace(lambda x: ops.max_pool(x, 2), spec)
    (path / "f.gir").write_text(str(graph))
    result = invoke("tune", *arguments(path), "--strategy", "exhaustive", "--json")
    assert result.exit_code == 0, result.output
    (line,) = json.loads(result.stdout)
    assert line["shape"] == "B=3"
    assert line["trials"] >= 2
    return path


def arguments(path: Path, batch: str = "3") -> list[str]:
    return [
        *(str(path / "f.gir"), "--batch", batch),
        *("--lock", str(path / "graphc.lock"), "--store", str(path / "s.sqlite")),
    ]


def test_a_line_is_kept(folder: Path) -> None:
    before = (folder / "graphc.lock").read_bytes()
    result = invoke("tune", *arguments(folder))
    assert "kept from the lock" in result.output
    assert (folder / "graphc.lock").read_bytes() == before


def test_locked_forbids_tuning(folder: Path) -> None:
    assert invoke("tune", *arguments(folder), "--locked").exit_code == 0
    result = invoke("tune", *arguments(folder, "3,5"), "--locked")
    assert result.exit_code == 1
    assert "no line about graph:" in result.stderr
    assert "| B=5 |" in result.stderr


def test_a_lock_chooses_a_pipeline(folder: Path) -> None:
    graph = parse((folder / "f.gir").read_text()).bind(B=3)
    lock = read_lock(folder / "graphc.lock")
    text = locked_pipeline(graph, "xla:cpu", {"B": 3}, lock)
    assert text is not None
    graphc.passes.parse_pipeline(text)
    assert locked_pipeline(graph, "xla:cpu", {"B": 4}, lock) is None


def test_a_choice_of_no_space_is_refused(folder: Path, tmp_path: Path) -> None:
    text = (folder / "graphc.lock").read_text()
    (line,) = read_lock(folder / "graphc.lock").values()
    changed = tmp_path / "graphc.lock"
    changed.write_text(text.replace(f"| {line.choice} |", "| unroll_windows=9 |"))
    result = invoke(
        "tune", str(folder / "f.gir"), "--batch", "3", "--lock", str(changed)
    )
    assert isinstance(result.exception, LoadError)
    assert "none of this space" in str(result.exception)


def test_measurements_are_exported_and_drawn(folder: Path, tmp_path: Path) -> None:
    store = ["--store", str(folder / "s.sqlite")]
    rows = list(
        csv.DictReader(io.StringIO(invoke("tune", "--export", "csv", *store).stdout))
    )
    assert {row["status"] for row in rows} <= {"measured", "same", "unsupported"}
    assert rows[0]["choice"] == "canonical"
    file = tmp_path / "m.csv"
    invoke("tune", "--export", str(file), *store)
    assert len(file.read_text().splitlines()) == len(rows) + 1
    page = tmp_path / "p.html"
    assert invoke("tune", "--plot", str(page), *store).exit_code == 0
    measured = [row for row in rows if row["status"] == "measured"]
    assert page.read_text().count("<circle") == len(measured)
    result = invoke("tune", "--plot", str(tmp_path / "p.gif"), *store)
    assert "a plot is .html or .png" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name a FILE"),
        (["f.gir", "--steps", "1,4"], "--steps is for saved models"),
        (["f.gir", "--batch", "0"], "--batch is like 1,8,32"),
        (["f.gir", "--strategy", "luck"], "Invalid value for '--strategy'"),
    ],
)
def test_wrong_usage(options: list[str], message: str) -> None:
    assert message in invoke("tune", *options).stderr
