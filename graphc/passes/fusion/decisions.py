"""Decisions: why kernels stay apart, and why some compute what others do as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphc.ir.graph import Node
from graphc.ir.values import Value
from graphc.passes.effects import Effects
from graphc.passes.fusion.costs import nbytes
from graphc.passes.fusion.group import Group
from graphc.passes.fusion.network import Network
from graphc.passes.fusion.obstacles import obstacle
from graphc.passes.fusion.roles import outside_reason
from graphc.passes.ledger import NodeSnapshot, Refusal, snapshot
from graphc.passes.rewrite import Rewriter

FUSE = "fuse"
"""What the ledger calls the fusion of what makes a value with what reads it."""

STORE = "store"
"""What it calls the storing of a value that several kernels read."""

LATE = "they became neighbours when nodes had been moved between finished kernels"
"""The reason if grouping had no choice and nothing forbids that the two are one."""


@dataclass(frozen=True)
class Decision:
    """Something that fusion does not do.

    Attributes:
        rule: What that is: `FUSE` or `STORE`.
        groups: The groups that it concerns.
        graph: The name of the graph.
        node: The node that it is about, as it was before kernels were outlined.
        reason: Why not.
    """

    rule: str
    groups: tuple[Group, ...]
    graph: str
    node: NodeSnapshot
    reason: str


def find_decisions(network: Network, max_nodes: int) -> list[Decision]:
    """The pairs of groups that stay apart, and the nodes that are computed again.

    Each pair of groups of which the second reads what the first makes is there once.
    """
    return [*_pairs(network, max_nodes), *_recomputed(network)]


def record(
    decisions: list[Decision], names: Mapping[Group, str], rewriter: Rewriter
) -> None:
    """Puts decisions into the ledger.

    Args:
        decisions: The decisions.
        names: What the groups are called now that kernels are outlined.
        rewriter: Whose ledger.
    """
    for each in decisions:
        if all(group in names for group in each.groups):
            kernels = tuple(names[group] for group in each.groups)
            record = (each.rule, each.graph, each.node, each.reason, kernels)
            rewriter.ledger.refusals.append(Refusal(rewriter.pass_name, *record))


def _pairs(network: Network, max_nodes: int) -> Iterator[Decision]:
    shared: dict[tuple[Group, Group], list[Value]] = {}
    for reader in dict.fromkeys(network.groups.values()):
        for value in network.loads(reader):
            maker = network.groups.get(value.node) if value.node else None
            if maker is not None and maker is not reader:
                shared.setdefault((maker, reader), []).append(value)
    for (maker, reader), values in shared.items():
        value = max(values, key=nbytes)
        if network.graph.return_node not in reader.members and value.node is not None:
            reason = _reason(network, maker, reader, value, max_nodes)
            where = network.graph.name, snapshot(value.node)
            yield Decision(FUSE, (maker, reader), *where, reason)


def _recomputed(network: Network) -> Iterator[Decision]:
    computing: dict[Node, list[Group]] = {}
    for group in dict.fromkeys(network.groups.values()):
        for part in group.parts:
            for node in part.copies:
                if node in network.recomputed:
                    computing.setdefault(node, []).append(group)
    for node, groups in computing.items():
        if len(groups) > 1:
            reason = network.recomputed[node]
            where = network.graph.name, snapshot(node)
            yield Decision(STORE, tuple(dict.fromkeys(groups)), *where, reason)


def _reason(
    network: Network, maker: Group, reader: Group, value: Value, max_nodes: int
) -> str:
    """Why two groups are not one, of which the second reads a value of the first."""
    for group, what in ((maker, "what makes it"), (reader, "what reads it")):
        if group.kind is None:
            (node,) = group.members
            return f"{what} is in no kernel: {_outside(node)}"
    (part, *_) = (p for p in reader.parts if value in p.reads)
    home = next(p for p in maker.parts if value.node in p.members)
    assert value.node is not None
    if maker.kind == "contraction" and part.kind in ("reduction", "contraction"):
        return obstacle(network, home, part, value, max_nodes) or LATE
    for node in part.members:
        if reason := network.refused.get((value.node, node)):
            return reason
    return obstacle(network, home, part, value, max_nodes) or LATE


def _outside(node: Node) -> str:
    return outside_reason(node, Effects()) or "it is its operand in another shape"
