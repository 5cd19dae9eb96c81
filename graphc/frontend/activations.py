"""Activations: the functions that layers name by ``activation=``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.dispatch import op
from graphc.frontend.registry import Registry

__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
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
    "tanh",
    "tanh_shrink",
    "threshold",
]


def linear(x: Any) -> Any:
    """`x` itself."""
    return x


@op
def relu(
    x: Any,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Any:
    """The rectified linear unit, ``max(x, 0)`` by default.

    Args:
        x: A float tensor.
        negative_slope: The slope below the threshold.
        max_value: What the result is capped at; None for no cap.
        threshold: Where the unit starts: below it, the result is
            ``negative_slope * (x - threshold)``.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    if threshold == 0 and negative_slope == 0 and max_value is None:
        return ops.relu(x)
    if threshold == 0 and negative_slope == 0 and max_value == 6:
        return ops.relu6(x)
    x = ops.convert_to_tensor(x)
    positive = ops.where(x > threshold, x, 0) if threshold else ops.relu(x)
    if max_value is not None:
        positive = ops.clip(positive, 0, max_value)
    if not negative_slope:
        return positive
    return positive - negative_slope * ops.relu(threshold - x)


@op
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """``x`` where positive, else ``negative_slope * x``.

    Args:
        x: A float tensor.
        negative_slope: The slope for negative `x`.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    return ops.leaky_relu(x, negative_slope=negative_slope)


@op
def relu6(x: Any) -> Any:
    """``min(max(x, 0), 6)``."""
    return ops.relu6(x)


@op
def softmax(x: Any, axis: int | Sequence[int] = -1) -> Any:
    """``exp(x)``, normalized to sum to 1 along `axis`.

    Args:
        x: A float tensor.
        axis: The axis, or the axes, along which the results sum to 1.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    return ops.softmax(x, axis=axis)


@op
def log_softmax(x: Any, axis: int | Sequence[int] = -1) -> Any:
    """The logarithm of `softmax`, computed without overflow.

    Args:
        x: A float tensor.
        axis: The axis, or the axes, along which the softmax sums to 1.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    return ops.log_softmax(x, axis=axis)


@op
def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``."""
    return ops.elu(x, alpha=alpha)


@op
def selu(x: Any) -> Any:
    """The scaled exponential linear unit, which keeps activations normalized."""
    return ops.selu(x)


@op
def celu(x: Any, alpha: float = 1.0) -> Any:
    """``max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)``."""
    return ops.celu(x, alpha=alpha)


@op
def gelu(x: Any, approximate: bool = False) -> Any:
    """The Gaussian error linear unit, ``x * P(X <= x)`` for a standard normal X.

    Args:
        x: A float tensor.
        approximate: Whether to use the approximation by tanh.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    return ops.gelu(x, approximate=approximate)


@op
def glu(x: Any, axis: int = -1) -> Any:
    """The gated linear unit: one half of `x` along `axis` times sigmoid of the other."""
    return ops.glu(x, axis=axis)


@op
def softplus(x: Any) -> Any:
    """``log(exp(x) + 1)``."""
    return ops.softplus(x)


@op
def softsign(x: Any) -> Any:
    """``x / (abs(x) + 1)``."""
    return ops.softsign(x)


@op
def squareplus(x: Any, b: float = 4) -> Any:
    """``(x + sqrt(x**2 + b)) / 2``."""
    return ops.squareplus(x, b=b)


@op
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x` moved toward 0 by `threshold`; 0 within it."""
    return ops.soft_shrink(x, threshold=threshold)


@op
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x` where ``abs(x) > threshold``, else 0."""
    return ops.hard_shrink(x, threshold=threshold)


@op
def tanh_shrink(x: Any) -> Any:
    """``x - tanh(x)``."""
    return ops.tanh_shrink(x)


@op
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """`x` where it exceeds `threshold`, else `default_value`."""
    return ops.threshold(x, threshold, default_value)


@op
def silu(x: Any) -> Any:
    """``x * sigmoid(x)``, also called swish."""
    return ops.silu(x)


swish = silu


@op
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return ops.tanh(x)


@op
def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return ops.sigmoid(x)


@op
def hard_sigmoid(x: Any) -> Any:
    """``clip(x / 6 + 0.5, 0, 1)``."""
    return ops.hard_sigmoid(x)


@op
def hard_silu(x: Any) -> Any:
    """``x * hard_sigmoid(x)``, also called hard swish."""
    return ops.hard_silu(x)


hard_swish = hard_silu


@op
def hard_tanh(x: Any) -> Any:
    """``clip(x, -1, 1)``."""
    return ops.hard_tanh(x)


@op
def log_sigmoid(x: Any) -> Any:
    """The logarithm of `sigmoid`, computed without overflow."""
    return ops.log_sigmoid(x)


@op
def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))``."""
    x = ops.convert_to_tensor(x)
    return x * ops.tanh(ops.softplus(x))


@op
def exponential(x: Any) -> Any:
    """``exp(x)``."""
    return ops.exp(x)


def sparse_plus(x: Any) -> Any:
    """0 up to -1, ``x`` from 1 on, and a parabola in between."""
    return ops.sparse_plus(x)


def sparse_sigmoid(x: Any) -> Any:
    """``(x + 1) / 2``, limited to 0..1."""
    return ops.sparse_sigmoid(x)


def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest probabilities to `x`, of which many are 0, along an axis."""
    return ops.sparsemax(x, axis=axis)


_REGISTRY = Registry("activation function", "keras.activations")
_REGISTRY.add(
    *(celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu),
    *(hard_tanh, leaky_relu, linear, log_sigmoid, log_softmax, mish, relu, relu6),
    *(selu, sigmoid, silu, soft_shrink, softmax, softplus, softsign, squareplus),
    *(sparse_plus, sparse_sigmoid, sparsemax, tanh, tanh_shrink, threshold),
    hard_swish=hard_silu,
    swish=silu,
)


def get(identifier: Any) -> Any:
    """The activation that `identifier` stands for; `linear` for None.

    Args:
        identifier: A name such as ``"relu"``, a config, a callable, or None.

    Raises:
        ValueError: For an unknown name or something that cannot be called.
    """
    return linear if identifier is None else _REGISTRY.get(identifier)


def serialize(activation: Any) -> Any:
    """The name of an activation function, or the config of a layer used as one."""
    config = _REGISTRY.serialize(activation)
    if isinstance(config, dict) and config["registered_name"] == "function":
        return config["config"]
    return config


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The activation that a name or a config describes.

    Args:
        config: What `serialize` returned.
        custom_objects: Names to find functions of your own by.

    Raises:
        ValueError: If the config is malformed or names nothing registered.
    """
    return _REGISTRY.deserialize(config, custom_objects)
