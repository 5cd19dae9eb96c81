"""Identities of arithmetic, exact for every float unless they say otherwise.

Adding 0.0 is not among them: it turns -0.0 into 0.0.
"""

from __future__ import annotations

import math

import numpy as np
from ml_dtypes import finfo

from graphc.ir.graph import Node
from graphc.ir.opdef import Trait
from graphc.ir.ops import (
    abs_,
    add,
    and_,
    divide,
    floor,
    maximum,
    minimum,
    multiply,
    negate,
    power,
    remainder,
    shift_left,
    shift_right_arithmetic,
    shift_right_logical,
    subtract,
    xor,
)
from graphc.ir.types import DType
from graphc.ir.values import Literal
from graphc.passes.identities.matching import (
    element,
    folded,
    integral,
    is_number,
    number,
    producer,
)
from graphc.passes.rule import REASSOCIATES, Replacement, RuleSet, approx, example

RULES = RuleSet()


@RULES.rule(Trait.COMMUTATIVE, literal=True, examples=example(lambda x: add(2, x)))
def literal_last(node: Node) -> Replacement:
    """`f(c, x) = f(x, c)` for commutative f."""
    first, second = node.operands[:2]
    if isinstance(first, Literal) and not isinstance(second, Literal):
        return node.op(second, first, *node.operands[2:], **node.attributes)
    return None


@RULES.rule(Trait.IDEMPOTENT, examples=example(lambda x: floor(floor(x))))
def idempotent(node: Node) -> Replacement:
    """`f(f(x)) = f(x)` for idempotent f."""
    inner = producer(node.operands[0], node.op)
    if inner is not None and inner.attributes == node.attributes:
        return inner.results
    return None


# -- neutral and absorbing literals ----------------------------------------------------


@RULES.rule("add", literal=True, examples=example(lambda x: add(x, -0.0)))
def add_zero(node: Node) -> Replacement:
    """`x + -0.0 = x`, and `x + 0 = x` for integers."""
    x, y = node.operands
    return x if is_number(y, 0 if integral(node) else -0.0) else None


@RULES.rule("subtract", literal=True, examples=example(lambda x: subtract(x, 0)))
def subtract_zero(node: Node) -> Replacement:
    """`x - 0 = x`."""
    x, y = node.operands
    return x if is_number(y, 0) else None


@RULES.rule("subtract", literal=True, examples=example(lambda x: subtract(-0.0, x)))
def subtract_from_zero(node: Node) -> Replacement:
    """`-0.0 - x = -x`, and `0 - x = -x` for integers."""
    x, y = node.operands
    return negate(y) if is_number(x, 0 if integral(node) else -0.0) else None


@RULES.rule("subtract", examples=example(lambda x: subtract(x, x)))
def subtract_itself(node: Node) -> Replacement:
    """`x - x = 0` for integers."""
    x, y = node.operands
    return Literal(0, element(node)) if x is y and integral(node) else None


@RULES.rule(
    "multiply", "divide", literal=True, examples=example(lambda x: multiply(x, 1))
)
def times_one(node: Node) -> Replacement:
    """`x * 1 = x` and `x / 1 = x`."""
    x, y = node.operands
    return x if is_number(y, 1) else None


@RULES.rule(
    "multiply", "divide", literal=True, examples=example(lambda x: multiply(x, -1))
)
def times_minus_one(node: Node) -> Replacement:
    """`x * -1 = -x`, and `x / -1 = -x` for floats."""
    x, y = node.operands
    if not is_number(y, -1) or (integral(node) and node.op is divide):
        return None
    return negate(x)


@RULES.rule("multiply", literal=True, examples=example(lambda x: multiply(x, 0)))
def times_zero(node: Node) -> Replacement:
    """`x * 0 = 0` for integers."""
    y = node.operands[1]
    return y if is_number(y, 0) and integral(node) else None


@RULES.rule("remainder", literal=True, examples=example(lambda x: remainder(x, 1)))
def remainder_of_one(node: Node) -> Replacement:
    """The remainder of `x / 1` is 0 for integers."""
    y = node.operands[1]
    return Literal(0, element(node)) if is_number(y, 1) and integral(node) else None


@RULES.rule("power", literal=True, examples=example(lambda x: power(x, 0)))
def power_of_zero(node: Node) -> Replacement:
    """`x ** 0 = 1`, for nan too."""
    return Literal(1, element(node)) if is_number(node.operands[1], 0) else None


@RULES.rule("power", literal=True, examples=example(lambda x: power(x, 1)))
def power_of_one(node: Node) -> Replacement:
    """`x ** 1 = x`."""
    x, y = node.operands
    return x if is_number(y, 1) else None


