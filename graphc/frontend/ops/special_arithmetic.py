"""Rarer functions of elements: divisors, neighbours of floats, Bessel functions."""

from __future__ import annotations

import math
from typing import Any

from graphc.frontend.dispatch import op
from graphc.frontend.ops import elementwise, logic, reduction
from graphc.frontend.ops.arrangement import broadcast_to
from graphc.frontend.ops.control_flow import while_loop
from graphc.frontend.ops.creation import ones_like, zeros_like
from graphc.frontend.ops.elementwise import differs, zero_like
from graphc.frontend.ops.operands import (
    TensorLike,
    broadcast_shape,
    floats,
    matched,
    materialize,
    read,
    refuse,
    stretch_all,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor
from graphc.ir import Value
from graphc.ir import dtype as ir_dtype
from graphc.ir import ops as ir_ops
from graphc.ir.ops.along_axes import in_dtype, widen

__all__ = [
    "angle",
    "conj",
    "conjugate",
    "fmax",
    "fmin",
    "fmod",
    "gcd",
    "i0",
    "imag",
    "isreal",
    "lcm",
    "ldexp",
    "nextafter",
    "real",
    "sinc",
]


# -- extremes and remainders -----------------------------------------------------------


def _extreme(x1: TensorLike, x2: TensorLike, direction: str) -> Tensor:
    a, b = matched(x1, x2)
    first = ir_ops.compare(a, b, direction=direction)
    if a.type.dtype.is_float:
        first = ir_ops.or_(first, differs(b, b))
    return tensor(ir_ops.select(first, a, b))


@op
def fmax(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The larger of x1 and x2, broadcast; the other one where one is nan."""
    return _extreme(x1, x2, "GT")


@op
def fmin(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The smaller of x1 and x2, broadcast; the other one where one is nan."""
    return _extreme(x1, x2, "LT")


@op
def fmod(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The remainder of x1 / x2 rounded toward 0, broadcast; its sign is that of x1.

    Of integers and a zero it is 0.
    """
    return tensor(elementwise.whole_remainder(*matched(x1, x2, also=[int])))


# -- common divisors -------------------------------------------------------------------


def _integers(x1: TensorLike, x2: TensorLike) -> list[Tensor]:
    a, b = (tensor(materialize(x)) for x in matched(x1, x2, also=[int]))
    if not read(a).dtype.is_integer:
        refuse(f"Expected integers. Received: {read(x1).type}, {read(x2).type}")
    shape = broadcast_shape(a.shape, b.shape)
    return [elementwise.absolute(broadcast_to(x, shape)) for x in (a, b)]


@op
def gcd(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The greatest common divisor of integers, broadcast; 0 of two zeros.

    Raises:
        GraphError: If the tensors are not integers.
    """
    return _euclid(*_integers(x1, x2))


def _euclid(a: Tensor, b: Tensor) -> Tensor:
    def unfinished(a: Tensor, b: Tensor) -> Tensor:
        return reduction.any(logic.not_equal(b, 0))

    def step(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        done = logic.equal(b, 0)
        rest = elementwise.mod(a, logic.where(done, 1, b))
        return logic.where(done, a, b), logic.where(done, 0, rest)

    return while_loop(unfinished, step, (a, b))[0]


@op
def lcm(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The least common multiple of integers, broadcast; 0 if one of them is.

    Raises:
        GraphError: If the tensors are not integers.
    """
    a, b = _integers(x1, x2)
    divisor = elementwise.maximum(_euclid(a, b), 1)
    return elementwise.floor_divide(a, divisor) * b


# -- the representation of floats ------------------------------------------------------


@op
def ldexp(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 times 2 to the power of x2, broadcast, exactly.

    Args:
        x1: A tensor; integers become floats.
        x2: The exponents, integers.

    Raises:
        GraphError: If the exponents are not integers.
    """
    operand, exponent = floats(x1), read(x2)
    if not exponent.dtype.is_integer:
        refuse(f"Expected integer exponents. Received: x2: {exponent.type}")
    wide, exponent = stretch_all(widen(operand), exponent)
    found: Any = wide
    for factor in _powers_of_two(exponent, wide.type.dtype.bits):
        found = ir_ops.multiply(found, factor)
    return tensor(in_dtype(materialize(found), operand.dtype))


def _powers_of_two(exponent: Any, bits: int) -> list[Value]:
    """Four floats of `bits` bits whose product is 2 to the power of the exponent.

    No float reaches from the smallest number to the largest by itself.
    """
    bias, digits = (127, 23) if bits == 32 else (1023, 52)
    limit = 4 * (bias - 4)
    whole = ir_ops.convert(exponent, dtype=ir_dtype(f"int{bits}"))
    whole = ir_ops.clamp(-limit, whole, limit)
    quarter = ir_ops.shift_right_arithmetic(whole, 2)
    rest = ir_ops.subtract(whole, ir_ops.multiply(quarter, 3))
    part, last = (
        ir_ops.bitcast_convert(
            ir_ops.shift_left(ir_ops.add(power, bias), digits), dtype=f"float{bits}"
        )
        for power in (quarter, rest)
    )
    return [part, part, part, last]


@op
def nextafter(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The float next to x1 in the direction of x2, broadcast."""
    return tensor(ir_ops.next_after(*matched(x1, x2, also=[float])))


# -- parts of numbers ------------------------------------------------------------------


@op
def real(x: TensorLike) -> Tensor:
    """The real part of x, which is x: graphs have no complex dtypes."""
    return tensor(read(x))


@op
def imag(x: TensorLike) -> Tensor:
    """The imaginary part of x, which is 0: graphs have no complex dtypes."""
    return zeros_like(x)


@op
def conjugate(x: TensorLike) -> Tensor:
    """The complex conjugate of x, which is x: graphs have no complex dtypes."""
    return tensor(read(x))


@op
def conj(x: TensorLike) -> Tensor:
    """The complex conjugate of x; the same as `conjugate`."""
    return conjugate(x)


@op
def isreal(x: TensorLike) -> Tensor:
    """Where x has no imaginary part, as bool: everywhere."""
    return ones_like(x, "bool")


@op
def angle(x: TensorLike) -> Tensor:
    """The angle of x in the complex plane: pi where x is negative, else 0."""
    operand = floats(x)
    return tensor(ir_ops.atan2(zero_like(operand), operand))


# -- special functions -----------------------------------------------------------------


@op
def i0(x: TensorLike) -> Tensor:
    """The modified Bessel function of the first kind, of order 0."""
    operand = floats(x)
    # Not abs_, whose slope at 0 is 1: that of bessel_i0e does not make up for it.
    size = ir_ops.multiply(operand, ir_ops.sign(operand))
    return tensor(ir_ops.multiply(ir_ops.bessel_i0e(operand), ir_ops.exponential(size)))


@op
def sinc(x: TensorLike) -> Tensor:
    """``sin(pi x) / (pi x)``, and 1 at 0."""
    operand = tensor(floats(x))
    zero = logic.equal(operand, 0.0)
    turn = logic.where(zero, 1.0, operand) * math.pi
    return logic.where(zero, 1.0, elementwise.sin(turn) / turn)
