"""Outlining of repeated blocks: found, not confused, and worth it."""

from __future__ import annotations

from collections import Counter
from functools import cache

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import graphc
from graphc import layers
from graphc.codegen.triton.module import emit_kernels
from graphc.codegen.triton.plan import Plan
from graphc.codegen.triton.planning import make_plan
from graphc.ir import Graph, Value, building, evaluate, tensor_type
from graphc.ir.ops import OPS, dot_general
from graphc.passes import PIPELINES, OutlineRepeats, run, run_with_report
from graphc.passes.fusion import fusion_report
from graphc.passes.repeated_blocks.tandems import Tandem, find_tandems
from graphc.testing.equivalence import assert_same_meaning, random_arrays
from tests.closeness import Comparison, assert_close

SMALL = "outline_repeats{min_nodes=3,min_count=2},deduplicate,inline{max_nodes=0}"


def test_equal_blocks_become_calls(check_pass):
    check_pass(
        OutlineRepeats(min_nodes=2, min_count=2),
        before="""
            graph @f(%x: f32[4,4], %a: f32[4,4], %b: f32[4,4]) -> (f32[4,4]) {
              %0 = dot_general(%x, %a) {contract=[[1],[0]]} : f32[4,4]
              %1 = tanh(%0) : f32[4,4]
              %2 = dot_general(%1, %b) {contract=[[1],[0]]} : f32[4,4]
              %3 = tanh(%2) : f32[4,4]
              %4 = dot_general(%3, %a) {contract=[[1],[0]]} : f32[4,4]
              %5 = tanh(%4) : f32[4,4]
              return %5
            }""",
        after="""
            graph @f(%x: f32[4,4], %a: f32[4,4], %b: f32[4,4]) -> (f32[4,4]) {
              %0 = call(%x, %a) {graph="f_block"} : f32[4,4]
              %1 = call(%0, %b) {graph="f_block"} : f32[4,4]
              %2 = call(%1, %a) {graph="f_block"} : f32[4,4]
              return %2
            }
            graph @f_block(%0: f32[4,4], %a: f32[4,4]) -> (f32[4,4]) {
              %1 = dot_general(%0, %a) {contract=[[1],[0]]} : f32[4,4]
              %2 = tanh(%1) : f32[4,4]
              return %2
            }""",
    )


# -- planted repeats -------------------------------------------------------------------

UNARY = ["tanh", "negate", "abs", "floor", "sign"]
BINARY = ["add", "subtract", "multiply", "maximum"]
Step = tuple[str, int, int, float]


@st.composite
def recipes(draw: st.DrawFn) -> list[Step]:
    """The steps of a block: an op, which of the last values it reads, and a number."""
    return [
        (
            draw(st.sampled_from([*UNARY, *BINARY])),
            draw(st.integers(1, 3)),
            draw(st.integers(1, 3)),
            draw(st.sampled_from([0.5, 2.0, 3.0])),
        )
        for _ in range(draw(st.integers(3, 7)))
    ]


def block(x: Value, w: Value, steps: list[Step], factor: float, axis: int) -> Value:
    """A product with `w`, scaled, and the steps on what came last."""
    made = [dot_general(x, w, contract=[[1], [axis]])]
    made.append(OPS["multiply"](made[-1], factor))
    for op, one, other, number in steps:
        first = made[-min(one, len(made))]
        if op in UNARY:
            made.append(OPS[op](first))
        else:
            read = made[-min(other, len(made))]
            made.append(OPS[op](first, number if other == 3 else read))
    return OPS["add"](made[-1], x)


def planted(
    count: int,
    steps: list[Step],
    around: list[Step],
    odd: int | None = None,
    *,
    factor: float = 1.5,
    axis: int = 0,
) -> Graph:
    """A chain of equal blocks between others, one of which may differ."""
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3,3]"), "x")
    weights = [graph.add_parameter(tensor_type("f32[3,3]")) for _ in range(count)]
    with building(graph):
        x = block(x, weights[-1], around, 7.0, 0)
        for number, w in enumerate(weights):
            differs = number == odd
            x = block(x, w, steps, factor if differs else 1.5, axis if differs else 0)
        graph.results = [OPS["exponential"](x)]
    return graph


def calls(graph: Graph) -> Counter[str]:
    """How often each graph is called."""
    return Counter(name for node in graph.nodes for name in node.op.graph_names(node))


@settings(max_examples=20)
@given(st.integers(4, 6), recipes(), recipes())
def test_planted_repeats_are_found(count: int, steps: list[Step], around: list[Step]):
    graph = planted(count, steps, around)
    result = run(graph, SMALL, verify=True)
    # At the ends something else may read or be read, and where it is cut may differ.
    assert max(calls(result).values()) >= count - 2
    arrays = random_arrays(graph, np.random.default_rng(count))
    assert_same_meaning(graph, result, arrays)


@settings(max_examples=12)
@given(recipes(), st.integers(1, 4), st.sampled_from([{"factor": 1.25}, {"axis": 1}]))
def test_a_block_that_differs_is_not_taken_for_one(steps, odd, difference):
    """One literal or one attribute of one block is another one."""
    graph = planted(6, steps, [], odd, **difference)
    result = run(graph, SMALL, verify=True)
    arrays = random_arrays(graph, np.random.default_rng(odd))
    assert_same_meaning(graph, result, arrays)
    assert sum(calls(result).values()) <= 5


