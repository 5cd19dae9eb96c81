"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc.frontend.dispatch import op
from graphc.frontend.ops.arrangement import split
from graphc.frontend.ops.elementwise import below
from graphc.frontend.ops.operands import TensorLike, axis_of, floats, promote, refuse
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Literal
from graphc.ir import ops as ir_ops
from graphc.ir.ops.along_axes import in_dtype, widen
from graphc.ir.ops.shape import expand_axes
from graphc.ir.types import product

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh_shrink",
    "threshold",
]


# -- piecewise linear ------------------------------------------------------------------


@op
def relu(x: TensorLike) -> Tensor:
    """The larger of x and 0; bool becomes int32."""
    return tensor(ir_ops.relu(promote(x, also=[int])[0]))


@op
def relu6(x: TensorLike) -> Tensor:
    """Limits x to 0..6."""
    return tensor(ir_ops.relu6(floats(x)))


@op
def leaky_relu(x: TensorLike, negative_slope: float = 0.2) -> Tensor:
    """Takes x where it is not negative, else ``negative_slope * x``."""
    return tensor(ir_ops.leaky_relu(floats(x), slope=negative_slope))


@op
def hard_sigmoid(x: TensorLike) -> Tensor:
    """``x / 6 + 0.5`` limited to 0..1."""
    return tensor(ir_ops.hard_sigmoid(floats(x)))


@op
def hard_silu(x: TensorLike) -> Tensor:
    """``x * hard_sigmoid(x)``; also called hard swish."""
    return tensor(ir_ops.hard_silu(floats(x)))


@op
def hard_swish(x: TensorLike) -> Tensor:
    """``x * hard_sigmoid(x)``; the same as `hard_silu`."""
    return hard_silu(x)


@op
def hard_tanh(x: TensorLike) -> Tensor:
    """Limits x to -1..1; bool becomes int32."""
    (operand,) = promote(x, also=[int])
    if operand.type.dtype.kind == "uint":
        return tensor(ir_ops.minimum(operand, Literal(1, operand.type.dtype)))
    low, high = (Literal(limit, operand.type.dtype) for limit in (-1, 1))
    return tensor(ir_ops.clamp(low, operand, high))


@op
def hard_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """Takes x where ``|x| > threshold``, else 0."""
    operand = floats(x)
    kept = ir_ops.compare(ir_ops.abs_(operand), threshold, direction="GT")
    return tensor(ir_ops.select(kept, operand, 0.0))


@op
def soft_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """Moves x toward 0 by `threshold`, and 0 where it is nearer."""
    operand = floats(x)
    limited = ir_ops.clamp(-threshold, operand, threshold)
    return tensor(ir_ops.subtract(operand, limited))


@op
def threshold(x: TensorLike, threshold: float, default_value: float) -> Tensor:
    """Takes x where it is above `threshold`, else `default_value`."""
    operand, limit, default = promote(x, threshold, default_value)
    kept = ir_ops.compare(operand, limit, direction="GT")
    return tensor(ir_ops.select(kept, operand, default))


# -- smooth ----------------------------------------------------------------------------


@op
def sigmoid(x: TensorLike) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return tensor(ir_ops.logistic(floats(x)))


@op
def log_sigmoid(x: TensorLike) -> Tensor:
    """The logarithm of the sigmoid of x."""
    return tensor(ir_ops.log_sigmoid(floats(x)))


@op
def silu(x: TensorLike) -> Tensor:
    """``x * sigmoid(x)``; also called swish."""
    return tensor(ir_ops.silu(floats(x)))


@op
def swish(x: TensorLike) -> Tensor:
    """``x * sigmoid(x)``; the same as `silu`."""
    return silu(x)


@op
def mish(x: TensorLike) -> Tensor:
    """``x * tanh(softplus(x))``."""
    return tensor(ir_ops.mish(floats(x)))


@op
def gelu(x: TensorLike, approximate: bool = True) -> Tensor:
    """Weighs x with the normal distribution function at x.

    Args:
        x: A tensor.
        approximate: Whether to compute that function by a tanh that is close to it.
    """
    return tensor(ir_ops.gelu(floats(x), approximate=approximate))


