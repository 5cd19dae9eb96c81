"""Fusion: outlines chains of pointwise nodes as graphs, which become kernels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.values import sanitize_name
from graphc.passes.graph_pass import ModulePass, register
from graphc.passes.inline import FUSED
from graphc.passes.rewrite import Rewriter

POINTWISE = (Kind.ELEMENTWISE, Kind.BROADCAST, Kind.INJECTIVE)
"""Kinds whose result elements each depend on one element per operand."""


@register
@final
@dataclass(frozen=True)
class Fusion(ModulePass):
    """Outlines maximal groups of pointwise nodes as graphs named ``fused_<n>_<layer>``.

    A producer joins the group of its consumers if all of them are in one group, so a
    group has one exit, through its last node, and nothing outside lies between its
    nodes. Nothing is computed twice: what a broadcast repeats may move data only.

    Attributes:
        max_nodes: How many nodes a group may have.
    """

    max_nodes: int = 64
    name: ClassVar[str] = "fusion"

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        number = 0
        for reached in graph.reachable():
            if reached.attributes.get(FUSED):
                continue
            groups = _Groups(reached, self.max_nodes, rewriter)
            for nodes in groups.found():
                name = f"fused_{number}{_layer_suffix(nodes)}"
                rewriter.outline(nodes, name, "outline", {FUSED: True})
                number += 1
        return rewriter.ledger.count > made


class _Groups:
    """The groups of one graph, grown from the last node to the first."""

    def __init__(self, graph: Graph, max_nodes: int, rewriter: Rewriter) -> None:
        self.graph = graph
        self.max_nodes = max_nodes
        self.rewriter = rewriter
        self.group: dict[Node, Node] = {}  # a node's group, named by its last node
        self.members: dict[Node, list[Node]] = {}
        self.repeated: set[Node] = set()  # nodes that a broadcast in the group repeats

    def found(self) -> list[list[Node]]:
        """The groups of two nodes or more, and their nodes, in execution order."""
        for node in self.graph.reversed_nodes():
            self.rewriter.ledger.visits += 1
            self._place(node)
        groups = [nodes[::-1] for nodes in self.members.values() if len(nodes) > 1]
        return groups[::-1]

    def _place(self, node: Node) -> None:
        """Puts `node` into its consumers' group or, if it can have one, its own."""
        users = list(dict.fromkeys(u for r in node.results for u in r.users))
        reason = self._reason(node, users)
        if reason is None:
            last = self.group[users[0]]
            self.group[node] = last
            self.members[last].append(node)
            return
        if _is_pointwise(node):
            self.group[node] = node
            self.members[node] = [node]
        for user in users:
            if user is not self.graph.return_node:
                why = reason if _is_pointwise(user) else _kind_text(user)
                self.rewriter.refuse(node, f"fuse into {user.op.name}", why)

    def _reason(self, node: Node, users: Sequence[Node]) -> str | None:
        """Why `node` does not join the group of its users; None if it does."""
        if not _is_pointwise(node):
            return _kind_text(node)
        if self.graph.return_node in users:
            return "the graph returns it"
        groups = {self.group.get(user) for user in users}
        if None in groups:
            return _kind_text(next(u for u in users if u not in self.group))
        if len(groups) != 1:
            return f"its consumers are in {len(groups)} groups"
        (last,) = groups
        if last is None or len(self.members[last]) >= self.max_nodes:
            return f"the group has {self.max_nodes} nodes"
        if any(user in self.repeated or _repeats(user, node) for user in users):
            if node.op.kind is Kind.ELEMENTWISE:
                return "it would be computed again for each element of a broadcast"
            self.repeated.add(node)
        return None


def _is_pointwise(node: Node) -> bool:
    return node.op.kind in POINTWISE and Trait.EFFECT not in node.op.traits


def _kind_text(node: Node) -> str:
    if node.op.kind in POINTWISE:
        return f"{node.op.name} has an effect"
    return f"{node.op.name} is of kind {node.op.kind.value}"


def _repeats(user: Node, node: Node) -> bool:
    """Whether `user` reads elements of `node` more than once."""
    if user.op.kind is Kind.INJECTIVE:
        return False
    have, wanted = node.results[0].type, user.results[0].type
    return have.shape != wanted.shape and have.size != wanted.size


def _layer_suffix(nodes: Iterable[Node]) -> str:
    """The layer path that `nodes` have in common, as the end of a name."""
    paths = [
        node.location.path.split("/")
        for node in nodes
        if node.location is not None and node.location.path
    ]
    common: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return f"_{sanitize_name('_'.join(common))}" if common else ""
