"""The measurement store: rows read back, writers share it, damage is named."""

from __future__ import annotations

import csv
import io
import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from graphc.ir import LoadError
from graphc.tuning.store import COLUMNS, MeasurementStore, Subject
from graphc.tuning.trial import Facts, Trial
from tests.tuning.simulated import space_of

SUBJECT = Subject("graph:f@0", "B=8", "a device", "tools 1")
SPACE = space_of(2, 50)
MEASURED = Trial(
    SPACE.parse("axis1=v3"), "measured", 0.8, 1e-3, 1e-5, 20, True, None,
    Facts("abc", 2e-3, {"flops": 8.0}), {"load": 1.5},
)  # fmt: skip
FAILED = Trial(SPACE.parse("axis0=v1"), "crashed", reason="SIGSEGV")


@pytest.fixture
def store(tmp_path: Path) -> MeasurementStore:
    return MeasurementStore(tmp_path / "sub" / "s.sqlite")


def test_trials_read_back(store: MeasurementStore) -> None:
    assert store.begin(SUBJECT, again=False) == 1
    for trial in (MEASURED, FAILED):
        store.add(SUBJECT, 1, SPACE, trial)
    assert store.history(SUBJECT, 1, SPACE) == {t.choice: t for t in (MEASURED, FAILED)}
    assert store.history(SUBJECT, 2, SPACE) == {}
    assert store.begin(SUBJECT, again=False) == 1
    assert store.begin(SUBJECT, again=True) == 2
    other = Subject("graph:g@0", "B=8", "a device", "tools 1")
    assert store.begin(other, again=True) == 1


def test_choices_of_another_space_are_left_out(store: MeasurementStore) -> None:
    store.add(SUBJECT, 1, SPACE, MEASURED)
    assert store.history(SUBJECT, 1, space_of(2, 2)) == {}


def test_export(store: MeasurementStore) -> None:
    store.add(SUBJECT, 1, SPACE, MEASURED)
    text = io.StringIO()
    assert store.export(text) == 1
    (row,) = csv.DictReader(io.StringIO(text.getvalue()))
    assert tuple(row) == COLUMNS
    assert (row["choice"], row["features"]) == ("axis1=v3", '{"flops": 8.0}')


def write_some(path: Path, writer: int) -> None:
    store = MeasurementStore(path)
    for number in range(25):
        trial = Trial(("v0", f"v{number}"), "measured", float(writer), 1.0, 0.0, 1)
        store.add(SUBJECT, writer, SPACE, trial)


def test_processes_write_at_the_same_time(store: MeasurementStore) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=write_some, args=(store.path, n)) for n in range(1, 3)
    ]
    for process in writers:
        process.start()
    for process in writers:
        process.join(120)
    assert [process.exitcode for process in writers] == [0, 0]
    assert len(store.rows()) == 50
    for writer in range(1, 3):
        assert len(store.history(SUBJECT, writer, SPACE)) == 25


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"no database at all, but longer than a header" * 10)
    with pytest.raises(LoadError, match="no measurement store"):
        MeasurementStore(path).rows()


@pytest.mark.parametrize(
    ("column", "value"),
    [("status", "lucky"), ("ratio", "fast"), ("features", "[1]"), ("conditions", "{")],
)
def test_damaged_rows_are_named(
    store: MeasurementStore, column: str, value: str
) -> None:
    store.add(SUBJECT, 1, SPACE, MEASURED)
    connection = sqlite3.connect(store.path)
    connection.execute(f"UPDATE trials SET {column}=?", [value])
    connection.commit()
    connection.close()
    with pytest.raises(LoadError, match="trial 1 of the measurement store is damaged"):
        store.history(SUBJECT, 1, SPACE)
