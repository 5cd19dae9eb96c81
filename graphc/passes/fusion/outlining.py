"""Outlining: makes a graph, and a call of it, of each group."""

from __future__ import annotations

import heapq
from collections import Counter

from graphc.ir.graph import Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.printer import value_names
from graphc.ir.values import Attributes, sanitize_name
from graphc.passes.fusion.costs import arithmetic
from graphc.passes.fusion.group import Group
from graphc.passes.fusion.network import Network
from graphc.passes.inline import FUSED
from graphc.passes.rewrite import Rewriter

KERNEL = "kernel"
"""The attribute of kernel graphs that says what the kernel is built around."""


HORIZONTAL = "horizontal"
"""The attribute of kernel graphs that have several parts with loops of their own."""


def outline(network: Network, rewriter: Rewriter) -> dict[Group, str]:
    """Makes kernel graphs of the groups, in an order in which they can run.

    Returns:
        What the groups are called: ``@`` and the name of the kernel graph, or the
        first value of a node that is in no kernel.
    """
    groups = in_order(network)
    order = [node for group in groups for node in _nodes(network, group)]
    names: dict[Group, str] = {}
    if not rewriter.arrange(network.graph, order, "order"):
        return names
    for group in groups:
        if group.kind is not None:
            members = set(group.nodes())
            copies = {node for part in group.parts for node in part.copies}
            nodes = _nodes(network, group)
            attributes: Attributes = {FUSED: True, KERNEL: _kind(group)}
            if group.sections:
                attributes[HORIZONTAL] = True
            name = kernel_name([node for node in nodes if node in members])
            made = rewriter.outline(
                nodes, name, "outline", attributes, copies - members
            )
            if made is not None:
                names[group] = f"@{made.name}"
    values = value_names(network.graph, network.graph.nodes)
    for group in groups:
        if group.kind is None and (made := next(iter(group.results()), None)):
            names[group] = values[made]
    return names


def _nodes(network: Network, group: Group) -> list[Node]:
    """The nodes of a group in order, section by section; copies may be in several."""
    return [
        node
        for part in group.parts
        for node in sorted({**part.copies, **part.members}, key=network.order)
    ]


def _kind(group: Group) -> str:
    kinds = {str(part.kind) for part in group.parts}
    return "reduction" if len(kinds) > 1 else kinds.pop()


def in_order(network: Network) -> list[Group]:
    """The groups, each after those whose results it reads; as they are, if possible."""
    groups = list(dict.fromkeys(network.groups.values()))
    place = {group: max(map(network.order, group.nodes())) for group in groups}
    missing = Counter[Group]()
    readers: dict[Group, list[Group]] = {}
    for group in groups:
        readers[group] = list(network.successors(group))
        missing.update(readers[group])
    ready = [(place[g], n) for n, g in enumerate(groups) if not missing[g]]
    heapq.heapify(ready)
    numbers = {group: n for n, group in enumerate(groups)}
    order: list[Group] = []
    while ready:
        group = groups[heapq.heappop(ready)[1]]
        order.append(group)
        for reader in readers[group]:
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, (place[reader], numbers[reader]))
    return order


def kernel_name(nodes: list[Node]) -> str:
    """A name for a kernel: the layers that its nodes come from, and its main op."""
    paths = [
        node.location.path.split("/")
        for node in nodes
        if node.location is not None and node.location.path
    ]
    common: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return sanitize_name("_".join([*common, _main(nodes).op.name]))


def _main(nodes: list[Node]) -> Node:
    """The node that says most about what a kernel does: the costliest, or the last."""
    products = [n for n in nodes if n.op.kind is Kind.CONTRACTION]
    heavy = products or [n for n in nodes if Trait.ACCUMULATES in n.op.traits]
    return max(reversed(heavy or nodes), key=arithmetic)
