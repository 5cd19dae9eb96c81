"""Activation functions with parameters, as layers."""

from __future__ import annotations

from typing import Any

from graphc.frontend import constraints, initializers, ops, regularizers
from graphc.frontend.layers.layer import Layer


class ReLU(Layer):
    """``max(x, 0)``, with a largest value, a slope below and a threshold.

    Args:
        max_value: The largest output, or None.
        negative_slope: The slope below the threshold.
        threshold: Where the linear part starts.
    """

    examples_apart = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        for name, given in (
            ("max_value", max_value),
            ("negative_slope", negative_slope),
            ("threshold", threshold),
        ):
            if given is not None and given < 0:
                raise ValueError(
                    f"`{name}` of a ReLU layer cannot be negative."
                    f" Received: {name}={given}"
                )
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Computes the output."""
        if not (self.threshold or self.negative_slope):
            x = ops.relu(inputs)
        else:
            below = self.negative_slope * (inputs - self.threshold)
            x = ops.where(inputs >= self.threshold, inputs, below)
        return x if self.max_value is None else ops.minimum(x, self.max_value)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(Layer):
    """``x`` where it is positive, else ``negative_slope * x``.

    Args:
        negative_slope: The slope below 0.
    """

    examples_apart = True

    def __init__(self, negative_slope: float = 0.3, **keywords: Any) -> None:
        negative_slope = keywords.pop("alpha", negative_slope)
        super().__init__(**keywords)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(
                "The `negative_slope` of a LeakyReLU layer cannot be None or negative."
                f" Received: negative_slope={negative_slope}"
            )
        self.negative_slope = negative_slope
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Computes the output."""
        return ops.leaky_relu(inputs, negative_slope=self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(Layer):
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)``.

    Args:
        alpha: The limit far below 0, negated.
    """

    examples_apart = True

    def __init__(self, alpha: float = 1.0, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.alpha = alpha
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Computes the output."""
        return ops.elu(inputs, alpha=self.alpha)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "alpha": self.alpha}


class PReLU(Layer):
    """``x`` where it is positive, else a trained slope times ``x``.

    Args:
        alpha_initializer: Of the slopes, one for each feature of a sample.
        alpha_regularizer: A penalty on the slopes.
        alpha_constraint: Projects the slopes after each update.
        shared_axes: Axes along which slopes are shared.
    """

    examples_apart = True

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = (
            [shared_axes] if isinstance(shared_axes, int) else list(shared_axes or [])
        )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates the slopes."""
        shape = list(input_shape[1:])
        for axis in self.shared_axes:
            shape[axis - 1] = 1
        self.alpha = self.add_weight(
            name="alpha",
            shape=tuple(shape),
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Computes the output."""
        return ops.relu(inputs) - self.alpha * ops.relu(-inputs)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


class Softmax(Layer):
    """The softmax along an axis; masked elements get (almost) nothing.

    Args:
        axis: The axis.
    """

    def __init__(self, axis: int = -1, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.axis = axis
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Computes the softmax."""
        if mask is not None:
            low = -3e4 if inputs.dtype == "float16" else -1e9
            inputs = inputs + (1.0 - ops.cast(mask, inputs.dtype)) * low
        return ops.softmax(inputs, axis=self.axis)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "axis": self.axis}
