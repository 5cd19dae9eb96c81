"""Identities of reductions."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.ir.ops import (
    reduce_max,
    reduce_sum,
    reshape,
)
from graphc.passes.identities.matching import attribute, producer
from graphc.passes.rule import Replacement, RuleSet, approx, example

RULES = RuleSet()


@RULES.rule(
    "reduce_max",
    "reduce_min",
    "reduce_prod",
    "reduce_and",
    "reduce_or",
    examples=example(lambda x: reduce_max(x, axes=[]), "T[2,4]"),
)
def reduce_nothing(node: Node) -> Replacement:
    """A reduction along no axes is x."""
    return None if attribute(node, "axes") else node.operands


@RULES.rule(
    "reduce_sum",
    numerics=approx(0),
    examples=example(lambda x: reduce_sum(x, axes=[]), "T[2,4]"),
)
def sum_nothing(node: Node) -> Replacement:
    """A sum along no axes is x, but for the sign of zero."""
    return None if attribute(node, "axes") else node.operands


@RULES.rule(
    "reduce_max",
    "reduce_min",
    "reduce_and",
    "reduce_or",
    examples=example(
        lambda x: reduce_max(reduce_max(x, axes=[1]), axes=[1]), "T[2,3,4]"
    ),
)
def reduce_twice(node: Node) -> Replacement:
    """Two reductions by max, min, and, or are one."""
    inner = producer(node.operands[0], node.op)
    if inner is None or len(inner.result.uses) > 1:
        return None
    gone = attribute(inner, "axes")
    kept = [d for d in range(inner.operands[0].type.rank) if d not in gone]
    axes = sorted([*gone, *(kept[d] for d in attribute(node, "axes"))])
    return node.op(*inner.operands, axes=axes)


@RULES.rule(
    "reduce_max",
    "reduce_min",
    "reduce_and",
    "reduce_or",
    examples=example(lambda x: reduce_max(x, axes=[1]), "T[4,1]"),
)
def reduce_units(node: Node) -> Replacement:
    """The max, min, and, or along dimensions of size 1 is a reshape."""
    (x,) = node.operands
    if any(x.type.shape[axis] != 1 for axis in attribute(node, "axes")):
        return None
    return reshape(x, shape=node.result.shape)
