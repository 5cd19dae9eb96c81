"""Ops that only move elements, as arithmetic on indices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphc.codegen.triton import dtypes
from graphc.codegen.triton.emitter import (
    NO_GUARD,
    Emitter,
    Guard,
    Place,
    Pull,
    is_fixed,
    name_of,
    stored_element,
)
from graphc.codegen.triton.kernel import POINTERS
from graphc.codegen.triton.writer import Tile, axes_of
from graphc.ir.graph import Node
from graphc.ir.index import ZERO, Index, whole, within
from graphc.ir.ops.index_places import dims_except
from graphc.ir.types import DTYPES, DType
from graphc.ir.values import Literal, Operand


def iota(
    emitter: Emitter,
    node: Node,
    result: int,
    index: Place,
    guard: Guard,
    shape: Any,
    axis: int,
    dtype: DType,
) -> Tile:
    """The position along an axis."""
    return emitter.index_value(index[axis], dtype, "position")


def pad(
    emitter: Emitter,
    node: Node,
    result: int,
    index: Place,
    guard: Guard,
    low: Any,
    high: Any,
    interior: Any,
) -> Tile:
    """The operand's element where there is one, else the padding."""
    x, value = node.operands
    place: list[Index] = []
    conditions: list[str] = []
    sizes = zip(
        index, low, interior or [0] * len(low), x.type.static_shape, strict=True
    )
    for at, before, between, size in sizes:
        source, found = unpadded(emitter, at - before, between + 1, size)
        if source is None:
            return emitter.value(value, (), guard)
        place.append(within(source, 0, size - 1))
        conditions += found
    return chosen(emitter, node, conditions, place, index, guard)


def unpadded(
    emitter: Emitter, at: Index, step: int, size: int
) -> tuple[Index | None, list[str]]:
    """Where an element comes from, and the conditions for it; None for nowhere."""
    span = (size - 1) * step + 1
    least, greatest = at.bounds
    if size == 0 or greatest < 0 or least >= span:
        return None, []
    conditions = emitter.within(at, 0, span)
    if step == 1:
        return at, conditions
    remainder = at % step
    if not remainder.is_constant:
        conditions.append(f"({emitter.writer.position(remainder)} == 0)")
    elif remainder.constant:
        return None, []
    return at // step, conditions


def chosen(
    emitter: Emitter,
    node: Node,
    conditions: Sequence[str],
    place: Sequence[Index],
    index: Place,
    guard: Guard,
) -> Tile:
    """The first operand at `place` under `conditions`, else the second operand."""
    x, other = node.operands[:2]
    if not conditions:
        return emitter.value(x, place, guard)
    inside = emitter.condition(" & ".join(conditions), axes_of(index))
    is_filled = _is_zero(other) and _is_loaded_for(emitter, x, place)
    taken = emitter.value(x, place, guard | {inside})
    if is_filled:
        return taken
    fill = emitter.value(other, (), guard)
    text = f"tl.where({inside.text}, {taken.text}, {fill.text})"
    axes = inside.axes | taken.axes | fill.axes
    return emitter.writer.assign(node.results[0].name or "padded", text, axes)


def _is_zero(operand: Operand) -> bool:
    if not isinstance(operand, Literal):
        return False
    return operand.value == 0 and math.copysign(1, operand.value) > 0


def _is_loaded_for(emitter: Emitter, x: Operand, place: Sequence[Index]) -> bool:
    """Whether `x` is loaded where it is asked for, and 0 where a guard forbids that."""
    stored = stored_element(emitter.pointers, x, tuple(place))
    if stored is None or is_fixed(stored[1]):
        return False
    return emitter.writer.known(*stored, NO_GUARD) is None


def concatenate(
    emitter: Emitter, node: Node, result: int, index: Place, guard: Guard, axis: int
) -> Tile:
    """The element of the operand that covers the place along the axis."""
    least, greatest = index[axis].bounds
    found: Tile | None = None
    start = 0
    for operand in node.operands:
        size = operand.type.static_shape[axis]
        first, start = start, start + size
        if size == 0 or greatest < first or least >= start:
            continue
        along = within(index[axis] - first, 0, size - 1)
        place = (*index[:axis], along, *index[axis + 1 :])
        conditions = emitter.within(index[axis], first, start)
        if not conditions:
            return emitter.value(operand, place, guard)
        inside = emitter.condition(" & ".join(conditions), index[axis].axes)
        part = emitter.value(operand, place, guard | {inside})
        if found is None:
            found = part
        else:
            found = emitter.writer.assign(
                "joined",
                f"tl.where({inside.text}, {part.text}, {found.text})",
                inside.axes | part.axes | found.axes,
            )
    assert found is not None
    return found


def dynamic_slice(
    emitter: Emitter, node: Node, result: int, index: Place, guard: Guard, sizes: Any
) -> Tile:
    """The element of the operand, counted from starts that are read."""
    x, *starts = node.operands
    place: list[Index] = []
    for at, start, size, extent in zip(
        index, starts, sizes, x.type.static_shape, strict=True
    ):
        place.append(at + emitter.index_of(start, (), guard, 0, extent - size))
    return emitter.value(x, place, guard)


