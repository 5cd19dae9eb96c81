"""Graphs compiled by what a lock chose for them: pipeline and precision."""

from __future__ import annotations

from pathlib import Path

import pytest

import graphc
from graphc import ops
from graphc.files.lock import Line, Locked, write_lock
from graphc.ir import CompileError, Graph
from graphc.runtime.options import CompileOptions
from graphc.tuning.locked import compile_as_asked, graph_subject
from graphc.tuning.search import Budget
from graphc.tuning.store import MeasurementStore
from graphc.tuning.tuner import Settings, line_of, tasks_of, tune_task

TARGET = "xla:cpu"


def pooled() -> Graph:
    spec = graphc.TensorSpec(("B", 8, 8, 4))
    return graphc.trace(lambda x: ops.max_pool(x, 2), spec)


def product() -> Graph:
    """Products that are worth narrower operands."""
    specs = (graphc.TensorSpec((64, 64)) for _ in range(3))
    return graphc.trace(lambda x, a, b: (x @ a) @ b, *specs)


def line(graph: Graph, choice: str, precision: str = "float32", **sizes: int) -> Line:
    bound = graph.bind(**sizes) if sizes else graph
    about = graph_subject(bound, TARGET, sizes, precision)
    return Line(*about, choice, 1e-5, 1e-7, 9, "tools 1")


def options(
    *lines: Line, precision: str = "float32", required: bool = True
) -> CompileOptions:
    lock = Locked(lines, required)
    return CompileOptions(TARGET, precision=precision, lock=lock)


def test_a_line_chooses_a_pipeline_for_its_size() -> None:
    graph = pooled()
    locked = options(line(graph, "unroll_windows=off", B=3), required=False)
    three, four = (
        compile_as_asked(graph, locked, bindings={"B": size}) for size in (3, 4)
    )
    assert three.report is not None
    assert four.report is not None
    assert "unroll_windows" not in three.report.pipeline
    assert "unroll_windows" in four.report.pipeline
    assert locked.lock is not None
    assert (three.lines, four.lines) == (locked.lock.lines, ())


def test_a_line_may_be_required() -> None:
    graph = pooled()
    found = line(graph, "canonical", B=3)
    compile_as_asked(graph, options(found), bindings={"B": 3})
    with pytest.raises(CompileError, match="the lock has no line") as caught:
        compile_as_asked(graph, options(found), bindings={"B": 4})
    assert "B=4" in str(caught.value.received)


def test_a_line_chooses_a_precision() -> None:
    graph = product()
    narrow = options(line(graph, "precision=mixed_bfloat16"))
    assert "bf16" in compile_as_asked(graph, narrow).text
    assert "bf16" not in compile_as_asked(graph, options(line(graph, "canonical"))).text


def test_a_line_is_about_the_usual_precision() -> None:
    graph, policy = product(), "mixed_bfloat16"
    found = line(graph, "canonical", policy)
    assert found.shape == f"static {policy}"
    made = compile_as_asked(graph, options(found, precision=policy))
    assert "bf16" in made.text
    back = line(graph, "precision=float32", policy)
    assert "bf16" not in compile_as_asked(graph, options(back, precision=policy)).text
    with pytest.raises(CompileError, match="the lock has no line"):
        compile_as_asked(graph, options(found))


def test_the_environment_names_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = product()
    found = line(graph, "precision=mixed_bfloat16")
    write_lock(tmp_path / "graphc.lock", {found.about: found})
    monkeypatch.setenv("GRAPHC_LOCK", str(tmp_path / "graphc.lock"))
    assert "bf16" in graphc.compile(graph, target=TARGET).text
    monkeypatch.delenv("GRAPHC_LOCK")
    assert "bf16" not in graphc.compile(graph, target=TARGET).text


@pytest.mark.slow
@pytest.mark.parametrize("usual", ["float32", "mixed_bfloat16"])
def test_precision_is_tuned(tmp_path: Path, usual: str) -> None:
    graph = product()
    policies = sorted(("float32", "mixed_bfloat16"), key=lambda name: name != usual)
    settings = Settings("exhaustive", Budget(), clock="cpu")
    (task,) = tasks_of({1: graph}, TARGET, {}, settings, None, policies)
    outcome = tune_task(task, MeasurementStore(tmp_path / "s.sqlite"), settings)
    chosen = dict(zip((a.name for a in task.space.axes), outcome.choice, strict=True))
    measured = {t.choice for t in outcome.tried if t.status == "measured"}
    assert {choice[-1] for choice in measured} == set(policies)
    made = compile_as_asked(graph, options(line_of(task, outcome), precision=usual))
    assert ("bf16" in made.text) == (chosen["precision"] == "mixed_bfloat16")
