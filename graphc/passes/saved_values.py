"""Which values of the forward part the backward part keeps: a minimum cut.

Nodes are split into in and out, joined by an edge of the bytes that keeping the node's
results takes. What is computed again reads its operands, so an edge without limit leads
from each operand. The cheapest cut between what is there anyway and what the backward
part reads is what to keep [1].

[1] Zheng, Vaidya, Chen et al.: min-cut partitioning of the joint forward and backward
    graph, as in PyTorch's AOTAutograd, 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from graphc.ir.graph import Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.values import Value
from graphc.passes.effects import Effects
from graphc.passes.fusion.costs import arithmetic
from graphc.passes.liveness import Liveness, backward_start, is_alias
from graphc.passes.minimum_cut import Network

LEVELS = ("elementwise", "reductions", "contractions")
"""What may be computed again, the cheapest first; each level adds to those before."""

PER_BYTE = 64
"""How much arithmetic for each byte makes computing as dear as keeping."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to compute again.

    Attributes:
        split: The time at which the backward part starts.
        recomputed: The nodes of the forward part to compute again.
        kept: The bytes that are kept for the backward part.
    """

    split: int
    recomputed: frozenset[Node]
    kept: int


def choose_saved(liveness: Liveness, level: str, segments: int) -> Choice:
    """What of the forward part to keep for the backward part, and what not.

    Args:
        liveness: When the values of the graph are held.
        level: One of `LEVELS`.
        segments: Into how many parts the forward part is cut, at places where little
            is held, if contractions may be computed again. Each part but the last is
            then computed again as a whole, from what is held where it starts.
    """
    split = backward_start(liveness)
    problem = _Problem(liveness, split, level, segments)
    network, needed = problem.network()
    if not needed:
        return Choice(split, frozenset(), 0)
    kept, later = network.cut(_SOURCE, _SINK)
    recomputed = frozenset(n for n in needed if (n, _IN) in later)
    return Choice(split, recomputed, int(kept) // PER_BYTE)


_SOURCE, _SINK, _IN, _OUT = "source", "sink", "in", "out"


class _Problem:
    """What may be kept and computed again, at which costs."""

    def __init__(
        self, liveness: Liveness, split: int, level: str, segments: int
    ) -> None:
        self.liveness = liveness
        self.split = split
        self.level = LEVELS.index(level)
        self.effects = Effects()
        self.free: set[Value] = set()
        self.last_border = 0
        if level == LEVELS[-1]:
            spans = _forward_spans(liveness, split)
            for border in waists(liveness, split, segments):
                self.last_border = border
                self.free |= {
                    v for v, (start, end) in spans.items() if start <= border < end
                }

    def network(self) -> tuple[Network[object], list[Node]]:
        """The network to cut, and the nodes that it has."""
        network = Network[object]()
        found: dict[Node, None] = {}
        stack: list[Node] = []
        for node in self.liveness.nodes[: self.split]:
            if self._read_later(node):
                network.add((node, _OUT), _SINK)
                stack.append(node)
        while stack:
            node = stack.pop()
            if node in found:
                continue
            found[node] = None
            network.add((node, _IN), (node, _OUT), self._keeping(node))
            if not self._may_recompute(node):
                network.add(_SOURCE, (node, _IN))
                continue
            # At equal bytes, less is computed.
            cost = 1 + self._computing(node)
            network.add(_SOURCE, (node, _IN), cost)
            for operand in node.operands:
                if isinstance(operand, Value) and operand.node is not None:
                    network.add((operand.node, _OUT), (node, _IN))
                    stack.append(operand.node)
        return network, list(found)

    def _read_later(self, node: Node) -> bool:
        return any(
            self.liveness.time.get(user, -1) >= self.split
            for value in node.results
            for user, _ in value.uses
        )

    def _keeping(self, node: Node) -> int:
        """What it costs to keep the results of a node, if anything."""
        if all(value in self.free or self._is_held(value) for value in node.results):
            return 0
        return sum(value.type.nbytes for value in node.results) * PER_BYTE

    def _is_held(self, value: Value) -> bool:
        """Whether a value is in memory after the split whatever is chosen."""
        return self.liveness.is_returned(value) or any(
            self.effects.of(user)
            for user, _ in value.uses
            if self.liveness.time.get(user, -1) >= self.split
        )

    def _computing(self, node: Node) -> int:
        return int(sum(v.type.nbytes for v in node.results) * arithmetic(node))

    def _may_recompute(self, node: Node) -> bool:
        op = node.op
        if op.is_composite or op.calls_graphs or self.effects.of(node):
            return False
        if any(value in self.free or self._is_held(value) for value in node.results):
            return False
        if is_alias(node) or op.constant_names(node):
            return True
        if op.kind in (Kind.ELEMENTWISE, Kind.BROADCAST, Kind.INJECTIVE):
            return True
        if op.kind is Kind.REDUCTION or Trait.GATHERS in op.traits:
            return self.level >= 1
        return self.level >= 2 and self.liveness.time[node] < self.last_border


def waists(liveness: Liveness, split: int, segments: int) -> list[int]:
    """The times at which the forward part is cut, between parts of about equal bytes.

    Around each of the places that would make parts equal, the cut is where the fewest
    bytes are held for the forward part itself: between layers, not inside of them.
    """
    held = _held_forward(liveness, split)
    made = [0]
    for node in liveness.nodes[:split]:
        saved = (v for v in node.results if v in liveness.stored)
        kept = (liveness.stored[v] for v in saved if liveness.end[v] >= split)
        made.append(made[-1] + sum(kept))
    total, found = made[-1], list[int]()
    for number in range(1, segments):
        low = total * (number - 0.5) / segments
        high = total * (number + 0.5) / segments
        near = [t for t in range(split) if low <= made[t + 1] <= high]
        if near:
            found.append(min(near, key=lambda t: (held[t], t)))
    return sorted(set(found))


def _held_forward(liveness: Liveness, split: int) -> list[int]:
    """The bytes held after each node of the forward part for what follows in it."""
    changes = [0] * (split + 1)
    for value, (start, end) in _forward_spans(liveness, split).items():
        if end > start:
            changes[start] += value.type.nbytes
            changes[end] -= value.type.nbytes
    return list(accumulate(changes[:split]))


def _forward_spans(liveness: Liveness, split: int) -> dict[Value, tuple[int, int]]:
    """When each stored value of the forward part is made and last read in it."""
    ends = liveness.ends_before(split)
    return {
        value: (time, ends[value])
        for time, node in enumerate(liveness.nodes[:split])
        for value in node.results
        if value in liveness.stored
    }
