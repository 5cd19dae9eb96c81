"""Reading and writing elements at places: indexing, lookups, slices and scatters."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from graphc.frontend.dispatch import op
from graphc.frontend.ops.arrangement import permuted, reshaped, stacked
from graphc.frontend.ops.operands import (
    TensorLike,
    axis_of,
    broadcast_shape,
    check_one_of,
    materialize,
    read,
    refuse,
    shape_of,
    stretch,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Literal, Operand, Value
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim, SymbolicDim
from graphc.ir.types import BOOL, I32, I64, U8, U32, product

__all__ = [
    "get_item",
    "scatter",
    "scatter_update",
    "segment_max",
    "segment_min",
    "segment_prod",
    "segment_sum",
    "slice",
    "slice_update",
    "take",
    "take_along_axis",
    "unravel_index",
]


def as_indices(x: TensorLike) -> Value:
    """The integers that `x` stands for, in a dtype that addresses elements."""
    indices = read(x)
    if indices.dtype in (I32, I64, U32, U8):
        return indices
    if indices.dtype.is_integer:
        return ir_ops.convert(indices, dtype=I32)
    return refuse(f"Expected integer indices. Received: {indices.type}")


def counted_from_front(indices: Any, x: Value, axis: int) -> Any:
    """`indices` into an axis of `x`, with those below 0 counted from its end."""
    literal = isinstance(indices, Literal)
    if indices.dtype.kind == "uint" or (literal and indices.value >= 0):
        return indices
    known = x.shape[axis]
    if literal and isinstance(known, int):
        return Literal(indices.value + known, indices.dtype)
    size = ir_ops.dimension_size(x, axis=axis)
    if indices.dtype is not I32:
        size = ir_ops.convert(size, dtype=indices.dtype)
    return _counted(indices, size)


def _counted(indices: Operand, size: Operand) -> Value:
    """`indices`, with `size` added to those below 0."""
    negative = ir_ops.compare(indices, 0, direction="LT")
    return ir_ops.select(negative, ir_ops.add(indices, size), indices)


# -- x[key] ----------------------------------------------------------------------------


Range = builtins.slice
"""A slice of a key, since `slice` is a function here."""


@op
def get_item(x: TensorLike, key: Any) -> Tensor:
    """x[key] with NumPy's meaning.

    Args:
        x: A tensor.
        key: Integers, slices, ``None`` (a new dimension), ``...``, integer tensors, or
            a tuple of these. Bounds of slices may be sizes that are not known yet.

    Returns:
        The selected elements. Several integer tensors are broadcast; where they are
        side by side, the result has their dimensions in that place, else in front.

    Raises:
        GraphError: For a mask of bool: the number of true elements is not known while
            tracing. Use `where` to keep the shape.
    """
    operand = read(x)
    parts = _expanded(key if type(key) is tuple else (key,), operand.type.rank)
    starts: list[Dim] = []
    limits: list[Dim] = []
    steps: list[int] = []
    backwards: list[int] = []
    dims = iter(enumerate(operand.shape))
    for part in parts:
        if part is None:
            continue
        axis, size = next(dims)
        start, limit, step = _bounds(part, size)
        if step < 0:
            backwards.append(axis)
            start, limit, step = _forwards(start, limit, -step)
        starts.append(start)
        limits.append(limit)
        steps.append(step)
    found = operand
    if limits != list(operand.shape) or any(s != 0 for s in starts):
        strides = None if set(steps) <= {1} else steps
        found = ir_ops.slice_(operand, start=starts, limit=limits, strides=strides)
    elif set(steps) - {1}:
        found = ir_ops.slice_(operand, start=starts, limit=limits, strides=steps)
    if backwards:
        found = ir_ops.reverse(found, axes=backwards)
    return tensor(_gathered(found, parts))


def _expanded(parts: Sequence[Any], rank: int) -> list[Any]:
    """`parts` with ``...`` spelled out and missing ones added: one for each axis."""
    if any(_is_mask(part) for part in parts):
        refuse(
            "Expected integers, slices, None, ... or integer tensors. "
            "Received: a mask of bool",
            hint="the number of true elements is not known while tracing; keep the "
            "shape with ops.where(mask, x, 0)",
        )
    given = len([p for p in parts if p is not None and p is not Ellipsis])
    if given > rank or len([p for p in parts if p is Ellipsis]) > 1:
        refuse(
            f"Expected at most {rank} indices and one '...'. Received: {given} indices"
        )
    whole = [Range(None, None, None)] * (rank - given)
    expanded: list[Any] = []
    for part in parts:
        expanded += whole if part is Ellipsis else [part]
    return (
        expanded if Ellipsis in [p for p in parts if _is_plain(p)] else expanded + whole
    )


def _is_plain(part: Any) -> bool:
    return part is Ellipsis or part is None or isinstance(part, Range)


def _is_mask(part: Any) -> bool:
    if isinstance(part, (bool, np.bool_)):
        return True
    if isinstance(part, (Tensor, np.ndarray)):
        return part.dtype == "bool"
    return isinstance(part, list) and all(isinstance(p, (bool, list)) for p in part)


def _is_index(part: Any) -> TypeGuard[int | SymbolicDim]:
    """Whether a part is one position that is known, or a size."""
    return isinstance(part, (int, np.integer, SymbolicDim))


def _bounds(part: Any, size: Dim) -> tuple[Dim, Dim, int]:
    """Where the slice for one part of a key begins and ends, and its step."""
    if _is_index(part):
        start = _from_front(part, size)
        if isinstance(start, int) and isinstance(size, int) and not 0 <= start < size:
            refuse(f"Expected an index in {-size}..{size - 1}. Received: index={part}")
        return start, start + 1, 1
    if not isinstance(part, Range):
        return 0, size, 1
    step = 1 if part.step is None else int(part.step)
    if step == 0:
        refuse("Expected a slice step other than 0. Received: step=0")
    if isinstance(size, int) and not any(
        isinstance(bound, SymbolicDim) for bound in (part.start, part.stop)
    ):
        start, stop, step = Range(part.start, part.stop, step).indices(size)
        if (stop - start) * step <= 0:
            return (0, 0, 1) if step > 0 else (-1, -1, -1)
        return start, stop, step
    first, last = (0, size) if step > 0 else (size - 1, -1)
    start = first if part.start is None else _from_front(part.start, size)
    stop = last if part.stop is None else _from_front(part.stop, size)
    return start, stop, step


def _from_front(position: Any, size: Dim) -> Dim:
    """A position counted from the front of an axis."""
    if isinstance(position, SymbolicDim):
        # -B counts from the end as -1 does; B-1 does not.
        return size + position if position.terms[0][1] < 0 else position
    index = int(position)
    return size + index if index < 0 else index


def _forwards(start: Dim, stop: Dim, step: int) -> tuple[Dim, Dim, int]:
    """The bounds of a slice with a negative step, read in the other direction."""
    count = (start - stop + (step - 1)) // step
    last = start - (count - 1) * step
    return (0, 0, 1) if count == 0 else (last, start + 1, step)


def _gathered(x: Value, parts: Sequence[Any]) -> Value:
    """Applies the integer tensors of a key, and drops and adds dimensions."""
    tensors: dict[int, Value] = {}
    basic: list[int | None] = []
    single: list[int] = []
    advanced: list[int] = []
    axes = iter(range(x.type.rank))
    for position, part in enumerate(parts):
        axis = None if part is None else next(axes)
        if axis is None or isinstance(part, Range):
            basic.append(axis)
            continue
        advanced.append(position)
        if _is_index(part):
            single.append(axis)
        else:
            tensors[axis] = as_indices(part)
    if not tensors:
        return reshaped(x, _sizes(x, basic))
    # As in NumPy, integers count as tensors when it comes to lying side by side.
    apart = advanced[-1] - advanced[0] >= len(advanced)
    return _taken(x, tensors, basic, single, 0 if apart else advanced[0])


def _sizes(x: Value, axes: Sequence[int | None]) -> list[Dim]:
    return [1 if axis is None else x.shape[axis] for axis in axes]


def _taken(
    x: Value,
    tensors: dict[int, Value],
    basic: Sequence[int | None],
    single: Sequence[int],
    place: int,
) -> Value:
    """`x` with tensors applied to some axes.

    Args:
        x: The value.
        tensors: The integers for each such axis.
        basic: The other axes in order; None is a new one.
        single: Axes of size 1 to drop.
        place: Before which of the other axes the dimensions of the integers go.
    """
    rest = [d for d in range(x.type.rank) if d not in tensors]
    moved = permuted(x, [*tensors, *rest])
    if len(tensors) == 1:
        ((axis, indices),) = tensors.items()
        grid = indices.shape
        found = ir_ops.take(moved, counted_from_front(indices, x, axis), axis=0)
    else:
        found, grid = _taken_together(x, moved, tensors, len(rest))
    # Now the dimensions of the integers come first, then the rest in order.
    window = {axis: len(grid) + i for i, axis in enumerate(rest)}
    before, behind = basic[:place], basic[place:]
    order = [
        *(window[a] for a in before if a is not None),
        *range(len(grid)),
        *(window[a] for a in behind if a is not None),
        *(window[a] for a in single),
    ]
    shape = [*_sizes(x, before), *grid, *_sizes(x, behind)]
    return reshaped(permuted(found, order), shape)


def _taken_together(
    x: Value, moved: Value, tensors: dict[int, Value], rest: int
) -> tuple[Value, tuple[Dim, ...]]:
    """Elements of `moved`, whose first axes several broadcast tensors index."""
    grid = broadcast_shape(*(t.shape for t in tensors.values()))
    columns = []
    for axis, indices in tensors.items():
        front = ir_ops.convert(counted_from_front(indices, x, axis), dtype=I32)
        columns.append(materialize(stretch(front, grid)))
    count = len(columns)
    found = ir_ops.gather(
        moved,
        stacked(columns, -1),
        offset_dims=range(len(grid), len(grid) + rest),
        collapsed_dims=range(count),
        start_index_map=range(count),
        index_axis=len(grid),
        slice_sizes=[1] * count + list(moved.shape[count:]),
    )
    return found, grid


# -- lookups ---------------------------------------------------------------------------


@op
def take(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Tensor:
    """The slices of x along an axis that `indices` names.

    Args:
        x: A tensor.
        indices: Integers of any shape; those below 0 count from the end. Those that
            are out of range take the nearest slice.
        axis: The axis, or None to index all elements in one row.

    Returns:
        A tensor with the dimensions of the indices in the place of the axis.
    """
    operand = read(x)
    if axis is None:
        operand = reshaped(operand, [product(operand.shape)])
        axis = 0
    along = axis_of(axis, operand.type.rank)
    places = counted_from_front(as_indices(indices), operand, along)
    return tensor(ir_ops.take(operand, places, axis=along))


@op
def take_along_axis(
    x: TensorLike, indices: TensorLike, axis: int | None = None
) -> Tensor:
    """For each index its element of x along an axis, all other positions being equal.

    Args:
        x: A tensor.
        indices: Integers in a tensor of as many dimensions, which is broadcast with x
            except along the axis; those below 0 count from the end.
        axis: The axis, or None for all elements of both in one row.

    Returns:
        A tensor of the shape of the indices, broadcast.
    """
    operand, places = read(x), as_indices(indices)
    if axis is None:
        operand = reshaped(operand, [product(operand.shape)])
        places = reshaped(places, [product(places.shape)])
        axis = 0
    rank = operand.type.rank
    along = axis_of(axis, rank)
    if places.type.rank != rank:
        refuse(
            f"Expected indices of rank {rank}, as x has. Received: {places.type}",
        )
    common = broadcast_shape(
        [1 if d == along else size for d, size in enumerate(operand.shape)],
        [1 if d == along else size for d, size in enumerate(places.shape)],
    )
    operand, places = (
        materialize(stretch(v, [*common[:along], v.shape[along], *common[along + 1 :]]))
        for v in (operand, places)
    )
    places = counted_from_front(places, operand, along)
    return tensor(ir_ops.take_along(operand, places, axis=along))


@op
def unravel_index(indices: TensorLike, shape: Any) -> tuple[Tensor, ...]:
    """The position along each axis of elements that are numbered in one row.

    Args:
        indices: Integers; those below 0 count from the end, those out of range take
            the nearest element.
        shape: The sizes of the tensor that they number the elements of.

    Returns:
        One tensor of the shape and dtype of the indices for each axis.
    """
    places, sizes = read(indices), shape_of(shape)
    if not places.dtype.is_integer:
        refuse(f"Expected integer indices. Received: {places.type}")
    given, count = places.dtype, product(sizes)
    kind = given
    if isinstance(count, int) and count > _highest(given):
        kind = I64
        places = ir_ops.convert(places, dtype=kind)
    total = value(count, kind.long_name)
    rest = ir_ops.clamp(0, _counted(places, total), ir_ops.subtract(total, 1))
    found: list[Tensor] = []
    for size in reversed(sizes):
        limit = value(size, kind.long_name)
        place = ir_ops.remainder(rest, limit)
        found.append(
            tensor(place if kind is given else ir_ops.convert(place, dtype=given))
        )
        rest = ir_ops.divide(rest, limit)
    return tuple(found[::-1])


# -- slices at places that are computed ------------------------------------------------


def _starts(start_indices: Any, x: Value) -> list[Any]:
    """The start along each axis of `x` as an int32 scalar."""
    rank = x.type.rank
    if isinstance(start_indices, (Tensor, np.ndarray)):
        row = value(start_indices, "int32")
        if row.type.shape != (rank,):
            refuse(f"Expected {rank} start indices. Received: {row.type}")
        starts = [
            ir_ops.reshape(ir_ops.slice_(row, start=[i], limit=[i + 1]), shape=[])
            for i in range(rank)
        ]
    elif isinstance(start_indices, Sequence) and len(start_indices) == rank:
        starts = [value(start, "int32") for start in start_indices]
    else:
        refuse(f"Expected {rank} start indices. Received: {start_indices!r}")
    return [counted_from_front(start, x, axis) for axis, start in enumerate(starts)]


@op
def slice(inputs: TensorLike, start_indices: Any, shape: Any) -> Tensor:
    """The part of a tensor that begins at computed places.

    Args:
        inputs: A tensor.
        start_indices: The first position along each axis: a tensor [rank] or a
            sequence of integers and scalars. Those below 0 count from the end; then
            they are limited so that the part lies inside.
        shape: The sizes of the part.
    """
    operand = read(inputs)
    starts = _starts(start_indices, operand)
    return tensor(ir_ops.dynamic_slice(operand, *starts, sizes=shape_of(shape)))


@op
def slice_update(inputs: TensorLike, start_indices: Any, updates: TensorLike) -> Tensor:
    """A tensor whose part that begins at computed places is replaced.

    Args:
        inputs: A tensor.
        start_indices: The first position along each axis, as in `slice`.
        updates: The new elements, a tensor of the same rank.
    """
    operand = read(inputs)
    update = materialize(value(updates, operand.dtype.long_name))
    starts = _starts(start_indices, operand)
    return tensor(ir_ops.dynamic_update_slice(operand, update, *starts))


# -- scatters --------------------------------------------------------------------------

_MODES = {None: "set", "add": "add", "max": "max", "min": "min", "mul": "multiply"}


def _scattered(x: Value, indices: Value, updates: Value, mode: str) -> Value:
    """`x` with updates combined at the places that the rows of `indices` name."""
    depth = _depth(indices, x)
    grid = indices.type.rank - 1
    updates = materialize(stretch(updates, [*indices.shape[:-1], *x.shape[depth:]]))
    return ir_ops.scatter(
        x,
        indices,
        updates,
        update_window_dims=range(grid, updates.type.rank),
        inserted_dims=range(depth),
        index_map=range(depth),
        index_axis=grid,
        mode=mode,
    )


@op
def scatter(indices: TensorLike, values: TensorLike, shape: Any) -> Tensor:
    """A tensor of zeros with values added at places.

    Args:
        indices: Integers [..., depth]: each row names a place by its first `depth`
            positions; those below 0 count from the end. Places out of range are
            dropped.
        values: What is added: a tensor [...] with the remaining dimensions behind.
        shape: The sizes of the result.
    """
    updates = read(values)
    sizes = shape_of(shape)
    zero = Literal(0, updates.dtype)
    empty = ir_ops.broadcast_in_dim(zero, shape=sizes, dims=[])
    return tensor(_scattered(empty, _places(indices, empty), updates, "add"))


@op
def scatter_update(
    inputs: TensorLike,
    indices: TensorLike,
    updates: TensorLike,
    reduction: str | None = None,
) -> Tensor:
    """A tensor with elements replaced, or combined with updates, at places.

    Args:
        inputs: A tensor.
        indices: Integers [..., depth], as in `scatter`; those below 0 count from the
            end.
        updates: A tensor [...] with the remaining dimensions behind.
        reduction: None to replace, ``"add"``, ``"mul"``, ``"max"`` or ``"min"``.

    Raises:
        GraphError: For another reduction.
    """
    check_one_of("reduction", reduction, _MODES)
    operand = read(inputs)
    update = materialize(value(updates, operand.dtype.long_name))
    places = _places(indices, operand)
    return tensor(_scattered(operand, places, update, _MODES[reduction]))


def _places(indices: TensorLike, x: Value) -> Value:
    """Indices [..., depth] of places in `x`, those below 0 counted from the end."""
    places = as_indices(indices)
    if places.dtype.kind == "uint":
        return places
    sizes = [ir_ops.dimension_size(x, axis=a) for a in range(_depth(places, x))]
    row = stacked([materialize(s) for s in sizes], 0)
    limits = stretch(ir_ops.convert(row, dtype=places.dtype), places.shape)
    negative = ir_ops.compare(places, 0, direction="LT")
    return ir_ops.select(negative, ir_ops.add(places, limits), places)


def _depth(indices: Value, x: Value) -> int:
    """How many numbers name a place in `x`."""
    depth = indices.shape[-1] if indices.shape else None
    if not isinstance(depth, int) or depth > x.type.rank:
        refuse(
            f"Expected indices [..., depth] with a depth of at most {x.type.rank}. "
            f"Received: {indices.type}"
        )
    return depth


def _segments(
    data: TensorLike, segment_ids: TensorLike, num_segments: Any, mode: str, empty: Any
) -> Tensor:
    operand, ids = read(data), as_indices(segment_ids)
    if num_segments is None:
        refuse(
            "Expected `num_segments`. Received: num_segments=None",
            hint="the size of a result cannot depend on the values of a tensor",
        )
    if operand.dtype is BOOL:
        refuse(f"Expected numbers. Received: {operand.type}")
    sizes = [*shape_of(num_segments, "num_segments"), *operand.shape[1:]]
    start = Literal(empty(operand.dtype), operand.dtype)
    board = ir_ops.broadcast_in_dim(start, shape=sizes, dims=[])
    column = ir_ops.reshape(ids, shape=[*ids.shape, 1])
    return tensor(_scattered(board, column, operand, mode))


@op
def segment_sum(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: Any = None,
    sorted: bool = False,
) -> Tensor:
    """The sums of the rows of each segment.

    Args:
        data: A tensor [N, ...].
        segment_ids: Integers [N]: the segment of each row. Rows of segments out of
            range are dropped.
        num_segments: The number of segments, which must be given.
        sorted: Accepted as in Keras: whether the ids ascend.

    Returns:
        A tensor [num_segments, ...].
    """
    return _segments(data, segment_ids, num_segments, "add", lambda dtype: 0)


@op
def segment_prod(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: Any = None,
    sorted: bool = False,
) -> Tensor:
    """The products of the rows of each segment, 1 for none; see `segment_sum`."""
    return _segments(data, segment_ids, num_segments, "multiply", lambda dtype: 1)


@op
def segment_max(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: Any = None,
    sorted: bool = False,
) -> Tensor:
    """The largest of the rows of each segment; see `segment_sum`.

    A segment without rows has -inf, or the lowest integer.
    """
    return _segments(data, segment_ids, num_segments, "max", _lowest)


@op
def segment_min(
    data: TensorLike,
    segment_ids: TensorLike,
    num_segments: Any = None,
    sorted: bool = False,
) -> Tensor:
    """The smallest of the rows of each segment; see `segment_sum`.

    A segment without rows has inf, or the highest integer.
    """
    return _segments(data, segment_ids, num_segments, "min", _highest)


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.is_float else np.iinfo(dtype.numpy).min


def _highest(dtype: Any) -> Any:
    return np.inf if dtype.is_float else np.iinfo(dtype.numpy).max
