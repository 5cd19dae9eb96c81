"""How much memory a graph needs: what is held at each node, and what for.

A prediction for backends that fuse: a value that is computed element by element is
stored only if something needs it in memory, or if it is read more than once. Otherwise
it is computed where it is read, and what it is computed from is held until then.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.values import Operand, Value
from graphc.passes.fusion.costs import arithmetic
from graphc.passes.inline import FUSED

GRADIENT = "gradient of"
"""What the origins of nodes of a backward sweep contain."""


class Liveness:
    """When each value of a graph is held in memory.

    Attributes:
        nodes: The nodes in order; a node's place is its time.
        time: The time of each node.
        end: For each value, the time of its last read: len(nodes) for results.
        stored: The values that take memory of their own while the graph runs, with
            their bytes; parameters and results, which callers hold, are not among
            them.
        profile: The bytes held at each time, without parameters and results.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = list(graph.nodes)
        self.time = {node: time for time, node in enumerate(self.nodes)}
        self._needed: dict[Value, bool] = {}
        self.end: dict[Value, int] = {}
        self.stored: dict[Value, int] = {}
        for node in reversed(self.nodes):
            self._place(node)
        for parameter in graph.parameters:
            self.end[parameter] = self._last_read(parameter)
        self._returned = self._roots(graph.results)
        for node in self.nodes:
            for value in node.results:
                if self._needed[value] and value not in self._returned:
                    self.stored[value] = value.type.nbytes
        self.profile = self._profile()

    @property
    def peak(self) -> int:
        """The most bytes held at one time, without parameters and results."""
        return max(self.profile, default=0)

    @property
    def peak_time(self) -> int:
        """When that is."""
        return self.profile.index(self.peak) if self.profile else 0

    def held_at(self, time: int) -> list[Value]:
        """The values that are held at a time, the largest first."""
        found = [
            value
            for value in self.stored
            if self._start(value) <= time <= self._stop(value)
        ]
        return sorted(found, key=lambda value: -self.stored[value])

    def is_returned(self, value: Value) -> bool:
        """Whether a value is a result of the graph, whose memory is the caller's."""
        return root(value) in self._returned

    def ends_before(self, limit: int) -> dict[Value, int]:
        """When nodes before a time last read each value that is made before it."""
        found: dict[Value, int] = {}
        for node in reversed(self.nodes[:limit]):
            for value in node.results:
                reads = [-1]
                for user, _ in value.uses:
                    time = self.time.get(user, limit)
                    if time < limit:
                        fused = (found[v] for v in user.results if v not in self.stored)
                        reads.append(max((time, *fused)))
                found[value] = max(reads)
        return found

    # -- what is stored ----------------------------------------------------------------

    def _place(self, node: Node) -> None:
        """Decides what of a node is stored, when all that reads it is decided."""
        for value in node.results:
            self.end[value] = self._last_read(value)
            self._needed[value] = self._is_stored(node, value)

    def _last_read(self, value: Value) -> int:
        return max((self._read_time(user) for user, _ in value.uses), default=-1)

    def _read_time(self, user: Node) -> int:
        """When a node reads its operands: with the kernel that it becomes part of."""
        if user not in self.time:
            return len(self.nodes)
        if any(self._needed[value] for value in user.results):
            return self.time[user]
        return max((self.end[value] for value in user.results), default=self.time[user])

    def _is_stored(self, node: Node, value: Value) -> bool:
        if is_alias(node):
            return False
        if not is_fusible(node):
            return True
        readers = [user for user, _ in value.uses]
        if any(self._needs_memory(user) for user in readers):
            return True
        return len(set(readers)) > 1 and arithmetic(node) > 0

    def _needs_memory(self, user: Node) -> bool:
        """Whether a node reads its operands from memory."""
        if user not in self.time:
            return True
        if is_alias(user):
            return any(
                self._needs_memory(reader)
                for value in user.results
                for reader, _ in value.uses
            )
        return not is_fusible(user) and user.op.kind is not Kind.REDUCTION

    def _roots(self, operands: Iterable[Operand]) -> set[Value]:
        """What results are, seen through aliases."""
        return {root(o) for o in operands if isinstance(o, Value)}

    # -- when --------------------------------------------------------------------------

    def _start(self, value: Value) -> int:
        return self.time[value.node] if value.node is not None else 0

    def _stop(self, value: Value) -> int:
        return max(self.end[value], self._start(value))

    def _profile(self) -> list[int]:
        changes = [0] * (len(self.nodes) + 2)
        for value, size in self.stored.items():
            changes[self._start(value)] += size
            changes[self._stop(value) + 1] -= size
        held = 0
        profile: list[int] = []
        for node, change in zip(self.nodes, changes, strict=False):
            held += change
            profile.append(held + self._inside(node) - self._reused(node))
        return profile

    def _reused(self, node: Node) -> int:
        """The bytes of an operand whose place the node's result takes."""
        if node.op.kind is not Kind.ELEMENTWISE or len(node.results) > 1:
            return 0
        if node.result not in self.stored:
            return 0
        size = self.stored[node.result]
        dying = (
            o
            for o in node.operands
            if isinstance(o, Value) and self.stored.get(o) == size
        )
        return size if any(self.end[o] == self.time[node] for o in dying) else 0

    def _inside(self, node: Node) -> int:
        """What the graphs that a node calls need while it runs."""
        graphs = self.graph.module.graphs
        names = node.op.graph_names(node)
        if not names or Trait.COMBINES in node.op.traits:
            return 0
        return max(_called_peak(graphs[name]) for name in names)


def _called_peak(graph: Graph) -> int:
    """The bytes that a graph needs that is called: its results are the caller's."""
    return 0 if graph.attributes.get(FUSED) else Liveness(graph).peak


def is_alias(node: Node) -> bool:
    """Whether a node's results are its operands, in the same memory."""
    op = node.op
    if Trait.IDENTITY in op.traits:
        return True
    return (
        op.kind is Kind.INJECTIVE and op.write_index is not None and _is_reshape(node)
    )


def _is_reshape(node: Node) -> bool:
    return "shape" in node.op.attributes and len(node.operands) == 1


def is_fusible(node: Node) -> bool:
    """Whether a node's elements are computed where they are read."""
    op = node.op
    if op.is_composite or op.calls_graphs or len(node.results) != 1:
        return False
    return op.kind in (Kind.ELEMENTWISE, Kind.BROADCAST) or (
        op.kind is Kind.INJECTIVE and op.read_index is not None
    )


def root(value: Value) -> Value:
    """The value whose memory `value` is."""
    while value.node is not None and is_alias(value.node):
        source = value.node.operands[value.index]
        if not isinstance(source, Value):
            break
        value = source
    return value


def is_gradient(node: Node) -> bool:
    """Whether a node is of a backward sweep, as its origin tells."""
    origin = node.location.origin if node.location is not None else None
    return origin is not None and GRADIENT in origin


def backward_start(liveness: Liveness) -> int:
    """The time of the first node of a gradient; of the peak if there is none."""
    for time, node in enumerate(liveness.nodes):
        if is_gradient(node):
            return time
    return liveness.peak_time
