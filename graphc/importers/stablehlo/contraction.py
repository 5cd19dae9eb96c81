"""Dots and convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.extend.mlir.dialects import stablehlo

from graphc.importers.stablehlo.function import Importer, Operation
from graphc.ir import ops
from graphc.ir.types import BOOL, I32, DType
from graphc.ir.values import Operand


def dot_general(op: Operation, a: Operand, b: Operand) -> Any:
    """A dot over the dimensions that the operation pairs."""
    if op.has("algorithm"):
        raise op.refuse("attribute 'algorithm' is not supported")
    pairs = stablehlo.DotDimensionNumbers(op.attribute("dot_dimension_numbers"))
    contract = [pairs.lhs_contracting_dimensions, pairs.rhs_contracting_dimensions]
    batch = [pairs.lhs_batching_dimensions, pairs.rhs_batching_dimensions]
    return _dot(op, a, b, [list(p) for p in contract], [list(p) for p in batch])


def dot(op: Operation, a: Operand, b: Operand) -> Any:
    """A dot over the last dimension of a and the first of b."""
    return _dot(op, a, b, [[a.type.rank - 1], [0]], [[], []])


def _dot(
    op: Operation, a: Any, b: Any, contract: list[list[int]], batch: list[list[int]]
) -> Any:
    wanted = op.type.dtype
    if wanted is BOOL:  # whether any product holds
        a, b = _converted(I32, a, b)
        count = ops.dot_general(a, b, contract=contract, batch=batch)
        return ops.compare(count, 0, direction="NE")
    if a.type.dtype is not b.type.dtype or a.type.dtype.is_float != wanted.is_float:
        a, b = _converted(wanted, a, b)
    dtype = None if wanted is a.type.dtype else wanted
    return ops.dot_general(a, b, contract=contract, batch=batch, dtype=dtype)


def _converted(dtype: DType, *operands: Any) -> tuple[Any, ...]:
    return tuple(
        x if x.type.dtype is dtype else ops.convert(x, dtype=dtype) for x in operands
    )


def convolution(op: Operation, x: Any, kernel: Any) -> Any:
    """A convolution; a reversed window reverses the kernel."""
    numbers = stablehlo.ConvDimensionNumbers(op.attribute("dimension_numbers"))
    rank = len(numbers.input_spatial_dimensions)
    flipped = op.attribute("window_reversal", [])
    axes = [
        d for d, f in zip(numbers.kernel_spatial_dimensions, flipped, strict=False) if f
    ]
    wanted = op.type.dtype
    x, kernel = _converted(wanted, x, kernel)
    return ops.convolution(
        x,
        ops.reverse(kernel, axes=axes) if axes else kernel,
        labels=_labels(numbers),
        strides=op.attribute("window_strides", [1] * rank),
        padding=op.attribute("padding", [[0, 0]] * rank),
        input_dilation=op.attribute("lhs_dilation", [1] * rank),
        kernel_dilation=op.attribute("rhs_dilation", [1] * rank),
        groups=op.attribute("feature_group_count"),
        batch_groups=op.attribute("batch_group_count"),
    )


def _labels(numbers: Any) -> str:
    """The dimensions as ``b01f_01io->b01f``."""
    x = _letters(
        {"b": numbers.input_batch_dimension, "f": numbers.input_feature_dimension},
        numbers.input_spatial_dimensions,
    )
    kernel = _letters(
        {
            "i": numbers.kernel_input_feature_dimension,
            "o": numbers.kernel_output_feature_dimension,
        },
        numbers.kernel_spatial_dimensions,
    )
    result = _letters(
        {"b": numbers.output_batch_dimension, "f": numbers.output_feature_dimension},
        numbers.output_spatial_dimensions,
    )
    return f"{x}_{kernel}->{result}"


def _letters(named: dict[str, int], spatial: Sequence[int]) -> str:
    places = {d: letter for letter, d in named.items()}
    places.update({d: str(i) for i, d in enumerate(spatial)})
    return "".join(places[d] for d in range(len(places)))


IMPORTERS: dict[str, Importer] = {
    "stablehlo.convolution": convolution,
    "stablehlo.dot": dot,
    "stablehlo.dot_general": dot_general,
}
