"""Batch normalization, which takes its statistics, or computes them."""

from __future__ import annotations

from typing import Any

from graphc.importers.stablehlo.function import Importer, Operation
from graphc.ir import ops
from graphc.ir.ops.along_axes import count, in_dtype, widen
from graphc.ir.ops.shape import expand
from graphc.ir.values import Operand


def _options(op: Operation) -> dict[str, Any]:
    return {
        "feature_axis": op.attribute("feature_index"),
        "epsilon": op.attribute("epsilon"),
    }


def training(op: Operation, x: Any, scale: Operand, offset: Operand) -> Any:
    """The normalized operand, and the mean and variance of each feature."""
    y, *statistics = ops.batch_norm_training(x, scale, offset, **_options(op))
    return y, *(in_dtype(each, x.type.dtype) for each in statistics)


def inference(op: Operation, x: Operand, *parameters: Operand) -> Any:
    """The operand normalized by a given mean and variance."""
    return ops.batch_norm_inference(x, *parameters, **_options(op))


def gradient(
    op: Operation, x: Any, scale: Any, mean: Any, variance: Any, by_y: Any
) -> Any:
    """The gradients of `training` to operand, scale and offset, from its statistics."""
    feature = op.attribute("feature_index")
    axes = [axis for axis in range(x.type.rank) if axis != feature]

    def spread(statistic: Any) -> Any:
        return expand(statistic, x.type.shape, [feature])

    shifted = ops.add(widen(variance), op.attribute("epsilon"))
    factor = ops.rsqrt(shifted)
    centered = ops.subtract(widen(x), spread(widen(mean)))
    standard = ops.multiply(centered, spread(factor))
    cotangent = widen(by_y)
    by_scale = ops.reduce_sum(ops.multiply(cotangent, standard), axes=axes)
    by_offset = ops.reduce_sum(cotangent, axes=axes)
    # What mean and variance take away again is spread evenly.
    number = count(centered, axes)
    taken = ops.add(
        ops.multiply(standard, spread(ops.divide(by_scale, number))),
        spread(ops.divide(by_offset, number)),
    )
    by_x = ops.multiply(
        spread(ops.multiply(factor, widen(scale))), ops.subtract(cotangent, taken)
    )
    return [in_dtype(each, x.type.dtype) for each in (by_x, by_scale, by_offset)]


IMPORTERS: dict[str, Importer] = {
    "stablehlo.batch_norm_grad": gradient,
    "stablehlo.batch_norm_inference": inference,
    "stablehlo.batch_norm_training": training,
}
