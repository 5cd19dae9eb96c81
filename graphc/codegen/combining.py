"""What ops combine elements by, from what and in which dtype, in every language."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.types import BOOL, F32, DType

COMBINING = {
    "reduce_sum": "add",
    "reduce_prod": "multiply",
    "reduce_max": "maximum",
    "reduce_min": "minimum",
    "reduce_and": "and",
    "reduce_or": "or",
    "cumulative_sum": "add",
    "cumulative_prod": "multiply",
    "cumulative_max": "maximum",
    "reduce_window_sum": "add",
    "reduce_window_max": "maximum",
    "reduce_window_min": "minimum",
}
"""The binary operation that each primitive combines elements by."""

UPDATING = {"add": "add", "min": "minimum", "max": "maximum", "multiply": "multiply"}
"""The binary operation of each mode of a scatter, but for the one that replaces."""


def accumulator(dtype: DType) -> DType:
    """The dtype that sums of elements of `dtype` are kept in."""
    return F32 if dtype.is_float and dtype.bits < F32.bits else dtype


def neutral(operation: str, dtype: DType) -> np.ndarray[Any, Any]:
    """The element that combining with leaves the other element as it is."""
    if operation in ("maximum", "minimum"):
        return extreme(dtype, 1 if operation == "minimum" else -1)
    return np.array(operation in ("multiply", "and"), dtype.numpy)


def extreme(dtype: DType, sign: int) -> np.ndarray[Any, Any]:
    """The highest element of a dtype for `sign` 1, the lowest for -1."""
    if dtype.is_float:
        return np.array(sign * np.inf, dtype.numpy)
    if dtype is BOOL:
        return np.array(sign > 0)
    limits = np.iinfo(dtype.numpy)
    return np.array(limits.max if sign > 0 else limits.min, dtype.numpy)
