"""Normalization of groups of channels."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.layers.normalization import ScaleAndShift, widened


class GroupNormalization(ScaleAndShift):
    """Normalizes each sample over groups of its channels, then scales and shifts it.

    Source: Wu and He, "Group Normalization", 2018. A group for each channel is
    instance normalization.

    Args:
        groups: The number of groups, which divides that of channels; -1 for one each.
        axis: The channel axis.
        epsilon: Added to the variance.
        center: Whether to shift by a trained beta.
        scale: Whether to scale by a trained gamma.
        beta_initializer: Of beta.
        gamma_initializer: Of gamma.
        beta_regularizer: A penalty on beta.
        gamma_regularizer: A penalty on gamma.
        beta_constraint: Projects beta after each update.
        gamma_constraint: Projects gamma after each update.

    Raises:
        ValueError: If `groups` is neither positive nor -1, or, when the layer is built,
            does not divide the number of channels.
    """

    examples_apart = True

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
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
        if not isinstance(groups, int) or (groups <= 0 and groups != -1):
            raise ValueError(
                "Expected `groups` to be a positive integer, or -1 for one group per"
                f" channel. Received: groups={groups!r}"
            )
        self.groups = groups
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        """Creates gamma and beta."""
        size = input_shape[self.axis]
        if not isinstance(size, int) or size % self._count(size):
            raise ValueError(
                f"GroupNormalization layer '{self.name}' needs a number of channels"
                f" that its groups divide. Received: groups={self.groups},"
                f" axis={self.axis}, input_shape={tuple(input_shape)}"
            )
        self.add_gamma_and_beta((size,))
        rank = len(input_shape)
        self.input_spec = InputSpec(ndim=rank, axes={self.axis % rank: size})
        self.built = True

    def _count(self, size: int) -> int:
        return size if self.groups == -1 else self.groups

    def call(self, inputs: Any) -> Any:
        """Normalizes the inputs."""
        x = widened(inputs)
        axis = self.axis % x.ndim
        size = x.shape[axis]
        grouped = (self._count(size), size // self._count(size))
        shape = ops.shape(x)
        x = ops.reshape(x, (*shape[:axis], *grouped, *shape[axis + 1 :]))
        summed = [a for a in range(1, x.ndim) if a != axis]
        mean, variance = ops.moments(x, axes=summed, keepdims=True)
        weight_shape = [1] * x.ndim
        weight_shape[axis : axis + 2] = grouped
        factor = ops.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            factor = factor * ops.reshape(ops.cast(self.gamma, x.dtype), weight_shape)
        y = (x - mean) * factor
        if self.beta is not None:
            y = y + ops.reshape(ops.cast(self.beta, x.dtype), weight_shape)
        return ops.cast(ops.reshape(y, shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "groups": self.groups,
            "axis": self.axis,
        }
