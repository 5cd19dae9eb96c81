"""Layers that add noise in training."""

from __future__ import annotations

import math
from typing import Any

from graphc.frontend import ops, random, regularizers
from graphc.frontend.config import standardize_data_format
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.layers.layer import Layer
from graphc.ir.ops.activation import SELU_ALPHA, SELU_SCALE


class Dropout(Layer):
    """Sets a random fraction of its input to 0 in training and scales the rest up.

    Args:
        rate: The fraction to drop, in 0..1.
        noise_shape: The shape of the mask; axes of size 1 (or None for the input's
            size) share their choice.
        seed: A seed; by default the global one with the layer's path.

    Raises:
        ValueError: If `rate` is not in 0..1.

    Example:
        >>> import graphc
        >>> layer = graphc.layers.Dropout(0.5)
        >>> layer([[1.0, 2.0]]).numpy()  # not in training
        array([[1., 2.]], dtype=float32)
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Any = None,
        seed: int | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        if isinstance(rate, bool) or not 0 <= rate <= 1:
            raise ValueError(
                f"Invalid value received for argument `rate`. Expected a float value"
                f" between 0 and 1. Received: rate={rate}"
            )
        self.rate = rate
        self.noise_shape = noise_shape
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed) if rate > 0 else None
        self.supports_masking = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Drops elements in training."""
        if not training or self.seed_generator is None:
            return inputs
        return random.dropout(
            inputs, self.rate, self.mask_shape(inputs), self.seed_generator
        )

    def mask_shape(self, inputs: Any) -> Any:
        """The shape of the mask for an input."""
        if self.noise_shape is None:
            return None
        return tuple(
            size if wanted is None else wanted
            for wanted, size in zip(self.noise_shape, inputs.shape, strict=True)
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }


class AlphaDropout(Dropout):
    """Dropout that keeps the mean and the variance of what `selu` activates.

    What is dropped becomes the value that selu saturates at, and the result is scaled
    and shifted. Source: Klambauer et al., "Self-Normalizing Neural Networks", 2017.

    Args:
        rate: The fraction to drop, in 0..1.
        noise_shape: The shape of the mask; see `Dropout`.
        seed: A seed; by default the global one with the layer's path.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Drops elements in training."""
        if not training or self.seed_generator is None:
            return inputs
        drawn = random.uniform(
            self.mask_shape(inputs) or inputs.shape, seed=self.seed_generator
        )
        kept = ops.cast(ops.greater_equal(drawn, self.rate), inputs.dtype)
        floor = -SELU_ALPHA * SELU_SCALE
        scale = ((1 - self.rate) * (1 + self.rate * floor**2)) ** -0.5
        shift = -scale * floor * self.rate
        return (inputs * kept + floor * (1 - kept)) * scale + shift


class GaussianDropout(Layer):
    """Multiplies by normal noise of mean 1 in training.

    Args:
        rate: That of the dropout whose noise has the same variance,
            ``rate / (1 - rate)``; at least 0 and below 1.
        seed: A seed; by default the global one with the layer's path.
    """

    def __init__(self, rate: float, seed: int | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        if isinstance(rate, bool) or not 0 <= rate < 1:
            raise ValueError(
                f"Expected `rate` to be at least 0 and below 1. Received: rate={rate}"
            )
        self.rate = rate
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed) if rate > 0 else None
        self.supports_masking = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Multiplies by noise in training."""
        if not training or self.seed_generator is None:
            return inputs
        deviation = math.sqrt(self.rate / (1 - self.rate))
        return inputs * random.normal(
            inputs.shape, 1.0, deviation, self.compute_dtype, self.seed_generator
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class _SpatialDropout(Dropout):
    """Drops whole channels in training."""

    rank: int

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(rate, seed=seed, **keywords)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def mask_shape(self, inputs: Any) -> Any:
        """One choice for each sample and channel."""
        shared = [1] * self.rank
        if self.data_format == "channels_first":
            return (*inputs.shape[:2], *shared)
        return (inputs.shape[0], *shared, inputs.shape[-1])

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        config = super().get_config()
        del config["noise_shape"]
        return {**config, "data_format": self.data_format}


class SpatialDropout1D(_SpatialDropout):
    """Drops whole channels of sequences (channels last) in training.

    Args:
        rate: The fraction to drop, in 0..1.
        seed: A seed; by default the global one with the layer's path.
    """

    rank = 1

    def __init__(self, rate: float, seed: int | None = None, **keywords: Any) -> None:
        super().__init__(rate, "channels_last", seed, **keywords)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        config = super().get_config()
        del config["data_format"]
        return config


class SpatialDropout2D(_SpatialDropout):
    """Drops whole channels of images in training.

    Args:
        rate: The fraction to drop, in 0..1.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        seed: A seed; by default the global one with the layer's path.
    """

    rank = 2


class SpatialDropout3D(_SpatialDropout):
    """Drops whole channels of volumes in training.

    Args:
        rate: The fraction to drop, in 0..1.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        seed: A seed; by default the global one with the layer's path.
    """

    rank = 3


class GaussianNoise(Layer):
    """Adds normal noise in training.

    Args:
        stddev: The standard deviation.
        seed: A seed; by default the global one with the layer's path.
    """

    def __init__(self, stddev: float, seed: int | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        if stddev < 0:
            raise ValueError(
                f"Expected `stddev` to be at least 0. Received: stddev={stddev}"
            )
        self.stddev = stddev
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed) if stddev > 0 else None
        self.supports_masking = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Adds noise in training."""
        if not training or self.seed_generator is None:
            return inputs
        noise = random.normal(
            inputs.shape, 0.0, self.stddev, self.compute_dtype, self.seed_generator
        )
        return ops.add(inputs, noise)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class ActivityRegularization(Layer):
    """Adds a penalty on its input to the loss.

    Args:
        l1: The factor of the sum of absolute values.
        l2: The factor of the sum of squares.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **keywords: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **keywords)
        self.l1 = l1
        self.l2 = l2
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Returns the input; the penalty on it is added to the loss."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        config = {**super().get_config(), "l1": self.l1, "l2": self.l2}
        del config["activity_regularizer"]
        return config
