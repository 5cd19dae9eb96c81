"""``graphc tune``: a graph is tuned once, locked, exported and drawn."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest

import graphc
from graphc import ops
from graphc.artifacts.loading import inspect
from graphc.files.lock import read_lock
from graphc.ir import LoadError, parse
from graphc.tuning.locked import locked_pipeline
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


def test_an_artifact_is_built_with_what_is_tuned(folder: Path, tmp_path: Path) -> None:
    """What the lock has is not measured again; the artifact keeps it."""
    made = tmp_path / "f.gcx"
    lock = (folder / "graphc.lock").read_text()
    options = ["--batch", "3", "--target", "xla:cpu", "-o", str(made)]
    options += ["--lock", str(folder / "graphc.lock")]
    source = str(folder / "f.gir")
    result = invoke("compile", source, *options, "--tune", "--trials", "1")
    assert result.exit_code == 0, result.output
    assert inspect(made)[2]["graphc.lock"] == len(lock)
    result = invoke("compile", source, *options, "--locked", "--force")
    assert result.exit_code == 0, result.output
    other = ["--batch", "5", *options[2:], "--locked", "--force"]
    result = invoke("compile", source, *other)
    assert "no line about what is compiled" in str(result.exception)


@pytest.mark.slow
def test_an_artifact_is_tuned_when_it_is_built(folder: Path, tmp_path: Path) -> None:
    made, lock = tmp_path / "f.gcx", tmp_path / "new.lock"
    options = ["--target", "xla:cpu", "-o", str(made), "--lock", str(lock)]
    options += ["--tune", "--trials", "2", "--clock", "cpu"]
    options += ["--store", str(tmp_path / "s.sqlite"), "--batch", "3,4"]
    result = invoke("compile", str(folder / "f.gir"), *options)
    assert result.exit_code == 0, result.output
    assert {line.shape for line in read_lock(lock).values()} == {"B=3", "B=4"}
    with zipfile.ZipFile(made) as archive:
        assert archive.read("graphc.lock") == lock.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trials", "3"], "--trials is for --tune"),
        (["--tune", "--locked"], "--locked forbids what --tune does"),
        (["--locked"], "--locked needs --lock FILE, or GRAPHC_LOCK"),
    ],
)
def test_wrong_usage_of_compile(options: list[str], message: str) -> None:
    result = invoke("compile", "f.gir", "-o", "f.gcx", *options)
    assert result.exit_code == 2
    assert message in result.stderr


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
    result = invoke("tune", "--export", "xml", *store)
    assert result.exit_code == 2
    assert "csv, or a file NAME.csv: 'xml'" in result.output
    page = tmp_path / "p.html"
    assert invoke("tune", "--plot", str(page), *store).exit_code == 0
    measured = [row for row in rows if row["status"] == "measured"]
    assert page.read_text().count("<circle") == len(measured)
    result = invoke("tune", "--plot", str(tmp_path / "p.gif"), *store)
    assert "a plot is .html or .png" in str(result.exception)


def test_what_a_model_lacks_is_an_error_about_its_file(tmp_path: Path) -> None:
    model = graphc.Sequential([graphc.Input((4,)), graphc.layers.Dense(1)])
    path = str(tmp_path / "m.graphc")
    model.save(path)
    artifact = ["-o", str(tmp_path / "m.gcx"), "--batch", "2"]
    for command in (["tune"], ["bench"], ["show"], ["compile", *artifact]):
        result = invoke(command[0], path, *command[1:], "--kind", "train_step")
        assert isinstance(result.exception, LoadError), command
        assert "m.graphc: Call compile() before" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name a FILE"),
        (["f.gir", "--steps", "1,4"], "--steps is for saved models"),
        (["f.gir", "--batch", "0"], "--batch is like 1,8,32"),
        (["f.gir", "--strategy", "luck"], "Invalid value for '--strategy'"),
        (["f.gir", "--size", "N0"], "--size is like N0=128, not 'N0'"),
    ],
)
def test_wrong_usage(options: list[str], message: str) -> None:
    assert message in invoke("tune", *options).stderr
