"""Refining: moves nodes between groups, and merges groups, where that saves bytes.

Grouping has put each node with those that read it. A value that must be in memory
anyway may be cheaper where its operands are made: as the epilogue of a dot, say. Sums
of its rows can be part of that epilogue.
"""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.ir.values import Value
from graphc.passes.coordinates import Coordinates
from graphc.passes.fusion.costs import MAX_EPILOGUE, nbytes
from graphc.passes.fusion.group import (
    KERNELS_OF_ELEMENTS,
    Change,
    Group,
    Space,
    elements,
    joint,
    own_coordinates,
)
from graphc.passes.fusion.grouping import is_local
from graphc.passes.fusion.network import Network
from graphc.passes.fusion.obstacles import obstacle
from graphc.passes.fusion.parallelism import is_too_serial
from graphc.passes.fusion.roles import Role

LOOPS = ("pointwise", "reduction")
"""The kinds of groups that are loops over elements and nothing else."""


def refine(network: Network, max_nodes: int) -> None:
    """Gives stored values to the groups that make their operands; merges siblings."""
    _give_to_contractions(network, max_nodes)
    for node in network.graph.nodes:
        group = network.groups.get(node)
        if group is not None and group.kind in LOOPS:
            _give_back(network, node, group, max_nodes)
    # What reads nodes that have moved to a contraction may follow them.
    _give_to_contractions(network, max_nodes)
    for value in list(network.readers):
        _merge_readers(network, value, max_nodes)


# -- giving nodes back -----------------------------------------------------------------


def _give_to_contractions(network: Network, max_nodes: int) -> None:
    for group in dict.fromkeys(network.groups.values()):
        if group.kind == "reduction":
            _give_to_contraction(network, group, max_nodes)


def _give_to_contraction(network: Network, group: Group, max_nodes: int) -> None:
    """Merges `group` with one that makes tiles which it reduces, if it does.

    That saves reading them, and writing them if nobody else needs them. What `group`
    writes is the same.
    """
    made: dict[Group, list[Value]] = {}
    for value in sorted(network.loads(group), key=nbytes, reverse=True):
        maker = network.groups.get(value.node) if value.node is not None else None
        if maker is not None and maker.kind == "contraction":
            made.setdefault(maker, []).append(value)
    for maker, values in made.items():
        found = joint(maker.space, group.space)
        if found is not None and not any(
            obstacle(network, maker, group, value, max_nodes) for value in values
        ):
            network.merge(maker, group, found)
            maker.kind = "contraction"
            return


def _give_back(network: Network, node: Node, group: Group, max_nodes: int) -> None:
    """Moves `node`, and what only it needs, to a group that makes an operand."""
    if network.role(node) is not Role.POINTWISE or node in network.joints:
        return
    if all(reader is group for reader in network.readers_of(node)):
        return
    part = _part(network, node, group)
    if part is None:
        return
    makers = dict.fromkeys(
        network.groups[value.node]
        for value in sorted(network.loads(part), key=nbytes, reverse=True)
        if value.node in network.groups
    )
    for maker in makers:
        if maker.size + part.size > max_nodes:
            continue
        others = [other for other in makers if other is not maker]
        found = _fit(network, maker, part, others)
        if found is None:
            continue
        rest = network.without(group, part.members)
        if _saved(network, maker, part, rest, group) > 0:
            network.split(group, part, rest)
            network.merge(maker, part, found)
            return


def _part(network: Network, node: Node, group: Group) -> Group | None:
    """`node` and what it needs from its group, as a group of their own."""
    shape = node.results[0].type.static_shape
    part = Group("pointwise", elements(shape), 0)
    part.inlined = group.inlined
    waiting: dict[Node, Coordinates] = {node: own_coordinates(shape)}
    while waiting:
        latest = max(waiting, key=network.order)
        if network.role(latest) is not Role.POINTWISE:
            return None
        network.put(part, latest, waiting.pop(latest))
        for read, places in part.reads.items():
            maker = read.node
            if maker in group.members and maker not in part.members:
                (at, *more) = places
                if at is None or more or not part.computes(read):
                    return None
                waiting[maker] = at
    return part


def _fit(
    network: Network, maker: Group, part: Group, others: list[Group]
) -> tuple[Space, Change, Change] | None:
    """How the loops of `maker` can compute `part`, if they can.

    Args:
        network: The groups.
        maker: A group that makes an operand.
        part: What it would compute as well.
        others: The groups that make its other operands, for which it must wait then.
    """
    found = joint(maker.space, part.space)
    if found is None or maker.kind not in KERNELS_OF_ELEMENTS:
        return None
    if is_too_serial(found[0], maker.work + part.work):
        return None
    _, change, part_change = found
    for value, places in part.reads.items():
        if value.node in maker.members:
            made_at = change(maker.members[value.node])
            if any(at is None or part_change(at) != made_at for at in places):
                return None
    is_epilogue = is_local(network, part) and maker.work + part.work <= MAX_EPILOGUE
    if maker.kind == "contraction" and not is_epilogue:
        return None
    return None if any(maker.below & other.bits for other in others) else found


def _saved(
    network: Network, maker: Group, part: Group, rest: Group, group: Group
) -> int:
    """The bytes that less is moved if `maker` computes `part` instead of `group`."""
    saved = 0
    for value in network.loads(part):
        at_hand = value in maker.reads or value.node in maker.members
        if value not in rest.reads:
            saved += nbytes(value) if at_hand else 0
            if value.node in maker.members and [*network.readers[value]] == [group]:
                saved += nbytes(value)
        elif not at_hand:
            saved -= nbytes(value)
    for node in part.members:
        for value in node.results:
            if value in rest.reads:
                stored = any(g is not group for g in network.readers[value])
                saved -= nbytes(value) * (1 if stored else 2)
    return saved


# -- merging siblings ------------------------------------------------------------------


def _merge_readers(network: Network, value: Value, max_nodes: int) -> None:
    """Merges groups that run over the elements of `value`, which then is read once."""
    if not value.shape:
        return
    able = [
        group
        for group in network.readers[value]
        if group.kind in LOOPS
        and group.computes(value)
        and value.node not in group.copies
    ]
    while len(able) > 1:
        target = able.pop(0)
        for other in list(able):
            fits = target.size + other.size <= max_nodes
            if fits and network.merged(target, other, (value,)):
                able.remove(other)
