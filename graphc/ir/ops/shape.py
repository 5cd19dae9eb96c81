"""Primitives that move elements, make tensors out of nothing, or ask for sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.index import ZERO, Index, flattened, unflattened, whole
from graphc.ir.opdef import (
    NUMBER,
    OPS,
    ConstantName,
    DType,
    IllTyped,
    Ints,
    Kind,
    Sample,
    Shape,
    Trait,
)
from graphc.ir.ops.elementwise import select
from graphc.ir.register import primitive
from graphc.ir.typerules import checked_axes, require, shaped, types_text
from graphc.ir.types import I32, TensorType, dtype
from graphc.ir.values import Literal, Value

_SIZE_LIMIT = 2**31
"""Sizes and positions are i32."""


# -- helpers for rules and bodies ------------------------------------------------------


def expand(x: Any, shape: Sequence[Dim], dims: Sequence[int]) -> Any:
    """`x` broadcast to `shape`, its dimensions becoming `dims`; `x` if it fits."""
    if x.type.shape == tuple(shape):
        return x
    return broadcast_in_dim(x, shape=shape, dims=dims)


def expand_axes(x: Any, shape: Sequence[Dim], axes: Sequence[int]) -> Any:
    """`x`, from which `axes` of `shape` were reduced away, repeated along them."""
    return expand(x, shape, [d for d in range(len(shape)) if d not in axes])


def exceeds(a: Dim, b: Dim) -> bool:
    """Whether ``a > b`` is certain; symbolic dims may leave it open."""
    difference = a - b
    return isinstance(difference, int) and difference > 0


def require_length(name: str, attribute: str, value: Sequence[Any], rank: int) -> None:
    """Raises a `GraphError` unless an attribute has one entry per dimension."""
    if len(value) != rank:
        raise GraphError(
            f"{name}: {attribute} must have {rank} entries, one per dimension",
            received=f"{len(value)} entries",
        )


# -- broadcasting and reordering -------------------------------------------------------


def _broadcast_reference(x: Any, shape: Any, dims: Any) -> Any:
    sizes = [1] * len(shape)
    for size, d in zip(x.shape, dims, strict=True):
        sizes[d] = size
    sorted_x = np.transpose(x, sorted(range(len(dims)), key=lambda axis: dims[axis]))
    return np.broadcast_to(sorted_x.reshape(sizes), shape)


def _broadcast_vjp(g: Any, y: Any, x: Any, shape: Any, dims: Any) -> Any:
    source = x.type.shape
    kept = [d for size, d in zip(source, dims, strict=True) if size == shape[d]]
    axes = [d for d in range(len(shape)) if d not in kept]
    if axes:
        g = OPS["reduce_sum"](g, axes=axes)
    if kept != sorted(kept):
        g = transpose(g, permutation=[sorted(kept).index(d) for d in kept])
    return (g if len(kept) == len(source) else reshape(g, shape=source),)


def _broadcast_read(
    index: Sequence[Index], x: TensorType, shape: Any, dims: Any
) -> tuple[Index, ...]:
    sizes = zip(x.shape, dims, strict=True)
    return tuple(ZERO if size == 1 else index[d] for size, d in sizes)


@primitive(
    Kind.BROADCAST,
    _broadcast_reference,
    vjp=_broadcast_vjp,
    read_index=_broadcast_read,
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[4]",), {"shape": [3, 4], "dims": [1]}),
        Sample(("f32[]",), {"shape": [2, 3], "dims": []}),
        Sample((1.5,), {"shape": [2, 0], "dims": []}),
        Sample(("f32[3,1]",), {"shape": [2, 3, 4], "dims": [1, 2]}),
        Sample(("f32[3,2]",), {"shape": [2, 4, 3], "dims": [2, 0]}),
        Sample(("i32[3]",), {"shape": [3, 2], "dims": [0]}),
        Sample(("f32[B,1,3]",), {"shape": ["B", "2*B", 3], "dims": [0, 1, 2]}),
    ),
    errors=(
        IllTyped(("f32[3]",), "dims must have 1 entries", {"shape": [3], "dims": []}),
        IllTyped(("f32[3]",), "does not stretch", {"shape": [4], "dims": [0]}),
        IllTyped(("f32[3]",), "within 0..0", {"shape": [3], "dims": [1]}),
        IllTyped(("f32[3,3]",), "distinct", {"shape": [3, 3], "dims": [1, 1]}),
        IllTyped(("f32[]",), "negative", {"shape": [-1], "dims": []}),
        IllTyped(("f32[]",), "too large", {"shape": [2**40, 2**40], "dims": []}),
    ),
)
def broadcast_in_dim(x: TensorType, *, shape: Shape, dims: Ints) -> TensorType:
    """Repeats x to `shape`: dimension i becomes ``dims[i]``; size 1 stretches."""
    require_length("broadcast_in_dim", "dims", dims, x.rank)
    result = shaped(x, shape)
    checked_axes("broadcast_in_dim", dims, result.rank)
    for size, d in zip(x.shape, dims, strict=True):
        if size not in (1, result.shape[d]):
            raise GraphError(
                f"broadcast_in_dim: size {size} does not stretch to {result.shape[d]}",
                received=str(x),
            )
    return result


def _reshape_vjp(g: Any, y: Any, x: Any, shape: Any) -> Any:
    return (reshape(g, shape=x.type.shape),)


def _reshape_read(
    index: Sequence[Index], x: TensorType, shape: Any
) -> tuple[Index, ...]:
    return unflattened(flattened(index, shape), x.static_shape)


def _reshape_write(
    index: Sequence[Index], x: TensorType, shape: Any
) -> tuple[Index, ...]:
    return unflattened(flattened(index, x.static_shape), shape)


@primitive(
    Kind.INJECTIVE,
    lambda x, shape: x.reshape(shape),
    vjp=_reshape_vjp,
    read_index=_reshape_read,
    write_index=_reshape_write,
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[3,4]",), {"shape": [2, 6]}),
        Sample(("f32[1,1]",), {"shape": []}),
        Sample(("i32[]",), {"shape": [1]}),
        Sample(("f32[0,2]",), {"shape": [4, 0]}),
        Sample(("f32[B,2,3]",), {"shape": ["2*B", 3]}),
    ),
    errors=(
        IllTyped(("f32[3]",), "does not have as many elements", {"shape": [4]}),
        IllTyped(("f32[B]",), "does not have as many elements", {"shape": ["B", 2]}),
        IllTyped(("f32[3]",), "negative", {"shape": [-3, -1]}),
    ),
)
def reshape(x: TensorType, *, shape: Shape) -> TensorType:
    """The elements of x, in row-major order, in another shape."""
    result = shaped(x, shape)
    require(
        x.size == result.size, f"reshape: {result} does not have as many elements", x
    )
    return result


def _transpose_vjp(g: Any, y: Any, x: Any, permutation: Any) -> Any:
    inverse = [permutation.index(d) for d in range(len(permutation))]
    return (transpose(g, permutation=inverse),)


def _transpose_read(
    index: Sequence[Index], x: TensorType, permutation: Any
) -> tuple[Index, ...]:
    return tuple(index[permutation.index(d)] for d in range(len(permutation)))


def _transpose_write(
    index: Sequence[Index], x: TensorType, permutation: Any
) -> tuple[Index, ...]:
    return tuple(index[d] for d in permutation)


@primitive(
    Kind.INJECTIVE,
    lambda x, permutation: np.transpose(x, permutation),
    vjp=_transpose_vjp,
    read_index=_transpose_read,
    write_index=_transpose_write,
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[3,4]",), {"permutation": [1, 0]}),
        Sample(("f32[2,3,4]",), {"permutation": [2, 0, 1]}),
        Sample(("i32[]",), {"permutation": []}),
        Sample(("f32[B,2,T]",), {"permutation": [2, 0, 1]}),
    ),
    errors=(
        IllTyped(("f32[3,4]",), "must have 2 entries", {"permutation": [0]}),
        IllTyped(("f32[3,4]",), "must be distinct", {"permutation": [0, 0]}),
    ),
)
def transpose(x: TensorType, *, permutation: Ints) -> TensorType:
    """Reorders dimensions: dimension i of the result is x's ``permutation[i]``."""
    require_length("transpose", "permutation", permutation, x.rank)
    checked_axes("transpose", permutation, x.rank)
    return x.with_shape(x.shape[d] for d in permutation)