def dynamic_update_slice(
    emitter: Emitter, node: Node, result: int, index: Place, guard: Guard
) -> Tile:
    """The update's element inside of its window, else the operand's."""
    x, update, *starts = node.operands
    place: list[Index] = []
    conditions: list[str] = []
    axes = axes_of(index)
    extents = zip(
        index, starts, x.type.static_shape, update.type.static_shape, strict=True
    )
    for at, start, extent, size in extents:
        moved = at - emitter.index_of(start, (), guard, 0, extent - size)
        conditions += emitter.within(moved, 0, size)
        place.append(within(moved, 0, max(0, size - 1)))
        axes |= moved.axes
    if update.type.size == 0:
        return emitter.value(x, index, guard)
    if not conditions:
        return emitter.value(update, place, guard)
    inside = emitter.condition(" & ".join(conditions), axes)
    taken = emitter.value(update, place, guard | {inside})
    old = emitter.value(x, index, guard)
    text = f"tl.where({inside.text}, {taken.text}, {old.text})"
    axes = inside.axes | taken.axes | old.axes
    return emitter.writer.assign(node.results[0].name or "updated", text, axes)


def gather(
    emitter: Emitter,
    node: Node,
    result: int,
    index: Place,
    guard: Guard,
    offset_dims: Any,
    collapsed_dims: Any,
    start_index_map: Any,
    index_axis: int,
    slice_sizes: Any,
    operand_batching: Any,
    indices_batching: Any,
) -> Tile:
    """An element of the operand, whose place is read from the indices."""
    x, indices = node.operands
    shape = x.type.static_shape
    grid = tuple(index[d] for d in dims_except(len(index), offset_dims))
    window_dims = dims_except(len(shape), (*collapsed_dims, *operand_batching))
    offsets = dict(zip(window_dims, (index[d] for d in offset_dims), strict=True))
    place: list[Index] = []
    for d, extent in enumerate(shape):
        at = offsets.get(d, ZERO)
        if d in operand_batching:
            at = grid[grid_axis(d, operand_batching, indices_batching, index_axis)]
        elif d in start_index_map:
            component = list(start_index_map).index(d)
            read = vector_place(indices.type.rank, grid, index_axis, component)
            last = extent - slice_sizes[d]
            at = at + emitter.index_of(indices, read, guard, 0, last)
        place.append(at)
    return emitter.value(x, place, guard)


def vector_place(
    rank: int, grid: Place, index_axis: int, component: int
) -> tuple[Index, ...]:
    """Where a component of the index vector of a grid element is."""
    if index_axis == rank:
        return grid
    return (*grid[:index_axis], whole(component), *grid[index_axis:])


def grid_axis(
    d: int,
    operand_batching: Sequence[int],
    indices_batching: Sequence[int],
    index_axis: int,
) -> int:
    """Which axis of the grid a batching dimension of the operand runs along."""
    axis = indices_batching[list(operand_batching).index(d)]
    return axis - (axis > index_axis)


def identity(
    emitter: Emitter, node: Node, result: int, index: Place, guard: Guard, **_: Any
) -> Tile:
    """The operand itself."""
    return emitter.value(node.operands[result], index, guard)


def dimension_size(
    emitter: Emitter, node: Node, result: int, index: Place, guard: Guard, axis: int
) -> Tile:
    """The size, which is known."""
    size = node.operands[0].type.static_shape[axis]
    return emitter.index_value(whole(size), node.results[0].type.dtype, "size")


def bitcast_reshape(
    emitter: Emitter, node: Node, result: int, index: Place, guard: Guard, dtype: DType
) -> Tile:
    """A part of an element's bits, or the bits of several elements behind each other."""
    x = node.operands[0]
    source = x.type.dtype
    width = min(source.bits, dtype.bits)
    wide = f"tl.uint{max(source.bits, dtype.bits)}"
    writer = emitter.writer
    if source.bits > dtype.bits:
        found = _bits(emitter, emitter.value(x, index[:-1], guard), source)
        shift = emitter.index_value(index[-1] * width, DTYPES["i32"], "shift")
        amount = dtypes.typed(shift.text, DTYPES["i32"])
        part = f"({found.text} >> {amount}.to({wide})).to(tl.uint{width})"
        bits = writer.assign("part", part, found.axes | shift.axes)
    else:
        parts: list[str] = []
        axes = axes_of(index)
        for number in range(dtype.bits // source.bits):
            place = (*index, whole(number))
            part = _bits(emitter, emitter.value(x, place, guard), source)
            axes |= part.axes
            parts.append(f"({part.text}.to({wide}) << {number * width})")
        bits = writer.assign("bits", " | ".join(parts), axes)
    stored = writer.assign(
        "stored", f"{bits.text}.to({_stored_type(dtype)}, bitcast=True)", bits.axes
    )
    return emitter.assign(
        name_of(node.results[0]), dtypes.widened(stored.text, dtype), bits.axes
    )


_TYPES = {"fp64": "float64", "fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def _stored_type(dtype: DType) -> str:
    """What Triton calls the elements of a tensor in memory."""
    pointer = POINTERS[dtype.name]
    if pointer in _TYPES:
        return f"tl.{_TYPES[pointer]}"
    return f"tl.{'uint' if pointer[0] == 'u' else 'int'}{pointer[1:]}"


def _bits(emitter: Emitter, tile: Tile, dtype: DType) -> Tile:
    """The bits of stored elements as unsigned integers."""
    stored = emitter.assign("stored", dtypes.narrowed(tile.text, dtype), tile.axes)
    text = f"{stored.text}.to(tl.uint{dtype.bits}, bitcast=True)"
    return emitter.writer.assign("bits", text, tile.axes)


PULLS: dict[str, Pull] = {
    "bitcast_reshape": bitcast_reshape,
    "concatenate": concatenate,
    "dimension_size": dimension_size,
    "dynamic_slice": dynamic_slice,
    "dynamic_update_slice": dynamic_update_slice,
    "gather": gather,
    "iota": iota,
    "optimization_barrier": identity,
    "pad": pad,
    "stop_gradient": identity,
}
"""How each op finds the operand element that a result element is."""
