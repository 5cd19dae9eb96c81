"""Contractions as products of matrices: how many rows and columns their results have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from graphc.ir.graph import Node
from graphc.ir.opdef import Kind
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.values import Operand, Value

TILE_ROWS = 64
"""The rows of a result of which a kernel that multiplies tiles can return sums.

All tiles that are fast for large matrices have this many rows or a multiple of them.
"""

LEAST_COLUMNS, LEAST_TERMS = 16, 4
"""Products that are smaller are not computed in tiles."""

MOST_BETWEEN = 32
"""Through how many values a contraction is looked for."""

MOST_AROUND = 256
"""How many nodes are looked at to find another way that leads from it."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The matrix that a contraction's result is, in the order that it lies in memory.

    Attributes:
        rows: Along these tiles lie one below the other.
        columns: Along these, side by side.
        terms: How many products are added for each element.
    """

    rows: int
    columns: int
    terms: int

    @property
    def has_tiles(self) -> bool:
        """Whether it is large enough to be computed in tiles."""
        return self.columns >= LEAST_COLUMNS and self.terms >= LEAST_TERMS


def sides(node: Node) -> Sides | None:
    """The matrix that the result of a contraction is; None if it is several of them."""
    types = [value.type for value in (*node.operands, *node.results)]
    if node.op.kind is not Kind.CONTRACTION or any(type.symbols for type in types):
        return None
    a, b, result = (type.static_shape for type in types[:3])
    attributes = node.op.decode(node.attributes, None)
    if "contract" in attributes:
        batch, contract = attributes["batch"][0], attributes["contract"][0]
        if math.prod(a[d] for d in batch) != 1:
            return None
        terms = math.prod(a[d] for d in contract)
        columns = math.prod(result[len(a) - len(contract) :])
    elif "labels" in attributes:
        _, of_kernel, of_result = parse_labels(attributes["labels"])
        grouped = attributes["groups"] * attributes["batch_groups"] > 1
        if grouped or of_result.inner != len(result) - 1:
            return None
        columns = result[-1]
        terms = math.prod(b) // max(1, b[of_kernel.outer])
    else:
        return None  # a composite, which has a kernel of its own or none
    return Sides(math.prod(result) // max(1, columns), columns, terms)


def made_by(
    value: Operand, wanted: tuple[int, int], order: Mapping[Node, int]
) -> Node | None:
    """The contraction that `value` is computed from element by element, and not else.

    Args:
        value: Any value.
        wanted: The rows and columns that the contraction must have.
        order: The place of each node in the graph.
    """
    waiting, seen, others = [value], {value}, list[Operand]()
    found: list[Node] = []
    while waiting and len(seen) <= MOST_BETWEEN:
        each = waiting.pop()
        node = each.node if isinstance(each, Value) else None
        if node is None:
            continue
        matrix = sides(node)
        if matrix is not None:
            fits = (matrix.rows, matrix.columns) == wanted and matrix.has_tiles
            found += [node] if fits and node in order else []
            continue
        # Elementwise, or the same elements in another shape.
        keeps = node.op.kind is Kind.ELEMENTWISE or node.op.write_index is not None
        for operand in node.operands:
            if operand in seen:
                continue
            if keeps and operand.type.size == value.type.size:
                seen.add(operand)
                waiting.append(operand)
            else:
                others.append(operand)
    last = max(found, key=order.__getitem__, default=None)
    if last is None or waiting or _leads(last, others, order):
        return None
    return last


def _leads(node: Node, values: list[Operand], order: Mapping[Node, int]) -> bool:
    """Whether one of `values` depends on `node`, or may: not everything is looked at."""
    waiting, seen, place = list(values), set[Node](), order[node]
    while waiting:
        value = waiting.pop()
        maker = value.node if isinstance(value, Value) else None
        # What has been made since the places were noted may depend on anything.
        if maker is None or maker in seen or order.get(maker, place) < place:
            continue
        if maker is node or len(seen) > MOST_AROUND:
            return True
        seen.add(maker)
        waiting += maker.operands
    return False
