"""Numerics classes composed by result: statements and how far rewrites reach."""

from __future__ import annotations

import pytest

from graphc.ir import parse
from graphc.ir.types import F16
from graphc.passes import PASSES, run_with_report
from graphc.passes.numerics import (
    EXACT,
    REASSOCIATES,
    Inexact,
    approx,
    declared,
    distance,
    precision,
    statements,
)

TWO = """
graph @f(%x: f32[3,4], %y: f32[3,4]) -> (f32[3,4], f32[3,4], f32[3,4]) {
  %a = power(%x, 2.0) : f32[3,4]
  %b = erf(%a) : f32[3,4]
  %c = subtract(%y, %x) : f32[3,4]
  %d = multiply(%c, 1.0) : f32[3,4]
  return %a, %b, %d
}
"""


def numerics(text: str, pipeline: str) -> list[str]:
    return [str(each) for each in run_with_report(parse(text), pipeline)[1].numerics]


def test_each_result_has_the_classes_of_the_rewrites_before_it():
    assert numerics(TWO, "canonicalize,decompose") == [
        "result 0: approx(1 ulp) (canonicalize/square x1)",
        "result 1: approx(8 ulp) (decompose/erf x1), approx(1 ulp)"
        " (canonicalize/square x1)",
        "result 2: exact",
    ]


COMPOSITES = """
graph @main(%x: f32[4,8], %y: i32[4]) -> (f32[4,8], f32[4]) {
  %a = relu(%x) : f32[4,8]
  %b = silu(%a) : f32[4,8]
  %c = softmax(%b) {axis=1} : f32[4,8]
  %d = cross_entropy(%x, %y) : f32[4]
  return %c, %d
}
"""

DIFFERENTIATED = """
graph @main(%x: f32[3]) -> (f32[], f32[3]) {
  %0, %1 = value_and_gradient(%x) {graph="loss", wrt=[0]} : f32[], f32[3]
  return %0, %1
}

graph @loss(%x: f32[3]) -> (f32[]) {
  %0 = relu(%x) : f32[3]
  %1 = reduce_sum(%0) {axes=[0]} : f32[]
  return %1
}
"""


def test_a_composite_without_a_reference_means_its_body():
    assert numerics(COMPOSITES, "decompose") == ["result 0: exact", "result 1: exact"]


def test_the_gradient_of_a_body_is_not_that_of_the_composite():
    rewritten = "reassociates (decompose/relu_before_gradient x1)"
    assert numerics(DIFFERENTIATED, "decompose") == [
        f"result 0: {rewritten}",
        f"result 1: {rewritten}",
    ]
    after = numerics(DIFFERENTIATED, "autodiff,inline,decompose")
    assert not any("decompose" in each for each in after)


def test_exact_pipelines_say_exact():
    assert numerics(TWO, "cse,dce") == [f"result {i}: exact" for i in range(3)]


CALLS = """
graph @main(%x: f32[3], %y: f32[3]) -> (f32[3], f32[3]) {
  %0 = call(%x) {graph="square"} : f32[3]
  %1 = tanh(%0) : f32[3]
  %2 = negate(%y) : f32[3]
  return %1, %2
}

graph @square(%x: f32[3]) -> (f32[3]) {
  %0 = power(%x, 2.0) : f32[3]
  return %0
}
"""


def test_rewrites_in_a_graph_reach_what_its_callers_compute():
    assert numerics(CALLS, "canonicalize") == [
        "result 0: approx(1 ulp) (canonicalize/square x1)",
        "result 1: exact",
    ]


LOOKS_THROUGH = """
graph @f(%x: f32[3], %y: f32[3]) -> (f32[3], f32[3]) {
  %a = power(%x, 2.0) : f32[3]
  %b = negate(%a) : f32[3]
  %c = negate(%b) : f32[3]
  %d = add(%y, 0.5) : f32[3]
  %e = add(%y, 0.5) : f32[3]
  %f = power(%e, 2.0) : f32[3]
  return %c, %d
}
"""


def test_what_later_rewrites_look_through_still_counts():
    before, after = numerics(LOOKS_THROUGH, "(canonicalize,cse,dce)*")
    assert before == "result 0: approx(1 ulp) (canonicalize/square x1)"
    assert after == "result 1: exact"


def test_merged_nodes_can_change_what_either_reached():
    text = """
graph @f(%x: f32[3]) -> (f32[3], f32[3]) {
  %a = tanh(%x) : f32[3]
  %b = tanh(%x) : f32[3]
  %c = power(%a, 2.0) : f32[3]
  %d = power(%b, 2.0) : f32[3]
  return %c, %d
}
"""
    both = "approx(1 ulp) (canonicalize/square x1)"
    assert numerics(text, "cse,canonicalize") == [
        f"result 0: {both}",
        f"result 1: {both}",
    ]


def test_statements_are_sorted_from_the_farthest_class():
    rewrites = [
        Inexact(1, "p/a", approx(1), 0b01),
        Inexact(2, "p/b", precision(F16), 0b11),
        Inexact(3, "p/a", approx(1), 0b01),
    ]
    assert [str(each) for each in statements(3, rewrites)] == [
        "result 0: precision(f16) (p/b x1), approx(1 ulp) (p/a x2)",
        "result 1: precision(f16) (p/b x1)",
        "result 2: exact",
    ]


def test_what_a_pass_does_not_declare_reassociates():
    assert declared({}, "split") is REASSOCIATES
    assert declared({}, "dead") is EXACT
    assert declared({"split": approx(2)}, "split") == approx(2)


def test_classes_are_ordered():
    classes = [EXACT, approx(1), approx(2), REASSOCIATES, precision(F16)]
    assert sorted(set(classes), key=distance) == classes


@pytest.mark.parametrize("name", sorted(PASSES))
def test_what_rounds_does_not_promise_the_same_bits(name: str):
    declares = PASSES[name]
    folded = {"fold"}  # by the evaluator, which says what the bits are
    for rule in declares.rounding - folded:
        known = declared(declares.numerics, rule)
        if name not in ("canonicalize", "apply_rules"):
            assert not known.is_exact, rule
