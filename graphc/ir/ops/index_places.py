"""Where the windows of gather and scatter lie: their type rule and NumPy meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError, NoGradientError
from graphc.ir.opdef import Ints
from graphc.ir.ops.elementwise import convert, minimum, subtract
from graphc.ir.ops.shape import broadcast_in_dim, concatenated, dimension_size
from graphc.ir.typerules import checked_axes, require
from graphc.ir.types import I32, TensorType
from graphc.ir.values import Literal


def require_ascending(name: str, attribute: str, value: Ints, rank: int) -> None:
    """Raises a `GraphError` unless `value` ascends within ``0..rank-1``."""
    if list(value) != sorted(set(value)) or any(not 0 <= v < rank for v in value):
        raise GraphError(
            f"{name}: {attribute} must ascend within 0..{rank - 1}",
            received=str(list(value)[:64]),
        )


def grid_shape(
    name: str,
    x: TensorType,
    indices: TensorType,
    index_map: Ints,
    index_axis: int,
    removed: Ints,
    operand_batching: Ints,
    indices_batching: Ints,
) -> tuple[Dim, ...]:
    """Checks what gather and scatter share; the shape of the grid of windows."""
    if not 0 <= index_axis <= indices.rank:
        raise GraphError(
            f"{name}: index_axis must be within 0..{indices.rank}",
            received=str(index_axis),
        )
    implicit = index_axis == indices.rank
    length: Dim = 1 if implicit else indices.shape[index_axis]
    if length != len(index_map):
        raise GraphError(
            f"{name}: index vectors of length {len(index_map)} are needed, one entry"
            " per mapped dimension",
            received=f"{x}, {indices} with vectors of length {length}",
        )
    for value in (removed, operand_batching):
        require_ascending(name, "collapsed, inserted and batching dims", value, x.rank)
    checked_axes(name, index_map, x.rank)
    require(
        not set(operand_batching) & {*removed, *index_map},
        f"{name}: batching dims must be neither mapped, collapsed nor inserted",
        x,
    )
    checked_axes(name, indices_batching, indices.rank)
    pairs = list(zip(operand_batching, indices_batching, strict=False))
    require(
        len(operand_batching) == len(indices_batching)
        and index_axis not in indices_batching
        and all(x.shape[a] == indices.shape[b] for a, b in pairs),
        f"{name}: batching dims must pair equal dimensions of operand and indices",
        x,
        indices,
    )
    return tuple(d for i, d in enumerate(indices.shape) if i != index_axis)


def dims_except(rank: int, taken: Sequence[int]) -> list[int]:
    """The dimensions of a tensor of `rank` that are not in `taken`."""
    return [d for d in range(rank) if d not in taken]


def window_places(
    shape: tuple[int, ...],
    indices: Any,
    sizes: Sequence[int],
    window_dims: Sequence[int],
    index_map: Sequence[int],
    index_axis: int,
    batching: Sequence[int],
    indices_batching: Sequence[int],
    clip: bool,
) -> tuple[list[Any], Any]:
    """Index arrays into an operand of `shape`, grid dimensions first, then windows.

    `window_dims` are the operand dimensions that windows extend along, `sizes` the
    extent along all of them. Also returns, per grid element, whether its window lies
    inside the operand.
    """
    implicit = index_axis == indices.ndim
    vectors = indices[..., None] if implicit else np.moveaxis(indices, index_axis, -1)
    grid = vectors.shape[:-1]
    inside = np.ones(grid, bool)
    places: list[Any] = []
    for d, size in enumerate(shape):
        start: Any = np.zeros((1,) * len(grid), np.int64)
        if d in batching:
            axis = indices_batching[list(batching).index(d)]
            axis -= axis > index_axis
            start = np.arange(size).reshape(
                [-1 if i == axis else 1 for i in range(len(grid))]
            )
        elif d in index_map:
            start = vectors[..., list(index_map).index(d)].astype(np.int64)
            inside &= (start >= 0) & (start <= size - sizes[d])
            if clip:
                start = np.clip(start, 0, size - sizes[d])
        start = start.reshape(start.shape + (1,) * len(window_dims))
        if d in window_dims:
            offset = np.arange(sizes[d])
            axis = list(window_dims).index(d)
            start = start + offset.reshape(
                [-1 if i == axis else 1 for i in range(len(window_dims))]
            )
        places.append(start)
    return places, inside


def largest_starts(
    x: Any, indices: Any, index_map: Ints, index_axis: int, sizes: Sequence[Dim]
) -> Any:
    """Nodes for the last start whose window lies in x, per component of the vectors."""
    dtype = indices.type.dtype
    top = int(np.iinfo(dtype.numpy).max)
    bounds: list[Any] = []
    for d in index_map:
        room = x.type.shape[d] - sizes[d]
        if isinstance(room, int):
            bounds.append(max(0, min(room, top)))
            continue
        bound = subtract(dimension_size(x, axis=d), _window_size(x, d, room))
        if top < np.iinfo(np.int32).max:
            bound = minimum(bound, top)
        bounds.append(bound if dtype is I32 else convert(bound, dtype=dtype))
    if bounds.count(bounds[0]) == len(bounds):
        return bounds[0]
    shape = list(indices.type.shape)
    shape[index_axis] = 1
    return concatenated([_filled(b, indices, shape) for b in bounds], index_axis)


def _window_size(x: Any, d: int, room: Any) -> Any:
    size = x.type.shape[d] - room
    if not isinstance(size, int):
        raise NoGradientError(
            "gather: windows of symbolic size at computed places have no gradient",
            received=str(x.type),
        )
    return size


def _filled(value: Any, like: Any, shape: Sequence[Dim]) -> Any:
    if isinstance(value, int):
        value = Literal(value, like.type.dtype)
    return broadcast_in_dim(value, shape=shape, dims=[])
