"""What nodes cost in a kernel, and how much a kernel may hold."""

from __future__ import annotations

import math

from graphc.ir.body import body_graph
from graphc.ir.graph import Node
from graphc.ir.opdef import Trait
from graphc.ir.values import Operand, Value

MAX_REPEATED = 40.0
"""How much arithmetic for each element may be done again rather than stored.

A GPU does some fifty operations in the time in which it moves an element in and out.
"""
MAX_SECTIONS = 32
"""How many independent parts a kernel may have."""
MAX_ARGUMENTS = 250
"""How many tensors, those inside counted, a kernel of several parts may have."""
SECTION = 1 << 16
"""How many elements such a part may have; a large one is a good kernel by itself."""
UPDATE = 1 << 22
"""How many it may have if nothing waits for it."""
MAX_EPILOGUE = 120.0
"""How much arithmetic a dot or convolution may have for each element of its result."""
SMALL = 16384
"""Bytes that are moved in no time, compared with what a launch takes."""
MAX_LOADS = 24
"""How many tensors a kernel may read that was put together from several."""
CHEAP = 12.0
"""How much arithmetic an epilogue may do that is not on the result."""


def arithmetic(node: Node) -> float:
    """The cost of one element of the result, a sum or product counting one.

    What is exact is one instruction; what is not takes the more the further it may be
    off: it is a series or an iteration.
    """
    if Trait.MOVES_DATA in node.op.traits:
        return 0.0
    if node.op.is_composite and not node.op.graph_names(node):
        types = [operand.type for operand in node.operands]
        return sum(map(arithmetic, body_graph(node.op, types, node.attributes).nodes))
    wide = any(result.type.dtype.bits == 64 for result in node.results)
    window = math.prod(node.attributes.get("window", ()))
    return (1 + 2 * node.op.ulp) * window * (4 if wide else 1)


def nbytes(operand: Operand) -> int:
    """The bytes of a value; a literal is part of the program."""
    return operand.type.nbytes if isinstance(operand, Value) else 0
