"""Primitives that read and write windows at computed places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.ir.differentiate import zeros
from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.opdef import (
    ANY,
    INDEX,
    NUMBER,
    Arg,
    IllTyped,
    Ints,
    Kind,
    Sample,
    Shape,
    Trait,
)
from graphc.ir.ops.bits import and_
from graphc.ir.ops.elementwise import clamp, compare, convert, divide, multiply, select
from graphc.ir.ops.index_places import (
    dims_except,
    grid_shape,
    largest_starts,
    require_ascending,
    window_places,
)
from graphc.ir.ops.reduction import reduce_and
from graphc.ir.ops.shape import (
    exceeds,
    expand,
    iota,
    require_length,
    reshape,
)
from graphc.ir.register import primitive
from graphc.ir.typerules import require, shaped
from graphc.ir.types import BOOL, I32, TensorType
from graphc.ir.values import Literal

# -- gather ----------------------------------------------------------------------------


def _gather_reference(
    x: Any,
    indices: Any,
    offset_dims: Any,
    collapsed_dims: Any,
    start_index_map: Any,
    index_axis: Any,
    slice_sizes: Any,
    operand_batching: Any,
    indices_batching: Any,
) -> Any:
    window_dims = dims_except(x.ndim, (*collapsed_dims, *operand_batching))
    places, inside = window_places(
        x.shape,
        indices,
        slice_sizes,
        window_dims,
        start_index_map,
        index_axis,
        operand_batching,
        indices_batching,
        clip=True,
    )
    shape = inside.shape + tuple(slice_sizes[d] for d in window_dims)
    found = x[tuple(places)] if places else x
    order = [*dims_except(len(shape), offset_dims), *offset_dims]
    return np.transpose(np.broadcast_to(found, shape), np.argsort(order))


def _gather_vjp(
    g: Any, y: Any, x: Any, indices: Any, slice_sizes: Any, **dims: Any
) -> Any:
    # What gather clamps, scatter would drop.
    index_map, index_axis = dims["start_index_map"], dims["index_axis"]
    if index_map:
        top = largest_starts(x, indices, index_map, index_axis, slice_sizes)
        indices = clamp(0, indices, top)
    return (
        scatter(
            zeros(x.type),
            indices,
            g,
            update_window_dims=dims["offset_dims"],
            inserted_dims=dims["collapsed_dims"],
            index_map=index_map,
            index_axis=index_axis,
            operand_batching=dims["operand_batching"],
            indices_batching=dims["indices_batching"],
        ),
        None,
    )


_ROWS = {
    "offset_dims": [1],
    "collapsed_dims": [0],
    "start_index_map": [0],
    "index_axis": 1,
    "slice_sizes": [1, 3],
}
_BLOCKS = {
    "offset_dims": [1, 2],
    "collapsed_dims": [],
    "start_index_map": [0, 1],
    "index_axis": 1,
    "slice_sizes": [2, 3],
}


_TURNED = {"index_axis": 2, "operand_batching": [0, 1], "indices_batching": [1, 0]}
_PICKED_TURNED = {
    **_TURNED,
    "offset_dims": [],
    "collapsed_dims": [2],
    "start_index_map": [2],
    "slice_sizes": [1, 1, 1],
}


def _with(attributes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**attributes, **changes}


@primitive(
    Kind.OPAQUE,
    _gather_reference,
    vjp=_gather_vjp,
    dtypes=(ANY, INDEX),
    traits=[Trait.MOVES_DATA, Trait.GATHERS],
    samples=(
        Sample(("f32[5,3]", Arg("i32[4]", 0, 5)), _ROWS),
        Sample(("f32[5,3]", Arg("i32[4]", -3, 9)), _ROWS),
        Sample(("f32[4,5]", Arg("i32[3,2]", -1, 5)), _BLOCKS),
        Sample(
            ("f32[4,5]", Arg("i32[2,3]", 0, 5)),
            _with(_BLOCKS, index_axis=0, offset_dims=[0, 2], start_index_map=[1, 0]),
        ),
        Sample(
            ("f32[2,6,3]", Arg("u8[2,4]", 0, 9)),
            {
                "offset_dims": [2],
                "collapsed_dims": [1],
                "start_index_map": [1],
                "index_axis": 2,
                "slice_sizes": [1, 1, 3],
                "operand_batching": [0],
                "indices_batching": [0],
            },
        ),
        Sample(("f32[3,3,5]", Arg("i32[3,3]", 0, 5)), _PICKED_TURNED),
        Sample(("f32[0,3]", "i32[0]"), _ROWS),
        Sample(("f32[T,3]", Arg("i32[B]", 0, 9)), _ROWS),
        Sample(("f32[T,3]", Arg("u8[B]", 0, 9)), _ROWS),
        Sample(
            ("f32[T,H]", Arg("i32[B,2]", -1, 6)), _with(_BLOCKS, slice_sizes=[2, 3])
        ),
    ),
    errors=(
        IllTyped(("f32[5,3]", "f32[4]"), "indices must be one of", _ROWS),
        IllTyped(("f32[5,3]", "i32[4,2]"), "index vectors of length 1", _ROWS),
        IllTyped(
            ("f32[5,3]", "i32[4]"),
            "slice size 4 is larger",
            _with(_ROWS, slice_sizes=[1, 4]),
        ),
        IllTyped(
            ("f32[5,3]", "i32[4]"),
            "must have slice size 1",
            _with(_ROWS, slice_sizes=[2, 3]),
        ),
        IllTyped(
            ("f32[5,3]", "i32[4]"), "must ascend", _with(_ROWS, collapsed_dims=[2])
        ),
        IllTyped(
            ("f32[5,3]", "i32[4]"), "one offset dim", _with(_ROWS, offset_dims=[])
        ),
        IllTyped(
            ("f32[5,3]", "i32[4]"), "offset_dims must", _with(_ROWS, offset_dims=[2])
        ),
        IllTyped(
            ("f32[5,3]", "i32[4]"), "index_axis must be", _with(_ROWS, index_axis=2)
        ),
        IllTyped(
            ("f32[5,3]", "i32[4]"),
            "batching dims must be neither",
            _with(_ROWS, operand_batching=[0], indices_batching=[0]),
        ),
        IllTyped(
            ("f32[5,3]", "i32[4]"),
            "must pair equal",
            _with(_ROWS, operand_batching=[1], indices_batching=[0]),
        ),
    ),
    numerics="start indices are clamped so that windows lie inside x",
)
def gather(
    x: TensorType,
    indices: TensorType,
    *,
    offset_dims: Ints,
    collapsed_dims: Ints,
    start_index_map: Ints,
    index_axis: int,
    slice_sizes: Shape,
    operand_batching: Ints = (),
    indices_batching: Ints = (),
) -> TensorType:
    """Windows of x whose starts are the vectors along `index_axis` of `indices`.

    As StableHLO's gather: `start_index_map` says which dimension of x each component
    of a vector is for, `offset_dims` where the windows' dimensions lie in the result.
    """
    require_length("gather", "slice_sizes", slice_sizes, x.rank)
    grid = grid_shape(
        "gather",
        x,
        indices,
        start_index_map,
        index_axis,
        collapsed_dims,
        operand_batching,
        indices_batching,
    )
    removed = {*collapsed_dims, *operand_batching}
    require(
        len(removed) == len(collapsed_dims) + len(operand_batching),
        "gather: batching dims must be neither mapped, collapsed nor inserted",
        x,
    )
    for d, (size, part) in enumerate(zip(x.shape, slice_sizes, strict=True)):
        # Where there are no windows, a dimension without elements has no place for one.
        require(
            not exceeds(part, size) or (d in removed and 0 in grid),
            f"gather: slice size {part} is larger than dimension {size}",
            x,
        )
        require(
            part == 1 or d not in removed,
            "gather: collapsed and batching dims must have slice size 1",
            x,
        )
    window = [slice_sizes[d] for d in dims_except(x.rank, list(removed))]
    require(
        len(offset_dims) == len(window),
        "gather: there must be one offset dim per dimension of the windows",
        x,
    )
    rank = len(grid) + len(window)
    require_ascending("gather", "offset_dims", offset_dims, rank)
    rest, offsets = iter(grid), iter(window)
    return shaped(x, [next(offsets if d in offset_dims else rest) for d in range(rank)])


# -- scatter ---------------------------------------------------------------------------


def _put(target: Any, places: Any, values: Any) -> None:
    target[places] = values


_MODES: dict[str, Callable[[Any, Any, Any], None]] = {
    "add": np.add.at,
    "set": _put,
    "min": np.minimum.at,
    "max": np.maximum.at,
    "multiply": np.multiply.at,
}


def _scatter_reference(
    x: Any,
    indices: Any,
    updates: Any,
    update_window_dims: Any,
    inserted_dims: Any,
    index_map: Any,
    index_axis: Any,
    operand_batching: Any,
    indices_batching: Any,
    mode: Any,
) -> Any:
    window_dims = dims_except(x.ndim, (*inserted_dims, *operand_batching))
    order = [*dims_except(updates.ndim, update_window_dims), *update_window_dims]
    lined = np.transpose(updates, order)
    sizes = [1] * x.ndim
    grid_rank = updates.ndim - len(window_dims)
    for d, size in zip(window_dims, lined.shape[grid_rank:], strict=True):
        sizes[d] = size
    places, inside = window_places(
        x.shape,
        indices,
        sizes,
        window_dims,
        index_map,
        index_axis,
        operand_batching,
        indices_batching,
        clip=False,
    )
    result = np.array(x)
    kept = tuple(np.broadcast_to(p, lined.shape)[inside] for p in places)
    if kept:
        _MODES[mode](result, kept, lined[inside])
    else:  # a scalar, which has no place to name
        _MODES[mode](result.reshape(1), np.zeros(lined.shape, int), lined)
    return result


def _scatter_dims(dims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in dims.items() if name != "mode"}


def _gather_updates(
    source: Any, indices: Any, updates: Any, dims: dict[str, Any]
) -> Any:
    """The elements of `source` at the places that scatter writes, where inside."""
    rank = source.type.rank
    removed = (*dims["inserted_dims"], *dims["operand_batching"])
    sizes: list[Dim] = [1] * rank
    window = [updates.type.shape[d] for d in dims["update_window_dims"]]
    for d, size in zip(dims_except(rank, removed), window, strict=True):
        sizes[d] = size
    if any(map(exceeds, sizes, source.type.shape)):  # nothing fits in: all is outside
        nowhere = expand(Literal(False, BOOL), updates.type.shape, [])
        return zeros(updates.type.with_dtype(source.type.dtype)), nowhere
    found = gather(
        source,
        indices,
        offset_dims=dims["update_window_dims"],
        collapsed_dims=dims["inserted_dims"],
        start_index_map=dims["index_map"],
        index_axis=dims["index_axis"],
        slice_sizes=sizes,
        operand_batching=dims["operand_batching"],
        indices_batching=dims["indices_batching"],
    )
    if not dims["index_map"]:
        return found, None
    axis = dims["index_axis"]
    if axis == indices.type.rank:
        indices = reshape(indices, shape=[*indices.type.shape, 1])
    top = largest_starts(source, indices, dims["index_map"], axis, sizes)
    inside = and_(
        compare(indices, 0, direction="GE"), compare(indices, top, direction="LE")
    )
    inside = reduce_and(inside, axes=[axis])
    grid = dims_except(updates.type.rank, dims["update_window_dims"])
    return found, expand(inside, updates.type.shape, grid)


def _where(mask: Any, x: Any) -> Any:
    return x if mask is None else select(mask, x, 0)


def _scatter_vjp(
    g: Any, y: Any, x: Any, indices: Any, updates: Any, **dims: Any
) -> Any:
    places = _scatter_dims(dims)
    mode = dims["mode"]

    def at_updates(source: Any) -> Any:
        found, inside = _gather_updates(source, indices, updates, dims)
        return _where(inside, found)

    if mode == "add":
        return g, None, at_updates(g)
    if mode == "set":
        by_x = scatter(g, indices, zeros(updates.type), mode="set", **places)
        return (
            by_x,
            None,
            _where(_last_writers(x, indices, updates, dims), at_updates(g)),
        )
    if mode == "multiply":
        ones = expand(Literal(1, x.type.dtype), x.type.shape, [])
        factors = scatter(ones, indices, updates, mode="multiply", **places)
        # An update is divided out of its place's product again, of what is not 0. The
        # others' product is 0 where a 0 is among them.
        nought = compare(updates, 0, direction="EQ")
        safe = select(nought, 1, updates)
        product = scatter(x, indices, safe, mode="multiply", **places)
        count = convert(nought, dtype=x.type.dtype)
        there = at_updates(scatter(zeros(x.type), indices, count, **places))
        others = divide(at_updates(multiply(g, product)), safe)
        alone = compare(there, count, direction="EQ")
        return multiply(g, factors), None, select(alone, others, 0)
    # min and max: elements that tie share the cotangent equally.
    dtype = x.type.dtype
    found, inside = _gather_updates(y, indices, updates, dims)
    hit_x = convert(compare(x, y, direction="EQ"), dtype=dtype)
    hit = convert(compare(updates, found, direction="EQ"), dtype=dtype)
    hit = _where(inside, hit)
    share = divide(g, scatter(hit_x, indices, hit, **places))
    return multiply(share, hit_x), None, multiply(at_updates(share), hit)


def _last_writers(x: Any, indices: Any, updates: Any, dims: dict[str, Any]) -> Any:
    """Which updates are the ones found in the result when several write one place."""
    shape = updates.type.shape
    if not shape:
        return None
    numbers = reshape(iota(shape=[updates.type.size], axis=0, dtype=I32), shape=shape)
    board = expand(Literal(-1, I32), x.type.shape, [])
    written = scatter(board, indices, numbers, mode="set", **_scatter_dims(dims))
    found, _ = _gather_updates(written, indices, updates, dims)
    return compare(found, numbers, direction="EQ")


_SET_ROWS = {
    "update_window_dims": [1],
    "inserted_dims": [0],
    "index_map": [0],
    "index_axis": 1,
}
_SET_BLOCKS = {
    "update_window_dims": [1, 2],
    "inserted_dims": [],
    "index_map": [0, 1],
    "index_axis": 1,
}


@primitive(
    Kind.OPAQUE,
    _scatter_reference,
    vjp=_scatter_vjp,
    dtypes=(ANY, INDEX, ANY),
    traits=[Trait.ACCUMULATES],
    samples=(
        *(
            Sample(
                ("f32[5,3]", Arg("i32[4]", -1, 6), Arg("f32[4,3]", 0.5, 2.0)),
                {**_SET_ROWS, "mode": mode},
            )
            for mode in _MODES
        ),
        Sample(("f32[4,5]", Arg("i32[3,2]", 0, 4), "f32[3,2,2]"), _SET_BLOCKS),
        Sample(
            ("f32[4,5]", Arg("i32[3,2]", 0, 2), "f32[3,2,2]"),
            {**_SET_BLOCKS, "mode": "set"},
        ),
        Sample(
            ("f32[2,6,3]", Arg("i32[2,4]", 0, 6), "f32[2,4,3]"),
            {
                "update_window_dims": [2],
                "inserted_dims": [1],
                "index_map": [1],
                "index_axis": 2,
                "operand_batching": [0],
                "indices_batching": [0],
            },
        ),
        Sample(
            ("f32[3,3,5]", Arg("i32[3,3]", 0, 5), "f32[3,3]"),
            {
                **_TURNED,
                "update_window_dims": [],
                "inserted_dims": [2],
                "index_map": [2],
            },
        ),
        Sample(
            ("i32[5,3]", Arg("i32[4]", 0, 5), Arg("i32[4,3]", 0, 9)),
            {**_SET_ROWS, "mode": "max"},
        ),
        Sample(("f32[T,3]", Arg("i32[B]", 0, 3), "f32[B,3]"), _SET_ROWS),
    ),
    errors=(
        IllTyped(("f32[5,3]", "f32[4]", "f32[4,3]"), "indices must be one", _SET_ROWS),
        IllTyped(("f32[5,3]", "i32[4]", "i32[4,3]"), "have the dtype", _SET_ROWS),
        IllTyped(("f32[5,3]", "i32[4]", "f32[5,3]"), "updates must have", _SET_ROWS),
        IllTyped(("f32[5,3]", "i32[4]", "f32[4,4]"), "larger than", _SET_ROWS),
        IllTyped(
            ("f32[5,3]", "i32[4]", "f32[4]"), "must ascend within 0..0", _SET_ROWS
        ),
        IllTyped(
            ("f32[5,3]", "i32[4]", "f32[4,3]"),
            "mode must be one of",
            {**_SET_ROWS, "mode": "subtract"},
        ),
        IllTyped(("bool[5,3]", "i32[4]", "bool[4,3]"), "combines numbers", _SET_ROWS),
    ),
    ulp=1,
    numerics="windows not wholly inside x are dropped; set at one place twice keeps"
    " one of the updates; the gradient of multiply divides by the updates",
)
def scatter(
    x: TensorType,
    indices: TensorType,
    updates: TensorType,
    *,
    update_window_dims: Ints,
    inserted_dims: Ints,
    index_map: Ints,
    index_axis: int,
    operand_batching: Ints = (),
    indices_batching: Ints = (),
    mode: str = "add",
) -> TensorType:
    """Combines `updates` with the windows of x at the places that `indices` names.

    `mode` says how: add, set, min, max or multiply. The transpose of `gather`, with
    its rules for dimensions.
    """
    name = "scatter"
    if mode not in _MODES:
        raise GraphError(
            f"scatter: mode must be one of {', '.join(_MODES)}",
            received=repr(mode)[:80],
        )
    require(
        updates.dtype is x.dtype,
        "scatter: updates must have the dtype of the operand",
        x,
        updates,
    )
    require(mode == "set" or x.dtype in NUMBER, f"scatter: {mode} combines numbers", x)
    grid = grid_shape(
        name,
        x,
        indices,
        index_map,
        index_axis,
        inserted_dims,
        operand_batching,
        indices_batching,
    )
    require_ascending(name, "update_window_dims", update_window_dims, updates.rank)
    removed = (*inserted_dims, *operand_batching)
    window_dims = dims_except(x.rank, removed)
    rest = tuple(
        updates.shape[d] for d in dims_except(updates.rank, update_window_dims)
    )
    require(
        rest == grid
        and len(update_window_dims) == len(window_dims)
        and len(set(removed)) == len(removed),
        "scatter: updates must have the dimensions of the indices and of the windows",
        x,
        indices,
        updates,
    )
    for d, u in zip(window_dims, update_window_dims, strict=True):
        require(
            not exceeds(updates.shape[u], x.shape[d]),
            f"scatter: window size {updates.shape[u]} is larger than {x.shape[d]}",
            x,
            updates,
        )
    return x
