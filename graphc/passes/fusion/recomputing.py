"""Recomputing: kernels compute what they would read, from what they read anyway.

Grouping stores a value that several kernels read before it is known what else these
read. Where it turns out that they have its operands at hand, or that these are small,
it is computed again in each, and neither written nor read.
"""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.ir.values import Value
from graphc.passes.coordinates import Coordinates, operand_coordinates
from graphc.passes.fusion.costs import MAX_EPILOGUE, MAX_REPEATED, arithmetic, nbytes
from graphc.passes.fusion.group import KERNELS_OF_ELEMENTS, Group
from graphc.passes.fusion.network import Network
from graphc.passes.fusion.refining import LOOPS
from graphc.passes.fusion.roles import Role

SMALL_PART = 8
"""How many times smaller than a value its operands are that may be read instead."""


def compute_again(network: Network, max_nodes: int) -> None:
    """Makes groups compute what they read from memory, where nothing large is read."""
    for node in network.graph.reversed_nodes():
        home = network.groups.get(node)
        if home is not None and home.kind in LOOPS and _is_simple(network, node):
            _compute_again(network, home, node, max_nodes)


def _is_simple(network: Network, node: Node) -> bool:
    """Whether a node is one that can be computed anywhere."""
    is_one = len(node.results) == 1 and node not in network.joints
    return is_one and network.role(node) is Role.POINTWISE


def _compute_again(network: Network, home: Group, node: Node, max_nodes: int) -> None:
    (value,) = node.results
    readers = [group for group in network.readers_of(node) if group is not home]
    if not value.shape or not readers:
        return
    cones = [_cone(network, home, reader, value) for reader in readers]
    for reader, cone in zip(readers, cones, strict=True):
        if not cone or reader.size + len(cone) > max_nodes:
            return
    everything = dict.fromkeys(each for cone in cones for each in cone)
    for each in everything:
        if home.members.pop(each, None) is not None:
            del network.groups[each]
    saved = nbytes(value) * (1 + len(readers))
    network.recomputed[node] = f"its operands are at hand, which saves {saved:,} bytes"
    for group in (home, *readers):
        group.inlined |= everything.keys()
        network.reread(group)
    for reader, cone in zip(readers, cones, strict=True):
        work = sum(map(arithmetic, cone))
        reader.work += work
        reader.repeated += work


def _cone(network: Network, home: Group, reader: Group, value: Value) -> list[Node]:
    """What `reader` would compute for `value` beside what it has; none if too much."""
    if reader.kind not in KERNELS_OF_ELEMENTS or not reader.computes(value):
        return []
    (place,) = reader.reads[value]
    assert value.node is not None
    waiting: list[tuple[Node, Coordinates]] = [(value.node, place or ())]
    found: list[Node] = []
    work, most = reader.repeated, MAX_REPEATED
    if reader.kind == "contraction":
        most = min(most, reader.repeated + MAX_EPILOGUE - reader.work)
    while waiting:
        node, at = waiting.pop()
        if node in found:
            continue
        found.append(node)
        work += arithmetic(node)
        if work > most:
            return []
        for position, operand in enumerate(node.operands):
            if not isinstance(operand, Value):
                continue
            read = operand_coordinates(node, position, at)
            if read is None:
                return []
            if read in reader.reads.get(operand, ()):
                continue
            is_small = SMALL_PART * nbytes(operand) <= nbytes(value)
            if is_small and _is_stored(network, operand):
                continue
            maker = operand.node
            if maker is None or not _is_own(network, home, maker):
                return []
            waiting.append((maker, read))
    return found


def _is_own(network: Network, home: Group, node: Node) -> bool:
    """Whether a node can be computed again, and only `home` computes it so far."""
    if not _is_simple(network, node):
        return False
    return network.groups.get(node) is home and network.readers_of(node) == [home]


def _is_stored(network: Network, value: Value) -> bool:
    """Whether a value is in memory anyway."""
    maker = network.groups.get(value.node) if value.node is not None else None
    if maker is None:
        return value.node is None
    others = (group for group in network.readers.get(value, ()) if group is not maker)
    return any(value.node not in group.copies for group in others)
