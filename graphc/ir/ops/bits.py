"""Ops on bits: logic, shifts, counts and reinterpretation."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.opdef import (
    BITS,
    FLOAT,
    INTEGER,
    NUMBER,
    Arg,
    DType,
    IllTyped,
    Kind,
    Sample,
    Trait,
)
from graphc.ir.ops.elementwise import (
    BINARY_ERRORS,
    add,
    binary,
    compare,
    select,
    unary,
)
from graphc.ir.register import composite, primitive
from graphc.ir.typerules import require, same_type, shaped
from graphc.ir.types import BOOL, DTYPES, TensorType
from graphc.ir.values import Literal

INTEGER_BINARY_ERRORS = (
    IllTyped(("i32[3]", "i32[4]"), "must have the same shape"),
    IllTyped(("f32[3]", "f32[3]"), "must be an integer"),
)

_NOT_FLOAT = "its result is not a float"


@primitive(
    Kind.ELEMENTWISE,
    np.bitwise_and,
    vjp=_NOT_FLOAT,
    dtypes=BITS,
    traits=[Trait.COMMUTATIVE],
    samples=(*binary(dtype="bool"), *binary(-99, 99, "i32")),
    errors=(IllTyped(("f32[3]", "f32[3]"), "must be an integer or bool"),),
)
def and_(a: TensorType, b: TensorType) -> TensorType:
    """Bitwise and; logical for bool."""
    return same_type("and", a, b)


@primitive(
    Kind.ELEMENTWISE,
    np.bitwise_or,
    vjp=_NOT_FLOAT,
    dtypes=BITS,
    traits=[Trait.COMMUTATIVE],
    samples=(*binary(dtype="bool"), *binary(-99, 99, "i32")),
    errors=(IllTyped(("f32[3]", "f32[3]"), "must be an integer or bool"),),
)
def or_(a: TensorType, b: TensorType) -> TensorType:
    """Bitwise or; logical for bool."""
    return same_type("or", a, b)


@primitive(
    Kind.ELEMENTWISE,
    np.bitwise_xor,
    vjp=_NOT_FLOAT,
    dtypes=BITS,
    traits=[Trait.COMMUTATIVE],
    samples=(*binary(dtype="bool"), *binary(-99, 99, "i32")),
    errors=(IllTyped(("f32[3]", "f32[3]"), "must be an integer or bool"),),
)
def xor(a: TensorType, b: TensorType) -> TensorType:
    """Bitwise exclusive or; logical for bool."""
    return same_type("xor", a, b)


@primitive(
    Kind.ELEMENTWISE,
    np.invert,
    vjp=_NOT_FLOAT,
    dtypes=BITS,
    samples=(*unary(dtype="bool"), *unary(-99, 99, "i32")),
    errors=(IllTyped(("f32[3]",), "must be an integer or bool"),),
)
def not_(x: TensorType) -> TensorType:
    """Bitwise complement; logical for bool."""
    return x


def _shift(kind: str) -> Any:
    def reference(a: Any, b: Any) -> Any:
        # A shift by the width or more gives 0 (or the sign), as in StableHLO.
        bits = a.dtype.itemsize * 8
        unsigned = np.dtype(f"u{a.dtype.itemsize}")
        amount = b.astype(unsigned)
        large = amount >= bits
        amount = np.where(large, 0, amount).astype(unsigned)
        if kind == "left":
            shifted = np.left_shift(a.astype(unsigned), amount)
            return np.where(large, 0, shifted).astype(a.dtype)
        if kind == "logical":
            shifted = np.right_shift(a.astype(unsigned), amount)
            return np.where(large, 0, shifted).astype(a.dtype)
        signed = np.dtype(f"i{a.dtype.itemsize}")  # the top bit of unsigned ones too
        limited = np.where(large, bits - 1, amount).astype(signed)
        return np.right_shift(a.astype(signed), limited).astype(a.dtype)

    return reference


@primitive(
    Kind.ELEMENTWISE,
    _shift("left"),
    vjp=_NOT_FLOAT,
    dtypes=INTEGER,
    samples=binary(0, 31, "i32"),
    errors=INTEGER_BINARY_ERRORS,
)
def shift_left(a: TensorType, b: TensorType) -> TensorType:
    """a shifted left by b bits; 0 where b is the width or more."""
    return same_type("shift_left", a, b)


@primitive(
    Kind.ELEMENTWISE,
    _shift("logical"),
    vjp=_NOT_FLOAT,
    dtypes=INTEGER,
    samples=binary(0, 31, "i32"),
    errors=INTEGER_BINARY_ERRORS,
)
def shift_right_logical(a: TensorType, b: TensorType) -> TensorType:
    """a shifted right by b bits, zeros moving in."""
    return same_type("shift_right_logical", a, b)


@primitive(
    Kind.ELEMENTWISE,
    _shift("arithmetic"),
    vjp=_NOT_FLOAT,
    dtypes=INTEGER,
    samples=binary(0, 31, "i32"),
    errors=INTEGER_BINARY_ERRORS,
)
def shift_right_arithmetic(a: TensorType, b: TensorType) -> TensorType:
    """a shifted right by b bits, copies of the sign moving in."""
    return same_type("shift_right_arithmetic", a, b)


# -- counts ----------------------------------------------------------------------------


def _unsigned(x: Any) -> Any:
    return x.view(np.dtype(f"u{x.dtype.itemsize}"))


@primitive(
    Kind.ELEMENTWISE,
    lambda x: np.bitwise_count(_unsigned(x)).astype(x.dtype),
    vjp=_NOT_FLOAT,
    dtypes=INTEGER,
    traits=[Trait.READS_BITS],
    samples=(*unary(-99, 99, "i32"), *unary(0, 255, "u8")),
    errors=(IllTyped(("f32[3]",), "must be an integer"),),
)
def popcnt(x: TensorType) -> TensorType:
    """How many bits of x are set."""
    return x


def _leading_zeros(x: Any) -> Any:
    # A set bit is copied to all places below it; what is left are the leading zeros.
    bits, filled = x.dtype.itemsize * 8, _unsigned(x)
    for distance in (1, 2, 4, 8, 16, 32):
        if distance < bits:
            filled = filled | (filled >> filled.dtype.type(distance))
    return (bits - np.bitwise_count(filled)).astype(x.dtype)


@primitive(
    Kind.ELEMENTWISE,
    _leading_zeros,
    vjp=_NOT_FLOAT,
    dtypes=INTEGER,
    traits=[Trait.READS_BITS],
    samples=(*unary(-99, 99, "i32"), *unary(0, 255, "u8")),
    errors=(IllTyped(("f32[3]",), "must be an integer"),),
)
def count_leading_zeros(x: TensorType) -> TensorType:
    """How many bits stand above the highest one that is set; all of them for 0."""
    return x


# -- reinterpretation ------------------------------------------------------------------


@primitive(
    Kind.ELEMENTWISE,
    lambda x, dtype: x.view(dtype.numpy),
    vjp="the bits of a float are no smooth function of it",
    dtypes=NUMBER,
    traits=[Trait.READS_BITS],
    samples=(
        Sample(("f32[3,4]",), {"dtype": "i32"}),
        Sample((Arg("u32[5]", 0, 1e9),), {"dtype": "f32"}),
        Sample(("bf16[3,4]",), {"dtype": "u16"}),
        Sample((Arg("i16[5]", 0, 3e4),), {"dtype": "f16"}),
        Sample((Arg("i8[5]", -99, 99),), {"dtype": "u8"}),
        Sample((Arg("i64[3]", -9, 9),), {"dtype": "u64"}),
        Sample(("f16[]",), {"dtype": "bf16"}),
    ),
    errors=(
        IllTyped(("f32[3]",), "of the same width", {"dtype": "f64"}),
        IllTyped(("u8[3]",), "bool has no bits of its own", {"dtype": "bool"}),
    ),
)
def bitcast_convert(x: TensorType, *, dtype: DType) -> TensorType:
    """The bits of x read as another dtype of the same width."""
    require(dtype is not BOOL, "bitcast_convert: bool has no bits of its own", x)
    require(
        dtype.bits == x.dtype.bits,
        f"bitcast_convert: {dtype} is not of the same width",
        x,
    )
    return x.with_dtype(dtype)


def _reshape_bits(x: Any, dtype: DType) -> Any:
    narrow, wide = dtype.numpy, x.dtype
    if narrow.itemsize < wide.itemsize:
        ratio = wide.itemsize // narrow.itemsize
        return np.ascontiguousarray(x)[..., None].view(narrow).reshape(*x.shape, ratio)
    return np.ascontiguousarray(x).view(dtype.numpy).reshape(x.shape[:-1])


@primitive(
    Kind.OPAQUE,
    _reshape_bits,
    vjp="the bits of a float are no smooth function of it",
    dtypes=NUMBER,
    traits=[Trait.READS_BITS, Trait.GATHERS],
    samples=(
        Sample(("f32[3]",), {"dtype": "u8"}),
        Sample((Arg("u8[3,4]", 0, 120),), {"dtype": "f32"}),
        Sample((Arg("i16[2,2]", 1000, 15000),), {"dtype": "f32"}),
        Sample(("bf16[]",), {"dtype": "i8"}),
        Sample((Arg("u16[0,2]", 0, 99),), {"dtype": "u32"}),
        Sample(("f32[B,3]",), {"dtype": "u16"}),
    ),
    errors=(
        IllTyped(("f32[3]",), "must have another width", {"dtype": "i32"}),
        IllTyped(("u8[3,2]",), "last dimension must be 4", {"dtype": "f32"}),
        IllTyped(("u8[]",), "last dimension must be 4", {"dtype": "f32"}),
        IllTyped(("u32[3]",), "bool has no bits of its own", {"dtype": "bool"}),
    ),
    numerics="the lowest bits of a wide element come first",
)
def bitcast_reshape(x: TensorType, *, dtype: DType) -> TensorType:
    """The bits of x read as a dtype of another width.

    A narrower one adds a last dimension, which holds the parts of each element; for a
    wider one the last dimension is taken away.
    """
    name, ratio = "bitcast_reshape", x.dtype.bits // dtype.bits
    require(dtype is not BOOL, f"{name}: bool has no bits of its own", x)
    require(
        dtype.bits not in (4, x.dtype.bits),
        f"{name}: {dtype} must have another width than the operand",
        x,
    )
    if ratio > 1:
        return shaped(x.with_dtype(dtype), (*x.shape, ratio))
    parts = dtype.bits // x.dtype.bits
    require(
        x.rank > 0 and x.shape[-1] == parts,
        f"{name}: the last dimension must be {parts} for {dtype}",
        x,
    )
    return TensorType(x.shape[:-1], dtype)


# -- neighbours ------------------------------------------------------------------------


@composite(
    Kind.ELEMENTWISE,
    infer=lambda x, y: same_type("next_after", x, y),
    reference=np.nextafter,
    vjp="it moves by the last place only",
    dtypes=FLOAT,
    traits=[Trait.READS_BITS],
    samples=binary(),
    errors=BINARY_ERRORS,
    numerics="nan if an operand is nan; y where the operands are equal",
)
def next_after(x: Any, y: Any) -> Any:
    """The number of the dtype that comes after x on the way to y."""
    kind = x.type.dtype
    bits = DTYPES[f"i{kind.bits}"]
    # As integers, floats of one sign are in the order of their magnitudes.
    number = bitcast_convert(x, dtype=bits)
    away = compare(
        compare(x, y, direction="LT"), compare(x, 0.0, direction="GT"), direction="EQ"
    )
    stepped = add(number, select(away, 1, Literal(-1, bits)))
    top = kind.bits - 1
    sign = shift_right_arithmetic(bitcast_convert(y, dtype=bits), top)
    smallest = or_(shift_left(sign, top), 1)
    is_zero = compare(x, 0.0, direction="EQ")
    moved = bitcast_convert(select(is_zero, smallest, stepped), dtype=kind)
    moved = select(compare(x, y, direction="EQ"), y, moved)
    for operand in (x, y):
        is_nan = compare(operand, operand, direction="NE")
        moved = select(is_nan, operand, moved)
    return moved
