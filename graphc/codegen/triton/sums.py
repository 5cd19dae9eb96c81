"""Ops that combine many elements into one, as loops over the elements.

These are the general forms, which hold at any index. Where a kernel's loops fit, the
kernels for reductions and contractions work on tiles of terms instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphc.codegen.combining import COMBINING, neutral
from graphc.codegen.triton import dtypes
from graphc.codegen.triton.emitter import Emitter, Guard, Place, Pull, name_of
from graphc.codegen.triton.writer import Tile, axes_of
from graphc.ir.graph import Graph, Node
from graphc.ir.index import ZERO, Axis, Index, unflattened
from graphc.ir.types import DType
from graphc.ir.values import Literal


@dataclass(frozen=True, slots=True)
class Combiner:
    """How two elements become one.

    Attributes:
        operation: What the operation is called.
        text: The combination of {0} and {1}.
    """

    operation: str
    text: str

    def neutral(self, dtype: DType) -> Literal:
        """The element that changes no other."""
        return Literal(neutral(self.operation, dtype).item(), dtype)


_NAN = "propagate_nan=tl.PropagateNan.ALL"
ADD = Combiner("add", "{0} + {1}")
MULTIPLY = Combiner("multiply", "{0} * {1}")
MAXIMUM = Combiner("maximum", f"tl.maximum({{0}}, {{1}}, {_NAN})")
MINIMUM = Combiner("minimum", f"tl.minimum({{0}}, {{1}}, {_NAN})")
AND = Combiner("and", "{0} & {1}")
OR = Combiner("or", "{0} | {1}")

OPERATIONS = {c.operation: c for c in (ADD, MULTIPLY, MAXIMUM, MINIMUM, AND, OR)}
"""Combiners by the names of their operations."""

COMBINERS = {op: OPERATIONS[operation] for op, operation in COMBINING.items()}
"""What each op combines elements by."""


class Total:
    """A variable that a loop combines terms into."""

    def __init__(
        self,
        emitter: Emitter,
        combiner: Combiner,
        dtype: DType,
        axes: frozenset[Axis],
        wanted: str,
    ) -> None:
        self._emitter = emitter
        self._combiner = combiner
        self._dtype = dtype
        self._axes = axes
        writer = emitter.writer
        self._name = writer.fresh(wanted)
        start = dtypes.literal(combiner.neutral(dtype))
        full = writer.full(start, dtypes.held(dtype), axes)
        writer.line(f"{self._name} = {full}")

    @property
    def tile(self) -> Tile:
        """The total so far."""
        return Tile(self._name, self._axes)

    def include(self, term: str, conditions: Sequence[str] = ()) -> None:
        """Combines another term where all conditions hold."""
        writer = self._emitter.writer
        if conditions:
            neutral = dtypes.literal(self._combiner.neutral(self._dtype))
            term = f"tl.where({' & '.join(conditions)}, {term}, {neutral})"
        text = self._combiner.text.format(self._name, term)
        if self._dtype.is_integer and self._dtype.bits < 32:
            text = f"({text}).to({dtypes.held(self._dtype)})"
        writer.line(f"{self._name} = {text}")


def total_of(emitter: Emitter, node: Node, index: Place, guard: Guard) -> Total:
    """The variable that an element of a node's result is combined in."""
    return Total(
        emitter,
        COMBINERS[node.op.name],
        node.operands[0].type.dtype,
        axes_of(index, guard),
        name_of(node.results[0]),
    )


# -- reductions ------------------------------------------------------------------------


def reduce(
    emitter: Emitter, node: Node, result: int, index: Place, guard: Guard, axes: Any
) -> Tile:
    """A reduction of few elements, one after the other."""
    x = node.operands[0]
    shape = x.type.static_shape
    total = total_of(emitter, node, index, guard)
    terms = math.prod(shape[d] for d in axes)
    if terms == 0:
        return total.tile
    with emitter.writer.loop(terms, "k") as k:
        place = reduced_place(shape, axes, index, k)
        total.include(emitter.value(x, place, guard).text)
    return total.tile


def reduced_place(
    shape: Sequence[int], axes: Sequence[int], kept: Sequence[Index], term: Index
) -> Place:
    """The operand's element for a kept index and the number of a reduced element."""
    order = sorted(axes)
    reduced = dict(
        zip(order, unflattened(term, [shape[d] for d in order]), strict=True)
    )
    rest = iter(kept)
    return tuple(reduced[d] if d in reduced else next(rest) for d in range(len(shape)))


def argument_of_extreme(
    emitter: Emitter, node: Node, result: int, index: Place, guard: Guard, axis: int
) -> Tile:
    """The first position of the extreme element, one element after the other."""
    x = node.operands[0]
    writer = emitter.writer
    axes = axes_of(index, guard)
    held = dtypes.held(x.type.dtype)
    best = emitter.value(x, (*index[:axis], ZERO, *index[axis:]), guard)
    extreme = writer.fresh("extreme")
    writer.line(f"{extreme} = {best.text} + {writer.full('0', held, axes)}")
    found = writer.fresh("position")
    writer.line(f"{found} = {writer.full('0', 'tl.int32', axes)}")
    sign = ">" if node.op.name == "argmax" else "<"
    with writer.loop(x.type.static_shape[axis], "k") as k:
        other = emitter.value(x, (*index[:axis], k, *index[axis:]), guard)
        better = f"({other.text} {sign} {extreme})"
        if x.type.dtype.is_float:
            worse = f"({extreme} == {extreme})"
            better = f"({better} | ({other.text} != {other.text})) & {worse}"
        taken = writer.assign("better", better, axes | other.axes)
        writer.line(f"{found} = tl.where({taken.text}, {writer.position(k)}, {found})")
        writer.line(f"{extreme} = tl.where({taken.text}, {other.text}, {extreme})")
    return Tile(found, axes)


