"""Every pair of kernels, one of which reads what the other writes, has one reason."""

from __future__ import annotations

import functools
from collections import Counter

import pytest

import graphc
from graphc import layers
from graphc.fuzz import random_program
from graphc.fuzz.inputs import sizes
from graphc.ir import Graph
from graphc.ir.ops import call
from graphc.passes import Refusal, Report, run_with_report
from graphc.passes.fusion.decisions import FUSE, LATE, STORE
from graphc.passes.inline import FUSED


def kernel_pairs(graph: Graph) -> set[tuple[str, str]]:
    """The pairs of kernels of a fused graph of which the second reads the first."""
    found: set[tuple[str, str]] = set()
    for each in graph.reachable():
        if each.attributes.get(FUSED):
            continue
        for node in each.nodes:
            for reader in (user for result in node.results for user in result.users):
                if all(_is_launch(end) for end in (node, reader)):
                    found.add(
                        tuple(f"@{n.attributes['graph']}" for n in (node, reader))
                    )
    return found


def _is_launch(node) -> bool:
    if node.op is not call:
        return False
    return bool(
        node.graph.module.graphs[node.attributes["graph"]].attributes.get(FUSED)
    )


def recorded(report: Report) -> Counter:
    """How many reasons each pair of kernels has."""
    pairs = [r.kernels for r in report.ledger.refusals if r.rule == FUSE]
    return Counter(p for p in pairs if p and all(name.startswith("@") for name in p))


def check(graph: Graph) -> Report:
    fused, report = run_with_report(graph, "triton", stop_after="fusion")
    reasons = recorded(report)
    assert set(reasons) == kernel_pairs(fused)
    assert set(reasons.values()) <= {1}
    assert all(r.reason for r in report.ledger.refusals)
    return report


def model(*parts) -> Graph:
    made = graphc.Sequential([*parts, layers.Dense(3)])
    made.compile("adam", loss="mse")
    return made.graph("train_step", batch_size=4)


MODELS = {
    "dense": lambda: model(layers.Input((8,)), layers.Dense(16, activation="gelu")),
    "convolution": lambda: model(
        layers.Input((8, 8, 3)),
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Flatten(),
    ),
    "recurrent": lambda: model(layers.Input((5, 4)), layers.LSTM(6)),
    "attention": lambda: model(
        layers.Input((6, 8)),
        layers.LayerNormalization(),
        layers.Dense(8, activation="softmax"),
        layers.Flatten(),
        layers.Dropout(0.5),
    ),
}


@functools.cache
def refusals(name: str) -> tuple[Refusal, ...]:
    """What fusion did not do to a model."""
    return tuple(check(MODELS[name]()).ledger.refusals)


@pytest.mark.parametrize("name", MODELS)
def test_pairs_of_models_have_one_reason(name: str):
    reasons = [r.reason for r in refusals(name) if r.rule == FUSE]
    assert len(reasons) > 3
    assert LATE not in reasons  # it would be a fusion that was missed


def test_what_several_kernels_compute_has_a_reason():
    found = [r for name in MODELS for r in refusals(name) if r.rule == STORE]
    assert found
    for refusal in found:
        assert len(set(refusal.kernels)) == len(refusal.kernels) >= 1
        assert "computed wherever" in refusal.reason or "bytes" in refusal.reason


def bound(seed: int, nodes: int) -> Graph:
    program = random_program(seed, nodes=nodes)
    return program.bind(**sizes(program))


@pytest.mark.parametrize("seed", range(12))
def test_pairs_of_random_programs_have_one_reason(seed: int):
    check(bound(seed, 30))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 400, 50))
def test_pairs_of_many_random_programs_have_one_reason(start: int):
    late = total = 0
    for seed in range(start, start + 50):
        reasons = [
            r.reason for r in check(bound(seed, 60)).ledger.refusals if r.rule == FUSE
        ]
        late += reasons.count(LATE)
        total += len(reasons)
    assert late <= 0.02 * total
