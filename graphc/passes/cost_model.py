"""How long graphs take: the interface of cost models, and the roofline of a device."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import final

from graphc.ir.cost import node_cost
from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind
from graphc.passes.fusion.costs import arithmetic


@dataclass(frozen=True, slots=True)
class Rates:
    """The speed of a device.

    Attributes:
        name: The name.
        bandwidth: Bytes per second from and to its memory.
        narrow: Floating-point operations per second on 16-bit matrices.
        single: Floating-point operations per second in float32.
        launch: Seconds that a node takes however small it is.
    """

    name: str
    bandwidth: float
    narrow: float
    single: float
    launch: float = 0.0

    def roofline(self, nbytes: float, flops: float, narrow: bool) -> float:
        """The least seconds in which so much is moved and computed.

        Source: Williams, Waterman, Patterson, "Roofline: an insightful visual
        performance model for multicore architectures", 2009.
        """
        speed = self.narrow if narrow else self.single
        return max(nbytes / self.bandwidth, flops / speed)


GPUS: dict[str, Rates] = {
    gpu.name: gpu
    for gpu in (
        Rates("A100", 2.039e12, 312e12, 19.5e12),  # SXM, 80 GB
        Rates("H100", 3.35e12, 989e12, 67e12),  # SXM
        Rates("H200", 4.8e12, 989e12, 67e12),  # SXM
    )
}
"""GPUs by name, as their maker states their speed, without sparsity.

Source: NVIDIA's data sheets of the A100, H100 and H200."""


class CostModel(abc.ABC):
    """What nodes cost. A model says it for one node; graphs and calls are sums."""

    @abc.abstractmethod
    def node_seconds(self, node: Node) -> float:
        """The seconds of a node that calls no graph, if it ran by itself."""

    @final
    def seconds(self, of: Node | Graph) -> float:
        """The seconds of a node or of a graph, with what it calls as often as it does.

        Of a `cond` all branches count, of a `while` one step.

        Raises:
            GraphError: If sizes are symbols.
        """
        if isinstance(of, Graph):
            return sum(self.seconds(node) for node in of.nodes)
        if not of.op.calls_graphs or of.graph is None:
            return self.node_seconds(of)
        graphs = of.graph.module.graphs
        once = sum(self.seconds(graphs[name]) for name in of.op.graph_names(of))
        return once * number(of.op.trip_count(of))


@final
@dataclass(frozen=True, slots=True)
class Roofline(CostModel):
    """The roofline of a device: memory or arithmetic, whichever takes longer.

    Attributes:
        rates: The device's speed.
    """

    rates: Rates

    def node_seconds(self, node: Node) -> float:
        least = self.rates.roofline(*work(node), is_narrow(node))
        return self.rates.launch + least


def work(node: Node) -> tuple[float, float]:
    """The bytes that a node moves and the operations that it computes.

    An elementwise op counts as many operations as it takes instructions.

    Raises:
        GraphError: If sizes are symbols.
    """
    cost = node_cost(node)
    flops = number(cost.flops)
    if node.op.kind is Kind.ELEMENTWISE and not node.op.is_composite:
        flops = number(node.results[0].type.size) * arithmetic(node)
    return number(cost.bytes), flops


def is_narrow(node: Node) -> bool:
    """Whether the floats that a node reads are of 16 bits at most."""
    floats = [o.type.dtype.bits for o in node.operands if o.type.dtype.is_float]
    return bool(floats) and max(floats) <= 16


def number(dim: Dim) -> float:
    """A size that is no symbol.

    Raises:
        GraphError: If it is.
    """
    if isinstance(dim, int) and math.isfinite(dim):
        return float(dim)
    raise GraphError(
        "what a graph costs depends on its sizes",
        received=str(dim)[:80],
        hint="bind the symbols: graph.bind(B=...)",
    )