@op
def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Takes x where it is positive, else ``alpha * (exp(x) - 1)``."""
    return tensor(ir_ops.elu(floats(x), alpha=alpha))


@op
def celu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """Takes x where it is positive, else ``alpha * (exp(x / alpha) - 1)``."""
    operand = floats(x)
    powers = ir_ops.exponential_minus_one(
        ir_ops.divide(ir_ops.minimum(operand, 0.0), alpha)
    )
    negative = below(operand, Literal(0.0, operand.dtype))
    return tensor(ir_ops.select(negative, ir_ops.multiply(powers, alpha), operand))


@op
def selu(x: TensorLike) -> Tensor:
    """The elu, scaled so that deep networks keep mean 0 and variance 1."""
    return tensor(ir_ops.selu(floats(x)))


@op
def softplus(x: TensorLike) -> Tensor:
    """``log(1 + exp(x))``, without overflow."""
    return tensor(ir_ops.softplus(floats(x)))


@op
def softsign(x: TensorLike) -> Tensor:
    """``x / (1 + |x|)``."""
    return tensor(ir_ops.softsign(floats(x)))


@op
def squareplus(x: TensorLike, b: float = 4) -> Tensor:
    """``(x + sqrt(x**2 + b)) / 2``, a smooth relu."""
    operand = floats(x)
    root = ir_ops.sqrt(ir_ops.add(ir_ops.multiply(operand, operand), float(b)))
    return tensor(ir_ops.multiply(ir_ops.add(operand, root), 0.5))


@op
def tanh_shrink(x: TensorLike) -> Tensor:
    """``x - tanh(x)``."""
    operand = floats(x)
    return tensor(ir_ops.subtract(operand, ir_ops.tanh(operand)))


@op
def glu(x: TensorLike, axis: int = -1) -> Tensor:
    """The first half of x times the sigmoid of the second.

    Args:
        x: A tensor.
        axis: The axis to halve, of even size.

    Returns:
        A tensor of half the size along the axis.
    """
    operand = floats(x)
    along = axis_of(axis, operand.type.rank)
    size = operand.shape[along]
    if isinstance(size, int) and size % 2:
        refuse(f"Expected an axis of even size. Received: {operand.type}, axis={axis}")
    first, second = (value(half) for half in split(tensor(operand), 2, along))
    return tensor(ir_ops.multiply(first, ir_ops.logistic(second)))


@op
def sparse_plus(x: TensorLike) -> Tensor:
    """A relu with a parabola ``(x + 1)**2 / 4`` from -1 to 1 in place of the corner."""
    operand = floats(x)
    inside = ir_ops.clamp(-1.0, operand, 1.0)
    square = ir_ops.add(inside, 1.0)
    curve = ir_ops.multiply(ir_ops.multiply(square, square), 0.25)
    above = ir_ops.compare(operand, 1.0, direction="GT")
    return tensor(ir_ops.select(above, operand, curve))


@op
def sparse_sigmoid(x: TensorLike) -> Tensor:
    """``(x + 1) / 2`` limited to 0..1: the derivative of `sparse_plus`."""
    operand = ir_ops.clamp(-1.0, floats(x), 1.0)
    return tensor(ir_ops.multiply(ir_ops.add(operand, 1.0), 0.5))


# -- softmax ---------------------------------------------------------------------------


def _along(op: Callable[..., Any], x: TensorLike, axis: Any) -> Tensor:
    """An op of one axis, along that axis, or along several or all (None) as one."""
    operand = floats(x)
    rank = operand.type.rank
    if isinstance(axis, int):
        return tensor(op(operand, axis=axis_of(axis, rank)))
    axes = range(rank) if axis is None else [axis_of(a, rank) for a in axis]
    rest = [d for d in range(rank) if d not in axes]
    order = [*rest, *axes]
    moved = ir_ops.transpose(operand, permutation=order)
    lined = [operand.shape[d] for d in rest]
    lined.append(product(operand.shape[d] for d in axes))
    found = op(ir_ops.reshape(moved, shape=lined), axis=len(rest))
    found = ir_ops.reshape(found, shape=moved.shape)
    back = [order.index(d) for d in range(rank)]
    return tensor(ir_ops.transpose(found, permutation=back))


@op
def softmax(x: TensorLike, axis: Any = -1) -> Tensor:
    """``exp(x)`` divided by its sum, without overflow.

    Args:
        x: A tensor.
        axis: The axis to sum over, several axes, or None for all.
    """
    return _along(ir_ops.softmax, x, axis)


@op
def sparsemax(x: TensorLike, axis: int = -1) -> Tensor:
    """The point of the probability simplex nearest to x; most of it is 0.

    After Martins and Astudillo, "From softmax to sparsemax", 2016, unlike Keras 3.15,
    whose results do not add up to 1 where more than one element is left.

    Args:
        x: A tensor.
        axis: The axis along which the result adds up to 1.
    """
    operand = floats(x)
    shape, along = operand.shape, axis_of(axis, operand.type.rank)
    wide = widen(operand)
    ordered = ir_ops.sort(wide, axis=along, descending=True)
    excess = ir_ops.subtract(ir_ops.cumulative_sum(ordered, axis=along), 1.0)
    rank = ir_ops.add(ir_ops.iota(shape=shape, axis=along, dtype=wide.type.dtype), 1.0)
    # What the k largest exceed 1 by, divided among them, rises as long as the next one
    # belongs to the result, and falls from there on.
    limits = ir_ops.divide(excess, rank)
    limit = ir_ops.reduce_max(limits, axes=[along])
    apart = ir_ops.subtract(wide, expand_axes(limit, shape, [along]))
    return tensor(in_dtype(ir_ops.maximum(apart, 0.0), operand.dtype))


@op
def log_softmax(x: TensorLike, axis: Any = -1) -> Tensor:
    """The logarithm of `softmax`; arguments as there."""
    return _along(ir_ops.log_softmax, x, axis)
