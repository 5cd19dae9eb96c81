"""Fusion: outlines the nodes that one kernel computes as a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.graph import Graph
from graphc.ir.opdef import Kind
from graphc.passes.effects import Effects, is_dead
from graphc.passes.fusion.decisions import find_decisions, record
from graphc.passes.fusion.grouping import group_nodes
from graphc.passes.fusion.horizontal import put_together
from graphc.passes.fusion.outlining import outline
from graphc.passes.fusion.recomputing import compute_again
from graphc.passes.fusion.refining import refine
from graphc.passes.graph_pass import ModulePass, register
from graphc.passes.inline import FUSED
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Rewriter


@register
@final
@dataclass(frozen=True)
class Fusion(ModulePass):
    """Outlines every group of nodes that one kernel computes as a graph.

    Afterwards the graph calls kernel graphs, and has nodes of its own for constants,
    control flow, effects, what no kernel can do, and values that are others in another
    shape. Kernel graphs have the attributes ``fused`` and ``kernel``: what the kernel
    is built around, which is ``pointwise``, ``reduction``, ``contraction`` or an op.

    Graphs with dimension symbols stay as they are: kernels are made for sizes.

    Attributes:
        max_nodes: How many nodes a kernel may have, in each of its sections.
        horizontal: Small independent kernels of these kinds become one, with a section
            for each; its graph has the attribute ``horizontal``.
    """

    max_nodes: int = 256
    horizontal: tuple[str, ...] = ("pointwise", "reduction")
    name: ClassVar[str] = "fusion"
    required: ClassVar[bool] = True  # what is in no kernel does not run
    numerics: ClassVar[Mapping[str, Numerics]] = {"outline": EXACT, "order": EXACT}

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        for each in _scheduled(graph):
            if any(v.type.symbols for v in each.parameters) or each.mentioned_symbols:
                for node in each.nodes:
                    rewriter.refuse(node, "fuse", "its dimension symbols are not bound")
                    break
                continue
            _erase_dead(each, rewriter)
            network = group_nodes(each, self.max_nodes, rewriter)
            refine(network, self.max_nodes)
            compute_again(network, self.max_nodes)
            put_together(network, self.horizontal)
            decisions = find_decisions(network, self.max_nodes)
            record(decisions, outline(network, rewriter), rewriter)
        return rewriter.ledger.count > made


def _erase_dead(graph: Graph, rewriter: Rewriter) -> None:
    """Removes what nothing reads: no kernel returns it."""
    effects = Effects()
    for node in graph.reversed_nodes():
        if is_dead(node, effects):
            rewriter.erase(node)


def _scheduled(graph: Graph) -> list[Graph]:
    """The graphs whose nodes run by themselves, not within that of another node.

    Those that kernels call are part of them: the combiner of a reduction.
    """
    found = {graph.name: graph}
    queue = [graph]
    for current in queue:
        for node in current.nodes:
            if node.op.no_kernel or node.op.kind is Kind.REDUCTION:
                continue
            for name in node.op.graph_names(node):
                called = graph.module.graphs[name]
                if name not in found and not called.attributes.get(FUSED):
                    found[name] = called
                    queue.append(called)
    return queue
