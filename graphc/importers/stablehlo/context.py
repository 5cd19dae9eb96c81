"""The MLIR context that StableHLO programs are read in."""

from __future__ import annotations

from jax.extend.lowering import JaxIrContext, upstream_dialects
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import chlo, sdy, stablehlo


def new_context() -> ir.Context:
    """A context that knows the dialects of StableHLO programs."""
    context = JaxIrContext()
    context.append_dialect_registry(upstream_dialects)  # loaded when first named
    for dialect in (sdy, stablehlo, chlo):
        dialect.register_dialect(context)
    return context
