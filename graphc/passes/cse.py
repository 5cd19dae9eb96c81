"""Common subexpression elimination: merges nodes that compute the same."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Trait
from graphc.ir.values import Value, attributes_text
from graphc.passes.effects import Effects
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Rewriter


@register
@final
@dataclass(frozen=True)
class CommonSubexpressionElimination(GraphPass):
    """Merges nodes with equal ops, operands, attributes and types.

    Literals are equal if their bits are; the first two operands of a commutative op
    may be swapped; nodes with effects stay.
    """

    name: ClassVar[str] = "cse"
    numerics: ClassVar[Mapping[str, Numerics]] = {"merge": EXACT}

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        effects = Effects()
        first: dict[Hashable, Node] = {}
        alone: set[Node] = set()
        changed = False
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            if effects.of(node):
                continue
            if _is_alone(node):
                alone.add(node)
                continue
            known = first.setdefault(_key(node), node)
            if known is not node:
                changed |= rewriter.replace(node, known.results, "merge")
                # What reads the first is no longer alone.
                for user in (user for r in known.results for user in r.users):
                    if user in alone:
                        first.setdefault(_key(user), user)
        return changed


def _is_alone(node: Node) -> bool:
    """Whether nothing else reads one of its operands, so that no node is equal."""
    return 1 in [len(o.uses) for o in node.operands if isinstance(o, Value)]


def _key(node: Node) -> Hashable:
    """What two nodes that compute the same have in common."""
    # Values are equal if they are the same, literals if their bits are.
    op, operands = node.op, node.operands
    if Trait.COMMUTATIVE in op.traits and hash(operands[0]) > hash(operands[1]):
        operands = operands[1], operands[0], *operands[2:]
    # Types follow from these, but a result may have been added behind the others.
    return op, operands, attributes_text(node.attributes), len(node.results)
