"""Identities of tensors whose elements are all equal, and of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.ir.dims import Dim
from graphc.ir.graph import Node
from graphc.ir.opdef import Kind
from graphc.ir.ops import (
    add,
    broadcast_in_dim,
    concatenate,
    dimension_size,
    exponential,
    iota,
    pad,
    select,
    slice_,
    transpose,
)
from graphc.ir.types import I32
from graphc.ir.values import Literal, Operand
from graphc.passes.identities.matching import again, attribute, uniform
from graphc.passes.rewrite import full
from graphc.passes.rule import Example, Replacement, RuleSet, example

RULES = RuleSet()


@RULES.rule(
    Kind.ELEMENTWISE,
    reads_any=(Kind.BROADCAST,),
    examples=[
        *example(lambda x: add(x, _filled(2, [8])), "T[8]"),
        *example(lambda x, s: add(x, _filled(s, [8])), "T[8]", "T[]"),
        *example(lambda s: exponential(_filled(s, [8])), "f32[]"),
        *example(lambda p, s: select(p, _filled(s, [4]), s), "bool[]", "T[]"),
    ],
)
def stretch_instead(node: Node) -> Replacement:
    """`f(x, broadcast(s)) = f(x, s)` and `f(broadcast(s)) = broadcast(f(s))`."""
    scalars = [uniform(operand) for operand in node.operands]
    if not any(scalar is not None for scalar in scalars):
        return None
    operands = [
        s if s is not None else o for s, o in zip(scalars, node.operands, strict=True)
    ]
    return again(node, operands)


@RULES.rule(
    Kind.BROADCAST,
    Kind.INJECTIVE,
    examples=[
        *example(lambda s: transpose(_filled(s, [2, 4]), permutation=[1, 0]), "T[]"),
        *example(
            lambda s: concatenate(_filled(s, [2]), _filled(s, [3]), axis=0), "T[]"
        ),
        *example(lambda s: pad(_filled(s, [2]), s, low=[1], high=[0]), "T[]"),
        *example(lambda s: slice_(_filled(s, [4]), start=[1], limit=[2]), "T[]"),
        *example(
            lambda s: broadcast_in_dim(_filled(s, [4]), shape=[3, 4], dims=[1]),
            "T[]",
        ),
    ],
)
def move_uniform(node: Node) -> Replacement:
    """Elements that are all equal are so in any order and number."""
    if not node.operands:
        return None
    scalars = [_scalar(operand) for operand in node.operands]
    first = scalars[0]
    if first is None or any(scalar != first for scalar in scalars):
        return None
    if node.op is broadcast_in_dim and first is node.operands[0]:
        return None  # this is the form that is wanted
    return [full(first, result.type) for result in node.results]


def _scalar(operand: Operand) -> Operand | None:
    return uniform(operand) if operand.type.shape else operand


def _filled(value: Any, shape: Sequence[Dim]) -> Any:
    return broadcast_in_dim(value, shape=shape, dims=[])


@RULES.rule(
    "dimension_size", examples=example(lambda x: dimension_size(x, axis=1), "T[B,4]")
)
def known_size(node: Node) -> Replacement:
    """The size of a dimension that is a number is a literal."""
    size = node.operands[0].type.shape[attribute(node, "axis")]
    return Literal(size, I32) if isinstance(size, int) else None


@RULES.rule(
    "iota",
    examples=[Example((), lambda: iota(shape=[3, 1], axis=1, dtype="i32"))],
)
def iota_of_one(node: Node) -> Replacement:
    """The positions along a dimension of size 1 are 0."""
    if node.result.shape[attribute(node, "axis")] != 1:
        return None
    return full(Literal(0, node.result.dtype), node.result.type)
