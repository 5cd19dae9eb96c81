"""Maxima over windows and their gradients, place by place."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
from graphc import ops
from graphc.ir import OPS, evaluate, parse
from graphc.passes import Pipeline, run, run_with_report
from graphc.passes.unroll_windows import UnrollWindows
from graphc.testing.equivalence import assert_same_bits, random_arrays
from graphc.testing.op_samples import bound_graph

NAMES = ("reduce_window_max", "reduce_window_min", "select_and_scatter_add")
SAMPLES = [(OPS[name], sample) for name in NAMES for sample in OPS[name].samples]
PASS = Pipeline((UnrollWindows(),))

GRADIENT = """
    graph @f(%x: f32[{x}], %g: f32[{y}]) -> (f32[{x}]) {{
      %y = select_and_scatter_add(%x, %g) {{padding={padding}, strides={strides},
        window={window}}} : f32[{x}]
      return %y
    }}"""


def test_a_maximum_is_one_of_slices(check_pass):
    check_pass(
        UnrollWindows(),
        before="""
            graph @f(%x: f32[5,2]) -> (f32[2,2]) {
              %y = reduce_window_max(%x)
                {padding=[[0,0],[0,0]], strides=[2,1], window=[2,1]} : f32[2,2]
              return %y
            }""",
        after="""
            graph @f(%x: f32[5,2]) -> (f32[2,2]) {
              %0 = slice(%x) {limit=[3,2], start=[0,0], strides=[2,1]} : f32[2,2]
              %1 = slice(%x) {limit=[4,2], start=[1,0], strides=[2,1]} : f32[2,2]
              %y = maximum(%0, %1) : f32[2,2]
              return %y
            }""",
    )


def test_windows_that_do_not_overlap_need_no_sums(check_pass):
    check_pass(
        UnrollWindows(),
        before=GRADIENT.format(
            x="4,3", y="2,3", padding=[[0, 0], [0, 0]], strides=[2, 1], window=[2, 1]
        ),
        after="""
            graph @f(%x: f32[4,3], %g: f32[2,3]) -> (f32[4,3]) {
              %0 = slice(%x) {limit=[3,3], start=[0,0], strides=[2,1]} : f32[2,3]
              %1 = broadcast_in_dim(0:i32) {dims=[], shape=[2,3]} : i32[2,3]
              %2 = slice(%x) {limit=[4,3], start=[1,0], strides=[2,1]} : f32[2,3]
              %3 = compare(%2, %0) {direction="GT"} : bool[2,3]
              %4 = select(%3, %2, %0) : f32[2,3]
              %5 = select(%3, 1:i32, %1) : i32[2,3]
              %6 = constant() {name="places"} : i32[2,1]
              %7 = broadcast_in_dim(%6) {dims=[1,3], shape=[2,2,3,1]} : i32[2,2,3,1]
              %8 = broadcast_in_dim(%5) {dims=[0,2], shape=[2,2,3,1]} : i32[2,2,3,1]
              %9 = compare(%8, %7) {direction="EQ"} : bool[2,2,3,1]
              %10 = broadcast_in_dim(%g) {dims=[0,2], shape=[2,2,3,1]} : f32[2,2,3,1]
              %11 = select(%9, %10, 0.0) : f32[2,2,3,1]
              %12 = reshape(%11) {shape=[4,3]} : f32[4,3]
              %y = pad(%12, 0.0) {high=[0,0], low=[0,0]} : f32[4,3]
              return %y
            }
            const @places: i32[2,1] = "AAAAAAEAAAA="
            """,
    )


@pytest.mark.parametrize(
    ("op", "sample"),
    SAMPLES,
    ids=[f"{op.name}-{i}" for i, (op, _) in enumerate(SAMPLES)],
)
def test_every_sample_keeps_its_bits(op, sample):
    graph = bound_graph(op, sample)
    lowered, report = run_with_report(graph, PASS, verify=True, check=True)
    refused = len(report.ledger.refusals)
    assert [node.op for node in lowered.nodes].count(op) == refused
    for seed in range(4):
        arrays = [_array(p.type, np.random.default_rng(seed)) for p in graph.parameters]
        for got, want in zip(
            evaluate(lowered, *arrays), evaluate(graph, *arrays), strict=True
        ):
            assert_same_bits(got, want, signed_zeros=False)


def _array(type, draw):
    """Few values, so that many are equal, whose sums are exact; some are special."""
    shape = type.static_shape
    if not type.dtype.is_float:
        return draw.integers(-2, 3, shape).astype(type.dtype.numpy)
    values = [-np.inf, -1, 0, 1, 2]
    return draw.choice(values, shape).astype(type.dtype.numpy)


@pytest.mark.parametrize("special", [np.nan, -np.inf])
@pytest.mark.parametrize("at", range(9))
def test_special_values_win_as_before(special, at):
    graph = parse(
        GRADIENT.format(
            x="3,3", y="2,2", padding=[[1, 1]] * 2, strides=[2, 2], window=[3, 3]
        )
    )
    x = np.full(9, -np.inf, np.float32)
    x[at] = special
    g = np.arange(1, 5, dtype=np.float32).reshape(2, 2)
    lowered = run(graph, PASS)
    (want,) = evaluate(graph, x.reshape(3, 3), g)
    (got,) = evaluate(lowered, x.reshape(3, 3), g)
    assert_same_bits(got, want)


def test_says_why_not():
    graph = parse("""
        graph @f(%x: f32[B,40]) -> (f32[B,1]) where B in 0..8 {
          %y = reduce_window_max(%x)
            {padding=[[0,0],[0,0]], strides=[1,1], window=[1,40]} : f32[B,1]
          return %y
        }""")
    reasons = []
    short = parse("""
        graph @f(%x: f32[2,4]) -> (f32[2,2]) {
          %y = reduce_window_max(%x) {padding=[[0,0],[0,0]], strides=[1,2],
            window=[1,2]} : f32[2,2]
          return %y
        }""")
    for each in (graph, graph.bind(B=0), graph.bind(B=2), short):
        _, report = run_with_report(each, PASS)
        reasons += [refusal.reason for refusal in report.ledger.refusals]
    assert reasons == [
        "its sizes are not known",
        "it has no elements",
        "its windows have 40 elements, more than 16",
        "slices along the last dimension would not be read as vectors",
    ]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_gradient_in_narrow_floats(dtype: str):
    def pooled(x):
        return ops.sum(ops.max_pool(x, 2, 2, padding="same"))

    graph = graphc.trace(graphc.grad(pooled), graphc.TensorSpec((1, 5, 5, 1), dtype))
    result, report = run_with_report(graph, "xla:cpu", verify=True)
    assert report.ledger.by_rule()["unroll_windows/gradient_by_places"] == 1
    x = random_arrays(graph, np.random.default_rng(0))
    assert_same_bits(evaluate(result, *x)[0], evaluate(graph, *x)[0])
