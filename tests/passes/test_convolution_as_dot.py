"""Convolutions as products of a matrix of patches and the kernel."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir import OPS, evaluate, parse
from graphc.passes import Pipeline, run_with_report
from graphc.passes.convolution_as_dot import ConvolutionAsDot
from graphc.testing.equivalence import assert_close, random_arrays
from graphc.testing.op_samples import bound_graph
from tests.closeness import REORDERED_ULP

CONVOLUTION = OPS["convolution"]
ALWAYS = Pipeline((ConvolutionAsDot(terms_per_row=0),))
IMAGES = """
    graph @f(%x: f32[{x}], %w: f32[{w}]) -> (f32[{y}]) {{
      %y = convolution(%x, %w) {{input_dilation=[1,1], kernel_dilation=[1,1],
        labels="b01f_01io->b01f", padding={padding}, strides=[1,1]}} : f32[{y}]
      return %y
    }}"""


def test_a_kernel_of_one_place_is_a_matrix(check_pass):
    check_pass(
        ConvolutionAsDot(),
        before=IMAGES.format(
            x="2,3,3,4", w="1,1,4,5", y="2,3,3,5", padding=[[0, 0], [0, 0]]
        ),
        after="""
            graph @f(%x: f32[2,3,3,4], %w: f32[1,1,4,5]) -> (f32[2,3,3,5]) {
              %0 = slice(%x) {limit=[2,3,3,4], start=[0,0,0,0], strides=[1,1,1,1]} : f32[2,3,3,4]
              %1 = reshape(%0) {shape=[18,4]} : f32[18,4]
              %2 = reshape(%w) {shape=[4,5]} : f32[4,5]
              %3 = dot_general(%1, %2) {contract=[[1],[0]]} : f32[18,5]
              %y = reshape(%3) {shape=[2,3,3,5]} : f32[2,3,3,5]
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
    refused = "groups" in str(sample.attributes) or graph.results[0].type.size == 0
    assert (CONVOLUTION in {node.op for node in lowered.nodes}) == refused
    assert len(report.ledger.refusals) == refused
    arrays = random_arrays(graph, np.random.default_rng(0))
    for got, want in zip(
        evaluate(lowered, *arrays), evaluate(graph, *arrays), strict=True
    ):
        assert_close(got, want, REORDERED_ULP)


@pytest.mark.parametrize(
    ("x", "w", "y", "padding", "reason"),
    [
        # A kernel with more places than the input, which XLA would swap.
        ("8,2,2,4", "3,3,4,5", "8,2,2,5", [[1, 1], [1, 1]], None),
        # Large sums for few patches.
        ("1,7,7,512", "3,3,512,8", "1,7,7,8", [[1, 1], [1, 1]], None),
        (
            *("8,8,8,128", "3,3,128,8", "8,8,8,8", [[1, 1], [1, 1]]),
            "sums have 1152 terms, too few for 512 patches",
        ),
        (
            *("1,9,9,2", "9,9,2,8", "1,1,1,8", [[0, 0], [0, 0]]),
            "its kernel has 81 places, more than 64",
        ),
    ],
)
def test_is_done_where_it_is_faster(x, w, y, padding, reason):
    graph = parse(IMAGES.format(x=x, w=w, y=y, padding=padding))
    lowered, report = run_with_report(graph, "convolution_as_dot")
    assert [r.reason for r in report.ledger.refusals] == [reason] * bool(reason)
    assert any(node.op is CONVOLUTION for node in lowered.nodes) == bool(reason)


def test_unknown_sizes_and_no_elements_are_refused():
    graph = parse("""
        graph @f(%x: f32[B,3], %w: f32[3,2]) -> (f32[B,2]) where B in 0..8 {
          %y = convolution(%x, %w) {input_dilation=[], kernel_dilation=[],
            labels="bf_io->bf", padding=[], strides=[]} : f32[B,2]
          return %y
        }""")
    reasons = []
    for each in (graph, graph.bind(B=0)):
        _, report = run_with_report(each, "convolution_as_dot")
        reasons += [refusal.reason for refusal in report.ledger.refusals]
    assert reasons == ["its sizes are not known", "it has no elements"]
    assert not run_with_report(graph.bind(B=2), ALWAYS)[1].ledger.refusals
