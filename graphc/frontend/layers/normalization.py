"""Normalization layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.frontend import constraints, initializers, ops, regularizers
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.layers.layer import Layer
from graphc.frontend.ops.operands import axis_of
from graphc.frontend.tracing import tensor, value
from graphc.ir import ops as ir_ops


class ScaleAndShift(Layer):
    """What normalizations share that scale by a gamma and shift by a beta.

    Its arguments are those of `LayerNormalization`.
    """

    def __init__(
        self,
        *,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True

    def add_gamma_and_beta(self, shape: tuple[int, ...]) -> None:
        """Creates the weights; None stands for one that is not wanted."""
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                autocast=False,
            )
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False,
            )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }


def widened(inputs: Any) -> Any:
    """The inputs, in float32 if theirs is a narrower float: sums need its digits."""
    narrow = inputs.dtype in ("float16", "bfloat16")
    return ops.cast(inputs, "float32") if narrow else inputs


class BatchNormalization(ScaleAndShift):
    """Normalizes each channel over the batch, then scales and shifts it.

    In training the mean and variance of the batch are used, and moving averages of them
    are kept; in inference, and when the layer is frozen, the moving averages are used.

    Args:
        axis: The channel axis.
        momentum: The weight of the old moving average.
        epsilon: Added to the variance.
        center: Whether to shift by a trained beta.
        scale: Whether to scale by a trained gamma.
        beta_initializer: Of beta.
        gamma_initializer: Of gamma.
        moving_mean_initializer: Of the moving mean.
        moving_variance_initializer: Of the moving variance.
        beta_regularizer: A penalty on beta.
        gamma_regularizer: A penalty on gamma.
        beta_constraint: Projects beta after each update.
        gamma_constraint: Projects gamma after each update.
        synchronized: Kept for Keras's signature; statistics are of the whole batch.

    Outputs have the shape of the inputs, ``gamma * (x - mean) / sqrt(variance +
    epsilon) + beta`` (Ioffe and Szegedy, "Batch Normalization", 2015).

    Example:
        >>> import graphc
        >>> layer = graphc.layers.BatchNormalization()
        >>> layer([[1.0], [3.0]], training=True).numpy().round(2)
        array([[-1.],
               [ 1.]], dtype=float32)
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        synchronized: bool = False,
        **keywords: Any,
    ) -> None:
        super().__init__(
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            **keywords,
        )
        self.axis = axis
        self.momentum = momentum
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.synchronized = synchronized

    def build(self, input_shape: Any) -> None:
        """Creates gamma, beta and the moving averages."""
        rank = len(input_shape)
        axis = axis_of(self.axis, rank)
        size = input_shape[axis]
        shape = (size,)
        self.add_gamma_and_beta(shape)
        self.moving_mean = self.add_weight(
            name="moving_mean",
            shape=shape,
            initializer=self.moving_mean_initializer,
            trainable=False,
            autocast=False,
        )
        self.moving_variance = self.add_weight(
            name="moving_variance",
            shape=shape,
            initializer=self.moving_variance_initializer,
            trainable=False,
            autocast=False,
        )
        self.input_spec = InputSpec(ndim=rank, axes={axis: size})
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalizes the inputs."""
        x = widened(inputs)
        axis = axis_of(self.axis, x.ndim)
        size = x.shape[axis]
        gamma = ops.ones((size,), x.dtype) if self.gamma is None else self.gamma
        beta = ops.zeros((size,), x.dtype) if self.beta is None else self.beta
        if not training or not self.trainable:
            y = ir_ops.batch_norm_inference(
                value(x),
                value(gamma, x.dtype),
                value(beta, x.dtype),
                value(self.moving_mean, x.dtype),
                value(self.moving_variance, x.dtype),
                feature_axis=axis,
                epsilon=self.epsilon,
            )
            return ops.cast(tensor(y), self.compute_dtype)
        if mask is not None:
            y, mean, variance = self._masked(x, gamma, beta, axis, mask)
        else:
            found = ir_ops.batch_norm_training(
                value(x),
                value(gamma, x.dtype),
                value(beta, x.dtype),
                feature_axis=axis,
                epsilon=self.epsilon,
            )
            y, mean, variance = map(tensor, found)
        self._update(self.moving_mean, mean)
        self._update(self.moving_variance, variance)
        return ops.cast(y, self.compute_dtype)

    def _update(self, average: Any, new: Any) -> None:
        new = ops.cast(ops.stop_gradient(new), average.dtype)
        average.assign(average * self.momentum + new * (1.0 - self.momentum))

    def _masked(self, x: Any, gamma: Any, beta: Any, axis: int, mask: Any) -> Any:
        """Normalization by the statistics of what is not masked."""
        kept = ops.cast(mask, x.dtype)
        while kept.ndim < x.ndim:
            kept = ops.expand_dims(kept, -1)
        axes = [i for i in range(x.ndim) if i != axis]
        kept = ops.broadcast_to(kept, x.shape)
        count = ops.sum(kept, axis=axes, keepdims=True)
        mean = ops.sum(x * kept, axis=axes, keepdims=True) / (count + 1e-7)
        centred = (x - mean) * kept
        variance = ops.sum(centred * centred, axis=axes, keepdims=True) / (count + 1e-7)
        shape = [x.shape[i] if i == axis else 1 for i in range(x.ndim)]
        scale = ops.reshape(gamma, shape) * ops.rsqrt(variance + self.epsilon)
        y = (x - mean) * scale + ops.reshape(beta, shape)
        flat = (x.shape[axis],)
        return y, ops.reshape(mean, flat), ops.reshape(variance, flat)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "moving_mean_initializer": initializers.serialize(
                self.moving_mean_initializer
            ),
            "moving_variance_initializer": initializers.serialize(
                self.moving_variance_initializer
            ),
        }


def _checked_axis(axis: Any) -> int | list[int]:
    if not isinstance(axis, (int, list, tuple)):
        raise TypeError(
            "Expected `axis` to be an integer or a list of integers."
            f" Received: axis={axis!r}"
        )
    return axis if isinstance(axis, int) else list(axis)


def _normalized_axes(axis: Any, rank: int) -> tuple[int, ...]:
    listed = (axis,) if isinstance(axis, int) else tuple(axis)
    return tuple(sorted(axis_of(a, rank) for a in listed))


class LayerNormalization(ScaleAndShift):
    """Normalizes each sample over its features, then scales and shifts it.

    Args:
        axis: The axis or axes of the features.
        epsilon: Added to the variance.
        center: Whether to shift by a trained beta.
        scale: Whether to scale by a trained gamma.
        beta_initializer: Of beta.
        gamma_initializer: Of gamma.
        beta_regularizer: A penalty on beta.
        gamma_regularizer: A penalty on gamma.
        beta_constraint: Projects beta after each update.
        gamma_constraint: Projects gamma after each update.
    """

    examples_apart = True

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **keywords: Any,
    ) -> None:
        super().__init__(
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            **keywords,
        )
        self.axis = _checked_axis(axis)

    def build(self, input_shape: Any) -> None:
        """Creates gamma and beta."""
        axes = _normalized_axes(self.axis, len(input_shape))
        shape = tuple(input_shape[a] for a in axes)
        self.add_gamma_and_beta(shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Normalizes the inputs."""
        x = widened(inputs)
        axes = _normalized_axes(self.axis, x.ndim)
        shape = tuple(x.shape[a] for a in axes)
        gamma = ops.ones(shape, x.dtype) if self.gamma is None else self.gamma
        beta = ops.zeros(shape, x.dtype) if self.beta is None else self.beta
        y = ir_ops.layer_norm(
            value(x),
            value(gamma, x.dtype),
            value(beta, x.dtype),
            axes=axes,
            epsilon=self.epsilon,
        )
        return ops.cast(tensor(y), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "axis": self.axis,
        }


