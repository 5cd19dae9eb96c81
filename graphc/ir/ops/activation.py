"""Activation functions: elementwise composites."""

from __future__ import annotations

import math
from typing import Any

from graphc.ir.opdef import FLOAT, NUMBER, IllTyped, Kind, Sample
from graphc.ir.ops.along_axes import in_dtype, unchanged, widen
from graphc.ir.ops.bits import and_
from graphc.ir.ops.elementwise import (
    UNARY_FLOAT_ERRORS,
    abs_,
    add,
    clamp,
    compare,
    divide,
    maximum,
    minimum,
    multiply,
    negate,
    select,
    subtract,
    unary,
)
from graphc.ir.ops.special import erf
from graphc.ir.ops.transcendental import (
    exponential,
    exponential_minus_one,
    log_plus_one,
    logistic,
    tanh,
)
from graphc.ir.register import composite

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
"""The constants of `selu`; for large negative inputs it is minus their product."""

# -- piecewise linear ------------------------------------------------------------------


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    vjp=lambda g, y, x: (select(compare(y, 0, direction="GT"), g, 0.0),),
    dtypes=NUMBER,
    samples=(*unary(), Sample(("i32[5]",))),
    errors=(IllTyped(("bool[3]",), "must be a number"),),
    numerics="the derivative at 0 is 0",
)
def relu(x: Any) -> Any:
    """The larger of x and 0."""
    return maximum(x, 0)


def _relu6_vjp(g: Any, y: Any, x: Any) -> Any:
    inside = and_(compare(y, 0, direction="GT"), compare(y, 6, direction="LT"))
    return (select(inside, g, 0.0),)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    vjp=_relu6_vjp,
    dtypes=NUMBER,
    samples=unary(-3.0, 9.0),
    errors=(IllTyped(("bool[3]",), "must be a number"),),
    numerics="the derivative at 0 and at 6 is 0",
)
def relu6(x: Any) -> Any:
    """The operand limited to 0..6."""
    return clamp(0, x, 6)


def _leaky_relu_vjp(g: Any, y: Any, x: Any, slope: float) -> Any:
    return (select(compare(x, 0, direction="GE"), g, multiply(g, slope)),)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    vjp=_leaky_relu_vjp,
    dtypes=FLOAT,
    samples=tuple(Sample(s.operands, {"slope": 0.2}) for s in unary()),
    errors=(
        IllTyped(("i32[3]",), "must be floating point", {"slope": 0.2}),
        IllTyped(("f32[3]",), "attribute 'slope' is missing"),
    ),
    numerics="the derivative at 0 is 1",
)
def leaky_relu(x: Any, *, slope: float) -> Any:
    """The operand, times slope where it is negative."""
    return select(compare(x, 0, direction="GE"), x, multiply(x, slope))


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    dtypes=FLOAT,
    samples=unary(-5.0, 5.0),
    errors=UNARY_FLOAT_ERRORS,
    ulp=2,
)
def hard_sigmoid(x: Any) -> Any:
    """The logistic sigmoid by straight lines: x / 6 + 0.5 limited to 0..1."""
    return multiply(relu6(add(x, 3.0)), 1 / 6)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    dtypes=FLOAT,
    samples=unary(-5.0, 5.0),
    errors=UNARY_FLOAT_ERRORS,
    ulp=2,
)
def hard_silu(x: Any) -> Any:
    """The product x * hard_sigmoid(x)."""
    return multiply(x, hard_sigmoid(x))


# -- smooth ----------------------------------------------------------------------------


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    dtypes=FLOAT,
    samples=unary(-5.0, 5.0),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def silu(x: Any) -> Any:
    """The sigmoid-weighted linear unit, x * logistic(x); also called swish."""
    return multiply(x, logistic(x))


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    vjp=lambda g, y, x: (multiply(g, logistic(x)),),
    dtypes=FLOAT,
    samples=(*unary(-5.0, 5.0), *unary(-200.0, 200.0)),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
    numerics="neither overflows for large x nor loses accuracy for small ones",
)
def softplus(x: Any) -> Any:
    """log(1 + exp(x)), a smooth relu."""
    wide = widen(x)
    rest = log_plus_one(exponential(negate(abs_(wide))))
    return in_dtype(add(maximum(wide, 0.0), rest), x.type.dtype)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    vjp=lambda g, y, x: (multiply(g, logistic(negate(x))),),
    dtypes=FLOAT,
    samples=(*unary(-5.0, 5.0), *unary(-200.0, 200.0)),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def log_sigmoid(x: Any) -> Any:
    """log(logistic(x))."""
    return negate(softplus(negate(x)))


