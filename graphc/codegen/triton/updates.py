"""Updates of elements at computed places, as loops over the updates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from graphc.codegen.combining import UPDATING
from graphc.codegen.triton import dtypes
from graphc.codegen.triton.emitter import Emitter, Guard, Place, Pull, name_of
from graphc.codegen.triton.movement import grid_axis, vector_place
from graphc.codegen.triton.sums import OPERATIONS, Combiner
from graphc.codegen.triton.writer import Tile, axes_of
from graphc.ir.graph import Node
from graphc.ir.index import ZERO, Index, unflattened, whole
from graphc.ir.ops.index_places import dims_except
from graphc.ir.values import Literal

COMBINED_BY: Mapping[str, Combiner | None] = {
    "set": None,
    **{mode: OPERATIONS[operation] for mode, operation in UPDATING.items()},
}
"""What combines an element with an update, by the mode of a scatter."""


def scatter(
    emitter: Emitter,
    node: Node,
    result: int,
    index: Place,
    guard: Guard,
    update_window_dims: Any,
    inserted_dims: Any,
    index_map: Any,
    index_axis: int,
    operand_batching: Any,
    indices_batching: Any,
    mode: str,
) -> Tile:
    """The element with all updates that go to its place, in their order."""
    x, indices, updates = node.operands
    writer = emitter.writer
    shape, update_shape = x.type.static_shape, updates.type.static_shape
    window_dims = dims_except(len(shape), (*inserted_dims, *operand_batching))
    grid_dims = dims_except(len(update_shape), update_window_dims)
    sizes = {
        d: update_shape[u] for d, u in zip(window_dims, update_window_dims, strict=True)
    }
    grid_shape = [update_shape[d] for d in grid_dims]
    axes = axes_of(index, guard)
    old = emitter.value(x, index, guard)
    found = writer.fresh(name_of(node.results[0]))
    held = dtypes.held(x.type.dtype)
    zero = writer.full(dtypes.literal(Literal(0, x.type.dtype)), held, axes)
    start = f"{old.text} | {zero}" if held == "tl.int1" else f"{old.text} + {zero}"
    writer.line(f"{found} = {start}")
    if 0 in update_shape:
        return Tile(found, axes)
    with writer.loop(math.prod(grid_shape), "k") as k:
        grid = unflattened(k, grid_shape)
        at: dict[int, Index] = {}
        conditions: list[str] = []
        for d, extent in enumerate(shape):
            if d in operand_batching:
                own = grid[grid_axis(d, operand_batching, indices_batching, index_axis)]
                difference = index[d] - own
                conditions += emitter.within(difference, 0, 1)
                continue
            first = ZERO
            size = sizes.get(d, 1)
            if d in index_map:
                component = list(index_map).index(d)
                read = vector_place(indices.type.rank, grid, index_axis, component)
                first, fits = update_start(emitter, indices, read, guard, extent - size)
                conditions += fits
            at[d] = index[d] - first
            conditions += emitter.within(at[d], 0, size)
        place: list[Index] = [ZERO] * len(update_shape)
        for d, position in zip(grid_dims, grid, strict=True):
            place[d] = position
        for d, position in zip(window_dims, update_window_dims, strict=True):
            place[position] = at[d]
        inside = emitter.all_of(conditions, axes | k.axes)
        update = emitter.value(updates, place, guard | {inside})
        combiner = COMBINED_BY[mode]
        new = update.text
        if combiner is not None:
            new = combiner.text.format(found, update.text)
        writer.line(f"{found} = tl.where({inside.text}, {new}, {found}).to({held})")
    return Tile(found, axes)


def update_start(
    emitter: Emitter, indices: Any, read: Place, guard: Guard, last: int
) -> tuple[Index, list[str]]:
    """Where an update's window starts, and the condition that it fits."""
    if isinstance(indices, Literal):
        value = int(indices.value)
        return whole(value), [] if 0 <= value <= last else ["False"]
    tile = emitter.value(indices, read, guard)
    dtype = indices.type.dtype
    text = dtypes.typed(tile.text, dtype)
    with emitter.writer.outermost(tile.axes):
        if dtype.kind == "uint":
            fits = emitter.condition(f"{text} <= {last}", tile.axes)
        else:
            if dtype.bits < 32 or (dtype.bits == 32 and last >= 2**31):
                text = f"{text}.to(tl.int{32 if dtype.bits < 32 else 64})"
            fits = emitter.condition(f"({text} >= 0) & ({text} <= {last})", tile.axes)
        clamped = emitter.index_of(indices, read, guard, 0, max(0, last))
    return clamped, [fits.text]


PULLS: dict[str, Pull] = {"scatter": scatter}
"""How each op changes elements."""
