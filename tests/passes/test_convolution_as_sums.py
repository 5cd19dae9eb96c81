"""Convolutions as sums of products of slices."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
from graphc.ir import OPS, evaluate, parse
from graphc.passes import Pipeline, run, run_with_report
from graphc.passes.convolution_as_sums import ConvolutionAsSums
from graphc.testing.equivalence import assert_close, random_arrays
from graphc.testing.op_samples import bound_graph
from tests.closeness import REORDERED_ULP

CONVOLUTION = OPS["convolution"]
ALWAYS = Pipeline((ConvolutionAsSums(most_terms=999, most_products=9999),))
IMAGES = """
    graph @f(%x: f32[{x}], %w: f32[{w}]) -> (f32[{y}]) {{
      %y = convolution(%x, %w) {{groups={groups}, input_dilation=[1,1],
        kernel_dilation=[1,1], labels="b01f_01io->b01f", padding=[[0,0],[0,0]],
        strides=[1,1]}} : f32[{y}]
      return %y
    }}"""


def assert_same(graph, lowered):
    """The graphs must compute the same, but for the order of sums."""
    arrays = random_arrays(graph, np.random.default_rng(0))
    pairs = zip(evaluate(lowered, *arrays), evaluate(graph, *arrays), strict=True)
    for got, want in pairs:
        assert_close(got, want, REORDERED_ULP)


def test_few_features_meet_all_weights(check_pass):
    check_pass(
        ConvolutionAsSums(),
        before=IMAGES.format(x="2,3,3,1", w="1,2,1,5", y="2,3,2,5", groups=1),
        after="""
            graph @f(%x: f32[2,3,3,1], %w: f32[1,2,1,5]) -> (f32[2,3,2,5]) {
              %0 = reshape(%w) {shape=[2,5]} : f32[2,5]
              %1 = slice(%x) {limit=[2,3,2,1], start=[0,0,0,0], strides=[1,1,1,1]} : f32[2,3,2,1]
              %2 = slice(%x) {limit=[2,3,3,1], start=[0,0,1,0], strides=[1,1,1,1]} : f32[2,3,2,1]
              %3 = reshape(%1) {shape=[2,3,2]} : f32[2,3,2]
              %4 = slice(%0) {limit=[1,5], start=[0,0], strides=[1,1]} : f32[1,5]
              %5 = reshape(%4) {shape=[5]} : f32[5]
              %6 = broadcast_in_dim(%3) {dims=[0,1,2], shape=[2,3,2,5]} : f32[2,3,2,5]
              %7 = broadcast_in_dim(%5) {dims=[3], shape=[2,3,2,5]} : f32[2,3,2,5]
              %8 = multiply(%6, %7) : f32[2,3,2,5]
              %9 = reshape(%2) {shape=[2,3,2]} : f32[2,3,2]
              %10 = slice(%0) {limit=[2,5], start=[1,0], strides=[1,1]} : f32[1,5]
              %11 = reshape(%10) {shape=[5]} : f32[5]
              %12 = broadcast_in_dim(%9) {dims=[0,1,2], shape=[2,3,2,5]} : f32[2,3,2,5]
              %13 = broadcast_in_dim(%11) {dims=[3], shape=[2,3,2,5]} : f32[2,3,2,5]
              %14 = multiply(%12, %13) : f32[2,3,2,5]
              %y = add(%8, %14) : f32[2,3,2,5]
              return %y
            }""",
        ulp=REORDERED_ULP,
    )


def test_features_of_their_own_meet_their_weights(check_pass):
    check_pass(
        ConvolutionAsSums(),
        before=IMAGES.format(x="2,3,3,4", w="1,2,1,4", y="2,3,2,4", groups=4),
        after="""
            graph @f(%x: f32[2,3,3,4], %w: f32[1,2,1,4]) -> (f32[2,3,2,4]) {
              %0 = reshape(%w) {shape=[2,4]} : f32[2,4]
              %1 = slice(%x) {limit=[2,3,2,4], start=[0,0,0,0], strides=[1,1,1,1]} : f32[2,3,2,4]
              %2 = slice(%x) {limit=[2,3,3,4], start=[0,0,1,0], strides=[1,1,1,1]} : f32[2,3,2,4]
              %3 = slice(%0) {limit=[1,4], start=[0,0], strides=[1,1]} : f32[1,4]
              %4 = reshape(%3) {shape=[4]} : f32[4]
              %5 = broadcast_in_dim(%1) {dims=[0,1,2,3], shape=[2,3,2,4]} : f32[2,3,2,4]
              %6 = broadcast_in_dim(%4) {dims=[3], shape=[2,3,2,4]} : f32[2,3,2,4]
              %7 = multiply(%5, %6) : f32[2,3,2,4]
              %8 = slice(%0) {limit=[2,4], start=[1,0], strides=[1,1]} : f32[1,4]
              %9 = reshape(%8) {shape=[4]} : f32[4]
              %10 = broadcast_in_dim(%2) {dims=[0,1,2,3], shape=[2,3,2,4]} : f32[2,3,2,4]
              %11 = broadcast_in_dim(%9) {dims=[3], shape=[2,3,2,4]} : f32[2,3,2,4]
              %12 = multiply(%10, %11) : f32[2,3,2,4]
              %y = add(%7, %12) : f32[2,3,2,4]
              return %y
            }""",
        ulp=REORDERED_ULP,
    )


@pytest.mark.parametrize(
    "sample", CONVOLUTION.samples, ids=range(len(CONVOLUTION.samples))
)
def test_every_sample_keeps_its_meaning(sample):
    graph = bound_graph(CONVOLUTION, sample)
    lowered, report = run_with_report(graph, ALWAYS, verify=True, check=True)
    stays = CONVOLUTION in {node.op for node in lowered.nodes}
    assert stays == bool(report.ledger.refusals)
    assert_same(graph, lowered)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("order", ["b01f", "bf01", "0fb1"])
def test_any_order_of_dimensions(order, groups):
    # All sizes are equal: a wrong order would not show in a type.
    graph = parse(f"""
        graph @f(%x: f32[3,3,3,3], %w: f32[3,{3 // groups},3,3]) -> (f32[3,3,3,3]) {{
          %y = convolution(%x, %w) {{groups={groups}, input_dilation=[1,1],
            kernel_dilation=[1,1], labels="bf01_oi01->{order}",
            padding=[[1,1],[1,1]], strides=[1,1]}} : f32[3,3,3,3]
          return %y
        }}""")
    lowered = run(graph, "convolution_as_sums")
    assert CONVOLUTION not in {node.op for node in lowered.nodes}
    assert_same(graph, lowered)


def test_most_samples_are_rewritten():
    counts = [
        run_with_report(bound_graph(CONVOLUTION, sample), ALWAYS)[1].ledger.count
        for sample in CONVOLUTION.samples
    ]
    assert sum(counts) > len(counts) / 2


@pytest.mark.parametrize(
    ("x", "w", "y", "groups", "reason"),
    [
        ("2,9,9,1", "3,3,1,16", "2,7,7,16", 1, None),
        ("2,9,9,8", "3,3,1,8", "2,7,7,8", 8, None),
        ("2,9,9,4", "3,3,4,8", "2,7,7,8", 1, "its sums have 36 terms, more than 27"),
        (
            *("2,9,9,3", "3,3,3,64", "2,7,7,64", 1),
            "a place takes 1728 products, more than 864",
        ),
        ("2,9,9,1", "1,1,1,8", "2,9,9,8", 1, "a kernel of one place is a matrix"),
        (
            *("2,9,9,2", "8,8,1,2", "2,2,2,2", 2),
            "its kernel has 64 places, more than 49",
        ),
        ("2,9,9,4", "3,3,2,4", "2,7,7,4", 2, "its groups have several features"),
    ],
)
def test_is_done_where_it_is_faster(x, w, y, groups, reason):
    graph = parse(IMAGES.format(x=x, w=w, y=y, groups=groups))
    lowered, report = run_with_report(graph, "convolution_as_sums")
    assert [r.reason for r in report.ledger.refusals] == [reason] * bool(reason)
    assert any(node.op is CONVOLUTION for node in lowered.nodes) == bool(reason)


def test_narrow_floats_are_not_rounded_after_each_term():
    text = IMAGES.format(x="2,9,9,1", w="3,3,1,8", y="2,7,7,8", groups=1)
    graph = parse(text.replace("f32", "bf16"))
    _, report = run_with_report(graph, "convolution_as_sums")
    assert [r.reason for r in report.ledger.refusals] == [
        "its sums would be rounded after each term"
    ]


def test_what_several_nodes_read_is_computed_once():
    graph = parse("""
        graph @f(%x: f32[2,9,9,1], %w: f32[3,3,1,8]) -> (f32[2,7,7,8], f32[8]) {
          %0 = convolution(%x, %w) {input_dilation=[1,1], kernel_dilation=[1,1],
            labels="b01f_01io->b01f", padding=[[0,0],[0,0]],
            strides=[1,1]} : f32[2,7,7,8]
          %1 = tanh(%0) : f32[2,7,7,8]
          %2 = reduce_sum(%1) {axes=[0,1,2]} : f32[8]
          return %1, %2
        }""")
    shared = run(graph, "convolution_as_sums")
    graph.results = graph.results[1:]
    single = run(graph, "convolution_as_sums")
    stored = [
        sum(node.op.name == "optimization_barrier" for node in lowered.nodes)
        for lowered in (shared, single)
    ]
    assert stored == [1, 0]


def test_a_training_step_of_a_depthwise_layer_has_no_grouped_convolution():
    model = graphc.Sequential(
        [
            graphc.Input((12, 12, 6)),
            graphc.layers.DepthwiseConv2D(3, 2, padding="same"),
            graphc.layers.DepthwiseConv2D(3, padding="same"),
        ]
    )
    model.compile("sgd", "mse")
    graph = model.graph("train_step", 128)
    lowered = run(graph, "xla:cpu")
    assert CONVOLUTION in {node.op for node in run(graph, "xla").nodes}
    assert CONVOLUTION not in {node.op for node in lowered.nodes}
