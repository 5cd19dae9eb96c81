"""Gathers for picks: reads the one element that a sum picks by its position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import INDEX
from graphc.ir.ops import (
    and_,
    broadcast_in_dim,
    compare,
    gather,
    iota,
    reduce_sum,
    select,
)
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.rewrite import Proposal, Rewriter


@register
@final
@dataclass(frozen=True)
class GatherPicked(GraphPass):
    """Replaces a sum over one axis that adds zeros to one element by that element.

    The sum of ``select(position == y, x, 0)``, which is how a cross entropy takes the
    logarithm at a label, becomes a gather of x at y, and 0 where y is no position. A
    kernel then computes x at y alone, where it went through all of it before.
    """

    name: ClassVar[str] = "gather_picked"

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            if node.op is reduce_sum:
                rewriter.rewrite(node, lambda node=node: _gathered(node))
        return rewriter.ledger.count > made


def _gathered(node: Node) -> Proposal | None:
    axes = node.attributes["axes"]
    chosen = _made_by(node.operands[0], select)
    if len(axes) != 1 or chosen is None:
        return None
    condition, x, other = chosen.operands
    equal = _made_by(condition, compare)
    zero = isinstance(other, Literal) and other.value == 0
    if not zero or equal is None or equal.attributes["direction"] != "EQ":
        return None
    shape = chosen.results[0].type.shape
    (axis,) = axes
    kept = [d for d in range(len(shape)) if d != axis]
    size = shape[axis]
    if x.type.shape != shape or not isinstance(size, int) or 0 in shape:
        return None
    y = _label(equal, axis, kept)
    if y is None or y.type.dtype not in INDEX:
        return None
    most = np.iinfo(y.type.dtype.numpy).max
    if size - 1 > most:  # positions start again from 0
        return None
    found = gather(
        x,
        y,
        offset_dims=[],
        collapsed_dims=[axis],
        start_index_map=[axis],
        index_axis=y.type.rank,
        slice_sizes=[1] * len(shape),
        operand_batching=kept,
        indices_batching=list(range(y.type.rank)),
    )
    inside = compare(y, Literal(0, y.type.dtype), direction="GE")
    if size <= most:
        below = compare(y, Literal(size, y.type.dtype), direction="LT")
        inside = and_(inside, below)
    return "pick", (select(inside, found, Literal(0, x.type.dtype)),)


def _label(equal: Node, axis: int, kept: list[int]) -> Value | None:
    """What positions along `axis` are compared with, one for each kept element."""
    for position, label in (equal.operands, equal.operands[::-1]):
        counted = _made_by(position, iota)
        spread = _made_by(label, broadcast_in_dim)
        if counted is None or spread is None or counted.attributes["axis"] != axis:
            continue
        y = spread.operands[0]
        shape = tuple(equal.results[0].type.shape[d] for d in kept)
        if not isinstance(y, Value) or y.type.shape != shape:
            continue
        if spread.attributes["dims"] == kept:
            return y
    return None


def _made_by(operand: Operand, op: object) -> Node | None:
    """The node of `op` that makes `operand`, if one does."""
    node = operand.node if isinstance(operand, Value) else None
    return node if node is not None and node.op is op else None
