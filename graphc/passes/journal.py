"""What the passes of one compile have touched, and where in that each last ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from graphc.ir.graph import Graph, Node
from graphc.ir.values import Value


@dataclass(frozen=True, slots=True)
class _End:
    """Where a pass found nothing more to do.

    Attributes:
        rewrites: How many rewrites there had been.
        touched: How many nodes had been touched.
        graphs: The graphs that it had seen, by name.
    """

    rewrites: int = -1
    touched: int = 0
    graphs: Mapping[str, Graph] = field(default_factory=dict[str, Graph])


class Journal:
    """The nodes that were touched, so that a pass which comes again looks only there.

    Attributes:
        touched: The nodes that rewrites added or whose neighbours they changed.
    """

    def __init__(self) -> None:
        self.touched: list[Node] = []
        self._ends: dict[str, _End] = {}
        self._last = _End()

    def begin(self, each: str, rewrites: int) -> bool:
        """Notes that the pass of this text begins, after so many rewrites.

        Returns:
            Whether it can find anything to do: not if nothing was rewritten since it
            ended.
        """
        self._last = self._ends.get(each, _End())
        return self._last.rewrites != rewrites

    def end(self, each: str, rewrites: int, graphs: Iterable[Graph]) -> None:
        """Notes that the pass has found nothing more to do in these graphs."""
        seen = {graph.name: graph for graph in graphs}
        self._ends[each] = _End(rewrites, len(self.touched), seen)

    def due(self, graph: Graph) -> set[Node]:
        """The nodes of `graph` that the pass which has begun must look at.

        All, or if it has seen the graph before, those that were touched since then and
        their neighbours.
        """
        if self._last.graphs.get(graph.name) is not graph:
            return set(graph.nodes)
        found: set[Node] = set()
        for node in dict.fromkeys(self.touched[self._last.touched :]):
            if node.graph is graph:
                found.add(node)
                for result in node.results:
                    found.update([user for user, _ in result.uses])
                for operand in node.operands:
                    if isinstance(operand, Value) and operand.node is not None:
                        found.add(operand.node)
        return found
