"""Reductions of rows of what a dot or convolution makes, in the kernel that makes it."""

from __future__ import annotations

import pytest

from graphc.ir import parse
from graphc.passes import run_with_report
from graphc.passes.matrices import Sides, sides
from tests.passes.test_fusion import fused, reasons

SPLIT = "split_reductions{work=40960,programs=8},fusion"

BIAS = """
    graph @f(%g: f32[256,8], %w: f32[20,8], %z: f32[256,20])
        -> (f32[256,20], f32[20]) {
      %d = dot_general(%g, %w) {contract=[[1],[1]]} : f32[256,20]
      %y = multiply(%d, %z) : f32[256,20]
      %s = reduce_sum(%y) {axes=[0]} : f32[20]
      return %y, %s
    }"""
"""The gradient of a dense layer's bias, and of what goes into its activation."""

TINY = BIAS.replace("20", "10").replace("256", "2048")
ROWS = BIAS.replace("axes=[0]", "axes=[1]").replace("f32[20]", "f32[256]")

SPREAD = """
    graph @f(%x: f32[4,8,8,3], %k: f32[3,3,3,16]) -> (f32[4,8,8,16], f32[16], f32[16]) {
      %y = convolution(%x, %k) {labels="b01f_01io->b01f", padding=[[1,1],[1,1]],
        strides=[1,1], kernel_dilation=[1,1], input_dilation=[1,1], groups=1,
        batch_groups=1} : f32[4,8,8,16]
      %s = reduce_sum(%y) {axes=[0,1,2]} : f32[16]
      %m = multiply(%s, 0.00390625) : f32[16]
      %b = broadcast_in_dim(%m) {dims=[3], shape=[4,8,8,16]} : f32[4,8,8,16]
      %c = subtract(%y, %b) : f32[4,8,8,16]
      %q = multiply(%c, %c) : f32[4,8,8,16]
      %v = reduce_sum(%q) {axes=[0,1,2]} : f32[16]
      return %y, %m, %v
    }"""
"""The statistics of a batch norm behind a convolution."""


def split(text: str) -> tuple[list[str], dict[str, str]]:
    """What the kernels of a graph are, and why dots are not fused with their readers."""
    lines, report = fused(text, SPLIT)
    return lines, reasons(report)


def test_the_gradient_of_a_bias_is_summed_where_it_is_made():
    lines, _ = split(BIAS)
    assert lines == [
        "contraction: dot_general multiply reduce_sum",
        "optimization_barrier",
        "reduction: reduce_sum",
    ]


SCALED = """
    graph @f(%g: f32[256,8], %w: f32[20,8]) -> (f32[256,20], f32[20], f32[256,20]) {
      %d = dot_general(%g, %w) {contract=[[1],[1]]} : f32[256,20]
      %y = multiply(%d, 2.0) : f32[256,20]
      %s = reduce_sum(%y) {axes=[0]} : f32[20]
      %m = reduce_max(%y) {axes=[1]} : f32[256]
      %b = broadcast_in_dim(%m) {dims=[0], shape=[256,20]} : f32[256,20]
      %c = subtract(%y, %b) : f32[256,20]
      return %y, %s, %c
    }"""


def test_a_sum_follows_what_moves_to_a_product():
    """What it sums is first in the kernel of the maxima, which then goes before it."""
    lines, _ = split(SCALED)
    assert lines[0] == "contraction: dot_general multiply reduce_sum"


def test_one_kernel_makes_a_convolution_and_the_sums_for_its_mean():
    lines, _ = split(SPREAD)
    assert lines[0] == "contraction: convolution reduce_sum"
    # The variance needs the mean of all tiles.
    assert "reduction: subtract multiply reduce_sum" in lines


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TINY, "the product is too small to be computed in tiles"),
        (ROWS, "a reduction does not follow a dot in its kernel"),
    ],
    ids=["small", "rows"],
)
def test_refusals_have_a_reason(text: str, reason: str):
    lines, report = fused(text, SPLIT)
    assert lines[0].startswith("contraction: dot_general")
    assert "reduce_sum" not in lines[0]
    assert reason in {r.reason for r in report.ledger.refusals}


def test_more_parts_are_reduced_in_two_steps():
    graph = parse(BIAS.replace("256", "8192"))
    result, _ = run_with_report(graph, SPLIT, verify=True)
    shapes = [str(v.type) for node in result.nodes for v in node.results]
    assert [shape for shape in shapes if shape != "f32[8192,20]"] == [
        *("f32[128,20]", "f32[128,20]"),
        *("f32[32,20]", "f32[32,20]"),
        "f32[20]",
    ]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("dot_general(%a, %b) {contract=[[2],[1]]} : f32[2,3,6]", Sides(6, 6, 4)),
        (
            "dot_general(%a, %c) {batch=[[0],[0]], contract=[[2],[1]]} : f32[2,3,5]",
            None,
        ),
    ],
    ids=["one product", "a batch"],
)
def test_sides(node: str, expected: Sides | None):
    type = node.rpartition(":")[2]
    graph = parse(f"""
        graph @f(%a: f32[2,3,4], %b: f32[6,4], %c: f32[2,4,5]) -> ({type}) {{
          %y = {node}
          return %y
        }}""")
    assert sides(next(iter(graph.nodes))) == expected
