"""Recurrent layers whose products are convolutions: ConvLSTM over sequences of grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graphc.frontend import ops
from graphc.frontend.arguments import one_of
from graphc.frontend.config import standardize_data_format
from graphc.frontend.layers.convolution import sizes
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.layers.recurrent_cells import LSTMCell
from graphc.frontend.layers.rnn import GatedLayer


class ConvLSTMCell(LSTMCell):
    """A step of ConvLSTM on grids of shape (batch, ..., channels).

    Args:
        filters: The number of channels of the output and of each state.
        kernel_size: The size of the window in each spatial dimension.
        strides: By how many positions the window moves over the inputs.
        padding: ``"valid"`` or ``"same"``, for the inputs; states keep their size.
        dilation_rate: How far apart the window's positions are.
        **keywords: More arguments of `LSTMCell`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sequence[int],
        strides: Any = 1,
        padding: str = "valid",
        dilation_rate: Any = 1,
        **keywords: Any,
    ) -> None:
        super().__init__(filters, **keywords)
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        rank = len(self.kernel_size)
        self.strides = sizes("strides", strides, rank)
        self.padding = str(padding).lower()
        self.dilation_rate = sizes("dilation_rate", dilation_rate, rank)
        self._grids: tuple[tuple[Any, ...], tuple[Any, ...]] = ((), ())

    def build(self, input_shape: Any) -> None:
        """Creates the kernels and the bias."""
        if None in input_shape[1:]:
            raise ValueError(
                f"Layer '{self.name}' needs inputs of a known size besides the batch and"
                f" the time. Received: shape of a step={tuple(input_shape)}"
            )
        super().build(input_shape)
        grid = tuple(input_shape[1:-1])
        parts = zip(
            grid, self.kernel_size, self.strides, self.dilation_rate, strict=True
        )
        self._grids = grid, tuple(self._output_size(*part) for part in parts)

    def _output_size(self, size: int, window: int, stride: int, apart: int) -> int:
        covered = 0 if self.padding == "same" else apart * (window - 1)
        return -((covered - size) // stride)

    def kernel_shapes(self, input_shape: Any) -> tuple[Any, Any]:
        """The shapes of the kernel and the recurrent kernel."""
        columns = self.gates * self.filters
        window = self.kernel_size
        return (*window, input_shape[-1], columns), (*window, self.filters, columns)

    def mask_shapes(self, batch: Any, features: int) -> tuple[Any, Any]:
        """The shapes of an input and of a state."""
        inputs, states = self._grids
        return (batch, *inputs, features), (batch, *states, self.filters)

    def input_product(self, inputs: Any, kernel: Any) -> Any:
        """The convolution of inputs (..., batch, *grid, channels)."""
        grid = len(self.kernel_size) + 1
        first = inputs.shape[:-grid]
        merged = ops.reshape(inputs, (-1, *inputs.shape[-grid:]))
        found = ops.conv(
            merged,
            kernel,
            strides=self.strides,
            padding=self.padding,
            data_format="channels_last",
            dilation_rate=self.dilation_rate,
        )
        return ops.reshape(found, (*first, *found.shape[1:]))

    def state_product(self, state: Any, kernel: Any) -> Any:
        """The convolution of a state, which keeps its size."""
        return ops.conv(state, kernel, padding="same", data_format="channels_last")

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros of the states' shapes."""
        shape = (batch_size, *self._grids[1], self.filters)
        return [ops.zeros(shape, dtype=self.compute_dtype) for _ in range(2)]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal cell from."""
        config = super().get_config()
        return {
            "filters": config.pop("units"),
            **config,
            "kernel_size": list(self.kernel_size),
            "strides": list(self.strides),
            "padding": self.padding,
            "dilation_rate": list(self.dilation_rate),
        }


class _ConvLSTM(GatedLayer):
    """An LSTM whose inputs, outputs and states are grids (Shi et al., 2015).

    See `ConvLSTM2D` for the arguments.
    """

    cell_class = ConvLSTMCell
    rank: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        **keywords: Any,
    ) -> None:
        one_of("padding", str(padding).lower(), ("valid", "same"))
        super().__init__(
            filters,
            activation,
            recurrent_activation,
            use_bias,
            kernel_size=sizes("kernel_size", kernel_size, self.rank),
            strides=strides,
            padding=padding,
            dilation_rate=dilation_rate,
            **keywords,
        )
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds the cell and, for a stateful layer, the variables of the states."""
        if self._channels_first():
            batch, time, channels, *grid = sequences_shape
            sequences_shape = (batch, time, *grid, channels)
        super().build(sequences_shape, initial_state_shape)

    def _channels_first(self) -> bool:
        return self.data_format == "channels_first"

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = False,
    ) -> Any:
        """Runs the cell over all steps."""
        if not self._channels_first():
            return super().call(sequences, initial_state, mask, training)
        if initial_state is not None:
            initial_state = [ops.moveaxis(state, 1, -1) for state in initial_state]
        moved = ops.moveaxis(sequences, 2, -1)
        found = super().call(moved, initial_state, mask, training)
        output, *states = found if self.return_state else (found,)
        output = ops.moveaxis(output, -1, 2 if self.return_sequences else 1)
        states = [ops.moveaxis(state, -1, 1) for state in states]
        return (output, *states) if self.return_state else output

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "data_format": self.data_format}


class ConvLSTM1D(_ConvLSTM):
    """ConvLSTM over sequences of rows; see `ConvLSTM2D` for the arguments.

    Inputs: (batch, time, steps, channels).
    """

    rank = 1


class ConvLSTM2D(_ConvLSTM):
    """An LSTM over sequences of images, whose products are convolutions.

    Args:
        filters: The number of channels of the output and of each state.
        kernel_size: The size of the window: an integer or two.
        strides: By how many positions the window moves over the inputs.
        padding: ``"valid"`` or ``"same"``, for the inputs; states keep their size.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        dilation_rate: How far apart the window's positions are.
        activation: Of candidate and output, a name or a function.
        recurrent_activation: Of the gates.
        use_bias: Whether to add a bias.
        **keywords: More arguments of `LSTMCell` and of `RNN`.

    Inputs: (batch, time, rows, columns, channels).

    Example:
        >>> import graphc
        >>> layer = graphc.layers.ConvLSTM2D(4, 3, return_sequences=True)
        >>> layer.compute_output_shape((None, 5, 8, 8, 1))
        (None, 5, 6, 6, 4)
    """

    rank = 2


class ConvLSTM3D(_ConvLSTM):
    """ConvLSTM over sequences of volumes; see `ConvLSTM2D` for the arguments.

    Inputs: (batch, time, planes, rows, columns, channels).
    """

    rank = 3
