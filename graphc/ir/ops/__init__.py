"""The op table: importing this package registers every op and names it here.

``from graphc.ir.ops import add, slice_``: an op whose name Python has taken (`and`,
`or`, `not`, `abs`, `slice`) has an underscore behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.ir.opdef import OPS, OpDef
from graphc.ir.ops import (
    activation,
    bits,
    contraction,
    control,
    convolutions,
    dot_product_attention,
    elementwise,
    gather_scatter,
    indexing,
    normalization,
    pooling,
    probability,
    random,
    reduction,
    shape,
    special,
    transcendental,
    window,
)

FAMILIES = (
    elementwise,
    transcendental,
    bits,
    shape,
    reduction,
    gather_scatter,
    indexing,
    contraction,
    convolutions,
    window,
    control,
    special,
    activation,
    probability,
    normalization,
    dot_product_attention,
    pooling,
    random,
)
"""The modules that define ops."""


def python_name(op: OpDef) -> str:
    """The name that an op has in Python: that of the function which defines it."""
    return (op.body or op.infer).__name__


globals().update({python_name(op): op for op in OPS.values()})

if TYPE_CHECKING:

    def __getattr__(name: str) -> OpDef: ...