def cumulative(
    emitter: Emitter,
    node: Node,
    result: int,
    index: Place,
    guard: Guard,
    axis: int,
    reverse: bool,
) -> Tile:
    """The total up to each element, one element after the other."""
    x = node.operands[0]
    total = total_of(emitter, node, index, guard)
    writer = emitter.writer
    with writer.loop(x.type.static_shape[axis], "k") as k:
        term = emitter.value(x, (*index[:axis], k, *index[axis + 1 :]), guard)
        sign = ">=" if reverse else "<="
        here = f"({writer.position(k)} {sign} {writer.position(index[axis])})"
        total.include(term.text, [here])
    return total.tile


# -- combiner graphs -------------------------------------------------------------------


def reduce_by_graph(
    emitter: Emitter,
    node: Node,
    result: int,
    index: Place,
    guard: Guard,
    graph: Graph,
    axes: Any,
) -> Tile:
    """Elements combined by a graph, one after the other."""
    count = len(node.operands) // 2
    shape = node.operands[0].type.static_shape
    totals = starts_of(emitter, node, count, axes_of(index, guard))
    elements = math.prod(shape[d] for d in axes)
    if elements == 0:
        return remembered(emitter, node, index, guard, totals)[result]
    with emitter.writer.loop(elements, "k") as k:
        place = reduced_place(shape, axes, index, k)
        terms = [emitter.value(x, place, guard) for x in node.operands[:count]]
        combine(emitter, graph, totals, terms)
    return remembered(emitter, node, index, guard, totals)[result]


def starts_of(
    emitter: Emitter, node: Node, count: int, axes: frozenset[Axis]
) -> list[Tile]:
    """Variables that hold the starts of a reduction."""
    writer = emitter.writer
    totals: list[Tile] = []
    for start, value in zip(node.operands[count:], node.results, strict=True):
        first = emitter.value(start, ())
        name = writer.fresh(name_of(value))
        dtype = value.type.dtype
        zero = writer.full(dtypes.literal(Literal(0, dtype)), dtypes.held(dtype), axes)
        joined = "|" if dtypes.held(dtype) == "tl.int1" else "+"
        writer.line(f"{name} = {zero} {joined} {first.text}")
        totals.append(Tile(name, axes))
    return totals


def combine(
    emitter: Emitter, graph: Graph, totals: Sequence[Tile], terms: Sequence[Tile]
) -> None:
    """Writes the new totals that a graph of elementwise ops makes of two elements."""
    made = _results_of(emitter, graph, [*totals, *terms])
    names = [emitter.writer.assign("combined", tile.text, tile.axes) for tile in made]
    for total, tile in zip(totals, names, strict=True):
        emitter.writer.line(f"{total.text} = {tile.text}")


def _results_of(
    emitter: Emitter, graph: Graph, arguments: Sequence[Tile]
) -> list[Tile]:
    """The results of a graph of elementwise ops on elements, for this use alone."""
    inner = Emitter(graph, emitter.writer, {}, emitter.pulls)
    inner.pinned = True
    memo = emitter.writer.memo
    place: Place = ()
    for parameter, tile in zip(graph.parameters, arguments, strict=True):
        memo[parameter, place, frozenset()] = tile
    made = [inner.value(out, place) for out in graph.results]
    for key in [key for key in memo if key[0].graph is graph]:
        del memo[key]
    return made


def called(
    emitter: Emitter, node: Node, result: int, index: Place, guard: Guard, graph: Graph
) -> Tile:
    """A result of a graph that a combiner calls."""
    arguments = [emitter.value(operand, index, guard) for operand in node.operands]
    return _results_of(emitter, graph, arguments)[result]


def remembered(
    emitter: Emitter, node: Node, index: Place, guard: Guard, tiles: Sequence[Tile]
) -> Sequence[Tile]:
    """`tiles`, which other results of the node find again."""
    for value, tile in zip(node.results, tiles, strict=True):
        emitter.writer.memo[value, index, guard] = tile
    return tiles


PULLS: dict[str, Pull] = {
    "argmax": argument_of_extreme,
    "argmin": argument_of_extreme,
    "call": called,
    "cumulative_max": cumulative,
    "cumulative_prod": cumulative,
    "cumulative_sum": cumulative,
    "reduce": reduce_by_graph,
    "reduce_and": reduce,
    "reduce_max": reduce,
    "reduce_min": reduce,
    "reduce_or": reduce,
    "reduce_prod": reduce,
    "reduce_sum": reduce,
}
"""How each op combines the elements that a result element depends on."""