def _softsign_vjp(g: Any, y: Any, x: Any) -> Any:
    size = add(abs_(x), 1.0)
    return (divide(g, multiply(size, size)),)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    vjp=_softsign_vjp,
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    ulp=2,
)
def softsign(x: Any) -> Any:
    """The quotient x / (1 + |x|)."""
    return divide(x, add(abs_(x), 1.0))


def _elu_vjp(g: Any, y: Any, x: Any, alpha: float) -> Any:
    return (select(compare(x, 0.0, direction="GT"), g, multiply(g, add(y, alpha))),)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    vjp=_elu_vjp,
    dtypes=FLOAT,
    samples=(*unary(), Sample(("f32[5]",), {"alpha": 0.5})),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def elu(x: Any, *, alpha: float = 1.0) -> Any:
    """The exponential linear unit: x above 0, alpha * (exp(x) - 1) below."""
    below = multiply(exponential_minus_one(minimum(x, 0.0)), alpha)
    return select(compare(x, 0.0, direction="GT"), x, below)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    dtypes=FLOAT,
    samples=unary(),
    errors=UNARY_FLOAT_ERRORS,
    ulp=8,
)
def selu(x: Any) -> Any:
    """The elu whose outputs keep mean 0 and variance 1 through deep networks."""
    return multiply(elu(x, alpha=SELU_ALPHA), SELU_SCALE)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    dtypes=FLOAT,
    samples=unary(-5.0, 5.0),
    errors=UNARY_FLOAT_ERRORS,
    ulp=16,
)
def mish(x: Any) -> Any:
    """The product x * tanh(softplus(x))."""
    wide = widen(x)
    return in_dtype(multiply(wide, tanh(softplus(wide))), x.type.dtype)


# -- gelu ------------------------------------------------------------------------------

_TANH_SCALE = math.sqrt(2 / math.pi)
_TANH_CUBE = 0.044715


def _gelu_weight(x: Any, approximate: bool) -> Any:
    """What gelu weights x with: the normal distribution function, or nearly so."""
    if approximate:
        cube = multiply(multiply(x, x), x)
        inner = multiply(add(x, multiply(cube, _TANH_CUBE)), _TANH_SCALE)
        return multiply(add(tanh(inner), 1.0), 0.5)
    return multiply(add(erf(multiply(x, math.sqrt(0.5))), 1.0), 0.5)


def _gelu_vjp(g: Any, y: Any, x: Any, approximate: bool) -> Any:
    wide = widen(x)
    weight = _gelu_weight(wide, approximate)
    if approximate:  # (1 + tanh u)/2 = w has the derivative 2 w (1 - w) u'.
        near = clamp(-16.0, wide, 16.0)  # further out w is 0 or 1, u' might overflow
        square = multiply(near, near)
        inner = add(multiply(square, 3 * _TANH_CUBE * _TANH_SCALE), _TANH_SCALE)
        slope = multiply(multiply(weight, subtract(1.0, weight)), inner)
        slope = multiply(slope, 2.0)
    else:
        slope = exponential(multiply(multiply(wide, wide), -0.5))
        slope = multiply(slope, 1 / math.sqrt(2 * math.pi))
    total = add(weight, multiply(wide, slope))
    return (in_dtype(multiply(widen(g), total), x.type.dtype),)


@composite(
    Kind.ELEMENTWISE,
    infer=unchanged,
    vjp=_gelu_vjp,
    dtypes=FLOAT,
    samples=(
        *unary(-4.0, 4.0),
        *(Sample(s.operands, {"approximate": True}) for s in unary(-4.0, 4.0)),
    ),
    errors=(
        *UNARY_FLOAT_ERRORS,
        IllTyped(("f32[3]",), "kind bool", {"approximate": 1}),
    ),
    ulp=16,
    numerics="small results far below 0 have float32's absolute accuracy, no relative",
)
def gelu(x: Any, *, approximate: bool = False) -> Any:
    """The Gaussian error linear unit: x times the normal distribution function of x.

    If approximate, the distribution function is approximated with a tanh.
    """
    wide = widen(x)
    return in_dtype(multiply(wide, _gelu_weight(wide, approximate)), x.type.dtype)
