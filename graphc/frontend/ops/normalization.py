"""Normalization with given statistics, per example and by the root mean square."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.frontend import config
from graphc.frontend.dispatch import op
from graphc.frontend.ops.operands import (
    TensorLike,
    axes_of,
    axis_of,
    floats,
    refuse,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Literal, Operand, Value
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim
from graphc.ir.types import F32, product

__all__ = ["batch_normalization", "layer_normalization", "rms_normalization"]


def _parameter(
    given: TensorLike, default: float, x: Value, shape: Sequence[Dim], name: str
) -> Operand:
    """A scale, offset or statistic of the sizes of `x` along some axes.

    Those of narrow floats may be float32, in which the arithmetic is done.
    """
    if given is None:
        return Literal(default, x.dtype)
    operand = value(given)
    if operand.type.dtype not in (x.dtype, F32) or x.dtype.bits > F32.bits:
        operand = value(tensor(operand), x.dtype.long_name)
    if operand.type.shape in ((), tuple(shape)):
        return operand
    if product(operand.type.shape) != product(shape):
        refuse(
            f"Expected `{name}` of shape {tuple(shape)}. "
            f"Received: {name}.shape={operand.type.shape}"
        )
    return ir_ops.reshape(operand, shape=shape)


@op
def batch_normalization(
    x: TensorLike,
    mean: TensorLike,
    variance: TensorLike,
    axis: int,
    offset: TensorLike = None,
    scale: TensorLike = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset`` for each feature.

    Args:
        x: A tensor.
        mean: A mean for each feature, of rank 1.
        variance: A variance for each feature, of rank 1.
        axis: The axis of the features.
        offset: What is added for each feature, if anything.
        scale: What is multiplied with for each feature, if anything.
        epsilon: A small number that keeps the division finite.

    Returns:
        A tensor of the shape of x.
    """
    operand = floats(x)
    along = axis_of(axis, operand.type.rank)
    shape = [operand.shape[along]]
    return tensor(
        ir_ops.batch_norm_inference(
            operand,
            _parameter(scale, 1.0, operand, shape, "scale"),
            _parameter(offset, 0.0, operand, shape, "offset"),
            _parameter(mean, 0.0, operand, shape, "mean"),
            _parameter(variance, 1.0, operand, shape, "variance"),
            feature_axis=along,
            epsilon=float(epsilon),
        )
    )


@op
def layer_normalization(
    x: TensorLike,
    gamma: TensorLike = None,
    beta: TensorLike = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> Tensor:
    """Brings x to mean 0 and variance 1 along axes; times `gamma`, plus `beta`.

    Args:
        x: A tensor.
        gamma: What is multiplied with, of the sizes of x along the axes.
        beta: What is added, of the sizes of x along the axes.
        axis: The axis, or several.
        epsilon: A small number that keeps the division finite; `config.epsilon()` by
            default.

    Returns:
        A tensor of the shape of x.
    """
    operand = floats(x)
    axes = sorted(axes_of(axis, operand.type.rank))
    shape = [operand.shape[a] for a in axes]
    return tensor(
        ir_ops.layer_norm(
            operand,
            _parameter(gamma, 1.0, operand, shape, "gamma"),
            _parameter(beta, 0.0, operand, shape, "beta"),
            axes=axes,
            epsilon=config.epsilon() if epsilon is None else float(epsilon),
        )
    )


@op
def rms_normalization(
    x: TensorLike,
    scale: TensorLike = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> Tensor:
    """Divides x by its root mean square along axes, times `scale`.

    Args:
        x: A tensor.
        scale: What is multiplied with, of the sizes of x along the axes.
        axis: The axis, or several.
        epsilon: A small number that keeps the division finite; `config.epsilon()` by
            default.

    Returns:
        A tensor of the shape of x.
    """
    operand = floats(x)
    axes = sorted(axes_of(axis, operand.type.rank))
    shape = [operand.shape[a] for a in axes]
    return tensor(
        ir_ops.rms_norm(
            operand,
            _parameter(scale, 1.0, operand, shape, "scale"),
            axes=axes,
            epsilon=config.epsilon() if epsilon is None else float(epsilon),
        )
    )
