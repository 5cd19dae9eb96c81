"""Dots of slices of the same two arrays become one batched dot, as of experts or heads."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, final

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import dot_general, reshape, slice_
from graphc.ir.values import Operand, Value
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.identities.matching import attribute, producer
from graphc.passes.numerics import Numerics, approx
from graphc.passes.rewrite import Proposal, Rewriter


@register
@final
@dataclass(frozen=True)
class BatchDots(GraphPass):
    """Makes one batched dot of dots that go through two arrays in step.

    The i-th dot multiplies the i-th slices along an axis of each: a loop in Python over
    experts or heads. Nothing is copied, since the arrays are there as a whole. Equal
    dots of operands that would have to be joined stay: what joining costs is not less
    than what it gains (``benchmarks/batched_dots.py``).

    Attributes:
        min_count: How many dots there must be.
    """

    min_count: int = 4
    name: ClassVar[str] = "batch_dots"
    numerics: ClassVar[Mapping[str, Numerics]] = {"batch": approx(1)}

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        alike: dict[Hashable, list[_Dot]] = {}
        for order, node in enumerate(graph.nodes):
            rewriter.ledger.visits += 1
            found = _dot_of_slices(node, order) if node.op is dot_general else None
            if found is not None:
                alike.setdefault(found.key, []).append(found)
        for dots in alike.values():
            for run in _runs(dots):
                if len(run) >= self.min_count:
                    _batch(run, rewriter)
                elif len(run) > 1:
                    reason = f"{len(run)} dots are fewer than {self.min_count}"
                    rewriter.refuse(run[0].node, "batch", reason)
        return rewriter.ledger.count > made


class _Piece(NamedTuple):
    """An operand that is ``source[..., place, ...]``, with the place on one axis."""

    source: Value
    axis: int
    place: int


class _Dot(NamedTuple):
    """A dot of two pieces, and its position in the graph."""

    node: Node
    order: int
    left: _Piece
    right: _Piece

    @property
    def key(self) -> Hashable:
        """What dots have in common that go through the same arrays in step."""
        sources = ((p.source, p.axis) for p in (self.left, self.right))
        attributes = str(sorted(self.node.attributes.items()))
        return *sources, attributes, self.right.place - self.left.place


def _dot_of_slices(node: Node, order: int) -> _Dot | None:
    left, right = (_piece(operand) for operand in node.operands)
    return None if left is None or right is None else _Dot(node, order, left, right)


def _piece(operand: Operand) -> _Piece | None:
    """What an operand is a slice of, without the dimension that is cut."""
    if (flat := producer(operand, reshape)) is None:
        return None
    if (cut := producer(flat.operands[0], slice_)) is None:
        return None
    (source,) = cut.operands
    start, shape = attribute(cut, "start"), cut.result.type.shape
    whole = source.type.shape
    axes = [axis for axis, size in enumerate(shape) if size != whole[axis]]
    if len(axes) != 1 or not isinstance(source, Value):
        return None
    (axis,) = axes
    rest = (*whole[:axis], *whole[axis + 1 :])
    strides = attribute(cut, "strides") or (1,) * len(whole)
    if shape[axis] != 1 or flat.result.type.shape != rest or set(strides) != {1}:
        return None
    return _Piece(source, axis, start[axis]) if isinstance(start[axis], int) else None


def _runs(dots: Sequence[_Dot]) -> list[list[_Dot]]:
    """The dots by index, split where one is missing; of equal ones the first."""
    by_index: dict[int, _Dot] = {}
    for dot in dots:
        by_index.setdefault(dot.left.place, dot)
    runs: list[list[_Dot]] = []
    for index in sorted(by_index):
        if index - 1 not in by_index:
            runs.append([])
        runs[-1].append(by_index[index])
    return runs


def _batch(run: Sequence[_Dot], rewriter: Rewriter) -> None:
    """Puts slices of one product for the products of slices."""
    product: list[Any] = []

    def part(place: int, dot: _Dot) -> Proposal:
        if not product:
            product.append(_product(run))
        (whole,) = product
        start = [place] + [0] * dot.node.result.type.rank
        limit = [place + 1, *whole.type.shape[1:]]
        cut = slice_(whole, start=start, limit=limit)
        return "batch", [reshape(cut, shape=dot.node.result.type.shape)]

    # The first in the graph makes the product: both arrays are there by then.
    for place, dot in sorted(enumerate(run), key=lambda each: each[1].order):
        if not rewriter.rewrite(dot.node, partial(part, place, dot)):
            return


def _product(run: Sequence[_Dot]) -> Any:
    """The products of all, along a new first dimension."""
    first = run[0].node
    attributes = first.op.decode(first.attributes, None)
    axes = run[0].left.axis, run[0].right.axis
    for name in ("contract", "batch"):
        attributes[name] = tuple(
            tuple(d + (d >= axis) for d in dims)
            for dims, axis in zip(attributes[name], axes, strict=True)
        )
    batch = zip(axes, attributes["batch"], strict=True)
    attributes["batch"] = tuple((axis, *dims) for axis, dims in batch)
    pieces = run[0].left, run[0].right
    return dot_general(*(_span(piece, len(run)) for piece in pieces), **attributes)


def _span(piece: _Piece, count: int) -> Value:
    """The part of a source that so many pieces make up, the first of which is given."""
    source, axis, first = piece
    if source.type.shape[axis] == count:
        return source
    start, limit = [0] * source.type.rank, [*source.type.shape]
    start[axis], limit[axis] = first, first + count
    return slice_(source, start=start, limit=limit)
