"""What stretches of nodes that compute the same have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from graphc.ir.graph import Graph, Node
from graphc.ir.values import Literal, Operand, Value, attributes_text


def look(node: Node) -> Hashable:
    """What a node has in common with those that do the same on other values."""
    found: list[Hashable] = [node.op, len(node.operands)]
    for operand in (*node.operands, *node.results):
        if isinstance(operand, Literal):
            found.append(operand)
        else:
            found += (operand.type.shape, operand.type.dtype)
    found.append(attributes_text(node.attributes))
    return tuple(found)


def structure(
    inputs: Iterable[Value],
    nodes: Iterable[Node],
    results: Iterable[Operand],
    of: Callable[[Node], Hashable] = look,
) -> Hashable:
    """What is equal of stretches that compute the same, in the same order.

    Args:
        inputs: The values that the nodes read; their types are not compared here.
        nodes: The nodes in order. One may come again, then what follows reads that.
        results: What the stretch is for.
        of: What nodes have in common that do the same.
    """
    numbers = {value: number for number, value in enumerate(inputs)}
    count = len(numbers)
    looks: list[Hashable] = []
    wiring: list[int] = []
    for node in nodes:
        looks.append(of(node))
        wiring += [numbers[o] for o in node.operands if isinstance(o, Value)]
        for value in node.results:
            numbers[value] = count
            count += 1
    made = tuple([numbers[o] if isinstance(o, Value) else o for o in results])
    return tuple(looks), tuple(wiring), made


@dataclass(frozen=True)
class Structures:
    """Graphs that were made of stretches of one graph, to be used for equal ones.

    Attributes:
        of: What nodes have in common that do the same.
        graphs: The graphs by the structure of what they were made of.
    """

    of: Callable[[Node], Hashable]
    graphs: dict[Hashable, Graph] = field(default_factory=dict[Hashable, Graph])
