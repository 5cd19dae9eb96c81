"""StableHLO text of bound graphs of primitives."""

from graphc.codegen.stablehlo.module import StableHLO, emit_module, emit_stablehlo

__all__ = ["StableHLO", "emit_module", "emit_stablehlo"]
