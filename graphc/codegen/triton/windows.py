"""Ops on windows of elements, as loops over a window's places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphc.codegen.triton.emitter import Emitter, Guard, Place, Pull, name_of
from graphc.codegen.triton.movement import unpadded
from graphc.codegen.triton.sums import (
    ADD,
    Total,
    combine,
    remembered,
    starts_of,
    total_of,
)
from graphc.codegen.triton.writer import Tile, axes_of
from graphc.ir.graph import Graph, Node
from graphc.ir.index import Index, unflattened


def reduce_window(
    emitter: Emitter,
    node: Node,
    result: int,
    index: Place,
    guard: Guard,
    window: Any,
    strides: Any,
    padding: Any,
    dilation: Any,
) -> Tile:
    """A window's elements, one after the other."""
    x = node.operands[0]
    total = total_of(emitter, node, index, guard)
    with emitter.writer.loop(math.prod(window), "k") as k:
        place, conditions = window_place(
            emitter,
            index,
            unflattened(k, window),
            x.type.static_shape,
            strides,
            [low for low, _ in padding],
            dilation,
        )
        _include_inside(emitter, total, x, place, conditions, guard)
    return total.tile


def window_place(
    emitter: Emitter,
    index: Sequence[Index],
    within: Sequence[Index],
    shape: Sequence[int],
    strides: Sequence[int],
    low: Sequence[int],
    dilation: Sequence[int] | None = None,
) -> tuple[Place | None, list[str]]:
    """The element at a place within a window, and when there is one."""
    ones = (1,) * len(shape)
    place: list[Index] = []
    conditions: list[str] = []
    for at, inner, size, stride, before, holes in zip(
        index, within, shape, strides, low, dilation or ones, strict=True
    ):
        source, found = unpadded(emitter, at * stride + inner * holes - before, 1, size)
        if source is None:
            return None, []
        place.append(source)
        conditions += found
    return tuple(place), conditions


def _include_inside(
    emitter: Emitter,
    total: Total,
    x: Any,
    place: Place | None,
    conditions: Sequence[str],
    guard: Guard,
) -> None:
    """Combines the element at `place`, if that is inside of the operand."""
    if place is None:
        return
    if not conditions:
        total.include(emitter.value(x, place, guard).text)
        return
    inside = emitter.condition(" & ".join(conditions), axes_of(place))
    term = emitter.value(x, place, guard | {inside})
    total.include(term.text, [inside.text])


def select_and_scatter_add(
    emitter: Emitter,
    node: Node,
    result: int,
    index: Place,
    guard: Guard,
    window: Any,
    strides: Any,
    padding: Any,
) -> Tile:
    """What the windows that chose this element give to it.

    Each element looks at the windows that cover it: for each place that it can have in
    a window, whether an element before it is as large or one behind it larger.
    """
    x, source = node.operands
    writer = emitter.writer
    low = [before for before, _ in padding]
    axes = axes_of(index, guard)
    total = Total(emitter, ADD, x.type.dtype, axes, name_of(node.results[0]))
    if source.type.size == 0:
        return total.tile
    own = emitter.value(x, index, guard)
    with writer.loop(math.prod(window), "k") as k:
        inner = unflattened(k, window)
        place, conditions = _covering(emitter, index, inner, source, strides, low)
        covered = emitter.all_of(conditions, axes | k.axes)
        chosen = writer.fresh("chosen")
        writer.line(f"{chosen} = {writer.full('1', 'tl.int1', axes)} & {covered.text}")
        with writer.loop(math.prod(window), "j") as j:
            rival, inside = window_place(
                emitter,
                place,
                unflattened(j, window),
                x.type.static_shape,
                strides,
                low,
            )
            if rival is not None:
                conditions = [emitter.condition(c, axes_of(rival)) for c in inside]
                other = emitter.value(x, rival, guard | {covered, *conditions})
                before = f"({writer.position(j)} < {writer.position(k)})"
                beaten = (
                    f"(({other.text} > {own.text}) | ({before} &"
                    f" ({other.text} == {own.text})))"
                )
                loses = " & ".join([beaten, *(c.text for c in conditions)])
                writer.line(f"{chosen} = {chosen} & ~({loses})")
        term = emitter.value(source, place, guard | {covered})
        total.include(term.text, [chosen])
    return total.tile


def _covering(
    emitter: Emitter,
    index: Place,
    inner: Place,
    source: Any,
    strides: Sequence[int],
    low: Sequence[int],
) -> tuple[Place, list[str]]:
    """The window in which an element has the place `inner`, and if there is one."""
    place: list[Index] = []
    conditions: list[str] = []
    sizes = source.type.static_shape
    for at, within, stride, before, count in zip(
        index, inner, strides, low, sizes, strict=True
    ):
        first = at + before - within
        conditions += emitter.within(first, 0, (count - 1) * stride + 1)
        remainder = first % stride
        if not remainder.is_constant or remainder.constant:
            conditions.append(f"({emitter.writer.position(remainder)} == 0)")
        place.append(first // stride)
    return tuple(place), conditions


def reduce_window_by_graph(
    emitter: Emitter,
    node: Node,
    result: int,
    index: Place,
    guard: Guard,
    graph: Graph,
    window: Any,
    strides: Any,
    padding: Any,
    dilation: Any,
) -> Tile:
    """A window's elements combined by a graph, one after the other."""
    count = len(node.operands) // 2
    operands = node.operands[:count]
    totals = starts_of(emitter, node, count, axes_of(index, guard))
    low = [before for before, _ in padding]
    with emitter.writer.loop(math.prod(window), "k") as k:
        place, conditions = window_place(
            emitter,
            index,
            unflattened(k, window),
            operands[0].type.static_shape,
            strides,
            low,
            dilation,
        )
        terms: list[Tile] = []
        for x, start in zip(operands, node.operands[count:], strict=True):
            first = emitter.value(start, ())
            if place is None:
                terms.append(first)
                continue
            inside = [emitter.condition(c, axes_of(place)) for c in conditions]
            term = emitter.value(x, place, guard | set(inside))
            if inside:
                text = " & ".join(tile.text for tile in inside)
                text = f"tl.where({text}, {term.text}, {first.text})"
                term = emitter.writer.assign("term", text, axes_of(index) | k.axes)
            terms.append(term)
        combine(emitter, graph, totals, terms)
    return remembered(emitter, node, index, guard, totals)[result]


PULLS: dict[str, Pull] = {
    "reduce_window": reduce_window_by_graph,
    "reduce_window_max": reduce_window,
    "reduce_window_min": reduce_window,
    "reduce_window_sum": reduce_window,
    "select_and_scatter_add": select_and_scatter_add,
}
"""How each op combines the elements of windows."""
