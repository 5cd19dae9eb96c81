"""What the passes of one compile have touched, and where in that each last ended."""

from __future__ import annotations

from collections.abc import Iterable

from graphc.ir.graph import Graph, Node
from graphc.ir.values import Value


class Journal:
    """The nodes that were touched, so that a pass which comes again looks only there.

    Attributes:
        touched: The nodes that rewrites added or whose neighbours they changed.
    """

    def __init__(self) -> None:
        self.touched: list[Node] = []
        self._ends: dict[str, tuple[int, dict[str, Graph]]] = {}
        self._since = 0
        self._seen: dict[str, Graph] = {}

    def begin(self, each: str) -> None:
        """Notes that the pass of this text begins."""
        self._since, self._seen = self._ends.get(each, (0, {}))

    def end(self, each: str, graphs: Iterable[Graph]) -> None:
        """Notes that the pass has found nothing more to do in these graphs."""
        self._ends[each] = len(self.touched), {graph.name: graph for graph in graphs}

    def due(self, graph: Graph) -> set[Node]:
        """The nodes of `graph` that the pass which has begun must look at.

        All, or if it has seen the graph before, those that were touched since then and
        their neighbours.
        """
        if self._seen.get(graph.name) is not graph:
            return set(graph.nodes)
        found: set[Node] = set()
        for node in dict.fromkeys(self.touched[self._since :]):
            if node.graph is graph:
                found.add(node)
                for result in node.results:
                    found.update([user for user, _ in result.uses])
                for operand in node.operands:
                    if isinstance(operand, Value) and operand.node is not None:
                        found.add(operand.node)
        return found
