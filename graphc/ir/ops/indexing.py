"""Composites that look elements up by their positions."""

from __future__ import annotations

from typing import Any

from graphc.ir.opdef import ANY, INDEX, Arg, IllTyped, Kind, Sample, Trait
from graphc.ir.ops.gather_scatter import gather
from graphc.ir.ops.index_places import dims_except
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
