"""Common subexpression elimination."""

from __future__ import annotations

from pathlib import Path

import pytest

import graphc
from graphc.ir import parse
from graphc.passes import run, run_with_report
from graphc.passes.cse import CommonSubexpressionElimination

GRAPHS = Path(graphc.__file__).parents[1] / "benchmarks" / "graphs"
SLOW_GRAPHS = ("lstm", "cnn", "transformer", "unet")


def test_merges_equal_nodes(check_pass):
    check_pass(
        CommonSubexpressionElimination(),
        before="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = negate(%x) : f32[4]
              %1 = negate(%x) : f32[4]
              %2 = add(%0, %1) : f32[4]
              return %2
            }""",
        after="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = negate(%x) : f32[4]
              %1 = add(%0, %0) : f32[4]
              return %1
            }""",
    )


def test_merges_chains_and_swapped_operands_of_commutative_ops(check_pass):
    check_pass(
        CommonSubexpressionElimination(),
        before="""
            graph @f(%x: f32[4], %y: f32[4]) -> (f32[4], f32[4], f32[4], f32[4]) {
              %0 = multiply(%x, %y) : f32[4]
              %1 = multiply(%y, %x) : f32[4]
              %2 = tanh(%0) : f32[4]
              %3 = tanh(%1) : f32[4]
              %4 = subtract(%x, %y) : f32[4]
              %5 = subtract(%y, %x) : f32[4]
              return %2, %3, %4, %5
            }""",
        after="""
            graph @f(%x: f32[4], %y: f32[4]) -> (f32[4], f32[4], f32[4], f32[4]) {
              %0 = multiply(%x, %y) : f32[4]
              %1 = tanh(%0) : f32[4]
              %2 = subtract(%x, %y) : f32[4]
              %3 = subtract(%y, %x) : f32[4]
              return %1, %1, %2, %3
            }""",
    )


def test_literals_attributes_and_types_must_agree(check_pass):
    check_pass(
        CommonSubexpressionElimination(),
        before="""
            graph @f(%x: f32[2,2]) -> (f32[2,2], f32[2,2], f32[2], f32[2], f32[4,1], f32[1,4]) {
              %0 = add(%x, 0.0) : f32[2,2]
              %1 = add(%x, -0.0) : f32[2,2]
              %2 = reduce_sum(%x) {axes=[0]} : f32[2]
              %3 = reduce_sum(%x) {axes=[1]} : f32[2]
              %4 = reshape(%x) {shape=[4,1]} : f32[4,1]
              %5 = reshape(%x) {shape=[1,4]} : f32[1,4]
              return %0, %1, %2, %3, %4, %5
            }""",
    )


def test_merges_calls_and_nodes_with_several_results(check_pass):
    check_pass(
        CommonSubexpressionElimination(),
        before="""
            graph @f(%x: f32[4], %i: i32[4]) -> (f32[4], i32[4], f32[4]) {
              %0, %1 = sort(%x, %i) {axis=0} : f32[4], i32[4]
              %2, %3 = sort(%x, %i) {axis=0} : f32[4], i32[4]
              %4 = call(%x) {graph="g"} : f32[4]
              %5 = call(%x) {graph="g"} : f32[4]
              %6 = add(%4, %5) : f32[4]
              return %2, %3, %6
            }
            graph @g(%x: f32[4]) -> (f32[4]) {
              %0 = negate(%x) : f32[4]
              return %0
            }""",
        after="""
            graph @f(%x: f32[4], %i: i32[4]) -> (f32[4], i32[4], f32[4]) {
              %0, %1 = sort(%x, %i) {axis=0} : f32[4], i32[4]
              %2 = call(%x) {graph="g"} : f32[4]
              %3 = add(%2, %2) : f32[4]
              return %0, %1, %3
            }
            graph @g(%x: f32[4]) -> (f32[4]) {
              %0 = negate(%x) : f32[4]
              return %0
            }""",
    )


def test_merges_equal_loops(check_pass):
    step = """
            graph @step(%c: f32[4]) -> (f32[4], f32[]) {
              %0 = negate(%c) : f32[4]
              %1 = reduce_sum(%c) {axes=[0]} : f32[]
              return %0, %1
            }"""
    check_pass(
        CommonSubexpressionElimination(),
        before="""
            graph @f(%x: f32[4]) -> (f32[4], f32[3]) {
              %0, %1 = scan(%x) {body="step", carries=1, length=3} : f32[4], f32[3]
              %2, %3 = scan(%x) {body="step", carries=1, length=3} : f32[4], f32[3]
              %4 = add(%0, %2) : f32[4]
              return %4, %3
            }"""
        + step,
        after="""
            graph @f(%x: f32[4]) -> (f32[4], f32[3]) {
              %0, %1 = scan(%x) {body="step", carries=1, length=3} : f32[4], f32[3]
              %2 = add(%0, %0) : f32[4]
              return %2, %1
            }"""
        + step,
    )


@pytest.mark.parametrize(
    "name",
    [
        "recommender",
        *(pytest.param(each, marks=pytest.mark.slow) for each in SLOW_GRAPHS),
    ],
)
@pytest.mark.parametrize("pipeline", ["train", "xla:cpu"])
def test_forward_and_backward_compute_nothing_twice(name: str, pipeline: str):
    text = (GRAPHS / f"{name}_training.gir").read_text()
    lowered = run(parse(text), pipeline)
    _, report = run_with_report(lowered, "cse", verify=False)
    merged = [r.node for r in report.ledger.rewrites if r.rule == "merge"]
    assert merged == []
