"""Whether a node does something besides defining its results."""

from __future__ import annotations

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Trait


class Effects:
    """Tells which nodes have effects, looking into each called graph once."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def of(self, node: Node) -> bool:
        """Whether `node`, or a node of a graph that it calls, has an effect."""
        if Trait.EFFECT in node.op.traits:
            return True
        if not node.op.calls_graphs or node.graph is None:
            return False
        graphs = node.graph.module.graphs
        return any(self._of_graph(graphs[name]) for name in node.op.graph_names(node))

    def _of_graph(self, graph: Graph) -> bool:
        known = self._known.get(graph.name)
        if known is None:
            known = self._known[graph.name] = any(
                Trait.EFFECT in node.op.traits
                for reached in graph.reachable()
                for node in reached.nodes
            )
        return known


def is_dead(node: Node, effects: Effects) -> bool:
    """Whether nothing reads the results of `node` and it has no effect."""
    for result in node.results:
        if result.uses:
            return False
    return not effects.of(node)
