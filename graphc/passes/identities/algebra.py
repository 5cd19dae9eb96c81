"""Laws of arithmetic in both directions: for equality saturation, which needs no order.

The greedy driver would never come to an end with them; see `graphc.passes.saturate`.
"""

from __future__ import annotations

from inspect import signature

from graphc.ir.ops import (
    add,
    and_,
    divide,
    exponential,
    maximum,
    minimum,
    multiply,
    negate,
    or_,
    rsqrt,
    sqrt,
    subtract,
)
from graphc.passes.pattern import Program, pattern
from graphc.passes.rule import REASSOCIATES, Rule, RuleSet, register_rules


def _commutes(op: Program, name: str) -> Rule:
    return pattern(f"{name}_commutes", lambda x, y: op(x, y), lambda x, y: op(y, x))


def _law(name: str, left: Program, right: Program, integers: bool = True) -> Rule:
    """A law of real numbers, and of integers unless they are left out."""
    types = () if integers else ("f32[8]",) * len(signature(left).parameters)
    return pattern(name, left, right, types=types, numerics=REASSOCIATES)


RULES = register_rules(
    "algebra",
    RuleSet(
        [
            _commutes(add, "add"),
            _commutes(multiply, "multiply"),
            _commutes(maximum, "maximum"),
            _commutes(minimum, "minimum"),
            _commutes(and_, "and"),
            _commutes(or_, "or"),
            pattern(
                "subtract_negated",
                lambda x, y: add(x, negate(y)),
                lambda x, y: subtract(x, y),
            ),
            pattern(
                "negate_product",
                lambda x, y: multiply(negate(x), y),
                lambda x, y: negate(multiply(x, y)),
            ),
            pattern(
                "negate_difference",
                lambda x, y: negate(subtract(x, y)),
                lambda x, y: subtract(y, x),
                numerics=REASSOCIATES,  # the sign of a zero
            ),
            _law(
                "add_associates",
                lambda x, y, z: add(add(x, y), z),
                lambda x, y, z: add(x, add(y, z)),
            ),
            _law(
                "multiply_associates",
                lambda x, y, z: multiply(multiply(x, y), z),
                lambda x, y, z: multiply(x, multiply(y, z)),
            ),
            _law(
                "factor_sum",
                lambda x, y, z: add(multiply(x, y), multiply(x, z)),
                lambda x, y, z: multiply(x, add(y, z)),
            ),
            _law(
                "factor_difference",
                lambda x, y, z: subtract(multiply(x, y), multiply(x, z)),
                lambda x, y, z: multiply(x, subtract(y, z)),
            ),
            _law(
                "factor_quotient",
                lambda x, y, z: add(divide(x, z), divide(y, z)),
                lambda x, y, z: divide(add(x, y), z),
                integers=False,
            ),
            _law(
                "divide_twice",
                lambda x, y, z: divide(divide(x, y), z),
                lambda x, y, z: divide(x, multiply(y, z)),
                integers=False,
            ),
            _law(
                "multiply_exponentials",
                lambda x, y: multiply(exponential(x), exponential(y)),
                lambda x, y: exponential(add(x, y)),
            ),
            _law(
                "multiply_rsqrt",
                lambda x, y: divide(x, sqrt(y)),
                lambda x, y: multiply(x, rsqrt(y)),
            ),
            _law(
                "subtract_sum",
                lambda x, y, z: subtract(subtract(x, y), z),
                lambda x, y, z: subtract(x, add(y, z)),
            ),
        ]
    ),
)
"""Laws that hold over the reals; those without a class of their own keep bits."""
