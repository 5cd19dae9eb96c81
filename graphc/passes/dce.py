"""Dead code elimination: removes nodes that nothing reads and that have no effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.graph import Graph
from graphc.passes.effects import Effects, is_dead
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.rewrite import Rewriter


@register
@final
@dataclass(frozen=True)
class DeadCodeElimination(GraphPass):
    """Removes nodes whose results nothing reads, except those with effects."""

    name: ClassVar[str] = "dce"

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        effects = Effects()
        changed = False
        for node in graph.reversed_nodes():
            rewriter.ledger.visits += 1
            if is_dead(node, effects):
                changed |= rewriter.erase(node)
        return changed