@RULES.rule(
    "shift_left",
    "shift_right_logical",
    "shift_right_arithmetic",
    literal=True,
    examples=[
        *example(lambda x: shift_left(x, 0)),
        *example(lambda x: shift_right_logical(x, 0)),
        *example(lambda x: shift_right_arithmetic(x, 0)),
    ],
)
def shift_by_zero(node: Node) -> Replacement:
    """`x << 0 = x` and `x >> 0 = x`."""
    x, y = node.operands
    return x if is_number(y, 0) else None


@RULES.rule(
    "maximum",
    "minimum",
    literal=True,
    examples=[
        *example(lambda x: maximum(x, -math.inf), "f32[8]"),
        *example(lambda x: minimum(x, math.inf), "bf16[8]"),
        *example(lambda x: maximum(x, -(2**31)), "i32[8]"),
        *example(lambda x: minimum(x, 255), "u8[8]"),
    ],
)
def limit_of_dtype(node: Node) -> Replacement:
    """`max(x, -inf) = x`, `min(x, inf) = x`; the dtype's limits for integers."""
    x, y = node.operands
    low, high = _limits(element(node))
    return x if is_number(y, low if node.op is maximum else high) else None


def _limits(dtype: DType) -> tuple[float, float]:
    if dtype.is_float:
        return -math.inf, math.inf
    if dtype.kind == "bool":
        return False, True
    info = np.iinfo(dtype.numpy)
    return int(info.min), int(info.max)


@RULES.rule(
    "maximum",
    "minimum",
    "and",
    "or",
    examples=[
        *example(lambda x: maximum(x, x)),
        *example(lambda x: minimum(x, x)),
    ],
)
def same_operands(node: Node) -> Replacement:
    """`f(x, x) = x` for maximum, minimum, and, or."""
    x, y = node.operands
    return x if x is y else None


# -- negation --------------------------------------------------------------------------


@RULES.rule(
    "negate",
    "not",
    reads=(
        "negate",
        "not",
    ),
    examples=example(lambda x: negate(negate(x))),
)
def double_negation(node: Node) -> Replacement:
    """`-(-x) = x` and `not not x = x`."""
    inner = producer(node.operands[0], node.op)
    return inner.operands if inner is not None else None


@RULES.rule(
    "add",
    reads_any=("negate",),
    examples=[
        *example(lambda x, y: add(x, negate(y)), "T[8]", "T[8]"),
        *example(lambda x, y: add(negate(x), y), "T[8]", "T[8]"),
    ],
)
def add_negated(node: Node) -> Replacement:
    """`x + -y = x - y` and `-x + y = y - x`."""
    x, y = node.operands
    if (inner := producer(y, negate)) is not None:
        return subtract(x, *inner.operands)
    if (inner := producer(x, negate)) is not None:
        return subtract(y, *inner.operands)
    return None


@RULES.rule(
    "subtract",
    reads_any=("negate",),
    examples=example(lambda x, y: subtract(x, negate(y)), "T[8]", "T[8]"),
)
def subtract_negated(node: Node) -> Replacement:
    """`x - -y = x + y`."""
    x, y = node.operands
    inner = producer(y, negate)
    return add(x, *inner.operands) if inner is not None else None


@RULES.rule(
    "multiply",
    "divide",
    reads=("negate",),
    examples=[
        *example(lambda x, y: multiply(negate(x), negate(y)), "T[8]", "T[8]"),
        *example(lambda x, y: divide(negate(x), negate(y)), "T[8]", "T[8]"),
    ],
)
def multiply_negated(node: Node) -> Replacement:
    """`-x * -y = x * y`, and `-x / -y = x / y` for floats."""
    left, right = (producer(operand, negate) for operand in node.operands)
    if left is None or right is None or (integral(node) and node.op is divide):
        return None
    return node.op(*left.operands, *right.operands)


@RULES.rule(
    "multiply",
    "divide",
    reads=("negate",),
    literal=True,
    examples=example(lambda x: multiply(negate(x), 3.0)),
)
def negated_by_literal(node: Node) -> Replacement:
    """`-x * c = x * -c` and `-x / c = x / -c` for floats."""
    x, y = node.operands
    inner = producer(x, negate)
    if inner is None or not isinstance(y, Literal) or integral(node):
        return None
    return node.op(*inner.operands, Literal(-y.value, y.dtype))


@RULES.rule(
    "negate",
    reads=("subtract",),
    examples=example(lambda x, y: negate(subtract(x, y)), "T[8]", "T[8]"),
)
def negated_difference(node: Node) -> Replacement:
    """`-(x - y) = y - x` for integers."""
    inner = producer(node.operands[0], subtract)
    if inner is None or not integral(node):
        return None
    return subtract(inner.operands[1], inner.operands[0])


@RULES.rule("abs", reads=("negate",), examples=example(lambda x: abs_(negate(x))))
def absolute_of_negated(node: Node) -> Replacement:
    """`|-x| = |x|`."""
    inner = producer(node.operands[0], negate)
    return abs_(*inner.operands) if inner is not None else None


# -- strength and order ----------------------------------------------------------------


