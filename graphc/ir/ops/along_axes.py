"""What bodies of composites share: wider arithmetic, counts and means along axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.ir.dims import Dim
from graphc.ir.ops.elementwise import compare, convert, divide, multiply
from graphc.ir.ops.reduction import reduce_sum
from graphc.ir.ops.shape import dimension_size, expand_axes, iota
from graphc.ir.types import F32, I32, I64, DType, TensorType


def wide_dtype(dtype: DType) -> DType:
    """The dtype to compute in: float32 for floats that are narrower than it."""
    return F32 if dtype.bits < F32.bits else dtype


def widen(x: Any) -> Any:
    """The operand `x` in the dtype to compute in."""
    return in_dtype(x, wide_dtype(x.type.dtype))


def in_dtype(x: Any, dtype: DType) -> Any:
    """The operand `x` in another dtype; `x` itself if it has it."""
    return x if x.type.dtype is dtype else convert(x, dtype=dtype)


def count(x: Any, axes: Sequence[int]) -> Any:
    """How many elements of `x` lie along `axes`, in its dtype.

    A number where the sizes are known, else computed from the sizes.
    """
    known = 1.0
    found: Any = None
    for axis in axes:
        size = x.type.shape[axis]
        if isinstance(size, int):
            known *= size
        else:
            asked = convert(dimension_size(x, axis=axis), dtype=x.type.dtype)
            found = asked if found is None else multiply(found, asked)
    if found is None:
        return known
    return found if known == 1 else multiply(found, known)


def mean(x: Any, axes: Sequence[int]) -> Any:
    """The mean of `x` over `axes`, which are reduced away."""
    return divide(reduce_sum(x, axes=axes), count(x, axes))


def index_dtype(dtype: DType) -> DType:
    """A signed dtype that holds every position and tells it from other indices."""
    fits = dtype.bits < I32.bits or dtype is I32
    return I32 if fits else I64


def at_index(indices: Any, shape: Sequence[Dim], axis: int) -> Any:
    """Where in a tensor of `shape` the position along `axis` equals the index.

    `indices` lacks `axis`; an index outside the axis equals no position.
    """
    kind = index_dtype(indices.type.dtype)
    wanted = expand_axes(in_dtype(indices, kind), shape, [axis])
    return compare(iota(shape=shape, axis=axis, dtype=kind), wanted, direction="EQ")


def unchanged(x: TensorType, **attributes: Any) -> TensorType:
    """The type rule of ops whose result is of the type of their one operand."""
    return x
