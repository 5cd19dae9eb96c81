"""The ledger of a compile: every rewrite by number, and every refusal with a reason."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from graphc.ir.graph import Node
from graphc.ir.location import Location
from graphc.ir.printer import literal_text
from graphc.ir.types import TensorType
from graphc.ir.values import Literal, Operand
from graphc.passes.numerics import Inexact


class OperandSnapshot(NamedTuple):
    """What an operand was: a literal, or a value's name and type."""

    literal: Literal | None
    name: str | None
    type: TensorType

    def __str__(self) -> str:
        if self.literal is not None:
            return literal_text(self.literal)
        return f"%{self.name}: {self.type}" if self.name else str(self.type)


class NodeSnapshot(NamedTuple):
    """What a node was when it was rewritten; a record keeps no graph alive."""

    op: str
    operands: tuple[OperandSnapshot, ...]
    types: tuple[TensorType, ...]
    location: Location | None
    names: tuple[str | None, ...] = ()

    def __str__(self) -> str:
        operands = ", ".join(map(str, self.operands))
        return f"{self.op}({operands}) : {', '.join(map(str, self.types))}"


class Rewrite(NamedTuple):
    """One rewrite.

    Attributes:
        number: Its place among all rewrites of the compile, counted from 1.
        pass_name: The pass that made it.
        rule: The rule that the pass applied.
        graph: The name of the graph that was rewritten.
        node: The node it started from, or None for a rewrite of a whole graph.
        replacement: What stands for the node's results now; None if it has none.
        nodes_before: The graph's number of nodes before.
        nodes_after: The graph's number of nodes after.
    """

    number: int
    pass_name: str
    rule: str
    graph: str
    node: NodeSnapshot | None
    replacement: tuple[OperandSnapshot, ...] | None
    nodes_before: int
    nodes_after: int

    def __str__(self) -> str:
        text = f"#{self.number} {self.pass_name}/{self.rule} in @{self.graph}"
        if self.node is not None:
            text += f": {self.node}"
        if self.replacement is not None:
            text += f" -> {', '.join(map(str, self.replacement))}"
        if self.node is not None and self.node.location is not None:
            text += f"\n{self.node.location.describe()}"
        return text


class Refusal(NamedTuple):
    """A rewrite that a pass considered and did not make.

    Attributes:
        pass_name: The pass.
        rule: The rule that it did not apply.
        graph: The name of the graph.
        node: The node it would have started from.
        reason: Why not.
        kernels: The kernels that it concerns, by name: two that stay apart, that which
            makes a value first, or all that compute a value again.
    """

    pass_name: str
    rule: str
    graph: str
    node: NodeSnapshot
    reason: str
    kernels: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{self.pass_name}/{self.rule} in @{self.graph}"
        if self.kernels:
            head += f", {' and '.join(self.kernels)}"
        return f"{head}: {self.node}: {self.reason}"


class Ledger:
    """The rewrites and refusals of one compile, over all its passes.

    Attributes:
        limit: The number of the last rewrite that optional passes may make; None for
            no limit. Passes that are required for correctness go on.
        rewrites: The rewrites in order.
        refusals: The refusals in order.
        visits: How many nodes the passes looked at: their work, whatever the machine.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.rewrites: list[Rewrite] = []
        self.inexact: list[Inexact] = []
        self.refusals: list[Refusal] = []
        self.visits = 0

    @property
    def count(self) -> int:
        """How many rewrites have been made."""
        return len(self.rewrites)

    @property
    def exhausted(self) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and self.count >= self.limit

    def by_rule(self) -> Counter[str]:
        """The number of rewrites by ``pass/rule``."""
        return Counter(f"{r.pass_name}/{r.rule}" for r in self.rewrites)


def snapshot(node: Node) -> NodeSnapshot:
    """What `node` is now."""
    return NodeSnapshot(
        node.op.name,
        snapshots(node.operands),
        tuple([r.type for r in node.results]),
        node.location,
        tuple([r.name for r in node.results]),
    )


def snapshots(operands: tuple[Operand, ...]) -> tuple[OperandSnapshot, ...]:
    """What `operands` are now."""
    return tuple(
        [
            OperandSnapshot(o, None, o.type)
            if isinstance(o, Literal)
            else OperandSnapshot(None, o.name, o.type)
            for o in operands
        ]
    )