@RULES.rule("divide", literal=True, examples=example(lambda x: divide(x, -8.0)))
def divide_by_power_of_two(node: Node) -> Replacement:
    """`x / 2**n = x * 2**-n` for floats."""
    x, y = node.operands
    if integral(node) or not isinstance(y, Literal) or isinstance(x, Literal):
        return None
    if not _is_power_of_two(y) or abs(y.value) == 1:
        return None
    reciprocal = Literal(1 / y.value, y.dtype)
    return multiply(x, reciprocal) if _is_power_of_two(reciprocal) else None


def _is_power_of_two(literal: Literal) -> bool:
    """Whether a float is a normal power of two, of either sign."""
    value = float(literal.value)
    if not math.isfinite(value) or abs(math.frexp(value)[0]) != 0.5:
        return False
    # Subnormal powers would be flushed to zero by some backends.
    return abs(value) >= float(finfo(literal.dtype.numpy).smallest_normal)


@RULES.rule(
    "divide",
    "remainder",
    literal=True,
    examples=[
        *example(lambda x: divide(x, 8), "u8[8]"),
        *example(lambda x: remainder(x, 8), "u8[8]"),
    ],
)
def unsigned_by_power_of_two(node: Node) -> Replacement:
    """`x / 2**n = x >> n` and `x % 2**n = x and 2**n - 1` for unsigned integers."""
    x, y = node.operands
    divisor = number(y)
    if element(node).kind != "uint" or not divisor or divisor & (divisor - 1):
        return None
    if node.op is remainder:
        return and_(x, divisor - 1)
    return shift_right_logical(x, divisor.bit_length() - 1)


@RULES.rule(
    "maximum",
    "minimum",
    "and",
    "or",
    "xor",
    literal=True,
    reads=("maximum", "minimum", "and", "or", "xor"),
    examples=[
        *example(lambda x: maximum(maximum(x, 1), 3)),
        *example(lambda x: xor(xor(x, 5), 3), "i8[8]"),
    ],
)
def collect_limits(node: Node) -> Replacement:
    """`f(f(x, a), b) = f(x, f(a, b))` for maximum, minimum, and, or, xor."""
    outer = number(node.operands[1])
    inner = _collectable(node)
    if inner is None or outer != outer:
        return None
    literal = inner.operands[1]
    return _collected(node) if number(literal) == number(literal) else None


@RULES.rule(
    "power", numerics=approx(1), literal=True, examples=example(lambda x: power(x, 2))
)
def square(node: Node) -> Replacement:
    """`x ** 2 = x * x`."""
    x, y = node.operands
    return multiply(x, x) if is_number(y, 2) else None


@RULES.rule(
    "power", numerics=approx(2), literal=True, examples=example(lambda x: power(x, 3))
)
def cube(node: Node) -> Replacement:
    """`x ** 3 = x * x * x`."""
    x, y = node.operands
    return multiply(multiply(x, x), x) if is_number(y, 3) else None


@RULES.rule(
    "power", numerics=approx(1), literal=True, examples=example(lambda x: power(x, -1))
)
def reciprocal_power(node: Node) -> Replacement:
    """`x ** -1 = 1 / x`."""
    x, y = node.operands
    return divide(1.0, x) if is_number(y, -1) else None


@RULES.rule(
    "add",
    "multiply",
    reads=(
        "add",
        "multiply",
    ),
    literal=True,
    examples=[
        *example(lambda x: add(add(x, 5), 7)),
        *example(lambda x: multiply(multiply(x, 5), 7)),
    ],
)
def collect_integers(node: Node) -> Replacement:
    """`x + a + b = x + (a + b)` and `x * a * b = x * (a * b)` for integers."""
    return _collected(node) if integral(node) else None


@RULES.rule(
    "add",
    "multiply",
    numerics=REASSOCIATES,
    algebraic=False,  # what becomes of the literals is rounded
    reads=(
        "add",
        "multiply",
    ),
    literal=True,
    examples=[
        *example(lambda x: add(add(x, 5.5), 7)),
        *example(lambda x: multiply(multiply(x, 5.5), 7)),
    ],
)
def collect_floats(node: Node) -> Replacement:
    """`x + a + b = x + (a + b)` and `x * a * b = x * (a * b)` for floats."""
    return None if integral(node) else _collected(node)


def _collectable(node: Node) -> Node | None:
    """The use of the op of `node` that it reads, if both have a literal."""
    inner = producer(node.operands[0], node.op)
    if inner is None or number(node.operands[1]) is None:
        return None
    y, literal = inner.operands
    return inner if number(literal) is not None and number(y) is None else None


def _collected(node: Node) -> Replacement:
    inner, outer = _collectable(node), node.operands[1]
    if inner is None or not isinstance(outer, Literal):
        return None
    y, literal = inner.operands
    assert isinstance(literal, Literal)
    return node.op(y, folded(node.op, literal, outer))
