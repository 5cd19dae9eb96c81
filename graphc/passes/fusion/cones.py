"""Cones: what it takes to compute a value again from values that are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from graphc.ir.graph import Node
from graphc.ir.opdef import Kind
from graphc.ir.values import Operand, Value
from graphc.passes.fusion.costs import MAX_REPEATED, arithmetic
from graphc.passes.fusion.roles import Role

MAX_LEAVES = 4
"""How many values one may read to compute another one again."""


@dataclass(frozen=True, slots=True)
class Cone:
    """Nodes that compute a value from others.

    Attributes:
        nodes: The nodes, with that of the value itself.
        leaves: The values that they read.
        cost: What their arithmetic costs for each element.
    """

    nodes: frozenset[Node]
    leaves: frozenset[Value]
    cost: float


class Cones:
    """The cones of those of some nodes that can be computed anywhere.

    A cone ends where it would become too large. A rank-0 value at which one ends is
    computed once, whoever reads it.

    Attributes:
        ends: The rank-0 nodes at which cones end.
        epilogues: Nodes that follow a dot or convolution, or each other, whose result
            nothing else reads: the kernel stores the last of them instead.
        stored: Results of dots and other kernels that rows are read from: in memory,
            for a kernel of rows cannot compute them.
    """

    def __init__(self, nodes: Iterable[Node], role: Callable[[Node], Role]) -> None:
        self.ends: set[Node] = set()
        self.epilogues: set[Node] = set()
        self.stored: set[Value] = set()
        self._costs: dict[Node, float] = {}
        self._cones: dict[Node, Cone] = {}
        for node in nodes:
            if role(node) in (Role.POINTWISE, Role.MOVE):
                if self._is_epilogue(node, role):
                    self.epilogues.add(node)
                self._cones[node] = self._cone(node)
            elif role(node) is Role.ROW:
                for operand in node.operands:
                    self._store(operand, role)

    def __getitem__(self, node: Node) -> Cone:
        return self._cones[node]

    def _ends(self, node: Node | None) -> bool:
        return node in self.ends or node in self.epilogues

    def _store(self, operand: Operand, role: Callable[[Node], Role]) -> None:
        """Notes what must be in memory for a row op to read `operand`."""
        if not isinstance(operand, Value) or operand.node is None:
            return
        cone = self._cones.get(operand.node)
        is_end = cone is None or operand.node in self.epilogues
        for leaf in (operand,) if is_end or cone is None else cone.leaves:
            maker = leaf.node
            if maker is not None and (
                maker in self.epilogues or role(maker) in (Role.CONTRACTION, Role.ALONE)
            ):
                self.stored.add(leaf)

    def _is_epilogue(self, node: Node, role: Callable[[Node], Role]) -> bool:
        is_local = node.op.kind is Kind.ELEMENTWISE or node.op.write_index is not None
        return is_local and any(
            isinstance(operand, Value)
            and operand.node is not None
            and len(operand.uses) == 1
            and operand.type.size == node.results[0].type.size
            and (
                operand.node in self.epilogues or role(operand.node) is Role.CONTRACTION
            )
            for operand in node.operands
        )

    def _cone(self, node: Node) -> Cone:
        nodes, leaves = {node}, set[Value]()
        inner: list[Node] = []
        for operand in node.operands:
            if isinstance(operand, Value):
                below = self._cones.get(operand.node) if operand.node else None
                if below is None or self._ends(operand.node):
                    leaves.add(operand)
                else:
                    inner += [operand.node] if operand.node else []
                    nodes |= below.nodes
                    leaves |= below.leaves
        self._costs[node] = arithmetic(node)
        cost = sum([self._costs[each] for each in nodes])
        if len(leaves) <= MAX_LEAVES and cost <= MAX_REPEATED:
            return Cone(frozenset(nodes), frozenset(leaves), cost)
        self.ends.update(n for n in inner if not n.results[0].type.shape)
        operands = frozenset(o for o in node.operands if isinstance(o, Value))
        return Cone(frozenset({node}), operands, arithmetic(node))
