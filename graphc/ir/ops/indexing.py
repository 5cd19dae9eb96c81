"""Composites that look elements up by their positions."""

from __future__ import annotations

from typing import Any

from graphc.ir.body import as_tuple
from graphc.ir.dims import Dim
from graphc.ir.opdef import ANY, INDEX, Arg, IllTyped, Kind, Sample, Shape, Trait
from graphc.ir.ops.gather_scatter import gather
from graphc.ir.ops.index_places import dims_except
from graphc.ir.ops.shape import concatenate, slice_
from graphc.ir.register import composite
from graphc.ir.typerules import checked_axes, require


@composite(
    Kind.OPAQUE,
    dtypes=(ANY, INDEX),
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[5,3]", Arg("i32[2,4]", 0, 5)), {"axis": 0}),
        Sample(("f32[2,5,3]", Arg("i32[4]", 0, 5)), {"axis": 1}),
        Sample(("f32[5]", 3), {"axis": 0}),
        Sample(("f32[9,2]", Arg("i32[B,3]", 0, 9)), {"axis": 0}),
        Sample(("f32[B,5]", Arg("i32[2]", 0, 5)), {"axis": 1}),
    ),
    errors=(
        IllTyped(("f32[5]", "f32[2]"), "indices must be one of", {"axis": 0}),
        IllTyped(("f32[5]", "i32[2]"), "within 0..0", {"axis": 1}),
        IllTyped(("f32[0]", "i32[2]"), "slice size 1 is larger", {"axis": 0}),
    ),
    numerics="indices are clamped to the dimension",
)
def take(x: Any, indices: Any, *, axis: int) -> Any:
    """The slices of x along `axis` that `indices` names, as in an embedding.

    The dimensions of the indices stand in the place of `axis`.
    """
    checked_axes("take", [axis], x.type.rank)
    rank, inner = x.type.rank, indices.type.rank
    after = range(axis + inner, rank - 1 + inner)
    return gather(
        x,
        indices,
        offset_dims=[*range(axis), *after],
        collapsed_dims=[axis],
        start_index_map=[axis],
        index_axis=inner,
        slice_sizes=[1 if d == axis else size for d, size in enumerate(x.type.shape)],
    )


@composite(
    Kind.OPAQUE,
    dtypes=(ANY, INDEX),
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[3,5]", Arg("i32[3,2]", 0, 5)), {"axis": 1}),
        Sample(("f32[4,3,2]", Arg("i32[1,3,2]", 0, 4)), {"axis": 0}),
        Sample(("f32[5]", Arg("i32[3]", -2, 7)), {"axis": 0}),
        Sample(("f32[B,5]", Arg("i32[B,1]", 0, 5)), {"axis": 1}),
        Sample(("f32[0,3]", "i32[0,2]"), {"axis": 1}),
        Sample(("f32[2,0]", "i32[2,0]"), {"axis": 1}),
    ),
    errors=(
        IllTyped(("f32[3,5]", "i32[3]"), "may differ along axis 1 only", {"axis": 1}),
        IllTyped(("f32[3,5]", "i32[2,5]"), "may differ along axis 1", {"axis": 1}),
        IllTyped(("f32[5]", "i32[5]"), "within 0..0", {"axis": 1}),
    ),
    numerics="indices are clamped to the dimension",
)
def take_along(x: Any, indices: Any, *, axis: int) -> Any:
    """For each index its element of x along `axis`, all other positions being equal."""
    checked_axes("take_along", [axis], x.type.rank)
    rank = x.type.rank
    others = dims_except(rank, [axis])
    require(
        indices.type.rank == rank
        and all(x.type.shape[d] == indices.type.shape[d] for d in others),
        f"take_along: operand and indices may differ along axis {axis} only",
        x.type,
        indices.type,
    )
    return gather(
        x,
        indices,
        offset_dims=[],
        collapsed_dims=[axis],
        start_index_map=[axis],
        index_axis=rank,
        slice_sizes=[1] * rank,
        operand_batching=others,
        indices_batching=others,
    )


@composite(
    Kind.OPAQUE,
    vjp=lambda g, y, x, axis, sizes: concatenate(*as_tuple(g), axis=axis),
    traits=[Trait.MOVES_DATA],
    samples=(
        Sample(("f32[2,6]",), {"axis": 1, "sizes": [2, 1, 3]}),
        Sample(("i32[3]",), {"axis": 0, "sizes": [3, 0]}),
        Sample(("f32[B,4]",), {"axis": 1, "sizes": [2, 2]}),
        Sample(("f32[B,2]",), {"axis": 0, "sizes": [1, "B-1"]}),
        Sample(("f32[3,2]",), {"axis": 0, "sizes": [3]}),
    ),
    errors=(
        IllTyped(("f32[4]",), "add up to 3, not to 4", {"axis": 0, "sizes": [1, 2]}),
        IllTyped(("f32[4]",), "within 0..0", {"axis": 1, "sizes": [4]}),
        IllTyped(("f32[4]",), "at least one part", {"axis": 0, "sizes": []}),
        IllTyped(("f32[4]",), "at least 0", {"axis": 0, "sizes": [5, -1]}),
    ),
)
def split(x: Any, *, axis: int, sizes: Shape) -> tuple[Any, ...]:
    """The parts of x along `axis` that have these sizes.

    The gradient is one concatenation, where that of slices would be a sum of tensors
    that are mostly zero.
    """
    checked_axes("split", [axis], x.type.rank)
    require(len(sizes) > 0, "split: there must be at least one part")
    known = [size for size in sizes if isinstance(size, int)]
    require(min(known, default=0) >= 0, "split: sizes must be at least 0")
    total: Dim = 0
    for size in sizes:
        total = total + size
    whole = x.type.shape[axis]
    require(
        total == whole, f"split: the sizes add up to {total}, not to {whole}", x.type
    )
    starts: list[Dim] = [0] * x.type.rank
    limits = list(x.type.shape)
    parts: list[Any] = []
    for size in sizes:
        limits[axis] = starts[axis] + size
        parts.append(slice_(x, start=starts, limit=limits))
        starts[axis] = limits[axis]
    return tuple(parts)
