"""Obstacles: what forbids that a group computes what another one reads as well."""

from __future__ import annotations

from graphc.ir.values import Value
from graphc.passes.fusion.costs import MAX_EPILOGUE, MAX_LOADS
from graphc.passes.fusion.group import KERNELS_OF_ELEMENTS, Group, joint
from graphc.passes.fusion.grouping import is_local, misfit
from graphc.passes.fusion.network import Network
from graphc.passes.fusion.parallelism import TOO_SERIAL, is_too_serial
from graphc.passes.fusion.roles import is_empty
from graphc.passes.fusion.tile_sums import no_sums


def obstacle(
    network: Network, maker: Group, reader: Group, value: Value, max_nodes: int
) -> str:
    """What forbids that `reader` and `maker` become one; empty if nothing does."""
    for group in (maker, reader):
        if group.kind not in KERNELS_OF_ELEMENTS:
            return _alone(group)
    if not reader.computes(value):
        return misfit(reader, value)
    if maker.kind == "contraction":
        if reader.kind == "contraction":
            return "the kernel has a dot already"
        if reader.kind == "reduction":
            if reason := no_sums(network, maker, reader):
                return reason
        elif not is_local(network, reader):
            return "the epilogue would read elements at other places"
        if maker.work + reader.work > MAX_EPILOGUE:
            return "the epilogue has too much work"
    if maker.size + reader.size > max_nodes:
        return f"one kernel would have more than {max_nodes} nodes"
    changes = joint(maker.space, reader.space)
    if changes is None:
        return "the loops are others"
    if is_too_serial(changes[0], maker.work + reader.work):
        return TOO_SERIAL
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


def _alone(group: Group) -> str:
    """Why a group is one node that others do not join."""
    (node, *_) = group.members
    if is_empty(node):
        return f"an operand or result of {node.op.name} has no elements"
    return f"{node.op.name} is a kernel of its own"