class RMSNormalization(Layer):
    """Divides each sample by the root mean square of its features, then scales it.

    Args:
        axis: The axis or axes of the features.
        epsilon: Added to the mean square.
    """

    examples_apart = True

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates the scale."""
        axes = _normalized_axes(self.axis, len(input_shape))
        self.scale = self.add_weight(
            name="scale",
            shape=tuple(input_shape[a] for a in axes),
            initializer="ones",
            autocast=False,
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Normalizes the inputs."""
        x = widened(inputs)
        axes = _normalized_axes(self.axis, x.ndim)
        y = ir_ops.rms_norm(
            value(x), value(self.scale, x.dtype), axes=axes, epsilon=self.epsilon
        )
        return ops.cast(tensor(y), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


class UnitNormalization(Layer):
    """Divides each vector along axes by its length; vectors of zeros stay.

    Args:
        axis: The axis or axes of the vectors.

    Raises:
        TypeError: If `axis` is neither an integer nor a list of integers.
    """

    examples_apart = True

    def __init__(self, axis: Any = -1, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.axis = _checked_axis(axis)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Divides the inputs."""
        return ops.normalize(inputs, axis=self.axis, order=2)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "axis": self.axis}


class Rescaling(Layer):
    """``inputs * scale + offset``.

    Args:
        scale: A number, or an array that broadcasts.
        offset: A number, or an array that broadcasts.
    """

    examples_apart = True

    def __init__(self, scale: Any, offset: Any = 0.0, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Scales and shifts the inputs."""
        x = ops.cast(inputs, self.compute_dtype)
        return x * _constant(self.scale) + _constant(self.offset)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "scale": np.asarray(self.scale).tolist(),
            "offset": np.asarray(self.offset).tolist(),
        }


def _constant(given: Any) -> Any:
    return given if isinstance(given, (int, float)) else np.asarray(given, np.float32)
