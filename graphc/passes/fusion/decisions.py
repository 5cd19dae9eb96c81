"""Decisions: why kernels stay apart, and why some compute what others do as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphc.ir.graph import Node
from graphc.ir.values import Value
from graphc.passes.effects import Effects
from graphc.passes.fusion.costs import MAX_EPILOGUE, MAX_LOADS, nbytes
from graphc.passes.fusion.group import KERNELS_OF_ELEMENTS, Group, joint
from graphc.passes.fusion.grouping import is_local, misfit
from graphc.passes.fusion.network import Network
from graphc.passes.fusion.roles import is_empty, outside_reason
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
    for node in part.members:
        if reason := network.refused.get((value.node, node)):
            return reason
    return _obstacle(network, home, part, value, max_nodes) or LATE


def _outside(node: Node) -> str:
    return outside_reason(node, Effects()) or "it is its operand in another shape"


def _alone(group: Group) -> str:
    """Why a group is one node that others do not join."""
    (node, *_) = group.members
    if is_empty(node):
        return f"an operand or result of {node.op.name} has no elements"
    return f"{node.op.name} is a kernel of its own"


def _obstacle(
    network: Network, maker: Group, reader: Group, value: Value, max_nodes: int
) -> str:
    """What forbids that `reader` and `maker` become one; empty if nothing does."""
    for group in (maker, reader):
        if group.kind not in KERNELS_OF_ELEMENTS:
            return _alone(group)
    if not reader.computes(value):
        return misfit(reader, value)
    if maker.kind == "contraction":
        if reader.kind == "reduction":
            return "a reduction does not follow a dot in its kernel"
        if reader.kind == "contraction":
            return "the kernel has a dot already"
        if not is_local(network, reader):
            return "the epilogue would read elements at other places"
        if maker.work + reader.work > MAX_EPILOGUE:
            return "the epilogue has too much work"
    if maker.size + reader.size > max_nodes:
        return f"one kernel would have more than {max_nodes} nodes"
    changes = joint(maker.space, reader.space)
    if changes is None:
        return "the loops are others"
    if len({*network.loads(maker), *network.loads(reader)}) > MAX_LOADS:
        return f"one kernel would read more than {MAX_LOADS} tensors"
    if network.leads_around(maker, reader):
        return "a path leads around the group"
    _, change, reader_change = changes
    assert value.node is not None
    made_at = change(maker.members[value.node])
    if any(at is None or reader_change(at) != made_at for at in reader.reads[value]):
        return "its elements are made and read at different places of the loops"
    return ""
