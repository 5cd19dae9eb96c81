"""Split reductions: makes two of those whose few results many elements go into."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, ClassVar, final

import numpy as np

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, OpDef, Trait
from graphc.ir.ops import (
    add,
    iota,
    multiply,
    optimization_barrier,
    pad,
    reduce_sum,
    reshape,
    select,
)
from graphc.ir.ops.along_axes import at_index, in_dtype, widen
from graphc.ir.types import BOOL, I32, TensorType
from graphc.ir.values import Literal
from graphc.passes.fusion.parallelism import ACCESS, KERNEL, work_behind
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.matrices import TILE_ROWS, made_by
from graphc.passes.rewrite import Proposal, Rewriter

COLUMNS = 32
"""How many results a program computes side by side where they lie side by side."""

LEAST, SHARES = 4, 128
"""A program has at least so many elements, and so small a share of what is too much."""

BALANCE = 3
"""How many times as many parts there are at most as makes both sums equally long."""

MOST_PARTS = 16384
"""How many results of parts a program combines."""


@register
@final
@dataclass(frozen=True)
class SplitReductions(GraphPass):
    """Reduces parts first, and then their results, where one way would be too long.

    A GPU reduces rows in parallel; a sum of a million elements to one is a single row.
    Its elements are reshaped to rows, as many as a GPU has programs for; if no number
    of rows divides them, they are padded with what does not change the result. Sums of
    narrow floats stay wide in between. What the elements are computed from counts:
    fusion lets the kernel of the reduction compute it.

    Columns of what a dot or convolution makes are reduced in parts of `tile_rows` rows
    first: `fusion` lets the kernel that makes them do so for the tile that it has.

    The position of an extreme is that of the first part whose extreme it is, and that
    within this part.

    Attributes:
        work: What a program does without being split, in operations.
        programs: With how many programs a GPU has enough to do.
        tile_rows: How many rows of a product a kernel reduces where it computes them.
    """

    work: int = int(KERNEL)
    programs: int = 256
    tile_rows: int = TILE_ROWS
    name: ClassVar[str] = "split_reductions"
    rounding: ClassVar[Set[str]] = frozenset({"split"})

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        order = {node: place for place, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            if node.op.kind is not Kind.REDUCTION or len(node.operands) != 1:
                continue
            if "axes" not in node.attributes and node.op.position_of is None:
                continue
            type = node.operands[0].type
            if type.symbols or type.size == 0 or node.op.is_composite:
                continue
            counts = self._counts(type, node, order)
            if not counts:
                continue
            split = _split if node.op.position_of is None else _found
            rewriter.rewrite(node, partial(split, node, counts))
        return rewriter.ledger.count > made

    def _counts(
        self, type: TensorType, node: Node, order: Mapping[Node, int]
    ) -> list[int]:
        """Into how many parts to split each result's elements, and then those parts."""
        shape, axes = type.static_shape, _axes(node)
        results = math.prod(n for d, n in enumerate(shape) if d not in axes)
        length = math.prod(shape) // results
        behind = work_behind(node.operands[0])
        parts = self._parts(type, node, results, length, behind)
        if parts == 1:
            return []
        in_tiles = axes == tuple(range(len(axes))) and length % self.tile_rows == 0
        in_tiles = in_tiles and node.op.position_of is None
        if not in_tiles or not made_by(node.operands[0], (length, results), order):
            return [parts]
        tiles = length // self.tile_rows
        further = self._parts(type, node, results, tiles, 0.0)
        return [tiles] if further == 1 else [tiles, further]

    def _parts(
        self, type: TensorType, node: Node, results: int, length: int, behind: float
    ) -> int:
        """Into how many parts `length` elements for each result had better be split.

        Args:
            type: What is reduced.
            node: The reduction.
            results: How many results it has.
            length: How many elements go into each of them.
            behind: The work of computing an element.
        """
        shape, axes = type.static_shape, _axes(node)
        # Rows that end in a reduced axis are read along it, others side by side.
        is_inner = len(shape) - 1 in axes
        beside = 1 if is_inner else min(COLUMNS, results)
        programs = -(-results // beside)
        elements = length * beside
        least = max(LEAST, self.work // (SHARES * int(ACCESS)))
        if programs >= self.programs or elements <= least:
            return 1
        if elements * (ACCESS + behind) <= self.work:
            return 1
        wanted = min(
            -(-elements // least),
            -(-4 * self.programs // programs),
            MOST_PARTS // beside,
            BALANCE * math.isqrt(length),
        )
        return min(wanted, length)


def _axes(node: Node) -> tuple[int, ...]:
    if "axes" in node.attributes:
        return tuple(node.attributes["axes"])
    return (node.attributes["axis"],)


def _split(node: Node, counts: list[int]) -> Proposal:
    """The reduction of so many parts, then of parts of their results, then of all."""
    (x,) = node.operands
    shape, axes = x.type.static_shape, _axes(node)
    value: Any = widen(x) if _rounds(node) else x
    runs = [
        (is_reduced, [d for d, _ in run])
        for is_reduced, run in groupby(enumerate(shape), lambda e: e[0] in axes)
    ]
    sizes = [math.prod(shape[d] for d in run) for _, run in runs]
    reduced = [n for n, (is_reduced, _) in enumerate(runs) if is_reduced]
    longest = max(reduced, key=lambda n: sizes[n])
    value = _reshaped(value, sizes)
    for wanted in counts:
        size = value.type.static_shape[longest]
        parts = _number_of_parts(size, wanted)
        each = -(-size // parts)
        value = _padded(node.op, value, longest, parts * each - size)
        sizes = value.type.static_shape
        value = _reshaped(value, (*sizes[:longest], parts, each, *sizes[longest + 1 :]))
        inner = [n if n < longest else n + 1 for n in reduced]
        # Two reductions in a row would be made one again.
        value = optimization_barrier(node.op(value, axes=inner))
        # What is left is the kept axes, and the parts where the longest run was.
        longest -= sum(1 for n in reduced if n < longest)
        reduced = [longest]
    value = node.op(value, axes=[longest])
    value = in_dtype(value, node.results[0].type.dtype)
    return "split", [_reshaped(value, node.results[0].type.static_shape)]


def _found(node: Node, counts: list[int]) -> Proposal:
    """The position of an extreme by those in so many parts, and by these extremes."""
    extreme, ((axis,), (wanted,)) = node.op.position_of, (_axes(node), counts)
    assert extreme is not None
    (x,) = node.operands
    value: Any = in_dtype(x, I32) if x.type.dtype is BOOL else x
    shape = x.type.static_shape
    parts = _number_of_parts(shape[axis], wanted)
    each = -(-shape[axis] // parts)
    value = _padded(extreme, value, axis, parts * each - shape[axis])
    value = _reshaped(value, (*shape[:axis], parts, each, *shape[axis + 1 :]))
    within = node.op(value, axis=axis + 1)
    # The first of equal ones, and a NaN before all others, as within the parts.
    part = node.op(extreme(value, axes=[axis + 1]), axis=axis)
    sizes = within.type.static_shape
    starts = multiply(iota(shape=sizes, axis=axis, dtype=I32), each)
    chosen = select(at_index(part, sizes, axis), add(starts, within), 0)
    return "split", [reduce_sum(chosen, axes=[axis])]


def _rounds(node: Node) -> bool:
    """Whether the op computes sums or products of floats."""
    rounds = not {Trait.ACCUMULATES, Trait.RANGE_SENSITIVE}.isdisjoint(node.op.traits)
    return rounds and node.results[0].type.dtype.is_float


def _reshaped(value: Any, shape: Iterable[int]) -> Any:
    wanted = tuple(shape)
    return value if value.type.shape == wanted else reshape(value, shape=wanted)


def _number_of_parts(size: int, wanted: int) -> int:
    """A number of equal parts of `size` near to that wanted, or that itself."""
    near = [n for n in range(-(-wanted // 2), 2 * wanted + 1) if size % n == 0]
    return min(near, key=lambda n: abs(n - wanted), default=wanted)


def _padded(op: OpDef, value: Any, axis: int, count: int) -> Any:
    """`value` with `count` more elements along an axis, which change no result of `op`."""
    if count == 0:
        return value
    assert op.reference is not None
    nothing = np.zeros((0,), value.type.dtype.numpy)
    neutral = Literal(op.reference(nothing, axes=(0,)), value.type.dtype)
    none = [0] * value.type.rank
    high = [count if d == axis else 0 for d in range(value.type.rank)]
    return pad(value, neutral, low=none, high=high)
