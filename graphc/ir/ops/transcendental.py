"""Elementwise primitives: powers, exponentials, roots and trigonometry."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.opdef import FLOAT, Kind, Trait
from graphc.ir.ops.elementwise import (
    BINARY_ERRORS,
    UNARY_FLOAT_ERRORS,
    add,
    binary,
    compare,
    divide,
    multiply,
    negate,
    select,
    subtract,
    unary,
)
from graphc.ir.payload import opaque
from graphc.ir.register import primitive
from graphc.ir.typerules import same_type
from graphc.ir.types import TensorType


def _power_vjp(g: Any, y: Any, a: Any, b: Any) -> Any:
    # d/da = b a^(b-1), which is 0 where b = 0 even for a = 0; d/db = y log(a), which
    # is 0 where a = 0 (the limit for b > 0) instead of nan.
    by_base = multiply(b, power(a, subtract(b, 1.0)))
    by_base = select(compare(b, 0.0, direction="EQ"), 0.0, by_base)
    safe = select(compare(a, 0.0, direction="EQ"), 1.0, a)
    return multiply(g, by_base), multiply(g, multiply(y, log(safe)))


@primitive(
    Kind.ELEMENTWISE,
    np.power,
    vjp=_power_vjp,
    dtypes=FLOAT,
    traits=[Trait.RANGE_SENSITIVE],
    samples=binary(0.5, 2.0),
    errors=BINARY_ERRORS,
    ulp=16,
    numerics="as C's pow: x^0 and 1^y are 1, also of nan; nan for a negative base and"
    " a fractional exponent",
)
def power(a: TensorType, b: TensorType) -> TensorType:
    """a to the power of b."""
    return same_type("power", a, b)


@primitive(
    Kind.ELEMENTWISE,
    np.arctan2,
    vjp=lambda g, y, a, b: (
        divide(multiply(g, b), add(multiply(a, a), multiply(b, b))),
        negate(divide(multiply(g, a), add(multiply(a, a), multiply(b, b)))),
    ),
    dtypes=FLOAT,
    samples=binary(0.3, 2.0),
    errors=BINARY_ERRORS,
    ulp=8,
)
def atan2(a: TensorType, b: TensorType) -> TensorType:
    """The angle of the point (b, a), in -pi..pi."""
    return same_type("atan2", a, b)


@primitive(
    Kind.ELEMENTWISE,
    np.exp,
    vjp=lambda g, y, x: (multiply(g, y),),
    dtypes=FLOAT,
    traits=[Trait.RANGE_SENSITIVE],
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    ulp=4,
)
def exponential(x: TensorType) -> TensorType:
    """e to the power of x."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.expm1,
    vjp=lambda g, y, x: (multiply(g, add(y, 1.0)),),
    dtypes=FLOAT,
    traits=[Trait.RANGE_SENSITIVE],
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def exponential_minus_one(x: TensorType) -> TensorType:
    """e to the power of x, minus 1, accurate near 0."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.log,
    vjp=lambda g, y, x: (divide(g, x),),
    dtypes=FLOAT,
    traits=[Trait.RANGE_SENSITIVE],
    samples=unary(0.3, 3.0),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def log(x: TensorType) -> TensorType:
    """The natural logarithm; nan for negative x, -inf for 0."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.log1p,
    vjp=lambda g, y, x: (divide(g, add(x, 1.0)),),
    dtypes=FLOAT,
    traits=[Trait.RANGE_SENSITIVE],
    samples=unary(-0.5, 2.0),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def log_plus_one(x: TensorType) -> TensorType:
    """The natural logarithm of 1 + x, accurate near 0."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.sqrt,
    vjp=lambda g, y, x: (divide(multiply(g, 0.5), y),),
    dtypes=FLOAT,
    samples=unary(0.3, 3.0),
    errors=UNARY_FLOAT_ERRORS,
    ulp=1,
)
def sqrt(x: TensorType) -> TensorType:
    """The square root; nan for negative x."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    lambda x: 1 / np.sqrt(x),
    vjp=lambda g, y, x: (multiply(multiply(g, -0.5), divide(y, x)),),
    dtypes=FLOAT,
    traits=[Trait.RANGE_SENSITIVE],
    samples=unary(0.3, 3.0),
    errors=UNARY_FLOAT_ERRORS,
    ulp=4,
)
def rsqrt(x: TensorType) -> TensorType:
    """1 / sqrt(x)."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.cbrt,
    vjp=lambda g, y, x: (divide(g, multiply(multiply(y, y), 3.0)),),
    dtypes=FLOAT,
    samples=unary(0.3, 3.0),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def cbrt(x: TensorType) -> TensorType:
    """The cube root."""
    return x


def _logistic_reference(x: Any) -> Any:
    # exp of a large negative x only: never overflows.
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + z), z / (1 + z))


@primitive(
    Kind.ELEMENTWISE,
    _logistic_reference,
    # By exponentials it would be the same number modulo Q for every x.
    exact=lambda x: opaque("logistic", x),
    vjp=lambda g, y, x: (multiply(g, multiply(y, subtract(1.0, y))),),
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def logistic(x: TensorType) -> TensorType:
    """The logistic sigmoid, 1 / (1 + exp(-x))."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.tanh,
    vjp=lambda g, y, x: (multiply(g, subtract(1.0, multiply(y, y))),),
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def tanh(x: TensorType) -> TensorType:
    """The hyperbolic tangent."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.sin,
    vjp=lambda g, y, x: (multiply(g, cosine(x)),),
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    traits=[Trait.RANGE_SENSITIVE],
    ulp=8,
)
def sine(x: TensorType) -> TensorType:
    """The sine of x in radians."""
    return x


def _cosine_vjp(g: Any, y: Any, x: Any) -> tuple[Any, ...]:
    return (negate(multiply(g, sine(x))),)


@primitive(
    Kind.ELEMENTWISE,
    np.cos,
    vjp=_cosine_vjp,
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    traits=[Trait.RANGE_SENSITIVE],
    ulp=8,
)
def cosine(x: TensorType) -> TensorType:
    """The cosine of x in radians."""
    return x


@primitive(
    Kind.ELEMENTWISE,
    np.tan,
    vjp=lambda g, y, x: (multiply(g, add(multiply(y, y), 1.0)),),
    dtypes=FLOAT,
    samples=unary(-1.0, 1.0),
    errors=UNARY_FLOAT_ERRORS,
    traits=[Trait.RANGE_SENSITIVE],
    ulp=16,
)
def tan(x: TensorType) -> TensorType:
    """The tangent of x in radians."""
    return x
