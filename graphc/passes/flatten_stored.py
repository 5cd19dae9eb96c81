"""What slices and paddings make is stored before a reshape joins its last dimension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.ops import optimization_barrier, reshape
from graphc.ir.values import Value
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Proposal, Rewriter

_RULE = "store"


@register
@final
@dataclass(frozen=True)
class FlattenStored(GraphPass):
    """Puts a barrier before reshapes that flatten what is computed from parts of arrays.

    XLA fuses a reshape with what makes its operand: the loop then goes along the joined
    dimension, and divides to find each element of a slice, instead of reading vectors.
    Flattening what is stored costs nothing.
    """

    name: ClassVar[str] = "flatten_stored"
    numerics: ClassVar[Mapping[str, Numerics]] = {_RULE: EXACT}

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        computed: set[Value] = set()
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            if _makes_part(node) or (
                node.op.kind is Kind.ELEMENTWISE
                and not computed.isdisjoint(node.operands)
            ):
                computed.update(node.results)
            elif node.op is reshape and node.operands[0] in computed:
                if _joins_last(node):
                    rewriter.rewrite(node, partial(_stored, node))
                else:
                    rewriter.refuse(node, _RULE, "the last dimension stays")
        return rewriter.ledger.count > made


def _makes_part(node: Node) -> bool:
    """Whether a node makes an array of another size from elements of its operand."""
    if node.op.kind is not Kind.INJECTIVE or Trait.MOVES_DATA not in node.op.traits:
        return False
    return node.operands[0].type.size != node.results[0].type.size


def _joins_last(node: Node) -> bool:
    """Whether a reshape makes the last dimension longer."""
    before, after = node.operands[0].type.shape, node.results[0].type.shape
    if (
        not before
        or not after
        or not all(isinstance(n, int) for n in (before[-1], after[-1]))
    ):
        return False
    return after[-1] > before[-1] > 1


def _stored(node: Node) -> Proposal:
    held = optimization_barrier(node.operands[0])
    return _RULE, [reshape(held, shape=node.results[0].type.shape)]
