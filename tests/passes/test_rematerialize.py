"""Computing values again instead of keeping them."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir import Graph, evaluate, parse
from graphc.ir.errors import PassError
from graphc.passes import Rematerialize, run, run_with_report
from graphc.passes.liveness import Liveness, is_gradient
from graphc.runtime.compile import compile_graph
from graphc.testing.equivalence import random_arrays
from tests.passes.training_steps import step

LEVELS = [
    Rematerialize("elementwise"),
    Rematerialize("reductions"),
    Rematerialize("contractions", 2),
    Rematerialize("contractions", 4),
]


@pytest.fixture(scope="module")
def lowered() -> Graph:
    return run(step(), "xla")


@pytest.mark.parametrize("remat", LEVELS, ids=str)
def test_results_keep_their_bits(remat: Rematerialize, lowered: Graph):
    result, report = run_with_report(lowered, str(remat), verify=True, check=True)
    assert report.checked
    assert not report.unchecked
    arrays = random_arrays(lowered, np.random.default_rng(0), False)
    for got, want in zip(
        evaluate(result, *arrays), evaluate(lowered, *arrays), strict=True
    ):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("remat", LEVELS, ids=str)
def test_the_peak_is_lower_and_stays_so(remat: Rematerialize, lowered: Graph):
    before = Liveness(lowered).peak
    result = run(lowered, str(remat))
    assert Liveness(result).peak < before
    # No pass merges through the barriers.
    again = run(result, "(canonicalize{late=true},constant_folding,cse,dce)*")
    assert Liveness(again).peak <= Liveness(result).peak


def test_more_is_computed_again_for_less_memory(lowered: Graph):
    peaks = [Liveness(run(lowered, str(remat))).peak for remat in LEVELS]
    assert peaks[-1] < peaks[0]


def test_products_are_computed_again_only_where_asked(lowered: Graph):
    def products(graph: Graph) -> int:
        return sum(node.op.name == "dot_general" for node in graph.nodes)

    elementwise = run(lowered, "rematerialize")
    contractions = run(lowered, "rematerialize{level=contractions,segments=4}")
    assert products(elementwise) == products(lowered)
    assert products(contractions) > products(lowered)


def test_xla_allocates_less():
    graph = run(step(blocks=6, width=32, examples=256), "xla")
    sizes: list[int] = []
    for passes in ("", "rematerialize{level=contractions,segments=6}"):
        memory = compile_graph(graph, "xla:cpu", passes).memory()
        assert memory is not None
        sizes.append(memory.temporaries)
    assert sizes[1] < 0.6 * sizes[0]


def test_what_is_copied_says_so(lowered: Graph):
    result = run(lowered, "rematerialize")
    copies = [
        node
        for node in result.nodes
        if node.location is not None and "recomputed" in (node.location.origin or "")
    ]
    assert copies
    assert not any(map(is_gradient, copies))


def test_effects_are_not_repeated():
    graph = parse("""
        graph @f(%x: f32[64,64]) -> (f32[64,64]) {
          %0 = exponential(%x) : f32[64,64]
          %p = print(%0) {format="x {}"} : f32[64,64]
          %1 = dot_general(%p, %x) {contract=[[1],[0]]} : f32[64,64]
          %2 = dot_general(%1, %x) {contract=[[1],[0]]} : f32[64,64]
          %3 = dot_general(%2, %0) {contract=[[1],[0]]} : f32[64,64]
          return %3
        }""")
    result = run(graph, "rematerialize{level=contractions,segments=2}")
    assert sum(node.op.name == "print" for node in result.nodes) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rematerialize{level=all}", "level must be one of elementwise, reductions"),
        ("rematerialize{segments=0}", "segments must be 1 or more"),
    ],
)
def test_options_are_checked(text: str, message: str, lowered: Graph):
    with pytest.raises(PassError, match=message):
        run(lowered, text)
