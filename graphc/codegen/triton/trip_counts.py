"""How often a loop runs, where that is known before its first step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Trait
from graphc.ir.ops import add, call, compare
from graphc.ir.values import Literal, Operand, Value

Calls: TypeAlias = tuple[Node, ...]
"""The calls that lead to a graph, the outermost first."""


@dataclass(frozen=True, slots=True)
class Trips:
    """A loop that counts up to a limit.

    Attributes:
        start: The first number.
        limit: The number behind the last one: itself, or the position of the operand of
            the loop that holds it and that no step changes.
    """

    start: int
    limit: Literal | int


def count_trips(loop: Node, cond: Graph, body: Graph) -> Trips | None:
    """How often a `while` runs if it counts; None if only its steps tell.

    It does if it goes on while an integer that it carries, which each step makes larger
    by 1, is less than a number or than an integer that stays as it is. The graphs may
    call others: where kernels have been outlined, all arithmetic is in these.

    Args:
        loop: The node.
        cond: The graph of its condition.
        body: The graph of its step.
    """
    if any(Trait.EFFECT in n.op.traits for g in cond.reachable() for n in g.nodes):
        return None
    test, calls = _origin(cond.results[0], ())
    if not isinstance(test, Value) or test.node is None or test.node.op is not compare:
        return None
    left, right = (_origin(operand, calls) for operand in test.node.operands)
    direction = test.node.attributes["direction"]
    if direction == "GT":
        left, right, direction = right, left, "LT"
    counter, limit = _parameter(left), _limit(right, body)
    if direction != "LT" or counter is None or limit is None:
        return None
    start = loop.operands[counter]
    whole = not start.type.dtype.is_float
    if not (whole and isinstance(start, Literal) and _counts(body, counter)):
        return None
    return Trips(int(start.value), limit)


def _limit(found: tuple[Operand, Calls], body: Graph) -> Literal | int | None:
    if isinstance(found[0], Literal):
        return found[0]
    position = _parameter(found)
    if position is None:
        return None
    same = _parameter(_origin(body.results[position], ())) == position
    return position if same else None


def _counts(body: Graph, position: int) -> bool:
    """Whether each step adds 1 to what is carried at a position."""
    value, calls = _origin(body.results[position], ())
    if not isinstance(value, Value) or value.node is None or value.node.op is not add:
        return False
    found = [_origin(operand, calls) for operand in value.node.operands]
    ones = [isinstance(each, Literal) and each.value == 1 for each, _ in found]
    return True in ones and _parameter(found[1 - ones.index(True)]) == position


def _parameter(found: tuple[Operand, Calls]) -> int | None:
    """The position of a parameter of the outermost graph, if a value is one."""
    value, calls = found
    if calls or not isinstance(value, Value) or value.node is not None:
        return None
    return value.index


def _origin(value: Operand, calls: Calls) -> tuple[Operand, Calls]:
    """Where a value comes from, through the calls of graphs."""
    while isinstance(value, Value):
        node = value.node
        if node is None:
            if not calls:
                break
            *outer, last = calls
            value, calls = last.operands[value.index], tuple(outer)
        elif node.op is call and node.graph is not None:
            callee = node.op.decode(node.attributes, node.graph.module)["graph"]
            value, calls = callee.results[value.index], (*calls, node)
        else:
            break
    return value, calls
