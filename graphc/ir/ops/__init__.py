"""The op table: importing this package registers every op and names it here.

``from graphc.ir.ops import add, slice_``: an op whose name Python has taken (`and`,
`or`, `not`, `abs`, `slice`) has an underscore behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.ir.opdef import OPS, OpDef
from graphc.ir.ops import (
    activation,
    bessel,
    bits,
    combiners,
    contraction,
    control,
    convolutions,
    distributions,
    dot_product_attention,
    dynamic_slices,
    effects,
    elementwise,
    factorizations,
    flash_attention,
    fourier,
    gamma,
    gather_scatter,
    indexing,
    linear_losses,
    loops,
    normalization,
    pooling,
    probability,
    random,
    reduction,
    shape,
    sorting,
    special,
    transcendental,
    triangular,
    trigonometry,
    window,
)

FAMILIES = (
    elementwise,
    transcendental,
    bits,
    shape,
    dynamic_slices,
    reduction,
    gather_scatter,
    sorting,
    indexing,
    contraction,
    triangular,
    factorizations,
    fourier,
    convolutions,
    window,
    control,
    effects,
    combiners,
    loops,
    special,
    gamma,
    bessel,
    trigonometry,
    activation,
    probability,
    linear_losses,
    normalization,
    dot_product_attention,
    flash_attention,
    pooling,
    random,
    distributions,
)
"""The modules that define ops."""


def python_name(op: OpDef) -> str:
    """The name that an op has in Python: that of the function which defines it."""
    return (op.body or op.infer).__name__


globals().update({python_name(op): op for op in OPS.values()})

if TYPE_CHECKING:

    def __getattr__(name: str) -> OpDef: ...
