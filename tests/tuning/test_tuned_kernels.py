"""Kernels tuned on a GPU that is not there, then compiled with what was found."""

from __future__ import annotations

from pathlib import Path

import pytest

import graphc
from graphc import ops
from graphc.files.lock import Locked, lock_text, parse_lock
from graphc.runtime.compile import compile_graph
from graphc.tuning.search import Budget
from graphc.tuning.store import MeasurementStore
from graphc.tuning.tuner import Settings, line_of, tasks_of, tune_task
from tests.artifacts.machine_code import MachineCode
from tests.tuning import planted_gpu as planted

TARGET = "triton:sm_90"


@pytest.mark.slow
def test_kernels_are_tuned_and_compiled_with_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    graph = graphc.trace(
        lambda a, b: ops.relu(ops.matmul(a, b)),
        graphc.TensorSpec((64, 48)),
        graphc.TensorSpec((48, 40)),
    )
    settings = Settings("exhaustive", Budget(), load=[planted.__file__])
    (task,) = tasks_of({1: graph}, TARGET, {}, settings)
    store = MeasurementStore(tmp_path / "s.sqlite")
    outcome = tune_task(task, store, settings)
    found = {trial.choice[0]: trial for trial in outcome.tried}
    assert len(found) == task.space.size
    statuses = {_tile(name): trial.status for name, trial in found.items()}
    assert statuses == {
        planted.CANONICAL: "measured",
        planted.SLOWER: "measured",
        planted.FASTEST: "measured",
        planted.SPILLING: "pruned",
        planted.REFUSED: "unsupported",
        planted.LYING: "wrong",
        planted.STRAYING: "wrong",
        planted.CRASHING: "crashed",
    }
    reasons = {_tile(name): trial.reason or "" for name, trial in found.items()}
    assert "spills 8 bytes of registers" in reasons[planted.SPILLING]
    assert "shared memory" in reasons[planted.REFUSED]
    assert "outside of its arrays" in reasons[planted.STRAYING]
    assert "SIGSEGV" in reasons[planted.CRASHING]
    assert _tile(outcome.choice[0]) == planted.FASTEST
    assert 0.45 < outcome.ratio < 0.55
    rows = store.rows()
    assert [row["status"] for row in rows] == [t.status for t in outcome.tried]

    lock = parse_lock(lock_text([line_of(task, outcome)]))
    MachineCode().install(monkeypatch)
    locked = Locked(tuple(lock.values()), required=True)
    made = compile_graph(graph, TARGET, lock=locked)
    (kernel,) = made.program.plan.kernels  # type: ignore[attr-defined]
    assert planted.tile(kernel) == planted.FASTEST
    assert made.origins == {kernel.name: "lock"}


def _tile(name: str) -> planted.Tile:
    """What a schedule's name says of its tile and warps."""
    sizes = dict(part.split("=") for part in name.split(","))
    return int(sizes["BLOCK_M"]), int(sizes["BLOCK_N"]), int(sizes["warps"])
