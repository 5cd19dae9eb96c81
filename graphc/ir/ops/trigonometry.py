"""Composites: inverse trigonometric, hyperbolic and inverse hyperbolic functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.ir.opdef import FLOAT, Kind
from graphc.ir.ops.along_axes import in_dtype, unchanged, widen
from graphc.ir.ops.elementwise import (
    UNARY_FLOAT_ERRORS,
    abs_,
    add,
    compare,
    divide,
    maximum,
    multiply,
    negate,
    select,
    subtract,
    unary,
)
from graphc.ir.ops.transcendental import (
    atan2,
    exponential,
    exponential_minus_one,
    log,
    log_plus_one,
    rsqrt,
    sqrt,
)
from graphc.ir.register import composite
from graphc.ir.types import F64


def _widely(function: Callable[[Any], Any], x: Any) -> Any:
    """`function` of `x`, computed in float32 for narrower floats."""
    return in_dtype(function(widen(x)), x.type.dtype)


def _slope_vjp(slope: Callable[[Any], Any]) -> Callable[..., Any]:
    """The gradient rule of a function whose derivative at x is ``slope(x)``."""

    def vjp(g: Any, y: Any, x: Any) -> Any:
        return (in_dtype(multiply(widen(g), slope(widen(x))), x.type.dtype),)

    return vjp


def _off_the_circle(x: Any) -> Any:
    """1 - x^2 as a product, which is exact enough near -1 and 1."""
    return multiply(subtract(1.0, x), add(x, 1.0))


def _with_sign(size: Any, x: Any) -> Any:
    """`size` with the sign of `x`; at zero `x` itself, whose zero has a sign."""
    signed = select(compare(x, 0.0, direction="LT"), negate(size), size)
    return select(compare(x, 0.0, direction="EQ"), x, signed)


# -- inverse trigonometric functions ---------------------------------------------------


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=np.arcsin,
    vjp=_slope_vjp(lambda x: rsqrt(_off_the_circle(x))),
    dtypes=FLOAT,
    samples=unary(-0.95, 0.95),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
    numerics="nan outside -1..1; the derivative is infinite at -1 and 1",
)
def asin(x: Any) -> Any:
    """The angle in -pi/2..pi/2 whose sine is x."""
    return _widely(lambda x: atan2(x, sqrt(_off_the_circle(x))), x)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=np.arccos,
    vjp=_slope_vjp(lambda x: negate(rsqrt(_off_the_circle(x)))),
    dtypes=FLOAT,
    samples=unary(-0.95, 0.95),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
    numerics="nan outside -1..1; the derivative is infinite at -1 and 1",
)
def acos(x: Any) -> Any:
    """The angle in 0..pi whose cosine is x."""
    return _widely(lambda x: atan2(sqrt(_off_the_circle(x)), x), x)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=np.arctan,
    vjp=_slope_vjp(lambda x: divide(1.0, add(multiply(x, x), 1.0))),
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def atan(x: Any) -> Any:
    """The angle in -pi/2..pi/2 whose tangent is x."""
    return _widely(lambda x: atan2(x, 1.0), x)


# -- hyperbolic functions --------------------------------------------------------------


def _halves(size: Any) -> tuple[Any, Any]:
    """exp(size) / 2 and exp(-size) / 2; the first overflows only where cosh does."""
    root = exponential(multiply(size, 0.5))
    return multiply(multiply(root, 0.5), root), divide(divide(0.5, root), root)


def _sinh(x: Any) -> Any:
    size = abs_(x)
    growing, vanishing = _halves(size)
    # Near 0 the two halves would cancel: with e = exp(x) - 1, (e + e / (e + 1)) / 2.
    excess = exponential_minus_one(size)
    near = multiply(add(excess, divide(excess, add(excess, 1.0))), 0.5)
    is_near = compare(size, 1.0, direction="LT")
    return _with_sign(select(is_near, near, subtract(growing, vanishing)), x)


def _sinh_vjp(g: Any, y: Any, x: Any) -> Any:
    return (multiply(g, cosh(x)),)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=np.sinh,
    vjp=_sinh_vjp,
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def sinh(x: Any) -> Any:
    """The hyperbolic sine, (exp(x) - exp(-x)) / 2."""
    return _widely(_sinh, x)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=np.cosh,
    vjp=lambda g, y, x: (multiply(g, sinh(x)),),
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def cosh(x: Any) -> Any:
    """The hyperbolic cosine, (exp(x) + exp(-x)) / 2."""
    return _widely(lambda x: add(*_halves(abs_(x))), x)


# -- inverse hyperbolic functions ------------------------------------------------------


def _far_out(x: Any) -> float:
    """From where on 1 is nothing beside the square of an element of `x`."""
    return 2.0**30 if x.type.dtype is F64 else 2.0**14


def _log_of_double(x: Any) -> Any:
    return add(log(x), math.log(2))


def _asinh(x: Any) -> Any:
    size = abs_(x)
    square = multiply(size, size)
    # log(size + root), whose argument is 1 + size + (root - 1) = 1 + size + ...
    rest = divide(square, add(sqrt(add(square, 1.0)), 1.0))
    near = log_plus_one(add(size, rest))
    is_far = compare(size, _far_out(x), direction="GT")
    return _with_sign(select(is_far, _log_of_double(size), near), x)


def _asinh_slope(x: Any) -> Any:
    """1 / sqrt(x^2 + 1), by an x that is scaled so that its square is finite."""
    scale = divide(1.0, maximum(abs_(x), 1.0))
    near = multiply(x, scale)
    total = add(multiply(near, near), multiply(scale, scale))
    return multiply(rsqrt(total), scale)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=np.arcsinh,
    vjp=_slope_vjp(_asinh_slope),
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def asinh(x: Any) -> Any:
    """The number whose hyperbolic sine is x."""
    return _widely(_asinh, x)


def _acosh(x: Any) -> Any:
    above = subtract(x, 1.0)
    root = sqrt(multiply(above, add(x, 1.0)))
    is_far = compare(x, _far_out(x), direction="GT")
    return select(is_far, _log_of_double(x), log_plus_one(add(above, root)))


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=np.arccosh,
    vjp=_slope_vjp(lambda x: multiply(rsqrt(subtract(x, 1.0)), rsqrt(add(x, 1.0)))),
    dtypes=FLOAT,
    samples=unary(1.2, 4.0),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
    numerics="nan below 1; the derivative is infinite at 1",
)
def acosh(x: Any) -> Any:
    """The number of 0 or more whose hyperbolic cosine is x."""
    return _widely(_acosh, x)


def _atanh(x: Any) -> Any:
    size = abs_(x)
    both = subtract(log_plus_one(size), log_plus_one(negate(size)))
    return _with_sign(multiply(both, 0.5), x)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=np.arctanh,
    vjp=_slope_vjp(lambda x: divide(1.0, _off_the_circle(x))),
    dtypes=FLOAT,
    samples=unary(-0.9, 0.9),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
    numerics="infinite at -1 and 1, nan beyond them",
)
def atanh(x: Any) -> Any:
    """The number whose hyperbolic tangent is x."""
    return _widely(_atanh, x)
