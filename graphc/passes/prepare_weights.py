"""Preparing weights: what depends on weights alone becomes a graph that runs once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.values import Value
from graphc.passes.effects import Effects
from graphc.passes.graph_pass import ModulePass, register
from graphc.passes.memory_bill import is_state
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Rewriter

PREPARED = "prepared"
"""The attribute of graphs whose results are kept as long as their operands stay."""


@register
@final
@dataclass(frozen=True)
class PrepareWeights(ModulePass):
    """Outlines what depends on nothing but weights, so that it can run once for them.

    Such as weights in the dtype that products read, or the factors of normalizations.
    What only moves or repeats elements, or makes more bytes of fewer, is computed where
    it is read. A graph compiled with ``prepare`` keeps the results from call to call.

    Attributes:
        written: The names of state that each call replaces.
        least_kib: How many KiB must be read and written in each call for it to pay.
    """

    written: tuple[str, ...] = ()
    least_kib: int = 64
    name: ClassVar[str] = "prepare_weights"
    numerics: ClassVar[Mapping[str, Numerics]] = {"prepare": EXACT, "order": EXACT}

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        rewriter.ledger.visits += len(graph)
        if any(_is_prepared(node) for node in graph.nodes):
            return False
        if graph.symbols:
            reason = "what is worth keeping depends on sizes, which are not bound"
            rewriter.refuse(graph.return_node, "prepare", reason)
            return False
        group = _group(graph, self.written)
        if not group:
            return False
        nodes = [node for node in graph.nodes if node in group]
        light = {node for node in nodes if _is_light(node)}
        kib = sum([_nbytes(node) for node in nodes if node not in light]) >> 10
        if kib < self.least_kib:
            reason = f"it moves {kib} KiB, fewer than {self.least_kib}"
            rewriter.refuse(nodes[-1], "prepare", reason)
            return False
        others = [node for node in graph.nodes if node not in group]
        if not rewriter.arrange(graph, [*nodes, *others], "order"):
            return False
        rewriter.outline(
            nodes, f"{graph.name}_weights", "prepare", {PREPARED: True}, light
        )
        return True


def _group(graph: Graph, written: tuple[str, ...]) -> set[Node]:
    """The nodes to run once.

    They depend on weights alone; what they make is worth keeping, or such nodes read it.
    """
    effects = Effects()
    known = {p for p in graph.parameters if is_state(p) and p.name not in written}
    fixed: list[Node] = []
    for node in graph.nodes:
        read = [o for o in node.operands if isinstance(o, Value)]
        if known.issuperset(read) and not effects.of(node):
            fixed.append(node)
            known.update(node.results)
    group: set[Node] = set()
    for node in reversed(fixed):
        users = {user for result in node.results for user, _ in result.uses}
        if not group.isdisjoint(users) or (users and not _is_light(node)):
            group.add(node)
    return group


def _is_light(node: Node) -> bool:
    """Whether the results of a node are better made again than kept."""
    read = [o for o in node.operands if isinstance(o, Value)]
    moves = node.op.kind is Kind.BROADCAST or not read
    if moves or {Trait.MOVES_DATA, Trait.IDENTITY} & node.op.traits:
        return True
    made = sum(result.type.nbytes for result in node.results)
    return made > sum(value.type.nbytes for value in read)


def _nbytes(node: Node) -> int:
    """What a node reads and writes."""
    read = dict.fromkeys(o for o in node.operands if isinstance(o, Value))
    return sum(value.type.nbytes for value in (*read, *node.results))


# -- the two parts ---------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """A graph in two parts.

    Attributes:
        first: What can run once.
        operands: Which parameters of the graph `first` reads, in order.
        rest: The graph, the results of `first` behind its parameters.
    """

    first: Graph
    operands: tuple[int, ...]
    rest: Graph


def parts(graph: Graph) -> Parts | None:
    """Copies of what the pass outlined and of the rest; None if it outlined nothing."""
    rest = graph.copy()
    for node in rest.nodes:
        if _is_prepared(node):
            break
    else:
        return None
    (name,) = node.op.graph_names(node)
    operands = [o.index for o in node.operands if isinstance(o, Value) and not o.node]
    if len(operands) < len(node.operands):
        return None
    for result in node.results:
        result.replace_uses(rest.add_parameter(result.type, result.name))
    rest.remove(node)
    return Parts(graph.module.graphs[name].copy(), tuple(operands), rest)


def _is_prepared(node: Node) -> bool:
    """Whether a node calls a graph that the pass made."""
    if node.graph is None or not node.op.calls_graphs:
        return False
    graphs = node.graph.module.graphs
    return any(graphs[n].attributes.get(PREPARED) for n in node.op.graph_names(node))
