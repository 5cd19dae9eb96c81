"""Deduplication: calls of equal graphs become calls of one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.values import attributes_text
from graphc.passes.graph_pass import ModulePass, register
from graphc.passes.inline import callees_first
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Rewriter
from graphc.passes.structure import structure


@register
@final
@dataclass(frozen=True)
class Deduplicate(ModulePass):
    """Makes nodes that call equal graphs call the first of them.

    Graphs are equal that compute the same in the same order: names and locations do
    not count.
    """

    name: ClassVar[str] = "deduplicate"
    numerics: ClassVar[Mapping[str, Numerics]] = {"share": EXACT}

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        first: dict[Hashable, str] = {}
        instead: dict[str, str] = {}
        # Callees first, so that graphs which call equal graphs are equal as well.
        for each in callees_first(graph):
            for node in each.nodes:
                rewriter.ledger.visits += 1
                names = {n: instead.get(n, n) for n in node.op.graph_names(node)}
                if any(old != new for old, new in names.items()):
                    new = node.op.rename(node.attributes, names, _constants(node))
                    rewriter.set_attributes(node, new, "share")
            instead[each.name] = first.setdefault(_key(each), each.name)
        return rewriter.ledger.count > made


def _constants(node: Node) -> dict[str, str]:
    return {name: name for name in node.op.constant_names(node)}


def _key(graph: Graph) -> Hashable:
    """What two graphs that compute the same have in common."""
    parameters = tuple(
        [(p.type, attributes_text(p.attributes)) for p in graph.parameters]
    )
    facts = attributes_text(graph.attributes), attributes_text(graph.ranges)
    made = structure(graph.parameters, graph.nodes, graph.results)
    return facts, parameters, made
