"""Factorizations and triangular systems."""

from __future__ import annotations

from typing import Any

from jax.extend.mlir.dialects import stablehlo

from graphc.importers.stablehlo.function import Importer, Operation
from graphc.ir import ops
from graphc.ir.types import F32
from graphc.ir.values import Operand


def cholesky(op: Operation, a: Operand) -> Any:
    """A Cholesky factor."""
    return _rounded(op, ops.cholesky(_wide(a), lower=op.attribute("lower", False)))


def triangular_solve(op: Operation, a: Operand, b: Operand) -> Any:
    """The solution of a triangular system; for real matrices adjoint is transposed."""
    transpose = stablehlo.TransposeAttr(op.raw_attribute("transpose_a")).value
    found = ops.triangular_solve(
        _wide(a),
        _wide(b),
        left_side=op.attribute("left_side"),
        lower=op.attribute("lower"),
        transpose_a=transpose != "NO_TRANSPOSE",
        unit_diagonal=op.attribute("unit_diagonal"),
    )
    return _rounded(op, found)


def _wide(x: Operand) -> Any:
    """`x` in float32 if it is narrower."""
    return ops.convert(x, dtype=F32) if x.type.dtype.bits < F32.bits else x


def _rounded(op: Operation, x: Any) -> Any:
    wanted = op.type.dtype
    return x if x.type.dtype is wanted else ops.convert(x, dtype=wanted)


IMPORTERS: dict[str, Importer] = {
    "stablehlo.cholesky": cholesky,
    "stablehlo.triangular_solve": triangular_solve,
}
