"""Looking at nodes: what rules ask and how they rebuild."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir.build import current_builder
from graphc.ir.dims import Dim
from graphc.ir.graph import Node
from graphc.ir.opdef import AttributeKind, Kind, OpDef, Trait
from graphc.ir.types import DType, product
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
    given = node.attributes.get(name, declared.default)
    if declared.kind is AttributeKind.INTS and given is not None:
        return tuple(given)  # most rules ask for dimensions
    return declared.decode(given, None)


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


# -- moving elements -------------------------------------------------------------------


def mover(operand: Operand) -> Node | None:
    """The node that defines `operand` by reordering or repeating all elements of one.

    That is a reshape, transpose, reverse or broadcast, but not of a scalar.
    """
    node = None if isinstance(operand, Literal) else operand.node
    if node is None:
        return None
    op = node.op
    if op.write_index is None and op.kind is not Kind.BROADCAST:
        return None
    if len(node.operands) != 1 or Trait.MOVES_DATA not in op.traits:
        return None
    return node if node.operands[0].type.shape else None


def only_use(operand: Operand) -> bool:
    """Whether nothing but one operand of one node reads `operand`."""
    return not isinstance(operand, Literal) and len(operand.uses) == 1


def varies(broadcast: Node) -> dict[int, int]:
    """Along which dimensions of a broadcast its elements differ, and which of x these are.

    Broadcasts of a literal or scalar vary along none.
    """
    x, shape = broadcast.operands[0].type.shape, broadcast.result.shape
    dims = attribute(broadcast, "dims")
    return {d: i for i, d in enumerate(dims) if x[i] != 1 or shape[d] == 1}


def reshaped_groups(
    source: Sequence[Dim], target: Sequence[Dim]
) -> list[tuple[list[int], list[int]]] | None:
    """Which dimensions of a shape become which of another when it is reshaped.

    Returns:
        Pairs of dimensions of the source and of the target, in order, which hold equal
        numbers of elements and are as short as can be; None if that cannot be told.
    """
    if any(isinstance(size, int) and size == 0 for size in (*source, *target)):
        return None
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(source) and j < len(target):
        a, b, ends = source[i], target[j], (i + 1, j + 1)
        while a != b:
            longer = _extended(a, b, source[ends[0] :], target[ends[1] :])
            if longer is None:
                return None
            a, b = longer[0], longer[1]
            ends = (ends[0] + longer[2], ends[1] + (not longer[2]))
        groups.append((list(range(i, ends[0])), list(range(j, ends[1]))))
        i, j = ends
    if not groups:
        return None
    # What is left has size 1.
    groups[-1][0].extend(range(i, len(source)))
    groups[-1][1].extend(range(j, len(target)))
    return groups


def _extended(
    a: Dim, b: Dim, more_a: Sequence[Dim], more_b: Sequence[Dim]
) -> tuple[Dim, Dim, bool] | None:
    """Two unequal products, of which one has a further factor, and whether `a` has."""
    if isinstance(a, int) and isinstance(b, int):
        in_a = a < b
    else:
        in_a = bool(more_a) and any(
            a * product(more_a[: n + 1]) == b for n in range(len(more_a))
        )
    more = more_a if in_a else more_b
    if not more:
        return None
    return (a * more[0], b, True) if in_a else (a, b * more[0], False)


def reshaped_places(source: Sequence[Dim], target: Sequence[Dim]) -> dict[int, int]:
    """Where the dimensions go that a reshape neither splits nor joins."""
    places: dict[int, int] = {}
    for ours, theirs in reshaped_groups(source, target) or ():
        long = (
            [d for d in ours if source[d] != 1],
            [d for d in theirs if target[d] != 1],
        )
        if len(long[0]) == len(long[1]) == 1:
            places[long[0][0]] = long[1][0]
    return places
