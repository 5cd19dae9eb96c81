"""Rules as identities of terms, derived from what they do to their examples.

A rule is a function of a node, which nothing but the greedy driver can apply. What it
makes of an example that consists of elementwise primitives over tensors of one type is an
identity that holds for all such tensors: parameters become variables, numbers stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from graphc.ir.graph import Graph
from graphc.ir.opdef import Kind, OpDef
from graphc.ir.types import DType
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.ledger import Ledger
from graphc.passes.pattern import traced
from graphc.passes.rewrite import Proposal, Rewriter
from graphc.passes.rule import Rule


@dataclass(frozen=True, slots=True)
class Term:
    """The use of an elementwise primitive.

    Attributes:
        op: The op.
        attributes: Its attributes as JSON with sorted keys.
        operands: What it reads: terms, numbers of variables, and literals.
    """

    op: OpDef
    attributes: str
    operands: tuple[Side, ...]


Side = Term | Literal | int
"""One side of an identity, or a part of it; an integer is a variable."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Two terms that are equal for tensors of one dtype and any shape.

    Attributes:
        rule: The rule that it was derived from.
        dtype: The dtype of all variables and of both sides.
        left: What the rule looks for.
        right: What it puts.
    """

    rule: Rule
    dtype: DType
    left: Term
    right: Side


@cache
def identities(rule: Rule) -> tuple[Identity, ...]:
    """What a rule does to those of its examples that are terms; see the module."""
    return tuple(dict.fromkeys(_derived(rule)))


def _derived(rule: Rule) -> Iterator[Identity]:
    for example in rule.examples:
        for graph in traced(example):
            types = {parameter.type for parameter in graph.parameters}
            if len(types) != 1 or len(graph.results) != 1:
                continue
            (type,) = types
            left = _side(graph.results[0])
            if not isinstance(left, Term) or graph.results[0].type != type:
                continue
            right = _rewritten(rule, graph)
            if right is not None and right != left:
                yield Identity(rule, type.dtype, left, right)


def _rewritten(rule: Rule, graph: Graph) -> Side | None:
    """What the rule puts for the result of `graph`; None if it does not apply there."""
    result = graph.copy().results[0]
    root = result.node if isinstance(result, Value) else None
    owner = None if root is None else root.graph
    if root is None or owner is None:
        return None

    def attempt() -> Proposal | None:
        found = rule.apply(root)
        if isinstance(found, Value | Literal):
            return rule.name, (found,)
        return None if found is None else (rule.name, found)

    if not Rewriter(Ledger(), "terms").rewrite(root, attempt):
        return None
    return _side(owner.results[0])


def _side(of: Operand) -> Side | None:
    """A value as a term over parameters of its own type; None if it is none."""
    if isinstance(of, Literal):
        return of
    if of.node is None:
        return of.index
    node = of.node
    if node.op.kind is Kind.BROADCAST and isinstance(node.operands[0], Literal):
        return node.operands[0]
    if node.op.kind is not Kind.ELEMENTWISE or node.op.is_composite:
        return None
    if len(node.results) != 1:
        return None
    operands: list[Side] = []
    for operand in node.operands:
        if operand.type.shape and operand.type != of.type:
            return None
        side = _side(operand)
        if side is None:
            return None
        operands.append(side)
    return Term(node.op, json.dumps(node.attributes, sort_keys=True), tuple(operands))
