"""A graph and all that it calls as data for a page: nodes, costs, places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphc.ir.cost import node_cost
from graphc.ir.graph import Graph, Node
from graphc.ir.location import Location
from graphc.ir.printer import attributes_text, literal_text, value_names
from graphc.ir.types import TensorType
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.cost_model import Rates, Roofline, number
from graphc.passes.liveness import is_gradient
from graphc.runtime.kernel_costs import KernelCost
from graphc.viewer.tables import Table

FIELDS = (
    *("op", "operands", "results", "attributes", "path", "line", "origin"),
    *("backward", "flops", "bytes", "seconds", "calls"),
)
"""What is said of a node, in this order.

``operands`` are numbers of values (the parameters come first, then results) or texts of
literals, ``results`` counts values, ``attributes``, ``path``, ``line`` and ``origin`` are
numbers of texts."""

MOST_TEXT = 2_000
"""How many characters of a node's attributes are shown."""


class Programs:
    """Makes data of graphs; equal texts are stored once for all of them.

    Args:
        gpu: The GPU whose roofline says how long nodes take.
    """

    def __init__(self, gpu: Rates) -> None:
        self._gpu = gpu
        self._roofline = Roofline(gpu)
        self.types: Table[TensorType] = Table()
        self.attributes: Table[str] = Table()
        self.paths: Table[str] = Table()
        self.lines: Table[str] = Table()
        self.origins: Table[str] = Table()

    def tables(self) -> dict[str, list[str]]:
        """The texts by table."""
        return {
            "types": self.types.texts,
            "attributes": self.attributes.texts,
            "paths": self.paths.texts,
            "lines": self.lines.texts,
            "origins": self.origins.texts,
        }

    def program(
        self, graph: Graph, kernels: Mapping[str, KernelCost]
    ) -> list[dict[str, Any]]:
        """A graph and those that it calls, each as data.

        Args:
            graph: The graph.
            kernels: What is known of kernels, by the name of their graph.
        """
        return [self._graph(each, kernels) for each in graph.reachable()]

    def line(self, location: Location | None) -> int:
        """The number of the text that says where something comes from."""
        if location is None:
            return self.lines.number("")
        if not location.line:  # a file without lines
            return self.lines.number(location.file)
        return self.lines.number(f"{location.file}:{location.line}:{location.column}")

    def _graph(self, graph: Graph, kernels: Mapping[str, KernelCost]) -> dict[str, Any]:
        names = value_names(graph, graph.nodes)
        numbers = {value: place for place, value in enumerate(names)}
        return {
            "name": graph.name,
            "parameters": len(graph.parameters),
            "roles": [p.attributes.get("role") or "" for p in graph.parameters],
            "values": list(names.values()),
            "types": [self.types.number(value.type) for value in names],
            "nodes": [self._node(node, numbers, kernels) for node in graph.nodes],
            "results": [_operand(each, numbers) for each in graph.results],
        }

    def _node(
        self,
        node: Node,
        numbers: Mapping[Value, int],
        kernels: Mapping[str, KernelCost],
    ) -> list[Any]:
        location = node.location
        attributes = attributes_text(node.attributes)[:MOST_TEXT]
        calls = list(node.op.graph_names(node))
        return [
            node.op.name,
            [_operand(operand, numbers) for operand in node.operands],
            len(node.results),
            self.attributes.number(attributes if node.attributes else ""),
            self.paths.number((location.path if location else None) or ""),
            self.line(location),
            self.origins.number((location.origin if location else None) or ""),
            int(is_gradient(node)),
            *self._cost(node, [kernels[n] for n in calls if n in kernels]),
            calls,
        ]

    def _cost(
        self, node: Node, kernels: Sequence[KernelCost]
    ) -> tuple[float, float, float]:
        """The FLOPs, bytes and seconds of a node; of kernels, what these say."""
        if kernels:
            return (
                sum(each.kernel.flops for each in kernels),
                sum(each.kernel.bytes for each in kernels),
                sum(each.roofline(self._gpu) for each in kernels),
            )
        cost = node_cost(node)
        seconds = self._roofline.seconds(node)
        return number(cost.flops), number(cost.bytes), seconds


def _operand(operand: Operand, numbers: Mapping[Value, int]) -> int | str:
    if isinstance(operand, Literal):
        return literal_text(operand)
    return numbers[operand]
