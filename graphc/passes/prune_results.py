"""Results of called graphs that nothing reads, and what only they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, final

from graphc.ir.body import as_tuple
from graphc.ir.graph import Graph, Node, clone_nodes, lookup
from graphc.ir.opdef import OpDef
from graphc.ir.ops import call, cond, scan, while_
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.effects import Effects
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Proposal, Rewriter, full, owner


@register
@final
@dataclass(frozen=True)
class PruneResults(GraphPass):
    """Removes results of calls, branches and loops that nothing reads.

    Carries of a loop go as well if only they themselves read them, and operands that
    the graphs then do not read. The graphs that are called get smaller copies.
    """

    name: ClassVar[str] = "prune_results"
    numerics: ClassVar[Mapping[str, Numerics]] = {"prune": EXACT}

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        effects = Effects()
        changed = False
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            pruned = _PRUNED.get(node.op)
            if pruned is None or effects.of(node):
                continue
            used = {i for i, result in enumerate(node.results) if result.uses}
            if used:  # else the node is dead
                changed |= rewriter.rewrite(node, partial(pruned, node, used))
        return changed


def _call(node: Node, used: set[int]) -> Proposal | None:
    (graph,) = _callees(node)
    read = _read(graph, used)
    if _all_kept(node, used, read):
        return None
    body = _narrowed(graph, used, read)
    return _put(node, used, as_tuple(call(*_chosen(node.operands, read), graph=body)))


def _cond(node: Node, used: set[int]) -> Proposal | None:
    index, *operands = node.operands
    branches = _callees(node)
    read = set[int]().union(*(_read(branch, used) for branch in branches))
    if len(used) == len(node.results) and len(read) == len(operands):
        return None
    narrowed = [_narrowed(branch, used, read) for branch in branches]
    found = cond(index, *_chosen(operands, read), branches=narrowed)
    return _put(node, used, as_tuple(found))


def _while(node: Node, used: set[int]) -> Proposal | None:
    attributes = node.op.decode(node.attributes, owner(node).module)
    test, body = attributes["cond"], attributes["body"]
    kept = used | _read(test, {0})
    while not (more := _read(body, kept)) <= kept:
        kept |= more
    if len(kept) == len(node.results):
        return None
    found = while_(
        *_chosen(node.operands, kept),
        cond=_narrowed(test, {0}, kept),
        body=_narrowed(body, kept, kept),
    )
    return _put(node, kept, as_tuple(found))


def _scan(node: Node, used: set[int]) -> Proposal | None:
    attributes = node.op.decode(node.attributes, owner(node).module)
    body, carries = attributes["body"], attributes["carries"]
    kept, read = set(used), _read(body, used)
    while not (more := {i for i in read if i < carries}) <= kept:
        kept |= more
        read = _read(body, kept)
    # A carry that is wanted at the end is one even if no step reads it.
    read |= {i for i in kept if i < carries}
    if _all_kept(node, kept, read):
        return None
    last = carries + attributes["sequences"]
    changed = {
        **attributes,
        "body": _narrowed(body, kept, read),
        "carries": sum(i < carries for i in read),
        "sequences": sum(carries <= i < last for i in read),
    }
    return _put(node, kept, as_tuple(scan(*_chosen(node.operands, read), **changed)))


_PRUNED: dict[OpDef, Callable[[Node, set[int]], Proposal | None]] = {
    call: _call,
    cond: _cond,
    while_: _while,
    scan: _scan,
}


def _callees(node: Node) -> list[Graph]:
    graphs = owner(node).module.graphs
    return [graphs[name] for name in node.op.graph_names(node)]


def _all_kept(node: Node, results: set[int], operands: set[int]) -> bool:
    return (len(results), len(operands)) == (len(node.results), len(node.operands))


def _chosen(of: Sequence[Any], kept: Iterable[int]) -> list[Any]:
    return [of[i] for i in sorted(kept)]


def _put(node: Node, kept: set[int], found: Sequence[Operand]) -> Proposal:
    """The results that were kept; anything for those that nothing reads."""
    operands = [
        full(Literal(0, result.dtype), result.type) if i not in kept else None
        for i, result in enumerate(node.results)
    ]
    left = iter(found)
    return "prune", [next(left) if each is None else each for each in operands]


def _live(graph: Graph, results: set[int]) -> tuple[set[Node], set[Value]]:
    """The nodes and the values that some results of a graph follow from."""
    nodes: set[Node] = set()
    values: set[Value] = set()
    pending = [graph.results[i] for i in results]
    while pending:
        operand = pending.pop()
        if isinstance(operand, Literal) or operand in values:
            continue
        values.add(operand)
        if operand.node is not None and operand.node not in nodes:
            nodes.add(operand.node)
            pending += operand.node.operands
    return nodes, values


def _read(graph: Graph, results: set[int]) -> set[int]:
    """The parameters that some results of a graph follow from."""
    values = _live(graph, results)[1]
    return {i for i, p in enumerate(graph.parameters) if p in values}


def _narrowed(graph: Graph, results: set[int], parameters: set[int]) -> Graph:
    """A copy of a graph with some of its results and parameters."""
    nodes = _live(graph, results)[0]
    copy = Graph(graph.module.fresh_name(graph.name), graph.module)
    copy.ranges, copy.attributes = dict(graph.ranges), graph.attributes
    values: dict[Value, Operand] = {
        p: copy.add_parameter(p.type, p.name, p.attributes)
        for p in _chosen(graph.parameters, parameters)
    }
    clone_nodes([n for n in graph.nodes if n in nodes], values, copy.insert)
    copy.results = [lookup(values, r) for r in _chosen(graph.results, results)]
    return copy
