"""Composites: the logarithm of the gamma function and its derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.ir.errors import GraphError
from graphc.ir.opdef import FLOAT, Arg, IllTyped, Kind, Sample
from graphc.ir.ops.along_axes import in_dtype, unchanged, widen
from graphc.ir.ops.elementwise import (
    UNARY_FLOAT_ERRORS,
    abs_,
    add,
    compare,
    divide,
    floor,
    multiply,
    negate,
    round_nearest_even,
    select,
    subtract,
    unary,
)
from graphc.ir.ops.special import polynomial
from graphc.ir.ops.transcendental import log, log_plus_one, sine, tan
from graphc.ir.register import composite
from graphc.ir.types import TensorType

MAX_ORDER = 16
"""The highest derivative of digamma: beyond it few floats hold the results."""

# -- logarithm of the gamma function ---------------------------------------------------

# C. Lanczos, "A precision approximation of the gamma function", 1964; g = 7, n = 9.
_LANCZOS_G = 7.0
_LANCZOS_FIRST = 0.99999999999980993227684700473478
_LANCZOS = (
    *(676.520368121885098567009190444019, -1259.13921672240287047156078755283),
    *(771.3234287776530788486528258894, -176.61502916214059906584551354),
    *(12.507343278686904814458936853, -0.13857109526572011689554707),
    *(9.984369578019570859563e-6, 1.50563273514931155834e-7),
)


def _lgamma_above_half(x: Any) -> Any:
    """The logarithm of gamma(x + 1) for x of -0.5 or more."""
    series: Any = _LANCZOS_FIRST
    for place, coefficient in enumerate(_LANCZOS, start=1):
        series = add(divide(coefficient, add(x, float(place))), series)
    middle = _LANCZOS_G + 0.5
    shifted = add(x, middle)
    log_shifted = add(log_plus_one(multiply(x, 1 / middle)), math.log(middle))
    # (x + 1/2) log(t) - t, with the logarithm taken out: both terms are large.
    inner = subtract(add(x, 0.5), divide(shifted, log_shifted))
    result = add(multiply(inner, log_shifted), 0.5 * math.log(2 * math.pi))
    return add(result, log(series))


def _lgamma(x: Any) -> Any:
    # Gamma(x) gamma(1 - x) = pi / sin(pi x), for what lies left of a half.
    left = compare(x, 0.5, direction="LT")
    result = _lgamma_above_half(select(left, negate(x), subtract(x, 1.0)))
    size = abs_(x)
    part = subtract(size, floor(size))
    part = select(compare(part, 0.5, direction="GT"), subtract(1.0, part), part)
    reflected = subtract(math.log(math.pi), log(sine(multiply(part, math.pi))))
    result = select(left, subtract(reflected, result), result)
    is_infinite = compare(size, math.inf, direction="EQ")
    return select(is_infinite, math.inf, result)


def _log_gamma(x: float) -> float:
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    try:
        return math.lgamma(x)
    except OverflowError:
        return math.inf


_math_lgamma = np.frompyfunc(_log_gamma, 1, 1)


def _lgamma_reference(x: Any) -> Any:
    return np.asarray(_math_lgamma(x.astype(np.float64))).astype(x.dtype)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    reference=_lgamma_reference,
    vjp=lambda g, y, x: (multiply(g, digamma(x)),),
    dtypes=FLOAT,
    samples=(*unary(6.0, 9.0), Sample((Arg("f64[5]", -3.9, -3.1),))),
    errors=UNARY_FLOAT_ERRORS,
    ulp=32,
    numerics="near its zeros, 1 and 2, the error is relative to 1; inf at the poles",
)
def lgamma(x: Any) -> Any:
    """The logarithm of the absolute value of the gamma function."""
    return in_dtype(_lgamma(widen(x)), x.type.dtype)


# -- derivatives -----------------------------------------------------------------------

_SHIFT = 10
"""Where the asymptotic series are used: there their terms fall below 1e-16."""

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
"""The Bernoulli numbers 2, 4, ..., 16."""


def _digamma_right(x: Any) -> Any:
    """The logarithmic derivative of gamma at x of a half or more.

    The recurrence takes x by `_SHIFT` to the right, where the asymptotic series holds:
    Abramowitz and Stegun, 6.3.5 and 6.3.18.
    """
    below: Any = divide(1.0, x)
    for step in range(1, _SHIFT):
        below = add(divide(1.0, add(x, float(step))), below)
    inverse = divide(1.0, add(x, float(_SHIFT)))
    square = multiply(inverse, inverse)
    terms = [b / (2 * k) for k, b in enumerate(_BERNOULLI, start=1)]
    series = multiply(polynomial(square, terms[::-1]), square)
    half = multiply(inverse, 0.5)
    return subtract(subtract(subtract(negate(log(inverse)), half), series), below)


def _digamma(x: Any) -> Any:
    # psi(x) = psi(1 - x) - pi / tan(pi x), for what lies left of a half.
    left = compare(x, 0.5, direction="LT")
    result = _digamma_right(select(left, subtract(1.0, x), x))
    part = subtract(x, round_nearest_even(x))
    slope = divide(math.pi, tan(multiply(part, math.pi)))
    pole = compare(part, 0.0, direction="EQ")
    reflected = select(pole, math.nan, subtract(result, slope))
    return select(left, reflected, result)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    vjp=lambda g, y, x: (multiply(g, polygamma(x, order=1)),),
    dtypes=FLOAT,
    samples=(*unary(0.6, 6.0), Sample((Arg("f64[5]", -3.9, -3.1),), smooth=False)),
    errors=UNARY_FLOAT_ERRORS,
    ulp=32,
    numerics="nan at the poles",
)
def digamma(x: Any) -> Any:
    """The derivative of the logarithm of the gamma function."""
    return in_dtype(_digamma(widen(x)), x.type.dtype)


def _whole_power(x: Any, exponent: int) -> Any:
    """x to a positive whole power, by squaring."""
    result: Any = None
    while exponent:
        if exponent % 2:
            result = x if result is None else multiply(result, x)
        exponent //= 2
        x = multiply(x, x) if exponent else x
    return result


def _hurwitz_zeta(power: int, x: Any) -> Any:
    """The sum of 1 / (x + k)^power over all k of 0 or more.

    The first terms as they are, the others by the Euler-Maclaurin formula: NIST's
    Digital Library of Mathematical Functions, 25.11.5 and 2.10.1.
    """
    shift = _SHIFT + power
    total: Any = _whole_power(divide(1.0, x), power)
    for step in range(1, shift):
        term = _whole_power(divide(1.0, add(x, float(step))), power)
        total = add(total, term)
    inverse = divide(1.0, add(x, float(shift)))
    rising, terms = float(power), [1 / (power - 1), 0.5]
    for k, bernoulli in enumerate(_BERNOULLI, start=1):
        terms.append(bernoulli / math.factorial(2 * k) * rising)
        rising *= (power + 2 * k - 1) * (power + 2 * k)
    square = multiply(inverse, inverse)
    even = multiply(polynomial(square, terms[:1:-1]), square)
    rest = add(add(even, multiply(inverse, terms[1])), terms[0])
    return add(total, multiply(rest, _whole_power(inverse, power - 1)))


def _polygamma_vjp(g: Any, y: Any, x: Any, order: int) -> Any:
    if order == MAX_ORDER:
        raise GraphError(f"polygamma: derivatives end at order {MAX_ORDER}")
    return (multiply(g, polygamma(x, order=order + 1)),)


def _polygamma_type(x: TensorType, order: int) -> TensorType:
    if not 1 <= order <= MAX_ORDER:
        raise GraphError(
            f"polygamma: order must be within 1..{MAX_ORDER}",
            received=str(order),
            hint="digamma is the one of order 0",
        )
    return x


@composite(
    Kind.ELEMENTWISE,
    infer=_polygamma_type,
    vjp=_polygamma_vjp,
    dtypes=FLOAT,
    samples=(
        Sample((Arg("f32[3,4]", 0.6, 6.0),), {"order": 1}),
        Sample((Arg("f64[5]", 0.6, 6.0),), {"order": 3}),
        Sample((Arg("f32[0]", 0.6, 6.0),), {"order": 2}),
        Sample((Arg("f64[5]", -3.9, -3.6),), {"order": 1}),
        Sample((Arg("f64[5]", -3.4, -3.1),), {"order": 4}),
    ),
    errors=(
        IllTyped(("i32[3]",), "must be floating point", {"order": 1}),
        IllTyped(("f32[3]",), "within 1..16", {"order": 0}),
        IllTyped(("f32[3]",), "attribute 'order' is missing"),
    ),
    ulp=32,
    numerics="infinite at 0; at the poles below it odd orders are, even ones are nan",
)
def polygamma(x: Any, *, order: int) -> Any:
    """The derivative of digamma of an order of 1 or more."""
    wide = widen(x)
    left = compare(wide, 0.0, direction="LT")
    right = select(left, subtract(1.0, wide), wide)
    sign = (-1.0) ** (order + 1)
    result = multiply(_hurwitz_zeta(order + 1, right), math.factorial(order) * sign)
    # Of 1 - x it is that of x, up to a sign, and a derivative of the cotangent.
    mirrored = add(multiply(result, sign), _cotangent_derivative(wide, order))
    return in_dtype(select(left, negate(mirrored), result), x.type.dtype)


def _cotangent_derivative(x: Any, order: int) -> Any:
    """The derivative of some order of pi / tan(pi x), as a polynomial of 1 / tan(pi x).

    Where that is infinite, derivatives of even order have two sides and are nan.
    """
    terms = [0.0, math.pi]
    for _ in range(order):
        slope = [-math.pi * power * term for power, term in enumerate(terms)][1:]
        shifted = zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)
        terms = [a + b for a, b in shifted]
    part = subtract(x, round_nearest_even(x))
    cotangent = divide(1.0, tan(multiply(part, math.pi)))
    result = polynomial(multiply(cotangent, cotangent), terms[::-2])
    if order % 2:
        return result
    pole = compare(part, 0.0, direction="EQ")
    return select(pole, math.nan, multiply(result, cotangent))
