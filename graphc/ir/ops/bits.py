"""Elementwise primitives on bits: logic, shifts and reinterpretation."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.opdef import (
    BITS,
    INTEGER,
    NUMBER,
    Arg,
    DType,
    IllTyped,
    Kind,
    Sample,
    Trait,
)
from graphc.ir.ops.elementwise import binary, unary
from graphc.ir.register import primitive
from graphc.ir.typerules import require, same_type
from graphc.ir.types import TensorType

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
        Sample(("f16[]",), {"dtype": "bf16"}),
    ),
    errors=(IllTyped(("f32[3]",), "of the same width", {"dtype": "f64"}),),
)
def bitcast_convert(x: TensorType, *, dtype: DType) -> TensorType:
    """The bits of x read as another dtype of the same width."""
    require(
        dtype.bits == x.dtype.bits,
        f"bitcast_convert: {dtype} is not of the same width",
        x,
    )
    return x.with_dtype(dtype)
