"""Pooling: maxima and averages over windows, or over whole images."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops
from graphc.frontend.arguments import one_of
from graphc.frontend.config import standardize_data_format
from graphc.frontend.layers.convolution import refuse_empty, sizes
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.layers.layer import Layer


class _Pooling(Layer):
    """Pools windows of each channel.

    Args:
        pool_size: The size of the window.
        strides: The step of the window; its size by default.
        padding: ``"valid"`` or ``"same"``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank: int
    pool: Any

    examples_apart = True

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(name=name, **keywords)
        self.pool_size = sizes("pool_size", pool_size, self.rank)
        given = self.pool_size if strides is None else strides
        self.strides = sizes("strides", given, self.rank)
        self.padding = one_of("padding", padding, ("valid", "same"))
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Any) -> Any:
        """Pools the inputs."""
        outputs = type(self).pool(
            inputs, self.pool_size, self.strides, self.padding, self.data_format
        )
        refuse_empty(self, inputs, outputs)
        return outputs

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "pool_size": list(self.pool_size),
            "strides": list(self.strides),
            "padding": self.padding,
            "data_format": self.data_format,
        }


class MaxPooling1D(_Pooling):
    """The largest element of each window of a sequence; see `MaxPooling2D`."""

    rank = 1
    pool = staticmethod(ops.max_pool)


class MaxPooling2D(_Pooling):
    """The largest element of each window of an image.

    Inputs: (batch, rows, columns, channels) for ``channels_last``. Outputs: (batch, new
    rows, new columns, channels).

    Args:
        pool_size: The size of the window, one integer or one for each axis.
        strides: The step of the window; its size by default.
        padding: ``"valid"`` for windows within the image, ``"same"`` for as many as the
            image has pixels, divided by the strides.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        name: Its name.

    Example:
        >>> import graphc
        >>> graphc.layers.MaxPooling2D(2).compute_output_shape((None, 28, 28, 8))
        (None, 14, 14, 8)
    """

    rank = 2
    pool = staticmethod(ops.max_pool)


class MaxPooling3D(_Pooling):
    """The largest element of each window of a volume; see `MaxPooling2D`."""

    rank = 3
    pool = staticmethod(ops.max_pool)


class AveragePooling1D(_Pooling):
    """The mean of each window of a sequence; see `AveragePooling2D`."""

    rank = 1
    pool = staticmethod(ops.average_pool)


class AveragePooling2D(_Pooling):
    """The mean of each window of an image; padding does not count.

    Inputs: (batch, rows, columns, channels) for ``channels_last``. Outputs: (batch, new
    rows, new columns, channels).

    Args:
        pool_size: The size of the window, one integer or one for each axis.
        strides: The step of the window; its size by default.
        padding: ``"valid"`` for windows within the image, ``"same"`` for as many as the
            image has pixels, divided by the strides.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        name: Its name.

    Example:
        >>> import graphc
        >>> graphc.layers.AveragePooling2D(2).compute_output_shape((None, 28, 28, 8))
        (None, 14, 14, 8)
    """

    rank = 2
    pool = staticmethod(ops.average_pool)


class AveragePooling3D(_Pooling):
    """The mean of each window of a volume; see `AveragePooling2D`."""

    rank = 3
    pool = staticmethod(ops.average_pool)


class _GlobalPooling(Layer):
    """Pools all positions of each channel.

    Args:
        data_format: ``"channels_last"`` or ``"channels_first"``.
        keepdims: Whether to keep the pooled dimensions with size 1.
    """

    rank: int
    pool: Any

    examples_apart = True

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        self.data_format = standardize_data_format(data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def axes(self) -> tuple[int, ...]:
        """The spatial axes."""
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))

    def call(self, inputs: Any) -> Any:
        """Pools the inputs."""
        return type(self).pool(inputs, axis=self.axes, keepdims=self.keepdims)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "data_format": self.data_format,
            "keepdims": self.keepdims,
        }


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean over all steps of a sequence; masked steps do not count."""

    rank = 1
    pool = staticmethod(ops.mean)

    examples_apart = True

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Pools the inputs."""
        if mask is None:
            return super().call(inputs)
        steps = self.axes[0]
        kept = ops.expand_dims(ops.cast(mask, inputs.dtype), 2 if steps == 1 else 1)
        total = ops.sum(inputs * kept, axis=steps, keepdims=self.keepdims)
        return total / ops.sum(kept, axis=steps, keepdims=self.keepdims)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """None: the steps are gone."""
        return None


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean over all positions of an image."""

    rank = 2
    pool = staticmethod(ops.mean)


class GlobalAveragePooling3D(_GlobalPooling):
    """The mean over all positions of a volume."""

    rank = 3
    pool = staticmethod(ops.mean)


class GlobalMaxPooling1D(_GlobalPooling):
    """The maximum over all steps of a sequence."""

    rank = 1
    pool = staticmethod(ops.max)


class GlobalMaxPooling2D(_GlobalPooling):
    """The maximum over all positions of an image."""

    rank = 2
    pool = staticmethod(ops.max)


class GlobalMaxPooling3D(_GlobalPooling):
    """The maximum over all positions of a volume."""

    rank = 3
    pool = staticmethod(ops.max)


class _AdaptivePooling(Layer):
    """Pools windows that are chosen so that the output has a given size.

    Args:
        output_size: The size of each spatial dimension of the output.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank: int
    pool: Any

    examples_apart = True

    def __init__(
        self, output_size: Any, data_format: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        self.output_size = sizes("output_size", output_size, self.rank)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Any) -> Any:
        """Pools the inputs."""
        return type(self).pool(
            inputs, output_size=self.output_size, data_format=self.data_format
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "output_size": list(self.output_size),
            "data_format": self.data_format,
        }


class AdaptiveAveragePooling1D(_AdaptivePooling):
    """The mean of as many windows of a sequence as the output has elements."""

    rank = 1
    pool = staticmethod(ops.adaptive_average_pool)


class AdaptiveAveragePooling2D(_AdaptivePooling):
    """The mean of as many windows of an image as the output has elements."""

    rank = 2
    pool = staticmethod(ops.adaptive_average_pool)


class AdaptiveAveragePooling3D(_AdaptivePooling):
    """The mean of as many windows of a volume as the output has elements."""

    rank = 3
    pool = staticmethod(ops.adaptive_average_pool)


class AdaptiveMaxPooling1D(_AdaptivePooling):
    """The maximum of as many windows of a sequence as the output has elements."""

    rank = 1
    pool = staticmethod(ops.adaptive_max_pool)


class AdaptiveMaxPooling2D(_AdaptivePooling):
    """The maximum of as many windows of an image as the output has elements."""

    rank = 2
    pool = staticmethod(ops.adaptive_max_pool)


class AdaptiveMaxPooling3D(_AdaptivePooling):
    """The maximum of as many windows of a volume as the output has elements."""

    rank = 3
    pool = staticmethod(ops.adaptive_max_pool)
