"""The named pipelines on whole programs: meaning, size, work, bombs."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from graphc.fuzz.checks import Subject, changes_dtypes, keeps_bits
from graphc.ir import (
    Graph,
    Literal,
    OpDef,
    Sample,
    Value,
    building,
    parse,
    tensor_type,
)
from graphc.ir.evaluate import evaluate
from graphc.ir.ops import (
    OPS,
    add,
    broadcast_in_dim,
    concatenate,
    dot_general,
    multiply,
    reduce_max,
    reduce_sum,
    reshape,
    slice_,
    tanh,
    transpose,
)
from graphc.ir.types import F32
from graphc.passes import PASSES, run, run_with_report
from graphc.testing.equivalence import assert_same_meaning, random_arrays
from graphc.testing.op_samples import sample_arrays, sample_graph
from tests.closeness import REORDERED_ULP
from tests.op_samples import sample_cases

MLP = """
    graph @step(%x: f32[B,8], %y: i32[B], %w: f32[8,4], %b: f32[4])
        -> (f32[], f32[8,4], f32[4]) where B in 1..8 {
      %loss, %dw, %db = value_and_gradient(%w, %b, %x, %y) {graph="loss", wrt=[0,1]}
        : f32[], f32[8,4], f32[4]
      %0 = multiply(%dw, 0.1) : f32[8,4]
      %1 = subtract(%w, %0) : f32[8,4]
      %2 = multiply(%db, 0.1) : f32[4]
      %3 = subtract(%b, %2) : f32[4]
      return %loss, %1, %3
    }
    graph @loss(%w: f32[8,4], %b: f32[4], %x: f32[B,8], %y: i32[B]) -> (f32[])
        where B in 1..8 {
      %0 = call(%w, %b, %x) {graph="dense"} : f32[B,4]
      %1 = gelu(%0) : f32[B,4]
      %2 = cross_entropy(%1, %y) : f32[B]
      %3 = reduce_sum(%2) {axes=[0]} : f32[]
      return %3
    }
    graph @dense(%w: f32[8,4], %b: f32[4], %x: f32[B,8]) -> (f32[B,4])
        where B in 1..8 {
      %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[B,4]
      %1 = broadcast_in_dim(%b) {dims=[1], shape=["B",4]} : f32[B,4]
      %2 = add(%0, %1) : f32[B,4]
      return %2
    }"""


def step_arrays(graph: Graph, rng: np.random.Generator) -> list[np.ndarray]:
    arrays = random_arrays(graph, rng)
    arrays[1] = np.abs(arrays[1]) % 4  # the labels
    return arrays


@pytest.mark.parametrize(
    "pipeline", ["default", "xla", "train", "triton", "default,fusion"]
)
def test_a_training_step_keeps_its_meaning(pipeline: str, rng: np.random.Generator):
    graph = parse(MLP)
    result = run(graph, pipeline, verify=True)
    assert_same_meaning(graph, result, step_arrays(graph, rng), ulp=REORDERED_ULP)


def test_the_default_pipeline_leaves_one_graph_of_primitives():
    result = run(parse(MLP), verify=True)
    assert list(result.module.graphs) == ["step"]
    assert not [node.op.name for node in result.nodes if node.op.is_composite]


def test_the_default_pipeline_leaves_itself_nothing_to_do():
    once = run(parse(MLP))
    again, report = run_with_report(once, "default")
    assert again == once
    assert report.ledger.count == 0


def test_every_prefix_of_the_rewrites_keeps_the_meaning(rng: np.random.Generator):
    graph = parse(MLP)
    arrays = step_arrays(graph, rng)
    count = run_with_report(graph)[1].ledger.count
    for limit in range(0, count, max(1, count // 10)):
        result, report = run_with_report(graph, verify=True, bisect=limit)
        assert_same_meaning(graph, result, arrays, ulp=REORDERED_ULP)
        assert report.ledger.refusals


@pytest.mark.parametrize(("op", "sample"), sample_cases())
def test_samples_of_every_op_keep_their_meaning(
    op: OpDef, sample: Sample, rng: np.random.Generator
):
    graph = sample_graph(op, sample)
    arrays = sample_arrays(sample, rng)
    result = run(graph, verify=True)
    # A body may round otherwise than the reference, and so may an identity.
    changed = op.is_composite or op.ulp
    assert_same_meaning(
        graph, result, arrays, ulp=REORDERED_ULP * (1 + op.ulp) if changed else 0
    )


# -- random programs -------------------------------------------------------------------

UNARY = ["negate", "abs", "tanh", "floor", "sign", "relu", "stop_gradient"]
BINARY = ["add", "subtract", "multiply", "maximum", "minimum"]
NUMBERS = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0]


@st.composite
def random_graphs(draw: st.DrawFn) -> Graph:
    """Programs of elementwise ops and data movement over f32[2,3] and f32[3,2]."""
    graph = Graph("f")
    values: list[Value] = [
        graph.add_parameter(tensor_type(t)) for t in ("f32[2,3]", "f32[2,3]", "f32[]")
    ]
    with building(graph):
        for _ in range(draw(st.integers(1, 14))):
            x = draw(st.sampled_from(values))
            values.append(draw(st.sampled_from(STEPS))(draw, x, values))
        graph.results = values[-1:] + draw(
            st.lists(st.sampled_from(values), max_size=2)
        )
    return graph


def unary(draw: st.DrawFn, x: Value, values: list[Value]) -> Value:
    return OPS[draw(st.sampled_from(UNARY))](x)


def binary(draw: st.DrawFn, x: Value, values: list[Value]) -> Value:
    fitting = [v for v in values if v.type == x.type or not v.shape]
    numbers = [Literal(n, F32) for n in NUMBERS]
    operands = [x, draw(st.sampled_from([*fitting, *numbers]))]
    if draw(st.booleans()):
        operands.reverse()
    return OPS[draw(st.sampled_from(BINARY))](*operands)


def chosen(draw: st.DrawFn, x: Value, values: list[Value]) -> Value:
    other = draw(st.sampled_from([v for v in values if v.type == x.type]))
    direction = draw(st.sampled_from(["EQ", "LT", "GE"]))
    return OPS["select"](OPS["compare"](x, other, direction=direction), x, other)


def move(draw: st.DrawFn, x: Value, values: list[Value]) -> Value:
    if not x.shape:
        return broadcast_in_dim(x, shape=[2, 3], dims=[])
    rows, columns = x.shape
    moves = [
        lambda: transpose(x, permutation=[1, 0]),
        lambda: reshape(x, shape=[columns, rows]),
        lambda: reshape(reshape(x, shape=[6, 1]), shape=[rows, columns]),
        lambda: concatenate(
            slice_(x, start=[0, 1], limit=[rows, columns]),
            slice_(x, start=[0, 0], limit=[rows, 1]),
            axis=1,
        ),
        lambda: broadcast_in_dim(
            reshape(reduce_max(x, axes=[0]), shape=[1, columns]),
            shape=[rows, columns],
            dims=[0, 1],
        ),
        lambda: OPS["pad"](x, 1.0, low=[0, -1], high=[0, 1]),
        lambda: OPS["reverse"](x, axes=[0]),
        lambda: reduce_sum(x, axes=[0, 1]),
    ]
    return draw(st.sampled_from(moves))()


STEPS = [unary, binary, binary, chosen, move, move]


def check_meaning(graph: Graph, pipeline: str, limit: int | None = None) -> None:
    """A pipeline keeps bits, if all rewrites promise that, or what they round."""
    result, report = run_with_report(graph, pipeline, verify=True, bisect=limit)
    if not keeps_bits(report):
        subject = Subject(graph)
        problem = subject.compare(evaluate(result, *subject.arrays))
        assert problem is None, problem
        return
    rng = np.random.default_rng(len(graph))
    for special in (False, True):
        # Which zero the maximum of 0.0 and -0.0 is depends on their order.
        arrays = random_arrays(graph, rng, special)
        assert_same_meaning(graph, result, arrays, signed_zeros=False)


FEWER = settings(max_examples=settings().max_examples // 3)


@FEWER
@given(random_graphs())
def test_random_programs_keep_their_bits(graph: Graph):
    check_meaning(graph, "default")


KEEPING = sorted(name for name in PASSES if not changes_dtypes(name))


@FEWER
@given(random_graphs(), st.permutations(KEEPING), st.booleans())
def test_random_pass_orders_keep_bits(graph: Graph, names: list[str], repeat: bool):
    pipeline = ",".join(names)
    pipeline = f"({pipeline})*" if repeat else pipeline
    check_meaning(graph, pipeline)


@FEWER
@given(random_graphs(), st.integers(0, 12))
def test_random_programs_may_be_bisected(graph: Graph, limit: int):
    check_meaning(graph, "default,fusion", limit)


# -- size ------------------------------------------------------------------------------


def large_graph(layers: int) -> Graph:
    """A grid of `layers` times ten nodes, redundant in many ways."""
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[B,4]"), "x")
    w = graph.add_parameter(tensor_type("f32[4,4]"), "w")
    graph.ranges = {"B": (1, 8)}
    with building(graph):
        left = right = x
        for _ in range(layers):
            one = broadcast_in_dim(1.0, shape=["B", 4], dims=[])
            left = multiply(left, one)
            right = transpose(transpose(right, permutation=[1, 0]), permutation=[1, 0])
            flat = reshape(left, shape=["4*B"])
            left = tanh(add(reshape(flat, shape=["B", 4]), right))
            right = dot_general(left, w, contract=[[1], [0]])
            right = add(right, multiply(2.0, right))
        graph.results = [left, right]
    return graph


def test_work_grows_with_the_size_of_the_graph():
    visits: dict[int, int] = {}
    for layers in (180, 1800):
        graph = large_graph(layers)
        result, report = run_with_report(graph, verify=False)
        assert len(graph) == 11 * layers
        assert len(result) == 5 * layers
        visits[layers] = report.ledger.visits
        assert not report.unfinished
    assert visits[1800] < 200 * 1800
    assert visits[1800] < 1.1 * 10 * visits[180]


def test_deep_chains_of_calls():
    texts = ["graph @g0(%x: f32[2]) -> (f32[2]) { %0 = negate(%x) : f32[2] return %0 }"]
    for i in range(1, 1500):
        texts.append(
            f"graph @g{i}(%x: f32[2]) -> (f32[2])"
            f' {{ %0 = call(%x) {{graph="g{i - 1}"}} : f32[2] return %0 }}'
        )
    result = run(parse("\n".join(reversed(texts))), "inline,canonicalize")
    assert [node.op.name for node in result.nodes] == ["negate"]


def test_pipelines_without_passes_are_copies():
    graph = parse(MLP)
    assert run(graph, "") == graph
