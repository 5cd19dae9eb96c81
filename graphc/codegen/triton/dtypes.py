"""How elements of each dtype are held in kernels, and how they are stored."""

from __future__ import annotations

import math
import re

import numpy as np

from graphc.codegen.triton.mathematics import Expression, call
from graphc.ir.types import (
    BF16,
    BOOL,
    F8E4M3FN,
    F8E5M2,
    F16,
    F32,
    F64,
    I4,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    DType,
)
from graphc.ir.values import Literal

_HELD: dict[DType, str] = {
    BOOL: "tl.int1",
    I4: "tl.int8",
    I8: "tl.int8",
    I16: "tl.int16",
    I32: "tl.int32",
    I64: "tl.int64",
    U8: "tl.uint8",
    U16: "tl.uint16",
    U32: "tl.uint32",
    U64: "tl.uint64",
    F8E4M3FN: "tl.float32",
    F8E5M2: "tl.float32",
    F16: "tl.float32",
    BF16: "tl.float32",
    F32: "tl.float32",
    F64: "tl.float64",
}
_TYPED = re.compile(r"tl\.full\(\[\], (.*), tl\.\w+\)")
_NEGATIVE_ZEROS = {
    "tl.float32": "tl.full([], -(2**31), tl.int32).to(tl.float32, bitcast=True)",
    "tl.float64": "tl.full([], -(2**63), tl.int64).to(tl.float64, bitcast=True)",
}
_SMALLEST_NORMAL = float(np.finfo(np.float32).smallest_normal)


def held(dtype: DType) -> str:
    """The Triton dtype that a kernel computes with; narrow floats are float32 in it."""
    return _HELD[dtype]


def widened(text: str, dtype: DType) -> Expression:
    """Elements as they were loaded, in the dtype that they are held in."""
    if dtype in (F16, BF16):
        return Expression(f"{text}.to(tl.float32)")
    if dtype is BOOL:
        return Expression(f"{text} != 0")
    if dtype in (F8E4M3FN, F8E5M2):
        return call(f"_decode_{dtype.name}", text)
    return Expression(text)


def narrowed(text: str, dtype: DType) -> Expression:
    """Elements as they are held, in the dtype that they are stored in."""
    tile = typed(text, dtype)
    if dtype is F16:
        return Expression(f"{tile}.to(tl.float16)")
    if dtype is BF16:
        return Expression(f"{tile}.to(tl.bfloat16)")
    if dtype is BOOL:
        return Expression(f"{tile}.to(tl.uint8)")
    if dtype in (F8E4M3FN, F8E5M2):
        return call(f"_encode_{dtype.name}", tile)
    return Expression(text)


def literal(value: Literal) -> str:
    """A number as text that Triton takes for a scalar of the dtype it is held in.

    Of a plain number Triton itself knows that it is an int32, a float32 or a truth
    value; other dtypes are written with it.
    """
    number = value.value
    held_in = _HELD[value.dtype]
    if number == 0 and math.copysign(1, number) < 0:
        return _NEGATIVE_ZEROS[held_in]  # Triton 3.6 takes -0.0 for 0.0
    if isinstance(number, float):
        plain = held_in == "tl.float32" and _is_normal(number)
        text = _float_text(number, held_in)
    else:
        plain = held_in in ("tl.int1", "tl.int32")
        text = str(number)
    return text if plain else f"tl.full([], {text}, {held_in})"


def _is_normal(number: float) -> bool:
    """Whether Triton does not take a plain number for a float64."""
    return number == 0 or not abs(number) < _SMALLEST_NORMAL


def _float_text(number: float, held_in: str) -> str:
    if not math.isfinite(number):
        return f'float("{number}")'
    if held_in == "tl.float32":
        short = float(str(np.float32(number)))
        if np.float32(short) == number:
            return repr(short)
    return repr(number)


def is_literal(text: str) -> bool:
    """Whether an operand's text is a number, and not a variable that holds a tile."""
    return not text.isidentifier() or text in ("True", "False")


def typed(text: str, dtype: DType) -> str:
    """An operand's text as that of a tensor, where a plain number would not do."""
    if not is_literal(text) or text.startswith("tl.full("):
        return text
    return f"tl.full([], {text}, {held(dtype)})"


def plain(text: str) -> str:
    """An operand's text without a dtype, where it gets that of the other operand."""
    match = _TYPED.fullmatch(text)
    return match[1] if match else text
