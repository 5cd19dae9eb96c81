"""Inlining: puts the nodes of a called graph in the place of the call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.body import as_tuple
from graphc.ir.graph import Graph, Node
from graphc.ir.ops import (
    call,
    custom_gradient,
    value_and_gradient,
)
from graphc.passes.graph_pass import ModulePass, register
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Rewriter, owner

FUSED = "fused"
"""The attribute of graphs that stand for one kernel: calls of them stay calls."""


def kernel_graphs(graph: Graph) -> list[Graph]:
    """The graphs that stand for one kernel each, of those that a graph reaches."""
    return [each for each in graph.reachable() if each.attributes.get(FUSED)]


@register
@final
@dataclass(frozen=True)
class Inline(ModulePass):
    """Inlines calls of graphs that are small or called once.

    Attributes:
        max_nodes: The size up to which a graph is inlined wherever it is called.
    """

    max_nodes: int = 16
    name: ClassVar[str] = "inline"
    numerics: ClassVar[Mapping[str, Numerics]] = {"inline": EXACT, "call": EXACT}

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        _call_plainly(graph, rewriter)
        counts = _call_counts(graph)
        # Callees first: sizes are those after inlining, and what a graph that is
        # copied still calls had several callers before.
        for caller in callees_first(graph):
            calls = [node for node in caller.nodes if node.op is call]
            for node in calls:
                rewriter.ledger.visits += 1
                self._visit(node, counts, rewriter)
        return rewriter.ledger.count > made

    def _visit(self, node: Node, counts: Counter[str], rewriter: Rewriter) -> None:
        callee = owner(node).module.graphs[node.attributes["graph"]]
        uses = counts[callee.name]
        if callee.attributes.get(FUSED):
            reason = "the graph is a kernel"
        elif uses > 1 and len(callee) > self.max_nodes:
            reason = (
                f"@{callee.name} has {len(callee)} nodes, more than {self.max_nodes},"
                f" and {uses} uses"
            )
        else:
            rewriter.expand(node, "inline")
            return
        rewriter.refuse(node, "inline", reason)


def _call_plainly(graph: Graph, rewriter: Rewriter) -> None:
    """Makes calls of graphs that have a gradient of their own calls like others.

    While gradients are still to be taken they stay as they are.
    """
    nodes = [node for each in graph.reachable() for node in each.nodes]
    if any(node.op is value_and_gradient for node in nodes):
        return
    for node in nodes:
        if node.op is custom_gradient:
            name = node.attributes["graph"]
            rewriter.rewrite(
                node,
                lambda n=node, g=name: ("call", as_tuple(call(*n.operands, graph=g))),
                "",
            )


def callees_first(graph: Graph) -> list[Graph]:
    """`graph` and all graphs it calls, each after the graphs that it calls."""
    order: dict[str, Graph] = {}
    stack = [(graph, iter(graph.callees()))]
    while stack:
        current, remaining = stack[-1]
        callee = next(remaining, None)
        if callee is None:
            order[current.name] = current
            stack.pop()
        elif callee.name not in order:
            stack.append((callee, iter(callee.callees())))
    return list(order.values())


def _call_counts(graph: Graph) -> Counter[str]:
    """How often each reachable graph is named."""
    return Counter(
        name
        for caller in graph.reachable()
        for node in caller.nodes
        for name in node.op.graph_names(node)
    )
