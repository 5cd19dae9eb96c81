"""Arithmetic, exponentials, trigonometry and rounding, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes

from graphc.frontend.dispatch import op
from graphc.frontend.dtypes import is_float, is_int
from graphc.frontend.ops.operands import (
    TensorLike,
    floats,
    matched,
    promote,
    read,
    refuse,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor
from graphc.ir import Literal, Operand, Value
from graphc.ir import ops as ir_ops

__all__ = [
    "abs",
    "absolute",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cbrt",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "deg2rad",
    "divide",
    "divide_no_nan",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "floor_divide",
    "heaviside",
    "hypot",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nan_to_num",
    "negative",
    "power",
    "rad2deg",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
]


def is_bool(x: Operand) -> bool:
    """Whether an operand's elements are bool."""
    return x.type.dtype.kind == "bool"


def below(a: Any, b: Any) -> Any:
    """Where ``a < b``."""
    return ir_ops.compare(a, b, direction="LT")


def equals(a: Any, b: Any) -> Any:
    """Where ``a == b``."""
    return ir_ops.compare(a, b, direction="EQ")


def differs(a: Any, b: Any) -> Any:
    """Where ``a != b``; nan differs from itself."""
    return ir_ops.compare(a, b, direction="NE")


# -- arithmetic ------------------------------------------------------------------------


