"""Which elements of the values of a group are computed together.

A kernel's loop axes run over the elements of one value, its anchor. The coordinates of
another value of the kernel are the index of the element of it that belongs to the same
point of the loops: known as far as elementwise ops and ops that move elements lead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

from graphc.ir.graph import Node
from graphc.ir.index import (
    Atom,
    Axis,
    Index,
    Loaded,
    Quotient,
    Within,
    variable,
    whole,
    within,
)
from graphc.ir.opdef import Kind, OpDef, Trait
from graphc.ir.types import TensorType
from graphc.ir.values import Operand, Value

Coordinates = tuple[Index, ...]


def operand_coordinates(
    node: Node, position: int, result: Coordinates
) -> Coordinates | None:
    """The element of an operand that a result element is computed from.

    Args:
        node: A node.
        position: Which of its operands.
        result: The index of an element of the node's first result.

    Returns:
        The index of the operand's element; None if there is more than one, or none for
        some of the result's elements.
    """
    operand = node.operands[position]
    if operand.type.rank == 0:
        return ()
    if node.op.kind is Kind.ELEMENTWISE:
        return result
    if node.op.read_index is not None and position == 0:
        text = json.dumps(node.attributes, sort_keys=True)
        return _moved(node.op, operand.type, text, result)
    return None


@lru_cache(maxsize=65536)
def _moved(
    op: OpDef, operand: TensorType, attributes: str, result: Coordinates
) -> Coordinates:
    """The element of its operand that an op puts at `result`."""
    assert op.read_index is not None
    return op.read_index(result, operand, **op.decode(json.loads(attributes), None))


LEAST_RUN = 32
"""How many bytes next to each other are worth a store: GPUs write memory by so many."""

MOST_PARTS = 16
"""How many values a program holds to store each of them."""


def stored_parts(node: Node) -> tuple[Operand, ...]:
    """The values to store, each in its place, rather than the result of `node`.

    They are what a node puts one behind the other, if they have one shape.
    """
    if Trait.JOINS not in node.op.traits:
        return ()
    types = {operand.type for operand in node.operands}
    type = node.operands[0].type
    run = math.prod(type.static_shape[node.attributes["axis"] :]) * type.dtype.bits // 8
    fits = 1 < len(node.operands) <= MOST_PARTS and run >= LEAST_RUN
    return tuple(node.operands) if len(types) == 1 and fits else ()


def part_coordinates(whole: Operand, position: int, part: Coordinates) -> Coordinates:
    """Where a value that joins others has an element of one of these."""
    node = whole.node if isinstance(whole, Value) else None
    assert node is not None
    axis = node.attributes["axis"]
    before = sum(o.type.static_shape[axis] for o in node.operands[:position])
    return (*part[:axis], part[axis] + before, *part[axis + 1 :])


def result_coordinates(
    node: Node, position: int, operand: Coordinates
) -> Coordinates | None:
    """The one result element that an operand's element goes to, or None."""
    type = node.operands[position].type
    if node.op.kind is Kind.ELEMENTWISE:
        return operand if type.shape == node.results[0].type.shape else None
    if node.op.write_index is not None and position == 0:
        return node.op.write_index(operand, type, **_attributes(node))
    return None


def propagate(
    seeds: Mapping[Value, Coordinates], nodes: Iterable[Node]
) -> dict[Value, Coordinates]:
    """The coordinates of the values that `nodes` connect with those of `seeds`.

    Values that a node reads from outside of `nodes` have coordinates as well. A value
    that is reached on several ways keeps those of the first.
    """
    inside = set(nodes)
    found: dict[Value, Coordinates] = dict(seeds)
    waiting = list(found)
    while waiting:
        value = waiting.pop()
        for node in _around(value):
            if node in inside:
                waiting += _step(node, value, found)
    return found


def _around(value: Value) -> list[Node]:
    made = [value.node] if value.node is not None else []
    return [*made, *dict.fromkeys(value.users)]


def _step(node: Node, value: Value, found: dict[Value, Coordinates]) -> list[Value]:
    """Adds the coordinates that follow from those of `value` by way of `node`."""
    added: list[Value] = []
    if value.node is not node:
        for position, operand in enumerate(node.operands):
            if operand is value:
                coordinates = result_coordinates(node, position, found[value])
                if coordinates is not None:
                    added += _added(node.results, coordinates, found)
    if node.results[0] in found:
        for position, operand in enumerate(node.operands):
            coordinates = operand_coordinates(node, position, found[node.results[0]])
            if coordinates is not None:
                added += _added([operand], coordinates, found)
    return added


def _added(
    operands: Iterable[Operand],
    coordinates: Coordinates,
    found: dict[Value, Coordinates],
) -> list[Value]:
    new = [o for o in operands if isinstance(o, Value) and o not in found]
    found.update(dict.fromkeys(new, coordinates))
    return new


def _attributes(node: Node) -> dict[str, object]:
    return node.op.decode(node.attributes, None)


# -- where kernels read ----------------------------------------------------------------

UNKNOWN = Axis("unknown", 1)
"""Coordinates that depend on it are not known as expressions."""


def read_coordinates(
    node: Node, position: int, result: Coordinates, mark: str
) -> Coordinates:
    """As `operand_coordinates`, with a name for elements that are not known.

    Args:
        node: A node.
        position: Which of its operands.
        result: The index of an element of the node's first result.
        mark: What no other node and operand have for a name.
    """
    known = operand_coordinates(node, position, result)
    if known is not None:
        return known
    axes = frozenset(axis for index in result for axis in index.axes)
    return unknown(node.operands[position].type, axes, mark)


def unknown(type: TensorType, axes: frozenset[Axis], mark: str) -> Coordinates:
    """Coordinates of which it is only known on which axes they depend."""
    of = axes | {UNKNOWN}
    return tuple(
        variable(Loaded(f"{mark}_{d}", 0, max(0, size - 1), of))
        for d, size in enumerate(type.static_shape)
    )


@lru_cache(maxsize=65536)
def substituted(index: Index, axis: Axis, by: Index) -> Index:
    """`index` with `by` for an axis."""
    if axis not in index.axes:
        return index
    total = whole(index.constant)
    for atom, factor in index.terms:
        total = total + _atom_with(atom, axis, by) * factor
    return total


def _atom_with(atom: Atom, axis: Axis, by: Index) -> Index:
    if isinstance(atom, Axis):
        return by if atom == axis else variable(atom)
    if isinstance(atom, Loaded):
        if axis not in atom.of:
            return variable(atom)
        of = (atom.of - {axis}) | by.axes
        return variable(Loaded(atom.name, atom.low, atom.high, of))
    inner = substituted(atom.of, axis, by)
    if isinstance(atom, Within):
        return within(inner, atom.low, atom.high)
    return inner // atom.by if isinstance(atom, Quotient) else inner % atom.by
