"""The public checks find what is wrong with a pass, a rule or an op."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from graphc.ir import OPS, IllTyped, Kind, OpDef, Sample
from graphc.ir.opdef import FLOAT
from graphc.ir.ops import add, multiply, negate, subtract, tanh
from graphc.ir.register import composite
from graphc.passes import RuleSet, pattern
from graphc.passes.rule import example
from graphc.testing import check_op, check_pass, check_rule

ILL_TYPED = IllTyped(("bool[2]",), "must be floating point")


@pytest.fixture
def make() -> Iterator[Callable[..., OpDef]]:
    """Registers a composite ``probe(x) = x + tanh(x)``; forgets it after the test."""

    def build(body: Callable[..., Any] = lambda x: add(x, tanh(x)), **record: Any):
        def probe(x):
            """A number and its hyperbolic tangent."""
            return body(x)

        given: dict[str, Any] = {"errors": [ILL_TYPED], "dtypes": FLOAT, **record}
        return composite(Kind.ELEMENTWISE, samples=[Sample(("f32[4]",))], **given)(
            probe
        )

    yield build
    OPS.pop("probe", None)


def test_a_right_op_passes(make: Callable[..., OpDef]):
    check_op(make(), targets=["xla"])


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"reference": lambda x: x + np.tanh(x) * 1.01, "vjp": "none"}, "Not equal"),
        ({"vjp": lambda g, y, x: (multiply(g, 2.0),)}, "the derivative is"),
        (
            {"errors": [IllTyped(("bool[2]",), "other words")]},
            "'other words' is not in",
        ),
        ({"errors": [IllTyped(("f16[2]",), "must be")]}, "this must be ill typed"),
    ],
)
def test_a_wrong_record_is_found(
    make: Callable[..., OpDef], record: dict[str, Any], said: str
):
    with pytest.raises(AssertionError, match=said):
        check_op(make(**record), targets=["xla"])


BEFORE = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      %0 = negate(%x) : f32[4]
      %1 = negate(%0) : f32[4]
      return %1
    }"""
AFTER = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      return %x
    }"""


def test_a_pass_is_held_to_its_graph():
    report = check_pass("canonicalize", BEFORE, AFTER)
    assert report.ledger.by_rule()["canonicalize/double_negation"] == 1
    with pytest.raises(AssertionError, match="the pass makes"):
        check_pass("canonicalize", BEFORE)


def test_a_rule_is_held_to_its_class():
    check_rule(pattern("right", lambda x: negate(negate(x)), lambda x: x))
    with pytest.raises(AssertionError):
        check_rule(pattern("wrong", lambda x: subtract(x, x), lambda x: 0))
    idle = RuleSet()

    @idle.rule("tanh", examples=example(lambda x: tanh(x)))
    def never(node):
        """Nothing."""
        return

    with pytest.raises(AssertionError, match="fires on none of its example's dtypes"):
        check_rule(idle)
