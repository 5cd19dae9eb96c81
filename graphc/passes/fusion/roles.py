"""The part that a node can have in kernels, from what its op's record says."""

from __future__ import annotations

import enum

from graphc.ir.graph import Node
from graphc.ir.opdef import Kind, Trait
from graphc.passes.effects import Effects


class Role(enum.Enum):
    """How a node becomes part of a kernel."""

    OUTSIDE = "outside"
    """It stays where it is: control flow, effects, constants, what has no kernel."""
    MOVE = "move"
    """Its elements are elements of its operand: kernels read the operand instead."""
    POINTWISE = "pointwise"
    """Each result element is computed by itself."""
    ROW = "row"
    """It combines, or goes along, the elements of each row of its operands."""
    CONTRACTION = "contraction"
    """A dot or a convolution: the anchor of a kernel, with an epilogue."""
    ALONE = "alone"
    """A kernel of its own."""


def role_of(node: Node, effects: Effects) -> Role:
    """The role of `node`."""
    op = node.op
    if outside_reason(node, effects):
        return Role.OUTSIDE
    if is_empty(node) or (op.is_composite and op.kind is not Kind.ELEMENTWISE):
        return Role.ALONE
    if op.kind is Kind.CONTRACTION:
        return Role.CONTRACTION
    if op.kind is Kind.REDUCTION or Trait.ALONG_AXIS in op.traits:
        return Role.ROW
    if op.read_index is not None or op.kind is Kind.BROADCAST or _is_identity(node):
        return Role.MOVE
    if op.kind is not Kind.OPAQUE or Trait.GATHERS in op.traits:
        by_element = len(node.results) == 1 or op.kind is Kind.ELEMENTWISE
        return Role.POINTWISE if by_element else Role.ALONE
    return Role.ALONE


def outside_reason(node: Node, effects: Effects) -> str:
    """Why a node is in no kernel; empty if it can be in one."""
    op = node.op
    if op.no_kernel:
        return op.no_kernel
    if effects.of(node):
        return f"{op.name} has an effect"
    if op.calls_graphs and Trait.COMBINES not in op.traits:
        return f"{op.name} calls graphs"
    if op.constant_names(node):
        return "it is a constant"
    if op.kind is Kind.OPAQUE and _is_identity(node):
        return f"the results of {op.name} are its operands"
    return ""


def is_empty(node: Node) -> bool:
    """Whether an operand or a result has no elements."""
    return any(v.type.size == 0 for v in (*node.operands, *node.results))


def _is_identity(node: Node) -> bool:
    """Whether the results are the operands."""
    return Trait.IDENTITY in node.op.traits
