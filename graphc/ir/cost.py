"""What a graph costs: floating-point operations and bytes moved, from its types."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir.body import body_graph
from graphc.ir.dims import Dim
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.types import TensorType
from graphc.ir.values import Value


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a graph or a node.

    Attributes:
        flops: Floating-point operations, a multiply-add counted as two. Elementwise
            ops count one for each result element, reductions one for each operand
            element; integer arithmetic and data movement count nothing.
        bytes: Bytes read and written if every node runs by itself. Literals are part
            of the program, and so are constants until a node reads them.
    """

    flops: Dim
    bytes: Dim

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.bytes + other.bytes)


def graph_cost(graph: Graph) -> Cost:
    """The cost of a graph, with what it calls each time it is called.

    A gradient is counted once it is expanded; run ``autodiff`` before to see it. Of a
    `cond` all branches are counted, of a `while`, whose steps nobody knows, one step.
    """
    total = Cost(0, 0)
    for node in graph.nodes:
        total = total + node_cost(node)
    return total


def node_cost(node: Node) -> Cost:
    """The cost of one node."""
    module = node.graph.module if node.graph else None
    if module is not None and (names := node.op.graph_names(node)):
        total = Cost(0, 0)
        for name in names:
            total = total + graph_cost(module.graphs[name])
        trips = node.op.trip_count(node)
        return Cost(total.flops * trips, total.bytes * trips)
    operands = [o.type for o in node.operands]
    results = [r.type for r in node.results]
    read = [o.type for o in node.operands if isinstance(o, Value)]
    written = [] if node.op.constant_names(node) else results
    moved = sum((_bytes(t) for t in (*read, *written)), 0)
    return Cost(_flops(node, operands, results), moved)


def _flops(node: Node, operands: list[TensorType], results: list[TensorType]) -> Dim:
    op = node.op
    if op.is_composite:
        return graph_cost(body_graph(op, operands, node.attributes)).flops
    if Trait.MOVES_DATA in op.traits or not any(t.dtype.is_float for t in operands):
        return 0
    if op.flops is not None:
        return op.flops(operands, results, **op.decode(node.attributes, None))
    if op.kind is Kind.ELEMENTWISE and results[0].dtype.is_float:
        return results[0].size
    if op.kind is Kind.REDUCTION:
        return operands[0].size
    return 0


def _bytes(type: TensorType) -> Dim:
    return (type.size * type.dtype.bits + 7) // 8
