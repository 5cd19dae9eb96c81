"""Candidates in a process of their own: what they do to it is recorded, never chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graphc
from graphc import ops
from graphc.ir import Graph, GraphcError
from graphc.passes.plugins import load_module
from graphc.tuning import cases
from graphc.tuning.cases import PipelineCase
from graphc.tuning.pipelines import PipelineSpace, pipeline_space
from graphc.tuning.runner import Job, WorkerRunner
from graphc.tuning.search import Search
from graphc.tuning.space import Axis, Choice, Space
from graphc.tuning.strategies import make_strategy
from graphc.tuning.trial import RejectedError

PLANTED = str(Path(__file__).parent / "planted_passes.py")
MEMORY = 4 << 30


def doubled() -> Graph:
    return graphc.trace(lambda x: ops.tanh(x) * 2.0, graphc.TensorSpec((64, 64)))


@pytest.fixture
def space() -> PipelineSpace:
    load_module(PLANTED)
    return pipeline_space("planted,xla:cpu")


@pytest.fixture
def runner(space: PipelineSpace) -> Iterator[WorkerRunner]:
    job = Job("pipeline", {1: doubled()}, "xla:cpu", memory=MEMORY, load=[PLANTED])
    with WorkerRunner(job, lambda choice: described(space, choice)) as made:
        yield made


def described(space: PipelineSpace, choice: Choice) -> dict[str, Any]:
    """What a worker is told, also of what is no choice because it takes long."""
    if choice[0] != "hang":
        return space.program_of(choice)
    program = space.program_of(space.space.canonical)
    return program | {"pipeline": f"planted{{does=hang}},{program['pipeline']}"}


def only(space: Space, *names: str) -> Space:
    """The space with all other axes fixed."""
    return Space(
        tuple(
            axis if axis.name in names else Axis(axis.name, axis.values[:1])
            for axis in space.axes
        )
    )


def test_failures_are_isolated(
    space: PipelineSpace, runner: WorkerRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = only(space.space, "planted")
    strategy = make_strategy("exhaustive", fewer)
    outcome = Search(fewer, runner, strategy).run()
    found = {fewer.text(trial.choice): trial for trial in outcome.tried}
    assert {text: trial.status for text, trial in found.items()} == {
        "canonical": "measured",
        "planted=off": "same",
        "planted=does=crash": "crashed",
        "planted=does=exhaust": "memory",
        "planted=does=raise": "unsupported",
        "planted=does=lie": "wrong",
    }
    assert "SIGSEGV" in (found["planted=does=crash"].reason or "")
    assert "float64" in (found["planted=does=lie"].reason or "")
    assert outcome.choice == fewer.canonical
    # What ran before the crash is compiled again where it is needed.
    times, others = runner.measure(fewer.canonical, fewer.canonical, 3)
    assert len(times) == len(others) == 3
    assert min(*times, *others) > 0
    monkeypatch.setattr(runner, "_timeout", 0.5)
    with pytest.raises(RejectedError, match=r"more than 0\.5 s") as caught:
        runner.facts(("hang", *fewer.canonical[1:]))
    assert caught.value.status == "timeout"


def test_the_reference_is_right_whatever_is_built_first(
    space: PipelineSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "EVALUATED", 0)
    wrong = space.program_of(space.space.parse("planted=does=lie"))
    right = space.program_of(space.space.canonical)
    case = PipelineCase({1: doubled()}, "xla:cpu", reference=right["pipeline"])
    with pytest.raises(RejectedError, match="not those of the canonical choice"):
        case.build(wrong)
    assert case.build(right)(1) > 0


def test_a_job_that_cannot_be_opened_is_an_error(space: PipelineSpace) -> None:
    job = Job("pipeline", {1: doubled()}, "xla:cpu", load=["no_such_module"])
    with (
        WorkerRunner(job, space.program_of) as made,
        pytest.raises(GraphcError, match="nothing can be measured for xla:cpu"),
    ):
        made.facts(space.space.canonical)
