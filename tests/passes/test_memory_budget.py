"""Budgets: which passes make a graph's predicted peak fit."""

from __future__ import annotations

import pytest

from graphc.ir import Graph
from graphc.ir.errors import PassError
from graphc.passes import run
from graphc.passes.memory_bill import memory_bill
from graphc.passes.memory_budget import parse_bytes, plan_memory
from graphc.passes.micro_batch import MicroBatches
from tests.passes.training_steps import step


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (512, 512),
        ("512", 512),
        ("20GiB", 20 * 2**30),
        ("512MB", 512 * 10**6),
        (" 1.5 KiB ", 1536),
        ("2TB", 2 * 10**12),
        ("3B", 3),
    ],
)
def test_budgets_are_numbers_or_text(text: int | str, size: int):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", [0, -1, True, "", "GiB", "1 GB/s", "1e9", "0MB", None])
def test_other_budgets_are_refused(text: object):
    with pytest.raises(PassError, match="positive number of bytes") as caught:
        parse_bytes(text)  # type: ignore[arg-type]
    assert "20GiB" in str(caught.value)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return step(blocks=2, width=8, examples=32)


LOWERED = "autodiff,inline,decompose,(cse,dce)*"


@pytest.fixture(scope="module")
def least(graph: Graph) -> int:
    return smallest(graph)


def smallest(graph: Graph, **options: object) -> int:
    with pytest.raises(PassError, match="smallest feasible budget is") as caught:
        plan_memory(graph, LOWERED, 1, **options)  # type: ignore[arg-type]
    assert caught.value.hint is not None
    return int(caught.value.hint.split()[-2])


def test_a_large_budget_changes_nothing(graph: Graph):
    plan = plan_memory(graph, LOWERED, "1GiB")
    assert [attempt.description for attempt in plan.attempts] == [
        "nothing computed again"
    ]
    assert plan.pipeline is not None
    assert run(graph, plan.pipeline) == run(graph, LOWERED)


def test_a_smaller_budget_never_needs_more(graph: Graph, least: int):
    whole = plan_memory(graph, LOWERED, "1GiB").peak
    assert least < 0.7 * whole
    peaks: list[int] = []
    for number in range(4):
        budget = whole - (whole - least) * number // 3
        plan = plan_memory(graph, LOWERED, budget)
        assert plan.peak <= budget
        peaks.append(plan.peak)
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[-1] == least


def test_a_plan_is_a_pipeline_that_does_what_it_says(graph: Graph, least: int):
    plan = plan_memory(graph, LOWERED, least)
    assert plan.pipeline is not None
    assert "rematerialize" in plan.pipeline
    assert memory_bill(run(graph, plan.pipeline, verify=True)).peak == plan.peak
    assert "considered in turn" in str(plan)


def test_kernels_are_made_of_what_is_computed_again(graph: Graph, least: int):
    plan = plan_memory(graph, f"{LOWERED},fusion,deduplicate", least)
    assert plan.pipeline is not None
    passes = plan.pipeline.split(",")
    assert passes[-2:] == ["fusion", "deduplicate"]


def test_micro_batches_come_last():
    graph = step(blocks=1, width=8, examples="B")
    sizes = {"B": 64}
    whole, parts = graph.bind(**sizes), MicroBatches(graph, sizes)
    least = smallest(whole)
    plan = plan_memory(whole, LOWERED, int(0.7 * least), in_parts=parts)
    assert plan.micro_batches > 1
    assert plan.peak <= 0.7 * least
    tried = [attempt.description for attempt in plan.attempts]
    assert tried[0] == "nothing computed again"
    assert tried[-1].startswith(f"{plan.micro_batches} micro-batches")


def test_an_odd_batch_has_no_parts_and_says_so():
    graph = step(blocks=1, width=8, examples="B")
    sizes = {"B": 7}
    bound = graph.bind(**sizes)
    with pytest.raises(PassError, match="7 examples do not make 2 parts"):
        plan_memory(bound, LOWERED, 1, in_parts=MicroBatches(graph, sizes))


def test_sizes_must_be_known():
    with pytest.raises(PassError, match="has dimension symbols"):
        plan_memory(step(examples="B"), LOWERED, "1GiB")
