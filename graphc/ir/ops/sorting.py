"""Primitives that put elements in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.body import as_tuple
from graphc.ir.differentiate import zeros
from graphc.ir.opdef import ANY, COMPUTED, Arg, IllTyped, Kind, Sample, Trait
from graphc.ir.ops.gather_scatter import scatter
from graphc.ir.ops.shape import exceeds, iota
from graphc.ir.register import primitive
from graphc.ir.typerules import checked_axes, require
from graphc.ir.types import I32, TensorType


def _order(keys: Any, axis: int, descending: bool) -> Any:
    """The places of the elements in the order of their keys, stable either way."""
    if not descending:
        return np.lexsort(keys[::-1], axis=axis)
    # Sorted backwards from back to front: equal elements stay in order.
    backwards = [np.flip(key, axis) for key in keys[::-1]]
    order = np.lexsort(backwards, axis=axis)
    return np.flip(keys[0].shape[axis] - 1 - order, axis)


def _sort_reference(*xs: Any, axis: int, descending: bool, keys: int) -> Any:
    order = _order(xs[:keys], axis, descending)
    return tuple(np.take_along_axis(x, order, axis) for x in xs)


def _sort_vjp(g: Any, y: Any, *xs: Any, axis: int, descending: bool, keys: int) -> Any:
    # Sorting the places along with the keys says where each element came from;
    # sorting the cotangents by these places brings them back.
    places = iota(shape=xs[0].type.shape, axis=axis, dtype=I32)
    came_from = sort(*xs[:keys], places, axis=axis, descending=descending, keys=keys)
    flows = [c for c in as_tuple(g) if c is not None]
    back = iter(sort(came_from[-1], *flows, axis=axis)[1:])
    return tuple(None if c is None else next(back) for c in as_tuple(g))


@primitive(
    Kind.OPAQUE,
    _sort_reference,
    vjp=_sort_vjp,
    dtypes=(COMPUTED, ANY),
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[3,5]",), {"axis": 1}),
        Sample(("f32[4,2]", "f32[4,2]"), {"axis": 0, "descending": True}),
        Sample((Arg("i32[6]", 0, 3), "f32[6]", "i32[6]"), {"axis": 0}),
        Sample(
            (Arg("i32[6]", 0, 3), Arg("i32[6]", 0, 99)), {"axis": 0, "descending": True}
        ),
        Sample(
            (Arg("i32[9]", 0, 3), "f32[9]", "f32[9]"),
            {"axis": 0, "keys": 2, "descending": True},
        ),
        Sample((Arg("i32[2,7]", 0, 3), "f32[2,7]"), {"axis": 1, "keys": 2}),
        Sample(("f32[0,3]",), {"axis": 0}),
        Sample(("f32[B,3]", "f32[B,3]"), {"axis": 1}),
    ),
    errors=(
        IllTyped(("f32[3]",), "within 0..0", {"axis": 1}),
        IllTyped(("f32[3]", "i32[4]"), "must have the same shape", {"axis": 0}),
        IllTyped(("f32[3]",), "keys must be 1 to 1", {"axis": 0, "keys": 2}),
        IllTyped(("f32[3]",), "keys must be 1 to 1", {"axis": 0, "keys": 0}),
        IllTyped(("f32[3]", "i4[3]"), "cannot be compared", {"axis": 0, "keys": 2}),
        IllTyped((), "takes 1 or more operands", {"axis": 0}),
    ),
    numerics="nan counts as the largest; -0.0 equals 0.0",
)
def sort(
    x: TensorType,
    *more: TensorType,
    axis: int,
    descending: bool = False,
    keys: int = 1,
) -> tuple[TensorType, ...]:
    """The operands in the order that sorts the first `keys` of them along `axis`.

    Where the first key ties the second decides, and so on. The sort is stable, in both
    directions.
    """
    operands = (x, *more)
    checked_axes("sort", [axis], x.rank)
    require(
        all(other.shape == x.shape for other in more),
        "sort: operands must have the same shape",
        *operands,
    )
    require(
        1 <= keys <= len(operands),
        f"sort: keys must be 1 to {len(operands)}, the number of operands",
        *operands,
    )
    require(
        all(key.dtype in COMPUTED for key in operands[:keys]),
        "sort: the elements of a key cannot be compared",
        *operands,
    )
    return operands


def _top_k_reference(x: Any, k: int) -> Any:
    signs = [~np.signbit(x)] if x.dtype.kind == "f" else []
    order = _order([x, *signs], x.ndim - 1, True)[..., :k]
    return np.take_along_axis(x, order, -1), order.astype(np.int32)


def _top_k_vjp(g: Any, y: Any, x: Any, k: int) -> Any:
    rank = x.type.rank
    rows = list(range(rank - 1))
    return (
        scatter(
            zeros(x.type),
            y[1],
            g[0],
            update_window_dims=[],
            inserted_dims=[rank - 1],
            index_map=[rank - 1],
            index_axis=rank,
            operand_batching=rows,
            indices_batching=rows,
        ),
    )


@primitive(
    Kind.OPAQUE,
    _top_k_reference,
    vjp=_top_k_vjp,
    dtypes=COMPUTED,
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[3,7]",), {"k": 3}),
        Sample(("f32[5]",), {"k": 5}),
        Sample(("f32[2,1]",), {"k": 1}),
        Sample(("f32[2,3]",), {"k": 0}),
        Sample(("f32[0,3]",), {"k": 2}),
        Sample((Arg("i32[2,2,9]", 0, 4),), {"k": 4}),
        Sample(("bool[2,6]",), {"k": 4}),
        Sample(("f32[B,6]",), {"k": 2}),
    ),
    errors=(
        IllTyped(("f32[3]",), "k must be 0 to 3", {"k": 4}),
        IllTyped(("f32[3]",), "k must be 0 to 3", {"k": -1}),
        IllTyped(("f32[]",), "a last dimension", {"k": 1}),
        IllTyped((f"i8[{2**31}]",), "at most 2147483647", {"k": 1}),
    ),
    numerics="nan counts as the largest, 0.0 as above -0.0; of equal elements the first"
    " comes first",
)
def top_k(x: TensorType, *, k: int) -> tuple[TensorType, TensorType]:
    """The `k` largest elements along the last dimension, and where they are.

    They are in descending order; their places are i32.
    """
    require(x.rank > 0, "top_k: the operand must have a last dimension", x)
    size = x.shape[-1]
    require(
        k >= 0 and not exceeds(k, size), f"top_k: k must be 0 to {size}, the size", x
    )
    require(
        not isinstance(size, int) or size < 2**31,
        "top_k: the last dimension must have at most 2147483647 elements",
        x,
    )
    values = x.with_shape((*x.shape[:-1], k))
    return values, values.with_dtype(I32)