def test_blocks_with_different_constants_are_different():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3,3]"), "x")
    with building(graph):
        for number in range(6):
            name = graph.module.add_constant(np.eye(3, dtype="float32") * (number // 3))
            x = OPS["tanh"](
                dot_general(x, OPS["constant"](name=name), contract=[[1], [0]])
            )
        graph.results = [x]
    assert set(calls(run(graph, SMALL)).values()) <= {3}


def test_few_or_light_blocks_stay():
    graph = planted(3, [("tanh", 1, 1, 0.5)], [])
    assert run(graph, "outline_repeats{min_nodes=3}") == graph
    light = Graph("f")
    x = light.add_parameter(tensor_type("f32[3]"), "x")
    with building(light):
        for _ in range(8):
            x = OPS["tanh"](OPS["multiply"](x, 2.0))
        light.results = [x]
    assert run(light, "outline_repeats{min_nodes=2}") == light


# -- tandems ---------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 9), min_size=5, max_size=12, unique=True),
    st.integers(2, 5),
    st.lists(st.integers(10, 99), max_size=8, unique=True),
)
def test_tandems_are_found_in_sequences(part: list[int], count: int, rest: list[int]):
    items = [*rest, *part * count, *rest[::-1]]
    assert find_tandems(items, 5)[0] == Tandem(
        len(rest), len(part), len(rest) + count * len(part)
    )


def test_sequences_without_repeats_have_no_tandems():
    assert not find_tandems([*range(40)], 4)
    assert not find_tandems([1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 6], 4)


def test_a_tandem_is_cut_where_it_costs_least():
    tandem = Tandem(2, 3, 12)
    assert tandem.cut([5, 1, 4]) == [range(3, 6), range(6, 9), range(9, 12)]
    assert tandem.cut([1, 1, 1]) == [range(n, n + 3) for n in (2, 5, 8)]


# -- models ----------------------------------------------------------------------------

WITHOUT = PIPELINES["triton"].replace("outline_repeats,deduplicate,inline,", "")


@cache
def step(blocks: int) -> Graph:
    """The training step of a transformer without attention."""
    inputs = x = graphc.Input((4, 16))
    for _ in range(blocks):
        y = layers.Dense(24, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(16)(y)])
    model = graphc.Model(inputs, layers.Dense(5)(x))
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(graphc.optimizers.SGD(0.1, momentum=0.9), loss)
    return model.graph("train_step", 2)


@cache
def lowered(blocks: int, pipeline: str = "triton") -> Graph:
    return run(step(blocks), pipeline, check=False)


def plan(graph: Graph) -> Plan:
    state = [i for i, p in enumerate(graph.parameters) if p.attributes]
    return make_plan(graph, emit_kernels(graph), state)


def arena(graph: Graph) -> int:
    (size,) = (r.bytes for r in plan(graph).regions if r.name == "arena")
    return size


def called(graph: Graph) -> dict[str, int]:
    """How often graphs that are no kernels are called."""
    graphs = graph.module.graphs
    return {n: count for n, count in calls(graph).items() if not graphs[n].attributes}


def test_blocks_of_a_step_are_found_forward_and_backward():
    result = lowered(8)
    result.verify()
    # The first and the last one of each are read, or read, otherwise.
    assert len(called(result)) == 2
    assert min(called(result).values()) >= 5


def test_kernels_do_not_grow_in_number_with_depth():
    shallow, deep = lowered(6), lowered(8)
    assert fusion_report(deep).distinct == fusion_report(shallow).distinct
    count = sum(map(len, deep.reachable())) - sum(map(len, shallow.reachable()))
    assert count == 2 * 2  # a call forward and one backward


def test_neither_memory_nor_traffic_grow():
    outlined, whole = lowered(8), lowered(8, WITHOUT)
    assert called(outlined)
    assert not called(whole)
    assert arena(outlined) <= arena(whole)
    assert fusion_report(outlined).bytes <= fusion_report(whole).bytes


@pytest.mark.slow
def test_visits_grow_less_with_depth():
    def visits(blocks: int, pipeline: str) -> int:
        report = run_with_report(step(blocks), pipeline, check=False)[1]
        return report.ledger.visits

    def growth(pipeline: str) -> int:
        return visits(8, pipeline) - visits(6, pipeline)

    assert growth("triton") < 0.9 * growth(WITHOUT)


@pytest.mark.slow
def test_text_is_the_same_each_time():
    graph = step(6)
    assert graphc.emit(graph, "triton") == graphc.emit(graph, "triton")


@pytest.mark.slow
def test_a_step_means_the_same_on_the_interpreter(rng: np.random.Generator):
    graph = step(5)
    arrays = random_arrays(graph, rng)
    arrays[1] = np.abs(arrays[1]) % 5  # the labels
    executable = graphc.compile(graph, target="triton:interpreter")
    assert called(executable.graph)
    for ours, wanted in zip(executable(*arrays), evaluate(graph, *arrays), strict=True):
        assert_close(np.asarray(ours), wanted, Comparison.TRAINED)
