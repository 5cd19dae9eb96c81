"""Dots that share an operand become one dot, as queries, keys and values of attention."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, final

from graphc.ir.dims import Dim
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind
from graphc.ir.ops import concatenate, constant, dot_general, slice_
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.identities.matching import attribute, producer
from graphc.passes.numerics import Numerics, approx
from graphc.passes.rewrite import Proposal, Rewriter

CHEAP = (Kind.INJECTIVE, Kind.BROADCAST, Kind.ELEMENTWISE)
"""The kinds of nodes that are moved before the first of the dots."""

WORTH = 2
"""How many times the elements that are copied must be saved: copying is a kernel."""


@register
@final
@dataclass(frozen=True)
class MergeDots(GraphPass):
    """Merges dots that multiply one operand by several others into one dot.

    The other operands are joined along a dimension that the products keep, of which
    each dot's result is a slice. The shared operand is then read once; joining costs
    a copy of the others in each call, unless they are constants. Where that copy is
    larger than the reads that are saved, merging is refused.
    """

    name: ClassVar[str] = "merge_dots"
    numerics: ClassVar[Mapping[str, Numerics]] = {"merge": approx(1)}

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        alike: dict[Hashable, tuple[int, list[Node]]] = {}
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            if node.op is dot_general:
                for side in (0, 1):
                    key = _key(node, side)
                    if key is not None:
                        alike.setdefault((side, key), (1 - side, []))[1].append(node)
        places = _Places(graph)
        for side, found in alike.values():
            nodes = [node for node in found if node.graph is graph]
            if len(nodes) > 1:
                _Merge(places, nodes, side, rewriter).run()
        return rewriter.ledger.count > made


def _key(node: Node, shared: int) -> Hashable | None:
    """What dots have in common whose operands on the other side can be joined."""
    other = node.operands[1 - shared]
    place = _joined_place(node, 1 - shared)
    if place is None or isinstance(node.operands[shared], Literal):
        return None
    sizes = [*other.type.shape]
    sizes[place[0]] = -1
    attributes = str(sorted(node.attributes.items()))
    return node.operands[shared], attributes, tuple(sizes), other.type.dtype


def _joined_place(node: Node, side: int) -> tuple[int, int] | None:
    """The last dimension that an operand gives the result, and which it is there."""
    contract, batch = attribute(node, "contract"), attribute(node, "batch")
    taken = (*contract[side], *batch[side])
    free = [d for d in range(node.operands[side].type.rank) if d not in taken]
    if not free:
        return None
    first = node.operands[0].type.rank - len(contract[0])
    place = first - 1 if side == 0 else first + len(free) - 1
    return free[-1], place


class _Places:
    """The places of nodes, counted once and again when there are new nodes to place."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[Node, int] = {}

    def of(self, nodes: Sequence[Node]) -> list[int]:
        """The places of nodes of the graph, which others may lie between."""
        if not all(node in self._known for node in nodes):
            self._known = {node: n for n, node in enumerate(self._graph.nodes)}
        return [self._known[node] for node in nodes]

    def forget(self, node: Node) -> None:
        """Says that a node has another place now."""
        self._known.pop(node, None)


class _Merge:
    """Dots that can be one.

    Args:
        places: Where the nodes of their graph are.
        nodes: The dots, in order.
        side: Which operands are joined: the first or the second.
        rewriter: What rewrites.
    """

    def __init__(
        self, places: _Places, nodes: Sequence[Node], side: int, rewriter: Rewriter
    ) -> None:
        self.places = places
        self.nodes = nodes
        self.side = side
        self.rewriter = rewriter
        self.product: Any = None

    def run(self) -> None:
        """Merges the dots, or records why they stay."""
        first, late = self.nodes[0], self._late_weights()
        if late is None:
            reason = "an operand that would be joined is computed behind the first dot"
        else:
            reason = self._why_dear()
        if reason is not None:
            self.rewriter.refuse(first, "merge", reason)
            return
        for node in late or ():
            if not self.rewriter.move(node, first, "move_weights"):
                return
            self.places.forget(node)
        offset: Dim = 0
        for node, size in [(node, self._size(node)) for node in self.nodes]:
            if not self.rewriter.rewrite(node, partial(self._part, node, offset)):
                return
            offset = offset + size

    def _others(self) -> list[Operand]:
        return [node.operands[self.side] for node in self.nodes]

    def _size(self, node: Node) -> Dim:
        place = _joined_place(node, self.side)
        assert place is not None
        return node.operands[self.side].type.shape[place[0]]

    def _why_dear(self) -> str | None:
        others = self._others()
        if all(producer(other, constant) is not None for other in others):
            return None
        shared = self.nodes[0].operands[1 - self.side]
        sizes = [shared.type.size, *(other.type.size for other in others)]
        if not all(isinstance(size, int) for size in sizes):
            return "the sizes of the operands are not known"
        saved, copied = sizes[0] * (len(others) - 1), 2 * sum(sizes[1:])
        if WORTH * copied > saved:
            return f"joining copies {copied} elements, to read {saved} fewer"
        return None

    def _late_weights(self) -> list[Node] | None:
        """The nodes to move before the first dot, in order; None if they read dots."""
        found: set[Node] = set()
        pending = [o.node for o in self._others() if isinstance(o, Value)]
        while pending:
            node = pending.pop()
            if node is None or node in found:
                continue
            place, first = self.places.of((node, self.nodes[0]))
            if place < first:
                continue
            if node.op.kind not in CHEAP and node.op is not constant:
                return None
            found.add(node)
            pending += [o.node for o in node.operands if isinstance(o, Value)]
        places = dict(zip(found, self.places.of(list(found)), strict=True))
        return sorted(found, key=places.__getitem__)

    def _part(self, node: Node, offset: Dim) -> Proposal:
        """The slice of the product of all that is the product of one."""
        place = _joined_place(node, self.side)
        assert place is not None
        axis, found = place
        if self.product is None:
            operands = list(node.operands)
            operands[self.side] = concatenate(*self._others(), axis=axis)
            attributes = node.op.decode(node.attributes, None)
            self.product = dot_general(*operands, **attributes)
        start: list[Dim] = [0] * node.result.type.rank
        limit = list(self.product.type.shape)
        start[found], limit[found] = offset, offset + self._size(node)
        return "merge", [slice_(self.product, start=start, limit=limit)]
