"""Rules that are written as two programs."""

from __future__ import annotations

import pytest

from graphc.ir import GraphError, parse
from graphc.ir.ops import abs_, add, multiply, negate, select, tanh
from graphc.passes import Ledger, Rewriter, Rule, RuleSet, pattern
from graphc.passes.rule import approx, rewrite_greedily
from graphc.testing import check_rule

FACTOR = pattern(
    "factor",
    lambda x, y, z: add(multiply(x, y), multiply(x, z)),
    lambda x, y, z: multiply(x, add(y, z)),
    types=("f32[8]",) * 3,
    numerics=approx(16),
)


def fired(rule: Rule, *nodes: str, result: str) -> int:
    """How often a rule fires in a graph of these nodes."""
    lines = "\n".join(f"{node} : f32[4]" for node in nodes)
    graph = parse(
        f"graph @f(%x: f32[4], %y: f32[4]) -> (f32[4]) {{ {lines} return {result} }}"
    )
    ledger = Ledger()
    rewrite_greedily(graph, Rewriter(ledger, "test"), RuleSet([rule]))
    graph.verify()
    return ledger.by_rule()[f"test/{rule.name}"]


def test_a_pattern_is_its_own_example_and_documents_itself():
    check_rule(FACTOR)
    assert FACTOR.doc == (
        "`add(multiply(x, y), multiply(x, z)) = multiply(x, add(y, z))`."
    )


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ("multiply(%x, %y)", "multiply(%x, %x)", 1),
        ("multiply(%y, %x)", "multiply(%y, %y)", 1),
        ("multiply(%x, 2.0)", "multiply(3.0, %x)", 1),
        ("multiply(%x, %x)", "multiply(%y, %y)", 0),
        ("multiply(%x, %y)", "tanh(%x)", 0),
    ],
)
def test_a_parameter_stands_for_the_same_thing_in_any_order(
    first: str, second: str, count: int
):
    nodes = (f"%0 = {first}", f"%1 = {second}", "%2 = add(%0, %1)")
    assert fired(FACTOR, *nodes, result="%2") == count


def test_numbers_stand_for_themselves_in_every_dtype():
    twice = pattern("twice", lambda x: add(x, x), lambda x: multiply(x, 2))
    check_rule(twice)
    undo = pattern("undo", lambda x: multiply(x, 2), lambda x: add(x, x))
    assert fired(undo, "%0 = multiply(%x, 2.0)", result="%0") == 1
    assert fired(undo, "%0 = multiply(%x, 3.0)", result="%0") == 0
    zero = pattern("none", lambda x: multiply(x, 0), lambda x: 0, types=("i32[8]",))
    check_rule(zero)


def test_parameters_have_types_of_their_own():
    same = pattern(
        "same", lambda p, x: select(p, x, x), lambda p, x: x, types=("bool[8]", "T[8]")
    )
    check_rule(same)


def test_what_a_pattern_claims_is_checked():
    wrong = pattern("wrong", lambda x: abs_(negate(x)), lambda x: x)
    with pytest.raises(AssertionError):
        check_rule(wrong)
    goes_on = pattern("goes_on", lambda x: tanh(x), lambda x: tanh(tanh(x)))
    with pytest.raises(Exception, match="do not come to an end"):
        check_rule(goes_on)


def test_a_pattern_must_be_the_use_of_an_op():
    with pytest.raises(TypeError, match="must be the use of an op"):
        pattern("bare", lambda x: x, lambda x: negate(x))
    with pytest.raises(GraphError):
        pattern("ill", lambda x: tanh(x), lambda x: x, types=("i32[8]",))
