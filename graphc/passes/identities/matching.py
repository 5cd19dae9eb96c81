"""Looking at nodes: what rules ask and how they rebuild."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir.build import current_builder
from graphc.ir.graph import Node
from graphc.ir.opdef import Kind, OpDef
from graphc.ir.types import DType
from graphc.ir.values import Literal, Operand


def producer(operand: Operand, *ops: OpDef) -> Node | None:
    """The node that defines `operand`, if it is a use of one of `ops`."""
    if isinstance(operand, Literal) or operand.node is None:
        return None
    return operand.node if operand.node.op in ops else None


def number(operand: Operand) -> Any:
    """The value of a literal; None for anything else."""
    return operand.value if isinstance(operand, Literal) else None


def is_number(operand: Operand, value: float) -> bool:
    """Whether `operand` is a literal with the bits of `value`: 0.0 is not -0.0."""
    if not isinstance(operand, Literal) or operand.value != value:
        return False
    return operand == Literal(value, operand.dtype)


def element(node: Node) -> DType:
    """The dtype of the first result."""
    return node.results[0].dtype


def integral(node: Node) -> bool:
    """Whether the first operand holds integers, whose arithmetic is exact."""
    return node.operands[0].type.dtype.is_integer


def attribute(node: Node, name: str) -> Any:
    """An attribute as the op's rules see it."""
    declared = node.op.attributes[name]
    return declared.decode(node.attributes.get(name, declared.default), None)


def again(node: Node, operands: Sequence[Operand]) -> Any:
    """The op of `node` applied to other operands at the insertion point."""
    return current_builder().apply(node.op, operands, node.attributes)


def uniform(operand: Operand) -> Operand | None:
    """The scalar that every element of a shaped `operand` is, if that is known."""
    if isinstance(operand, Literal) or operand.node is None:
        return None
    node = operand.node
    if node.op.kind is not Kind.BROADCAST or len(node.operands) != 1:
        return None
    source = node.operands[0]
    return source if not source.type.shape and operand.type.shape else None


def folded(op: OpDef, *literals: Literal) -> Literal:
    """The literal that an elementwise op makes of literals of one dtype."""
    assert op.reference is not None
    with np.errstate(all="ignore"):
        result = op.reference(*[literal.numpy() for literal in literals])
    return Literal(np.asarray(result).item(), literals[0].dtype)
