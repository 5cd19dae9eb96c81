"""Convolutions: plain, depthwise, separable and transposed."""

from __future__ import annotations

from typing import Any

from graphc.frontend import activations, constraints, initializers, ops, regularizers
from graphc.frontend.arguments import one_of, positive_integer
from graphc.frontend.config import standardize_data_format
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.layers.layer import Layer


def sizes(name: str, given: Any, rank: int, smallest: int = 1) -> tuple[int, ...]:
    """`given` as one integer for each spatial dimension.

    Raises:
        ValueError: If it is neither an integer nor `rank` integers of at least
            `smallest`.
    """
    listed = (given,) * rank if isinstance(given, int) else tuple(given)
    if len(listed) != rank or any(
        isinstance(n, bool) or not isinstance(n, int) or n < smallest for n in listed
    ):
        raise ValueError(
            f"The `{name}` argument must be an integer or a tuple of {rank} integers,"
            f" each at least {smallest}. Received: {name}={given}"
        )
    return listed


def refuse_empty(layer: Layer, inputs: Any, outputs: Any) -> None:
    """Raises a ValueError if a window is larger than what it moves over.

    The output then has a size of 0, which no later layer can do anything with.
    """
    if 0 in outputs.shape[1:] and 0 not in inputs.shape[1:]:
        raise ValueError(
            f"Layer '{layer.name}': the window is larger than the input, so the output"
            f" would be empty. Received: inputs of shape {tuple(inputs.shape)}, outputs"
            f" of shape {tuple(outputs.shape)}"
        )


