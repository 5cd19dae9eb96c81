"""Horizontal fusion: small kernels that do not depend on one another become one.

Each becomes a section with loops of its own: the updates of all the variables of a
training step, for example.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from graphc.ir.graph import Node
from graphc.ir.values import Value
from graphc.passes.fusion.costs import (
    MAX_ARGUMENTS,
    MAX_SECTIONS,
    SECTION,
    SMALL,
    UPDATE,
    nbytes,
)
from graphc.passes.fusion.group import Group
from graphc.passes.fusion.network import Network
from graphc.passes.fusion.outlining import in_order


def put_together(network: Network, kinds: Collection[str]) -> None:
    """Merges small groups of the given kinds from which equally long ways lead on.

    No path leads from one such group to another, and none will when they are merged.
    """
    for group in dict.fromkeys(network.groups.values()):
        if group.kind in kinds:
            parts = _unconnected(network, group)
            if len(parts) > 1:
                network.separate(group, parts)
    levels = _levels(network)
    groups: defaultdict[int, list[Group]] = defaultdict(list)
    for group, level in levels.items():
        if group.kind in kinds and _may_wait(network, group, levels):
            groups[level].append(group)
    for found in groups.values():
        _put_together(network, found)


def _unconnected(network: Network, group: Group) -> list[set[Node]]:
    """The members of a group, apart where they share neither nodes nor large loads."""
    size = group.space.size
    found: list[tuple[set[Value], set[Node]]] = []
    for node in group.members:
        alone = network.without(group, group.members.keys() - {node})
        values = {*node.results, *(v for v in alone.reads if v.node in group.members)}
        values.update(v for v in network.loads(alone) if v.type.size == size)
        nodes, apart = {node}, list[tuple[set[Value], set[Node]]]()
        for others, members in found:
            if values & others:
                values |= others
                nodes |= members
            else:
                apart.append((others, members))
        found = [*apart, (values, nodes)]
    return [nodes for _, nodes in found]


def _levels(network: Network) -> dict[Group, int]:
    """The length of the longest way from each group to the end."""
    levels: dict[Group, int] = {}
    for group in reversed(in_order(network)):
        below = [levels[r] for r in network.successors(group)]
        levels[group] = 1 + max(below, default=-1)
    return levels


def _may_wait(network: Network, group: Group, levels: dict[Group, int]) -> bool:
    """Whether `group` may run later than it could.

    What waits keeps its operands in memory. That costs nothing if others read them
    later still, and little at the end of a step.
    """
    if group.space.size <= SECTION:
        return True
    level = levels[group]
    return group.space.size <= UPDATE and (
        level == 1
        or all(
            nbytes(value) <= SMALL
            or any(levels[reader] < level for reader in network.readers[value])
            for value in network.loads(group)
        )
    )


def _put_together(network: Network, groups: list[Group]) -> None:
    first: Group | None = None
    for group in reversed(groups):
        if first is None or not _has_room(network, first, group):
            first = group
        else:
            network.put_beside(first, group)


def _has_room(network: Network, first: Group, other: Group) -> bool:
    if len(first.parts) + len(other.parts) > MAX_SECTIONS:
        return False
    arguments = {*network.loads(first), *network.loads(other)}
    arguments |= {*first.results(), *other.results()}
    return len(arguments) <= MAX_ARGUMENTS