@op
def add(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 + x2, broadcast; logical or for bool."""
    a, b = matched(x1, x2)
    return tensor(ir_ops.or_(a, b) if is_bool(a) else ir_ops.add(a, b))


@op
def subtract(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 - x2, broadcast."""
    return tensor(ir_ops.subtract(*matched(x1, x2)))


@op
def multiply(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 * x2, broadcast; logical and for bool."""
    a, b = matched(x1, x2)
    return tensor(ir_ops.and_(a, b) if is_bool(a) else ir_ops.multiply(a, b))


@op
def divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 / x2, broadcast; integers are divided as floats."""
    return tensor(ir_ops.divide(*matched(x1, x2, also=[float])))


@op
def true_divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 / x2, broadcast; the same as `divide`."""
    return divide(x1, x2)


@op
def divide_no_nan(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 / x2, broadcast, and 0 where x2 is 0."""
    a, b = matched(x1, x2, also=[float])
    zero = equals(b, zero_like(b))
    quotient = ir_ops.divide(a, ir_ops.select(zero, Literal(1, b.type.dtype), b))
    return tensor(ir_ops.select(zero, zero_like(quotient), quotient))


def zero_like(x: Operand) -> Operand:
    """A zero of the dtype of `x`."""
    return Literal(0, x.type.dtype)


@op
def floor_divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The largest whole number not above x1 / x2, broadcast."""
    a, b = matched(x1, x2, also=[int])
    remainder = ir_ops.remainder(a, b)
    if not is_float(a.type.dtype.long_name):
        quotient = ir_ops.divide(a, b)
        if a.type.dtype.kind == "uint":
            return tensor(quotient)
        return tensor(
            ir_ops.select(_apart(remainder, b), ir_ops.subtract(quotient, 1), quotient)
        )
    # From the exact remainder: the rounded quotient may already be the next number.
    by_zero = equals(b, zero_like(b))
    multiple = ir_ops.select(by_zero, a, ir_ops.subtract(a, remainder))
    quotient = ir_ops.divide(multiple, b)
    lower = ir_ops.subtract(quotient, 1.0)
    quotient = ir_ops.select(_apart(remainder, b), lower, quotient)
    return tensor(ir_ops.round_nearest_even(quotient))


@op
def mod(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The remainder of x1 / x2 rounded down, broadcast; its sign is that of x2.

    Of integers and a zero it is 0.
    """
    a, b = matched(x1, x2, also=[int])
    remainder = whole_remainder(a, b)
    if a.type.dtype.kind == "uint":
        return tensor(remainder)
    shifted = ir_ops.add(remainder, b)
    return tensor(ir_ops.select(_apart(remainder, b), shifted, remainder))


def whole_remainder(a: Operand, b: Operand) -> Value:
    """What division towards zero leaves of `a`, and 0 where an integer `b` is 0."""
    remainder = ir_ops.remainder(a, b)
    if a.type.dtype.is_float or (isinstance(b, Literal) and b.value):
        return remainder
    return ir_ops.select(equals(b, zero_like(b)), zero_like(remainder), remainder)


def _apart(remainder: Any, divisor: Any) -> Any:
    """Where a remainder is not zero and its sign is not the divisor's."""
    zero = zero_like(remainder)
    signs = ir_ops.xor(below(remainder, zero), below(divisor, zero))
    return ir_ops.and_(differs(remainder, zero), signs)


@op
def negative(x: TensorLike) -> Tensor:
    """-x."""
    return tensor(ir_ops.negate(read(x)))


@op
def absolute(x: TensorLike) -> Tensor:
    """The absolute value of x."""
    operand = read(x)
    if operand.type.dtype.kind in ("bool", "uint"):
        return tensor(operand)
    return tensor(ir_ops.abs_(operand))


@op
def abs(x: TensorLike) -> Tensor:
    """The absolute value of x; the same as `absolute`."""
    return absolute(x)


@op
def fabs(x: TensorLike) -> Tensor:
    """The absolute value of x as a float."""
    return tensor(ir_ops.abs_(floats(x)))


@op
def sign(x: TensorLike) -> Tensor:
    """-1, 0 or 1 as x is negative, zero or positive."""
    operand = read(x)
    if operand.type.dtype.kind == "uint":
        positive = differs(operand, zero_like(operand))
        return tensor(ir_ops.convert(positive, dtype=operand.type.dtype))
    return tensor(ir_ops.sign(operand))


@op
def square(x: TensorLike) -> Tensor:
    """The square of x; bool becomes int32."""
    (operand,) = promote(x, also=[int])
    return tensor(ir_ops.multiply(operand, operand))


@op
def reciprocal(x: TensorLike) -> Tensor:
    """1 / x."""
    return divide(1.0, x)


@op
def power(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 to the power of x2, broadcast; integers stay integers and wrap around."""
    a, b = matched(x1, x2, also=[int])
    if isinstance(b, Literal) and b.value in (1, 2, 3):
        return tensor(_small_power(a, int(b.value)))
    if is_float(a.type.dtype.long_name):
        return tensor(ir_ops.power(a, b))
    return tensor(_integer_power(a, b))


def _small_power(a: Any, exponent: int) -> Any:
    result = a
    for _ in range(exponent - 1):
        result = ir_ops.multiply(result, a)
    return result


def _integer_power(a: Any, b: Any) -> Any:
    """The power of integers by repeated squaring: bit i of b asks for a ** 2**i."""
    if isinstance(b, Literal):
        bits = max(1, int(b.value).bit_length())
    else:
        bits = b.type.dtype.bits - (b.type.dtype.kind == "int")
    one, zero = Literal(1, a.type.dtype), zero_like(a)
    result = one
    for bit in range(bits):
        wanted = ir_ops.and_(b, Literal(1 << bit, a.type.dtype))
        result = ir_ops.multiply(result, ir_ops.select(differs(wanted, zero), a, one))
        if bit + 1 < bits:
            a = ir_ops.multiply(a, a)
    return result


@op
def maximum(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The larger of x1 and x2, broadcast; nan if one is nan."""
    return tensor(ir_ops.maximum(*matched(x1, x2)))


@op
def minimum(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The smaller of x1 and x2, broadcast; nan if one is nan."""
    return tensor(ir_ops.minimum(*matched(x1, x2)))


@op
def clip(x: TensorLike, x_min: TensorLike, x_max: TensorLike) -> Tensor:
    """Limits x to x_min..x_max, broadcast; bool becomes int32.

    Either limit may be None for no limit on that side.
    """
    limits = [limit for limit in (x_min, x_max) if limit is not None]
    operand, *found = matched(x, *limits, also=[int])
    if len(found) == 2:
        # At a limit half of the gradient flows, as in Keras; a clamp passes all of it.
        return tensor(ir_ops.minimum(ir_ops.maximum(operand, found[0]), found[1]))
    if not found:
        return tensor(operand)
    limited = ir_ops.minimum if x_min is None else ir_ops.maximum
    return tensor(limited(operand, found[0]))


@op
def nan_to_num(
    x: TensorLike,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """Replaces nan and the infinities in x.

    Args:
        x: A tensor.
        nan: What takes the place of nan.
        posinf: What takes the place of inf; the largest finite number by default.
        neginf: What takes the place of -inf; the lowest finite number by default.
    """
    operand = read(x)
    dtype = operand.type.dtype
    if not dtype.is_float:
        return tensor(operand)
    largest = float(ml_dtypes.finfo(dtype.numpy).max)
    high = Literal(largest if posinf is None else posinf, dtype)
    low = Literal(-largest if neginf is None else neginf, dtype)
    result = ir_ops.select(differs(operand, operand), Literal(nan, dtype), operand)
    result = ir_ops.select(equals(operand, Literal(math.inf, dtype)), high, result)
    return tensor(
        ir_ops.select(equals(operand, Literal(-math.inf, dtype)), low, result)
    )


# -- exponentials and roots ------------------------------------------------------------


def _float_unary(op: Callable[..., Any], x: TensorLike) -> Tensor:
    return tensor(op(floats(x)))


@op
def exp(x: TensorLike) -> Tensor:
    """The exponential of x."""
    return _float_unary(ir_ops.exponential, x)


@op
def exp2(x: TensorLike) -> Tensor:
    """2 to the power of x."""
    return _float_unary(lambda a: ir_ops.power(Literal(2.0, a.type.dtype), a), x)


@op
def expm1(x: TensorLike) -> Tensor:
    """The exponential of x, minus 1, accurate near 0."""
    return _float_unary(ir_ops.exponential_minus_one, x)


@op
def log(x: TensorLike) -> Tensor:
    """The natural logarithm of x."""
    return _float_unary(ir_ops.log, x)


@op
def log1p(x: TensorLike) -> Tensor:
    """The natural logarithm of 1 + x, accurate near 0."""
    return _float_unary(ir_ops.log_plus_one, x)


@op
def log2(x: TensorLike) -> Tensor:
    """The logarithm of x to base 2."""
    return _float_unary(lambda a: ir_ops.divide(ir_ops.log(a), math.log(2)), x)


@op
def log10(x: TensorLike) -> Tensor:
    """The logarithm of x to base 10."""
    return _float_unary(lambda a: ir_ops.divide(ir_ops.log(a), math.log(10)), x)


@op
def logaddexp(x1: TensorLike, x2: TensorLike) -> Tensor:
    """log(exp(x1) + exp(x2)), broadcast, without overflow."""
    a, b = matched(x1, x2, also=[float])
    return tensor(_log_of_sum(a, b, ir_ops.exponential, ir_ops.log_plus_one))


@op
def logaddexp2(x1: TensorLike, x2: TensorLike) -> Tensor:
    """log2(2**x1 + 2**x2), broadcast, without overflow."""
    a, b = matched(x1, x2, also=[float])
    return tensor(
        _log_of_sum(
            a,
            b,
            lambda d: ir_ops.exponential(ir_ops.multiply(d, math.log(2))),
            lambda s: ir_ops.divide(ir_ops.log_plus_one(s), math.log(2)),
        )
    )


def _log_of_sum(a: Any, b: Any, exp: Any, log_plus_one: Any) -> Any:
    # Equal operands differ by 0 also when both are infinite.
    apart = ir_ops.select(equals(a, b), zero_like(a), ir_ops.subtract(a, b))
    smaller = exp(ir_ops.negate(ir_ops.abs_(apart)))
    return ir_ops.add(ir_ops.maximum(a, b), log_plus_one(smaller))


@op
def sqrt(x: TensorLike) -> Tensor:
    """The square root of x."""
    return _float_unary(ir_ops.sqrt, x)


@op
def rsqrt(x: TensorLike) -> Tensor:
    """1 / sqrt(x)."""
    return _float_unary(ir_ops.rsqrt, x)


@op
def cbrt(x: TensorLike) -> Tensor:
    """The cube root of x."""
    return _float_unary(ir_ops.cbrt, x)


@op
def hypot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """sqrt(x1**2 + x2**2), broadcast, without overflow on the way."""
    a, b = matched(x1, x2, also=[float])
    a, b = ir_ops.abs_(a), ir_ops.abs_(b)
    larger, smaller = ir_ops.maximum(a, b), ir_ops.minimum(a, b)
    zero = equals(larger, 0.0)
    ratio = ir_ops.divide(smaller, ir_ops.select(zero, 1.0, larger))
    root = ir_ops.sqrt(ir_ops.add(ir_ops.multiply(ratio, ratio), 1.0))
    # An infinity is longer than anything, NaN included.
    endless = ir_ops.or_(equals(a, math.inf), equals(b, math.inf))
    return tensor(ir_ops.select(endless, math.inf, ir_ops.multiply(larger, root)))


@op
def erf(x: TensorLike) -> Tensor:
    """The error function of x."""
    return _float_unary(ir_ops.erf, x)


@op
def erfc(x: TensorLike) -> Tensor:
    """1 - erf(x)."""
    return _float_unary(ir_ops.erfc, x)


@op
def erfinv(x: TensorLike) -> Tensor:
    """The inverse of the error function, for x in -1..1."""
    return _float_unary(ir_ops.erf_inv, x)


# -- trigonometry ----------------------------------------------------------------------


@op
def sin(x: TensorLike) -> Tensor:
    """The sine of x in radians."""
    return _float_unary(ir_ops.sine, x)


@op
def cos(x: TensorLike) -> Tensor:
    """The cosine of x in radians."""
    return _float_unary(ir_ops.cosine, x)


@op
def tan(x: TensorLike) -> Tensor:
    """The tangent of x in radians."""
    return _float_unary(ir_ops.tan, x)


@op
def arcsin(x: TensorLike) -> Tensor:
    """The angle in -pi/2..pi/2 whose sine is x."""
    return _float_unary(ir_ops.asin, x)


@op
def arccos(x: TensorLike) -> Tensor:
    """The angle in 0..pi whose cosine is x."""
    return _float_unary(ir_ops.acos, x)


@op
def arctan(x: TensorLike) -> Tensor:
    """The angle in -pi/2..pi/2 whose tangent is x."""
    return _float_unary(ir_ops.atan, x)


@op
def arctan2(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The angle in -pi..pi of the point (x2, x1), broadcast."""
    return tensor(ir_ops.atan2(*matched(x1, x2, also=[float])))


@op
def sinh(x: TensorLike) -> Tensor:
    """The hyperbolic sine of x."""
    return _float_unary(ir_ops.sinh, x)


@op
def cosh(x: TensorLike) -> Tensor:
    """The hyperbolic cosine of x."""
    return _float_unary(ir_ops.cosh, x)


@op
def tanh(x: TensorLike) -> Tensor:
    """The hyperbolic tangent of x."""
    return _float_unary(ir_ops.tanh, x)


@op
def arcsinh(x: TensorLike) -> Tensor:
    """The inverse of the hyperbolic sine."""
    return _float_unary(ir_ops.asinh, x)


@op
def arccosh(x: TensorLike) -> Tensor:
    """The inverse of the hyperbolic cosine, for x of at least 1."""
    return _float_unary(ir_ops.acosh, x)


@op
def arctanh(x: TensorLike) -> Tensor:
    """The inverse of the hyperbolic tangent, for x in -1..1."""
    return _float_unary(ir_ops.atanh, x)


@op
def deg2rad(x: TensorLike) -> Tensor:
    """Degrees in radians."""
    return _float_unary(lambda a: ir_ops.multiply(a, math.pi / 180), x)


@op
def rad2deg(x: TensorLike) -> Tensor:
    """Radians in degrees."""
    return _float_unary(lambda a: ir_ops.multiply(a, 180 / math.pi), x)


# -- rounding --------------------------------------------------------------------------


@op
def floor(x: TensorLike) -> Tensor:
    """The largest whole number that is not above x; integers become floats."""
    return _float_unary(ir_ops.floor, x)


@op
def ceil(x: TensorLike) -> Tensor:
    """The smallest whole number that is not below x; integers become floats."""
    return _float_unary(ir_ops.ceil, x)


@op
def trunc(x: TensorLike) -> Tensor:
    """The whole part of x, rounded toward 0; integers stay."""
    operand = read(x)
    if not operand.type.dtype.is_float:
        return tensor(operand)
    negative = below(operand, zero_like(operand))
    whole = ir_ops.select(negative, ir_ops.ceil(operand), ir_ops.floor(operand))
    return tensor(whole)


@op
def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """Rounds x to `decimals` places; halves go to the even digit."""
    operand = read(x)
    if is_int(operand.type.dtype.long_name) and decimals >= 0:
        return tensor(operand)
    if not operand.type.dtype.is_float:
        refuse(
            "Expected integers with `decimals` of at least 0, or floats. "
            f"Received: {operand.type}, decimals={decimals}"
        )
    if decimals == 0:
        return tensor(ir_ops.round_nearest_even(operand))
    # A power of ten is exact, its inverse is not: divide where it is to be shrunk.
    factor = 10.0 ** (decimals if decimals > 0 else -decimals)
    there, back = ir_ops.multiply, ir_ops.divide
    if decimals < 0:
        there, back = back, there
    return tensor(back(ir_ops.round_nearest_even(there(operand, factor)), factor))


@op
def heaviside(x1: TensorLike, x2: TensorLike) -> Tensor:
    """0 where x1 is negative, 1 where it is positive, x2 where it is 0; broadcast."""
    a, b = matched(x1, x2, also=[float])
    one, zero = Literal(1, a.type.dtype), zero_like(a)
    step = ir_ops.select(below(a, zero), zero, ir_ops.select(equals(a, zero), b, one))
    return tensor(ir_ops.select(differs(a, a), a, step))
