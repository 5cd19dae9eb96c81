"""StableHLO programs, such as jax lowers to, as graphs."""

from graphc.importers.stablehlo.importing import IMPORTERS, from_stablehlo

__all__ = ["IMPORTERS", "from_stablehlo"]
