"""Differentiation: replaces each use of `value_and_gradient` by what it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import value_and_gradient
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Rewriter


@register
@final
@dataclass(frozen=True)
class Autodiff(GraphPass):
    """Puts the forward and the backward sweep of a graph for its gradient."""

    name: ClassVar[str] = "autodiff"
    numerics: ClassVar[Mapping[str, Numerics]] = {"expand": EXACT}
    required: ClassVar[bool] = True

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        found: list[Node] = []
        made = rewriter.ledger.count
        # A sweep may hold gradients itself: look at what is added, too.
        rewriter.listener = found.append
        found += graph.nodes
        while found:
            node = found.pop()
            rewriter.ledger.visits += 1
            if node.op is value_and_gradient and node.graph is graph:
                rewriter.expand(node, "expand")
        rewriter.listener = None
        return rewriter.ledger.count > made


def is_differentiated(graph: Graph) -> bool:
    """Whether a gradient of this graph is still to be taken."""
    return any(
        reached is graph
        for each in graph.module.graphs.values()
        for node in each.nodes
        if node.op is value_and_gradient
        for name in node.op.graph_names(node)
        for reached in graph.module.graphs[name].reachable()
    )