class BaseConv(Layer):
    """What all convolutions share: sizes, kernel, bias and activation.

    Args:
        filters: The number of output channels, or None where the inputs decide.
        kernel_size: The size of the window.
        strides: The step of the window.
        padding: ``"valid"``, ``"same"`` or (1D) ``"causal"``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        dilation_rate: The spacing of the window's elements.
        groups: The number of channel groups that are convolved apart.
        activation: A name or a function; none by default.
        use_bias: Whether to add a bias.
        keywords: ``<weight>_initializer``, ``_regularizer`` and ``_constraint`` of the
            weights, and what `Layer` takes.
    """

    rank: int
    """The number of spatial dimensions."""

    kernels: tuple[str, ...] = ("kernel",)
    """The names of the weights besides the bias."""

    examples_apart = True

    def __init__(
        self,
        filters: int | None,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        **keywords: Any,
    ) -> None:
        self._weight_options = {
            name: keywords.pop(name)
            for kind in ("initializer", "regularizer", "constraint")
            for weight in (*self.kernels, "bias")
            for name in [f"{weight}_{kind}"]
            if name in keywords
        }
        super().__init__(**keywords)
        rank = self.rank
        self.filters = None if filters is None else positive_integer("filters", filters)
        self.kernel_size = sizes("kernel_size", kernel_size, rank)
        self.strides = sizes("strides", strides, rank)
        self.dilation_rate = sizes("dilation_rate", dilation_rate, rank)
        self.padding = _padding(padding, rank)
        self.data_format = standardize_data_format(data_format)
        self.groups = positive_integer("groups", groups)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        if filters is not None and filters % groups:
            raise ValueError(
                "The number of filters must be evenly divisible by the number of"
                f" groups. Received: groups={groups}, filters={filters}"
            )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`."
                f" Received: strides={self.strides}, dilation_rate={self.dilation_rate}"
            )
        self.input_spec = InputSpec(ndim=rank + 2)

    def channels(self, input_shape: Any) -> int:
        """The number of input channels.

        Raises:
            ValueError: If it is not known.
        """
        axis = -1 if self.data_format == "channels_last" else 1
        found = input_shape[axis]
        if found is None:
            raise ValueError(
                f"The channel dimension of the inputs of layer '{self.name}' must be"
                f" known. Received: input_shape={tuple(input_shape)}"
            )
        return found

    def create(
        self, name: str, shape: tuple[int, ...], option: str | None = None
    ) -> Any:
        """Creates a weight with the options that were given for it.

        The options' names start with `option`, where that is not `name`.
        """
        options = self._weight_options
        key = option or name
        default = "zeros" if name == "bias" else "glorot_uniform"
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializers.get(options.get(f"{key}_initializer", default)),
            regularizer=regularizers.get(options.get(f"{key}_regularizer")),
            constraint=constraints.get(options.get(f"{key}_constraint")),
        )

    def finish_build(self, input_shape: Any, out_channels: int) -> None:
        """Creates the bias and fixes the number of input channels."""
        self.bias = self.create("bias", (out_channels,)) if self.use_bias else None
        axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = InputSpec(
            ndim=self.rank + 2, axes={axis: self.channels(input_shape)}
        )
        self.built = True

    def build(self, input_shape: Any) -> None:
        """Creates the kernel and the bias."""
        channels = self.channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be evenly divisible by the number"
                f" of groups. Received: groups={self.groups}, input channels={channels}"
            )
        assert self.filters is not None
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.create("kernel", shape)
        self.finish_build(input_shape, self.filters)

    def convolve(self, inputs: Any) -> Any:
        """The convolution itself."""
        return ops.conv(
            inputs,
            self.kernel,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def call(self, inputs: Any) -> Any:
        """Convolves, adds the bias and applies the activation."""
        x = self.convolve(inputs)
        refuse_empty(self, inputs, x)
        if self.bias is not None:
            bias = self.bias
            if self.data_format == "channels_first":
                bias = ops.reshape(bias, (1, -1, *[1] * self.rank))
            x = ops.add(x, bias)
        return x if self.activation is None else self.activation(x)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        options: dict[str, Any] = {}
        for name, given in self._weight_options.items():
            family = {
                "initializer": initializers,
                "regularizer": regularizers,
                "constraint": constraints,
            }[name.rpartition("_")[2]]
            options[name] = family.serialize(family.get(given))
        config = {
            **super().get_config(),
            "kernel_size": list(self.kernel_size),
            "strides": list(self.strides),
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": list(self.dilation_rate),
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **options,
        }
        return config if self.filters is None else config | {"filters": self.filters}


def _padding(given: Any, rank: int) -> str:
    accepted = ("valid", "same", "causal") if rank == 1 else ("valid", "same")
    return one_of("padding", str(given).lower(), accepted)


class _PlainConv(BaseConv):
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups}


class Conv1D(_PlainConv):
    """Convolution over sequences; its arguments are those of `Conv2D`.

    `padding` may be ``"causal"`` as well: a step then reads no later ones.

    Inputs: (batch, steps, channels). Outputs: (batch, new steps, filters).
    """

    rank = 1

    def convolve(self, inputs: Any) -> Any:
        """The convolution; causal padding looks at past steps only."""
        if self.padding != "causal":
            return super().convolve(inputs)
        past = self.dilation_rate[0] * (self.kernel_size[0] - 1)
        steps = (past, 0)
        last = self.data_format == "channels_last"
        padded = ops.pad(
            inputs, [(0, 0), steps, (0, 0)] if last else [(0, 0), (0, 0), steps]
        )
        return ops.conv(
            padded,
            self.kernel,
            strides=self.strides,
            padding="valid",
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )


class Conv2D(_PlainConv):
    """Convolution over images.

    Inputs: (batch, rows, columns, channels) for ``channels_last``. Outputs: (batch, new
    rows, new columns, filters).

    Args:
        filters: The number of output channels.
        kernel_size: The rows and columns of the window, one integer or two.
        strides: By how much the window moves, one integer or two; 1 by default.
        padding: ``"valid"`` for windows within the image, ``"same"`` for as many as the
            image has pixels, divided by the strides.
        data_format: ``"channels_last"`` or ``"channels_first"``; by default the one of
            the settings.
        dilation_rate: The spacing of the window's elements; 1 by default.
        groups: The number of groups of channels that are convolved apart.
        activation: A name or a function; none by default.
        use_bias: Whether to add a bias.
        keywords: ``kernel_`` and ``bias_`` ``initializer``, ``regularizer`` and
            ``constraint``, and what `Layer` takes.

    Raises:
        ValueError: For an argument that is none of these, channels that the groups do
            not divide, or an image smaller than the window.

    Example:
        >>> import graphc
        >>> graphc.layers.Conv2D(4, 3).compute_output_shape((None, 28, 28, 1))
        (None, 26, 26, 4)
    """

    rank = 2


class Conv3D(_PlainConv):
    """Convolution over volumes; its arguments are those of `Conv2D`.

    Inputs: (batch, planes, rows, columns, channels) for ``channels_last``. Outputs:
    (batch, new planes, new rows, new columns, filters).
    """

    rank = 3


class _ConvTranspose(BaseConv):
    """The transpose of a convolution: makes its inputs larger by its strides.

    Args:
        output_padding: Added to one side of the output, to choose among the sizes that
            the convolution maps to the input's.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        **keywords: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides, padding, **keywords)
        self.output_padding = (
            None
            if output_padding is None
            else sizes("output_padding", output_padding, self.rank, 0)
        )

    def build(self, input_shape: Any) -> None:
        """Creates the kernel, of shape (*window, filters, input channels)."""
        assert self.filters is not None
        shape = (*self.kernel_size, self.filters, self.channels(input_shape))
        self.kernel = self.create("kernel", shape)
        self.finish_build(input_shape, self.filters)

    def convolve(self, inputs: Any) -> Any:
        """The transposed convolution."""
        return ops.conv_transpose(
            inputs,
            self.kernel,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        padding = self.output_padding
        return {
            **super().get_config(),
            "output_padding": None if padding is None else list(padding),
        }


class Conv1DTranspose(_ConvTranspose):
    """The transpose of a convolution over sequences: makes them longer.

    Args:
        output_padding: Added to one side of the output, to choose among the sizes that
            the convolution maps to the input's.
    """

    rank = 1


class Conv2DTranspose(_ConvTranspose):
    """The transpose of a convolution over images: makes them larger.

    Args:
        output_padding: Added to one side of the output, to choose among the sizes that
            the convolution maps to the input's.
    """

    rank = 2


class Conv3DTranspose(_ConvTranspose):
    """The transpose of a convolution over volumes: makes them larger.

    Args:
        output_padding: Added to one side of the output, to choose among the sizes that
            the convolution maps to the input's.
    """

    rank = 3


class _DepthwiseConv(BaseConv):
    """Convolves each channel on its own, with `depth_multiplier` filters each.

    Args:
        depth_multiplier: The number of outputs of each channel.
    """

    kernels = ("depthwise",)

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        **keywords: Any,
    ) -> None:
        super().__init__(None, kernel_size, strides, padding, **keywords)
        self.depth_multiplier = positive_integer("depth_multiplier", depth_multiplier)

    def build(self, input_shape: Any) -> None:
        """Creates the kernel, of shape (*window, input channels, depth_multiplier)."""
        channels = self.channels(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.kernel = self.create("kernel", shape, "depthwise")
        self.finish_build(input_shape, channels * self.depth_multiplier)

    def convolve(self, inputs: Any) -> Any:
        """The depthwise convolution."""
        return ops.depthwise_conv(
            inputs,
            self.kernel,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "depth_multiplier": self.depth_multiplier}


class DepthwiseConv1D(_DepthwiseConv):
    """Convolves each channel of sequences on its own.

    Args:
        depth_multiplier: The number of outputs of each channel.
    """

    rank = 1


class DepthwiseConv2D(_DepthwiseConv):
    """Convolves each channel of images on its own.

    Args:
        depth_multiplier: The number of outputs of each channel.
    """

    rank = 2


class _SeparableConv(BaseConv):
    """A depthwise convolution, then one of a single position over the channels.

    Args:
        depth_multiplier: The number of outputs of each channel in between.
    """

    kernels = ("depthwise", "pointwise")

    examples_apart = True

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        **keywords: Any,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            **keywords,
        )
        self.depth_multiplier = positive_integer("depth_multiplier", depth_multiplier)

    def build(self, input_shape: Any) -> None:
        """Creates both kernels and the bias."""
        channels = self.channels(input_shape)
        assert self.filters is not None
        between = channels * self.depth_multiplier
        self.depthwise_kernel = self.create(
            "depthwise_kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            "depthwise",
        )
        self.pointwise_kernel = self.create(
            "pointwise_kernel",
            (*[1] * self.rank, between, self.filters),
            "pointwise",
        )
        self.finish_build(input_shape, self.filters)

    def convolve(self, inputs: Any) -> Any:
        """Both convolutions."""
        return ops.separable_conv(
            inputs,
            self.depthwise_kernel,
            self.pointwise_kernel,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "depth_multiplier": self.depth_multiplier}


class SeparableConv1D(_SeparableConv):
    """A convolution over sequences in two steps: each channel, then across them.

    Args:
        depth_multiplier: The number of outputs of each channel in between.
    """

    rank = 1


class SeparableConv2D(_SeparableConv):
    """A convolution over images in two steps: each channel, then across them.

    Args:
        depth_multiplier: The number of outputs of each channel in between.
    """

    rank = 2
