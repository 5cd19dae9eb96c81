"""Comparisons, logic, bits and choices, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.frontend.dispatch import op
from graphc.frontend.dtypes import is_int, standardize_dtype
from graphc.frontend.ops.elementwise import below, differs, equals, zero_like
from graphc.frontend.ops.operands import (
    TensorLike,
    matched,
    materialize,
    promote,
    read,
    refuse,
    stretch_all,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Literal, Operand, Value
from graphc.ir import ops as ir_ops
from graphc.ir.types import dtype, product

__all__ = [
    "allclose",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "isclose",
    "isfinite",
    "isin",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "right_shift",
    "select",
    "signbit",
    "where",
]


# -- comparisons -----------------------------------------------------------------------


def _compare(x1: TensorLike, x2: TensorLike, direction: str) -> Tensor:
    wider = [*_holding(x1, x2), *_holding(x2, x1)]
    return tensor(ir_ops.compare(*matched(x1, x2, also=wider), direction=direction))


def _holding(number: Any, other: Any) -> list[str]:
    """The narrowest dtype of a Python integer if that of `other` cannot hold it."""
    name = getattr(other, "dtype", None)
    if type(number) is not int or name is None or not is_int(standardize_dtype(name)):
        return []
    names = (standardize_dtype(name), "int8", "int16", "int32", "int64")
    limits = [np.iinfo(dtype(each).numpy) for each in names]
    fits = [each.min <= number <= each.max for each in limits]
    return [] if fits[0] or not any(fits) else [names[fits.index(True)]]


@op
def equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Where x1 == x2, broadcast, as bool."""
    return _compare(x1, x2, "EQ")


@op
def not_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Where x1 != x2, broadcast, as bool."""
    return _compare(x1, x2, "NE")


@op
def less(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Where x1 < x2, broadcast, as bool."""
    return _compare(x1, x2, "LT")


@op
def less_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Where x1 <= x2, broadcast, as bool."""
    return _compare(x1, x2, "LE")


@op
def greater(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Where x1 > x2, broadcast, as bool."""
    return _compare(x1, x2, "GT")


