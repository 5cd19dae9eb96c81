"""Arranging: updates of variables go to where what they are made from is known.

The optimizer comes last in a step, so all gradients would wait for it. Right behind the
backward part of its layer, an update ends the life of the gradient and of what that is
computed from, and it is part of what repeats from layer to layer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from graphc.ir.graph import Graph, Node
from graphc.ir.values import Value
from graphc.passes.fusion.roles import Role

FIRST = -1
"""The place before the first node."""


def updates(graph: Graph, role: Callable[[Node], Role]) -> dict[Node, int]:
    """The nodes that nothing but results depends on, element by element.

    Returns:
        For each the number of the node, among all, behind which it can be computed
        without keeping anything longer, in the order in which they belong there.
    """
    late: set[Node] = {graph.return_node}
    for node in graph.reversed_nodes():
        if role(node) in (Role.POINTWISE, Role.MOVE) and _read_by(node, late):
            late.add(node)
    places = {node: place for place, node in enumerate(graph.nodes)}
    found: dict[Node, int] = {}
    for node in places:
        if node in late:
            found[node] = FIRST
            for operand in node.operands:
                known = _known(operand, found, places, late)
                if known > found[node]:
                    found[node] = known
    _delay(found)
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _read_by(node: Node, nodes: Collection[Node]) -> bool:
    """Whether some of `nodes`, and no others, read a node's results."""
    read = False
    for result in node.results:
        for user, _ in result.uses:
            if user not in nodes:
                return False
            read = True
    return read


def _known(
    operand: object,
    found: dict[Node, int],
    places: dict[Node, int],
    late: Collection[Node],
) -> int:
    """When an operand is known, and no other node reads the memory it may leave."""
    if not isinstance(operand, Value):
        return FIRST
    if operand.node is not None:
        return found.get(operand.node, places[operand.node])
    if not operand.shape:
        return FIRST
    users = (user for user, _ in operand.uses if user not in late)
    return max((places[user] for user in users), default=FIRST)


def _delay(found: dict[Node, int]) -> None:
    """Large values that could be computed first of all wait for who reads them."""
    for node in reversed(found):
        if found[node] == FIRST and node.results[0].shape:
            users = {user for result in node.results for user, _ in result.uses}
            found[node] = min((found[u] for u in users if u in found), default=FIRST)


def arranged(graph: Graph, places: dict[Node, int]) -> list[Node]:
    """The nodes in the order in which `places` puts them."""
    order = [node for node, place in places.items() if place == FIRST]
    behind: dict[int, list[Node]] = {}
    for node, place in places.items():
        behind.setdefault(place, []).append(node)
    for place, node in enumerate(graph.nodes):
        if node not in places:
            order.append(node)
        # What follows an update follows the node that the update follows.
        order += behind.get(place, ())
    return order


def with_blocks(
    graph: Graph, places: dict[Node, int], blocks: Iterable[Sequence[Node]]
) -> list[Node]:
    """The nodes in an order in which those of each block stand together as given.

    Updates move to where `places` puts them if a block needs it; others stay.
    """
    inside = {node: block for block in blocks for node in block}
    moving = set(inside)
    for node in reversed(places):
        if node in moving:
            moving.update(
                o.node for o in node.operands if isinstance(o, Value) and o.node
            )
    moved = {node: place for node, place in places.items() if node in moving}
    order: dict[Node, None] = {}
    for node in arranged(graph, moved):
        if node not in order:
            order.update(dict.fromkeys(inside.get(node, (node,))))
    return list(order)