def _reverse_vjp(g: Any, y: Any, x: Any, axes: Any) -> Any:
    return (reverse(g, axes=axes),)


def _reverse_index(
    index: Sequence[Index], x: TensorType, axes: Any
) -> tuple[Index, ...]:
    sizes = enumerate(zip(index, x.static_shape, strict=True))
    return tuple(whole(n - 1) - i if d in axes else i for d, (i, n) in sizes)


@primitive(
    Kind.INJECTIVE,
    lambda x, axes: np.flip(x, axes),
    vjp=_reverse_vjp,
    read_index=_reverse_index,
    write_index=_reverse_index,
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[3,4]",), {"axes": [1]}),
        Sample(("f32[2,3]",), {"axes": [0, 1]}),
        Sample(("f32[B,3]",), {"axes": [0]}),
    ),
    errors=(IllTyped(("f32[3]",), "within 0..0", {"axes": [1]}),),
)
def reverse(x: TensorType, *, axes: Ints) -> TensorType:
    """Reverses the order of the elements of x along `axes`."""
    checked_axes("reverse", axes, x.rank)
    return x


# -- cutting and joining ---------------------------------------------------------------


def _slice_reference(x: Any, start: Any, limit: Any, strides: Any) -> Any:
    steps = strides or (1,) * len(start)
    return x[tuple(slice(*cut) for cut in zip(start, limit, steps, strict=True))]