@op
def greater_equal(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Where x1 >= x2, broadcast, as bool."""
    return _compare(x1, x2, "GE")


@op
def isclose(
    x1: TensorLike,
    x2: TensorLike,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Where ``|x1 - x2| <= atol + rtol * |x2|``, broadcast, as bool.

    Args:
        x1: A tensor.
        x2: A tensor.
        rtol: The tolerance relative to x2.
        atol: The absolute tolerance.
        equal_nan: Whether nan is close to nan.
    """
    a, b = matched(x1, x2, also=[float])
    allowed = ir_ops.add(ir_ops.multiply(ir_ops.abs_(b), rtol), atol)
    gap = ir_ops.abs_(ir_ops.subtract(a, b))
    near = ir_ops.compare(gap, allowed, direction="LE")
    # An infinite x2 would make everything near.
    finite = ir_ops.and_(ir_ops.is_finite(a), ir_ops.is_finite(b))
    near = ir_ops.or_(ir_ops.and_(near, finite), equals(a, b))
    if equal_nan:
        near = ir_ops.or_(near, ir_ops.and_(differs(a, a), differs(b, b)))
    return tensor(near)


@op
def allclose(
    x1: TensorLike,
    x2: TensorLike,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Whether all elements of x1 and x2 are close, as one bool; see `isclose`."""
    near = value(isclose(x1, x2, rtol, atol, equal_nan))
    return tensor(ir_ops.reduce_and(near, axes=range(near.type.rank)))


@op
def isin(
    x1: TensorLike, x2: TensorLike, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Where an element of x1 occurs anywhere in x2, as bool.

    Args:
        x1: A tensor.
        x2: A tensor; each element of x1 is compared with each of its elements.
        assume_unique: Accepted as in Keras: whether no element occurs twice.
        invert: Whether to say where it does not occur instead.
    """
    a, b = map(materialize, promote(x1, x2))
    rank = a.type.rank
    shape = [*a.shape, product(b.shape)]
    row = ir_ops.reshape(b, shape=shape[-1:])
    found = equals(
        ir_ops.broadcast_in_dim(a, shape=shape, dims=range(rank)),
        ir_ops.broadcast_in_dim(row, shape=shape, dims=[rank]),
    )
    found = ir_ops.reduce_or(found, axes=[rank])
    return tensor(ir_ops.not_(found) if invert else found)


# -- special values --------------------------------------------------------------------


@op
def isnan(x: TensorLike) -> Tensor:
    """Where x is nan, as bool."""
    operand = read(x)
    return tensor(differs(operand, operand))


@op
def isfinite(x: TensorLike) -> Tensor:
    """Where x is neither infinite nor nan, as bool."""
    operand = read(x)
    if operand.type.dtype.is_float:
        return tensor(ir_ops.is_finite(operand))
    return tensor(equals(operand, operand))


def _infinite(x: TensorLike, sign: int) -> Tensor:
    operand = read(x)
    if not operand.type.dtype.is_float:
        return tensor(differs(operand, operand))
    found = operand if sign else ir_ops.abs_(operand)
    infinity = -math.inf if sign < 0 else math.inf
    return tensor(equals(found, Literal(infinity, operand.type.dtype)))


@op
def isinf(x: TensorLike) -> Tensor:
    """Where x is inf or -inf, as bool."""
    return _infinite(x, 0)


@op
def isposinf(x: TensorLike) -> Tensor:
    """Where x is inf, as bool."""
    return _infinite(x, 1)


@op
def isneginf(x: TensorLike) -> Tensor:
    """Where x is -inf, as bool."""
    return _infinite(x, -1)


@op
def signbit(x: TensorLike) -> Tensor:
    """Where the sign bit of x is set, as bool: also for -0.0."""
    operand = read(x)
    dtype = operand.type.dtype
    if dtype.is_float:
        operand = ir_ops.bitcast_convert(operand, dtype=f"int{dtype.bits}")
    return tensor(below(operand, zero_like(operand)))


# -- logic -----------------------------------------------------------------------------


def truth(x: TensorLike) -> Operand:
    """The operand that `x` stands for as bool: whether it differs from 0."""
    return value(x, "bool")


def _logical(op: Callable[..., Any], x1: TensorLike, x2: TensorLike) -> Tensor:
    return tensor(op(*stretch_all(materialize(truth(x1)), truth(x2))))


@op
def logical_and(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Where both x1 and x2 hold, broadcast, as bool; numbers hold unless 0."""
    return _logical(ir_ops.and_, x1, x2)


@op
def logical_or(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Where x1 or x2 holds, broadcast, as bool; numbers hold unless 0."""
    return _logical(ir_ops.or_, x1, x2)


@op
def logical_xor(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Where one of x1 and x2 holds, broadcast, as bool; numbers hold unless 0."""
    return _logical(ir_ops.xor, x1, x2)


@op
def logical_not(x: TensorLike) -> Tensor:
    """Where x does not hold, as bool; numbers hold unless 0."""
    return tensor(ir_ops.not_(truth(x)))


# -- bits ------------------------------------------------------------------------------


@op
def bitwise_and(x: TensorLike, y: TensorLike) -> Tensor:
    """The bits that are set in both integers, broadcast."""
    return tensor(ir_ops.and_(*matched(x, y)))


@op
def bitwise_or(x: TensorLike, y: TensorLike) -> Tensor:
    """The bits that are set in one or both of the integers, broadcast."""
    return tensor(ir_ops.or_(*matched(x, y)))


@op
def bitwise_xor(x: TensorLike, y: TensorLike) -> Tensor:
    """The bits that are set in one of the integers only, broadcast."""
    return tensor(ir_ops.xor(*matched(x, y)))


@op
def bitwise_not(x: TensorLike) -> Tensor:
    """The bits of the integers inverted; logical for bool."""
    return tensor(ir_ops.not_(read(x)))


@op
def bitwise_invert(x: TensorLike) -> Tensor:
    """The bits of the integers inverted; the same as `bitwise_not`."""
    return bitwise_not(x)


@op
def bitwise_left_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """The integers x shifted left by y bits, broadcast; bool becomes int32."""
    return tensor(ir_ops.shift_left(*matched(x, y, also=[int])))


@op
def left_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """The integers x shifted left by y bits; the same as `bitwise_left_shift`."""
    return bitwise_left_shift(x, y)


@op
def bitwise_right_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """The integers x shifted right by y bits, broadcast; the sign is kept."""
    a, b = matched(x, y, also=[int])
    unsigned = a.type.dtype.kind == "uint"
    shift = ir_ops.shift_right_logical if unsigned else ir_ops.shift_right_arithmetic
    return tensor(shift(a, b))


@op
def right_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """The integers x shifted right by y bits; the same as `bitwise_right_shift`."""
    return bitwise_right_shift(x, y)


# -- choices ---------------------------------------------------------------------------


@op
def where(
    condition: TensorLike, x1: TensorLike = None, x2: TensorLike = None
) -> Tensor:
    """Takes x1 where the condition holds, else x2; the three are broadcast.

    Args:
        condition: A tensor of bool, or of numbers, which hold unless 0.
        x1: What is taken where it holds.
        x2: What is taken elsewhere.

    Raises:
        GraphError: Without x1 and x2: the number of places where a condition holds
            is not known while tracing.
    """
    if x1 is None or x2 is None:
        refuse(
            "Expected both `x1` and `x2`. Received: "
            f"{'x1' if x1 is None else 'x2'}=None",
            hint="the number of true elements is not known while tracing; keep the "
            "shape and mask with ops.where(condition, x, 0)",
        )
    return tensor(choose(truth(condition), *promote(x1, x2)))


def choose(condition: Operand, a: Operand, b: Operand) -> Value:
    """Elements of `a` where the condition holds, else of `b`, broadcast."""
    return ir_ops.select(*stretch_all(materialize(condition), a, b))


@op
def select(
    condlist: Sequence[TensorLike],
    choicelist: Sequence[TensorLike],
    default: TensorLike = 0,
) -> Tensor:
    """From each place, the first choice whose condition holds there.

    Args:
        condlist: Conditions, bool, that broadcast with the choices.
        choicelist: As many tensors.
        default: What is taken where no condition holds.

    Raises:
        GraphError: If there are no conditions or not as many choices.
    """
    if not condlist or len(condlist) != len(choicelist):
        refuse(
            "Expected as many choices as conditions, at least one. Received: "
            f"{len(condlist)} conditions, {len(choicelist)} choices"
        )
    *choices, result = promote(*choicelist, default)
    for condition, choice in reversed(list(zip(condlist, choices, strict=True))):
        result = choose(truth(condition), choice, result)
    return tensor(result)
