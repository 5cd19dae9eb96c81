"""Parallelism: what a program of a kernel does one after the other, and what is too much.

A reduction to few elements has few programs. Whatever its kernel computes besides, they
compute alone, where a kernel of its own would have a whole GPU. Work is measured in
operations: what a multiprocessor does in their time.
"""

from __future__ import annotations

import math

from graphc.ir.graph import Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.types import TensorType
from graphc.ir.values import Operand, Value
from graphc.passes.fusion.costs import arithmetic
from graphc.passes.fusion.group import Space

PROCESSORS = 132
"""Multiprocessors that programs run on at the same time on an H100 or H200."""

ACCESS = 40.0
"""The work that takes as long as waiting for an element.

A loop over tiles of 2048 elements waits some 700 cycles in each step, and a
multiprocessor does 128 operations in a cycle.
"""

KERNEL = 16384 * ACCESS
"""The work that takes as long as one kernel more: three microseconds."""

TOO_SERIAL = "few programs would compute it, where a kernel more has a whole GPU"
"""Why a reduction with few results does not compute what it reads."""

MOST_BEHIND = 512
"""Through how many nodes the work for a value is added up."""


def is_too_serial(space: Space, work: float) -> bool:
    """Whether a kernel more would be faster than `work` for each element in one.

    Args:
        space: The loops of the one kernel.
        work: What is computed there besides loads, which a kernel more has as well.
    """
    return has_few_programs(space) and space.reduced * work > KERNEL


def has_few_programs(space: Space) -> bool:
    """Whether loops reduce to fewer elements than programs run at the same time."""
    return space.reduced > 1 and space.kept < PROCESSORS


def equal_parts(size: int, most: int) -> int:
    """How many equal parts so many elements have, near to `most`: a power of two if so."""
    even = math.gcd(size, 1 << (most.bit_length() - 1))
    parts = max(n for n in range(1, most + 1) if size % n == 0)
    return parts if parts >= 2 * even else even


def work_behind(value: Operand) -> float:
    """The work for each element of `value` if one kernel computes what it can of it.

    That are the elementwise ops, moves and reads by index back to what must be in
    memory: parameters, reductions, products of matrices. Where sizes are not known, each
    element is taken to need one of what is behind it.
    """
    waiting, seen, found = [value], {value}, 0.0
    while waiting and len(seen) <= MOST_BEHIND:
        each = waiting.pop()
        node = each.node if isinstance(each, Value) else None
        if node is None or not _is_computed_anywhere(node):
            continue
        gathers = ACCESS if Trait.GATHERS in node.op.traits else 0.0
        found += (arithmetic(node) + gathers) * _share(each.type, value.type)
        for operand in node.operands:
            if operand not in seen:
                seen.add(operand)
                waiting.append(operand)
    return found


def _share(part: TensorType, whole: TensorType) -> float:
    """How many elements of `part` there are for one of `whole`, at most one."""
    few, many = part.size, whole.size
    if not isinstance(few, int) or not isinstance(many, int):
        return 1.0
    return min(1.0, few / max(1, many))


def _is_computed_anywhere(node: Node) -> bool:
    """Whether kernels compute the elements of a node where they need them."""
    op = node.op
    if op.is_composite or op.calls_graphs or len(node.results) != 1:
        return False
    moves = op.read_index is not None or op.kind is Kind.BROADCAST
    by_element = op.kind is Kind.ELEMENTWISE or Trait.GATHERS in op.traits
    return moves or by_element or Trait.IDENTITY in op.traits