def _slice_vjp(g: Any, y: Any, x: Any, start: Any, limit: Any, strides: Any) -> Any:
    steps = strides or (1,) * len(start)
    # The last element taken may lie before the limit.
    ends = [
        first + (count - 1) * step + 1 if count != 0 else first
        for first, count, step in zip(start, y.type.shape, steps, strict=True)
    ]
    high = [size - end for size, end in zip(x.type.shape, ends, strict=True)]
    interior = [step - 1 for step in strides] if strides else None
    return (pad(g, 0.0, low=start, high=high, interior=interior),)


def _slice_read(
    index: Sequence[Index], x: TensorType, start: Any, limit: Any, strides: Any
) -> tuple[Index, ...]:
    steps = strides or (1,) * x.rank
    return tuple(i * n + s for i, s, n in zip(index, start, steps, strict=True))


@primitive(
    Kind.INJECTIVE,
    _slice_reference,
    read_index=_slice_read,
    vjp=_slice_vjp,
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[4,5]",), {"start": [1, 0], "limit": [3, 5]}),
        Sample(("f32[7,3]",), {"start": [1, 0], "limit": [7, 2], "strides": [3, 1]}),
        Sample(("i32[4]",), {"start": [2], "limit": [2]}),
        Sample(("f32[5]",), {"start": [2], "limit": [2], "strides": [2]}),
        Sample(("f32[]",), {"start": [], "limit": []}),
        Sample(("f32[B,4]",), {"start": [0, 1], "limit": ["B", 3]}),
        Sample(("f32[T]",), {"start": [1], "limit": ["T-1"], "strides": [2]}),
    ),
    errors=(
        IllTyped(("f32[3]",), "must lie in order", {"start": [2], "limit": [1]}),
        IllTyped(("f32[3]",), "must lie in order", {"start": [0], "limit": [4]}),
        IllTyped(("f32[3]",), "must lie in order", {"start": [-1], "limit": [2]}),
        IllTyped(("f32[B]",), "must lie in order", {"start": [0], "limit": ["B+1"]}),
        IllTyped(("f32[3]",), "limit must have 1", {"start": [0], "limit": []}),
        IllTyped(
            ("f32[3]",),
            "strides must be positive",
            {"start": [0], "limit": [2], "strides": [0]},
        ),
    ),
)
def slice_(
    x: TensorType, *, start: Shape, limit: Shape, strides: Ints | None = None
) -> TensorType:
    """The elements of x from `start` up to, not including, `limit`."""
    steps = (1,) * x.rank if strides is None else strides
    for attribute, value in (("start", start), ("limit", limit), ("strides", steps)):
        require_length("slice", attribute, value, x.rank)
    require(all(s > 0 for s in steps), "slice: strides must be positive", x)
    shape: list[Dim] = []
    for size, first, end, step in zip(x.shape, start, limit, steps, strict=True):
        if exceeds(0, first) or exceeds(first, end) or exceeds(end, size):
            raise GraphError(
                f"slice: 0, start {first}, limit {end} and size {size} must lie in"
                " order",
                received=str(x),
            )
        shape.append((end - first + (step - 1)) // step)
    return shaped(x, shape)


def concatenated(parts: Sequence[Any], axis: int) -> Any:
    """`parts` joined along `axis`; the part itself if there is one."""
    return parts[0] if len(parts) == 1 else concatenate(*parts, axis=axis)


def interleaved(parts: Sequence[Any], axis: int) -> Any:
    """The elements of `parts` in turns along an axis; None stands for zeros."""
    known = next((part for part in parts if part is not None), None)
    if known is None or len(parts) == 1:
        return known
    shape = list(known.type.static_shape)
    one = [*shape[: axis + 1], 1, *shape[axis + 1 :]]
    zero = Literal(0, known.type.dtype)
    apart = [
        broadcast_in_dim(zero, shape=one, dims=[])
        if part is None
        else reshape(part, shape=one)
        for part in parts
    ]
    shape[axis] *= len(parts)
    return reshape(concatenated(apart, axis + 1), shape=shape)


def _concatenate_vjp(g: Any, y: Any, *xs: Any, axis: int) -> Any:
    start: list[Dim] = [0] * y.type.rank
    found: list[Any] = []
    for x in xs:
        limit = list(x.type.shape)
        limit[axis] = start[axis] + limit[axis]
        found.append(slice_(g, start=start, limit=limit))
        start = [*start[:axis], limit[axis], *start[axis + 1 :]]
    return tuple(found)


@primitive(
    Kind.INJECTIVE,
    lambda *xs, axis: np.concatenate(xs, axis),
    vjp=_concatenate_vjp,
    traits=[Trait.MOVES_DATA, Trait.JOINS],
    samples=(
        Sample(("f32[2,3]", "f32[1,3]", "f32[0,3]"), {"axis": 0}),
        Sample(("f32[2,3]", "f32[2,4]"), {"axis": 1}),
        Sample(("i32[3]",), {"axis": 0}),
        Sample(("f32[B,2]", "f32[B,3]"), {"axis": 1}),
        Sample(("f32[B,2]", "f32[3,2]"), {"axis": 0}),
    ),
    errors=(
        IllTyped((), "takes 1 or more operands", {"axis": 0}),
        IllTyped(("f32[2,3]", "f32[2,4]"), "may differ along", {"axis": 0}),
        IllTyped(("f32[2]", "f32[2,4]"), "may differ along", {"axis": 0}),
        IllTyped(("f32[2]", "i32[2]"), "the same dtype", {"axis": 0}),
        IllTyped(("f32[]", "f32[]"), "within 0..-1", {"axis": 0}),
    ),
)
def concatenate(x: TensorType, *more: TensorType, axis: int) -> TensorType:
    """The operands joined along `axis`."""
    checked_axes("concatenate", [axis], x.rank)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    total = x.shape[axis]
    for other in more:
        require(
            other.dtype is x.dtype,
            "concatenate: operands must have the same dtype",
            x,
            other,
        )
        fits = other.rank == x.rank and other.shape[:axis] == before
        require(
            fits and other.shape[axis + 1 :] == after,
            f"concatenate: operands may differ along axis {axis} only",
            x,
            other,
        )
        total = total + other.shape[axis]
    return shaped(x, (*before, total, *after))


def padded_size(size: Dim, low: Dim, high: Dim, interior: int) -> Dim:
    """The size of a dimension after padding; an interior symbolic one is not empty."""
    gaps = max(size - 1, 0) if isinstance(size, int) else size - 1
    return low + high + size + gaps * interior


def pad_array(x: Any, value: Any, low: Any, high: Any, interior: Any = None) -> Any:
    """The NumPy meaning of `pad`."""
    steps = [gap + 1 for gap in interior or (0,) * x.ndim]
    shape = [
        padded_size(size, lo, hi, step - 1)
        for size, lo, hi, step in zip(x.shape, low, high, steps, strict=True)
    ]
    result = np.full_like(x, value, shape=shape)
    taken: list[slice] = []
    put: list[slice] = []
    for size, lo, step, length in zip(x.shape, low, steps, shape, strict=True):
        # Element i goes to lo + i*step; those outside 0..length-1 are cropped.
        first = max(0, -(lo // step))
        end = max(first, min(size, -((lo - length) // step)))
        taken.append(slice(first, end))
        put.append(slice(lo + first * step, lo + end * step, step))
        if first == end:
            return result
    result[tuple(put)] = x[tuple(taken)]
    return result


def _pad_vjp(
    g: Any, y: Any, x: Any, value: Any, low: Any, high: Any, interior: Any
) -> Any:
    by_value = None
    if isinstance(value, Value):
        inside = broadcast_in_dim(False, shape=x.type.shape, dims=[])
        outside = pad(inside, True, low=low, high=high, interior=interior)
        axes = list(range(y.type.rank))
        by_value = OPS["reduce_sum"](select(outside, g, 0.0), axes=axes)
    back_low, back_high = [-1 * d for d in low], [-1 * d for d in high]
    if any(d != 0 for d in (*low, *high)):
        g = pad(g, 0.0, low=back_low, high=back_high)
    if interior and any(interior):
        steps = [gap + 1 for gap in interior]
        g = slice_(g, start=[0] * len(steps), limit=g.type.shape, strides=steps)
    return g, by_value


@primitive(
    Kind.INJECTIVE,
    pad_array,
    vjp=_pad_vjp,
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[2,3]", 0.5), {"low": [1, 0], "high": [0, 2]}),
        Sample(("f32[2,3]", "f32[]"), {"low": [1, 0], "high": [0, 2]}),
        Sample(("f32[4,3]", "f32[]"), {"low": [-1, 1], "high": [2, -1]}),
        Sample(
            ("f32[3,2]", "f32[]"), {"low": [1, 0], "high": [0, 1], "interior": [2, 1]}
        ),
        Sample(("f32[3]", "f32[]"), {"low": [-3], "high": [1], "interior": [1]}),
        Sample(("f32[2]", "f32[]"), {"low": [-3], "high": [2]}),
        Sample(("f32[0,2]", 0.0), {"low": [1, 0], "high": [1, 0], "interior": [2, 0]}),
        Sample(("i32[2]", 7), {"low": [1], "high": [1]}),
        Sample(("f32[B,3]", 0.0), {"low": [0, 1], "high": [0, 1]}),
        Sample(("f32[B]", "f32[]"), {"low": ["B-1"], "high": [-1], "interior": [1]}),
    ),
    errors=(
        IllTyped(("f32[3]", "i32[]"), "value must be", {"low": [0], "high": [0]}),
        IllTyped(("f32[3]", "f32[1]"), "value must be", {"low": [0], "high": [0]}),
        IllTyped(("f32[3]", 0.0), "low must have 1", {"low": [], "high": [0]}),
        IllTyped(("f32[3]", 0.0), "is negative", {"low": [-2], "high": [-2]}),
        IllTyped(("f32[3]", 0.0), "too large", {"low": [2**62], "high": [2**62]}),
        IllTyped(
            ("f32[3]", 0.0),
            "interior must not be negative",
            {"low": [0], "high": [0], "interior": [-1]},
        ),
    ),
)
def pad(
    x: TensorType,
    value: TensorType,
    *,
    low: Shape,
    high: Shape,
    interior: Ints | None = None,
) -> TensorType:
    """Puts `value` before, behind and between the elements of x.

    Negative `low` and `high` crop. A symbolic dimension with interior padding must
    not be empty.
    """
    require(
        value.shape == () and value.dtype is x.dtype,
        "pad: value must be a scalar of the operand's dtype",
        x,
        value,
    )
    gaps = (0,) * x.rank if interior is None else interior
    for attribute, given in (("low", low), ("high", high), ("interior", gaps)):
        require_length("pad", attribute, given, x.rank)
    require(all(g >= 0 for g in gaps), "pad: interior must not be negative", x)
    return shaped(x, list(map(padded_size, x.shape, low, high, gaps)))


# -- tensors out of nothing, and sizes -------------------------------------------------


def _iota_reference(shape: Any, axis: int, dtype: DType) -> Any:
    sizes = [-1 if d == axis else 1 for d in range(len(shape))]
    counts = np.arange(shape[axis]).astype(dtype.numpy)
    return np.broadcast_to(counts.reshape(sizes), shape)


@primitive(
    Kind.BROADCAST,
    _iota_reference,
    vjp=lambda g, y, shape, axis, dtype: (),
    samples=(
        Sample((), {"shape": [4], "axis": 0, "dtype": "i32"}),
        Sample((), {"shape": [3, 4], "axis": 1, "dtype": "f32"}),
        Sample((), {"shape": [2, 0], "axis": 0, "dtype": "u8"}),
    ),
    errors=(
        IllTyped((), "within 0..0", {"shape": [4], "axis": 1, "dtype": "i32"}),
        IllTyped((), "must be a number", {"shape": [4], "axis": 0, "dtype": "bool"}),
        IllTyped((), "attribute 'dtype' is missing", {"shape": [4], "axis": 0}),
    ),
)
def iota(*, shape: Shape, axis: int, dtype: DType) -> TensorType:
    """Each element is its position along `axis`."""
    if dtype not in NUMBER:
        raise GraphError("iota: dtype must be a number", received=dtype.name)
    result = shaped(TensorType((), dtype), shape)
    checked_axes("iota", [axis], result.rank)
    return result


@primitive(
    Kind.OPAQUE,
    lambda name: name,
    vjp=lambda g, y, name: (),
    samples=(Sample((), {"name": "sample"}),),
    errors=(
        IllTyped((), "the module has no constant @missing", {"name": "missing"}),
        IllTyped((), "attribute 'name' is missing"),
    ),
)
def constant(*, name: ConstantName) -> TensorType:
    """The array that the module holds by this name."""
    array: Any = name  # rules see the array itself
    return shaped(TensorType((), dtype(array.dtype)), array.shape)


@primitive(
    Kind.OPAQUE,
    lambda x, axis: np.int32(x.shape[axis]),
    vjp="its result is not a float",
    samples=(Sample(("f32[3,4]",), {"axis": 1}), Sample(("f32[B,2]",), {"axis": 0})),
    errors=(
        IllTyped(("f32[3]",), "within 0..0", {"axis": 1}),
        IllTyped((f"i8[{2**31}]",), "is too large", {"axis": 0}),
    ),
)
def dimension_size(x: TensorType, *, axis: int) -> TensorType:
    """The size of a dimension; a number once dimension symbols are bound."""
    checked_axes("dimension_size", [axis], x.rank)
    size = x.shape[axis]
    if exceeds(size, _SIZE_LIMIT - 1):
        raise GraphError(
            f"dimension_size: {size} is too large", received=types_text([x])
        )
    return TensorType((), I32)
