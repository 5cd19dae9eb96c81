"""The figures of a fused graph: its kernels, and the bytes that they move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from graphc.ir.cost import graph_cost
from graphc.ir.graph import Graph, Node
from graphc.ir.values import Operand, Value
from graphc.passes.fusion.outlining import KERNEL
from graphc.passes.inline import FUSED


@dataclass(frozen=True)
class FusionReport:
    """What fusion made of a graph.

    Attributes:
        kernels: How many kernels each kind has; loops count their kernels once.
        distinct: How many kernel graphs there are.
        bytes: What the kernels read and write, each operand and result once.
        bytes_unfused: What their nodes would, each by itself.
    """

    kernels: Counter[str]
    distinct: int
    bytes: int
    bytes_unfused: int

    def __str__(self) -> str:
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.kernels.most_common())
        total = self.kernels.total()
        return (
            f"{total} kernel{'s' * (total != 1)} ({self.distinct} distinct: {kinds}),"
            f" {self.bytes:,} bytes moved, {self.bytes_unfused:,} without fusion"
        )


def fusion_report(graph: Graph) -> FusionReport:
    """The figures of `graph` and of the graphs that it calls, as fused."""
    kernels = Counter[str]()
    distinct: set[str] = set()
    moved = unfused = 0
    for node, callee in _launches(graph):
        kernels[callee.attributes[KERNEL]] += 1
        distinct.add(callee.name)
        moved += _nbytes((*node.operands, *node.results))
        unfused += int(graph_cost(callee).bytes)
    return FusionReport(kernels, len(distinct), moved, unfused)


def _launches(graph: Graph) -> Iterator[tuple[Node, Graph]]:
    """The calls of kernels, with the kernels' graphs."""
    for each in graph.reachable():
        if not each.attributes.get(FUSED):
            for node in each.nodes:
                for name in node.op.graph_names(node):
                    callee = graph.module.graphs[name]
                    if callee.attributes.get(FUSED):
                        yield node, callee


def _nbytes(operands: tuple[Operand, ...]) -> int:
    values = {operand for operand in operands if isinstance(operand, Value)}
    return sum(value.type.nbytes for value in values)
