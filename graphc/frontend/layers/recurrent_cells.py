"""Recurrent cells: one step of SimpleRNN, LSTM and GRU, and stacks of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

from graphc.frontend import (
    activations,
    constraints,
    initializers,
    ops,
    random,
    regularizers,
    trees,
)
from graphc.frontend.arguments import positive_integer
from graphc.frontend.layers.call_spec import accepts
from graphc.frontend.layers.layer import Layer
from graphc.frontend.layers.registry import LAYERS

_WEIGHTS = ("kernel", "recurrent", "bias")


class RecurrentCell(Layer):
    """A step in two parts: what depends on the input alone, and the recurrence.

    `call` is ``step(project(inputs), states)``. A layer that loops over time projects
    the whole sequence in one matrix multiplication before the loop.

    Args:
        units: The size of the output and of each state.
        activation: A name or a function.
        use_bias: Whether to add a bias.
        kernel_initializer: Of the kernel, of shape (features, gates * units).
        recurrent_initializer: Of the recurrent kernel, (units, gates * units).
        bias_initializer: Of the bias, of shape (gates * units,).
        kernel_regularizer: A penalty on the kernel.
        recurrent_regularizer: A penalty on the recurrent kernel.
        bias_regularizer: A penalty on the bias.
        kernel_constraint: Projects the kernel after each update.
        recurrent_constraint: Projects the recurrent kernel after each update.
        bias_constraint: Projects the bias after each update.
        dropout: The fraction of the inputs' elements to drop in training.
        recurrent_dropout: The fraction of the state's elements to drop in training.
        seed: A seed for dropping; by default the global one with the layer's path.
    """

    gates: ClassVar[int]
    """How many times `units` columns the kernels have."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.units = positive_integer("units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        drops = self.dropout > 0 or self.recurrent_dropout > 0
        self.seed_generator = random.SeedGenerator(seed) if drops else None
        self.state_size: Any = self.units
        self.output_size = self.units
        self._masks: tuple[Any, Any] | None = None

    def build(self, input_shape: Any) -> None:
        """Creates the kernel, the recurrent kernel and the bias."""
        shape, recurrent_shape = self.kernel_shapes(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=recurrent_shape,
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=self.bias_shape(),
                initializer=self.initial_bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def kernel_shapes(self, input_shape: Any) -> tuple[Any, Any]:
        """The shapes of the kernel and the recurrent kernel."""
        columns = self.gates * self.units
        return (input_shape[-1], columns), (self.units, columns)

    def bias_shape(self) -> tuple[int, ...]:
        """The shape of the bias."""
        return (self.gates * self.units,)

    def initial_bias(self, shape: Any, dtype: Any = None) -> Any:
        """The value that the bias starts at."""
        return self.bias_initializer(shape, dtype=dtype)

    def input_bias(self) -> Any:
        """The part of the bias that is added to the input's projection, or None."""
        return self.bias

    def call(self, inputs: Any, states: Any, training: bool | None = False) -> Any:
        """One step.

        Args:
            inputs: The step's input, of shape (batch, features).
            states: The states before the step; a list, or the only state itself.
            training: Whether to drop elements.

        Returns:
            The output, of shape (batch, units), and the states after the step in the
            structure of `states`.
        """
        listed = isinstance(states, (list, tuple))
        before = list(states) if listed else [states]
        with self.drawn_masks(ops.shape(inputs)[0], inputs.shape[-1], training):
            after = self.step(self.project(inputs), before)
        return after[0], after if listed else after[0]

    def step(self, projected: Any, states: Sequence[Any]) -> list[Any]:
        """The states after a step; the first one is the output.

        Args:
            projected: What `project` made of the input.
            states: The states before the step.
        """
        raise NotImplementedError

    def project(self, inputs: Any) -> Any:
        """The input's part of the gates, for a step or a time-major sequence.

        Args:
            inputs: Of shape (..., batch, features).

        Returns:
            A tensor of shape (..., batch, gates * units).
        """
        product = self.input_product
        projected = self._multiply(inputs, self.kernel, self._mask(0), product)
        bias = self.input_bias()
        return projected if bias is None else ops.add(projected, bias)

    def recur(self, state: Any, first: int = 0, last: int | None = None) -> Any:
        """``state @ recurrent_kernel``, for the gates from `first` to before `last`."""
        last = self.gates if last is None else last
        kernel = self.recurrent_kernel
        if (first, last) != (0, self.gates):
            kernel = kernel[:, first * self.units : last * self.units]
        masks = self._mask(1)
        if isinstance(masks, list):
            masks = masks[first:last]
        return self._multiply(state, kernel, masks, self.state_product)

    def input_product(self, inputs: Any, kernel: Any) -> Any:
        """How inputs and columns of the kernel are combined."""
        return ops.matmul(inputs, kernel)

    def state_product(self, state: Any, kernel: Any) -> Any:
        """How a state and columns of the recurrent kernel are combined."""
        return ops.matmul(state, kernel)

    def _multiply(
        self, x: Any, kernel: Any, masks: Any, product: Callable[[Any, Any], Any]
    ) -> Any:
        """A product with x masked, by one mask per gate if there are several."""
        if masks is None:
            return product(x, kernel)
        if not isinstance(masks, list):
            return product(ops.multiply(x, masks), kernel)
        kernels = ops.split(kernel, len(masks), axis=-1)
        return ops.concatenate(
            [product(x * m, k) for m, k in zip(masks, kernels, strict=True)], axis=-1
        )

    def _mask(self, which: int) -> Any:
        return None if self._masks is None else self._masks[which]

    @contextmanager
    def drawn_masks(
        self, batch: Any, features: int, training: bool | None
    ) -> Iterator[None]:
        """While open, all steps drop the same elements.

        Like Keras, each gate gets masks of its own if recurrent connections are
        dropped.

        Args:
            batch: The batch size.
            features: The size of the inputs' last axis.
            training: Whether to drop any; if not, nothing is drawn.
        """
        if self._masks is not None or not training or self.seed_generator is None:
            yield
            return
        shape, recurrent_shape = self.mask_shapes(batch, features)
        self._masks = (
            self._draw(self.dropout, shape),
            self._draw(self.recurrent_dropout, recurrent_shape),
        )
        try:
            yield
        finally:
            self._masks = None

    def mask_shapes(self, batch: Any, features: int) -> tuple[Any, Any]:
        """The shapes of an input and of a state."""
        return (batch, features), (batch, self.units)

    def _draw(self, rate: float, shape: Any) -> Any:
        if rate == 0:
            return None
        several = self.gates > 1 and self.recurrent_dropout > 0
        drawn = [
            random.dropout(
                ops.ones(shape, dtype=self.compute_dtype),
                rate,
                seed=self.seed_generator,
            )
            for _ in range(self.gates if several else 1)
        ]
        return drawn if several else drawn[0]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros of the states' shapes, as a list."""
        return _zero_states(self, batch_size, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal cell from."""
        families = {
            "initializer": initializers,
            "regularizer": regularizers,
            "constraint": constraints,
        }
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **{
                f"{weight}_{what}": family.serialize(getattr(self, f"{weight}_{what}"))
                for what, family in families.items()
                for weight in _WEIGHTS
            },
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }


class SimpleRNNCell(RecurrentCell):
    """A step of `SimpleRNN`: ``activation(x @ kernel + bias + h @ recurrent_kernel)``."""

    gates = 1

    def step(self, projected: Any, states: Sequence[Any]) -> list[Any]:
        """The state after a step."""
        return [self.activation(projected + self.recur(states[0]))]


class _GatedCell(RecurrentCell):
    """A cell with an activation for its gates."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        **keywords: Any,
    ) -> None:
        keywords.pop("implementation", None)  # which only chooses how to compute
        super().__init__(units, activation, use_bias, **keywords)
        self.recurrent_activation = activations.get(recurrent_activation)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal cell from."""
        activation = activations.serialize(self.recurrent_activation)
        return {**super().get_config(), "recurrent_activation": activation}


class LSTMCell(_GatedCell):
    """A step of `LSTM` (Hochreiter and Schmidhuber, 1997).

    The columns of the kernels and the bias are those of the input gate, the forget
    gate, the candidate and the output gate; the states are the output and the carry.

    Args:
        units: The size of the output and of each state.
        activation: Of candidate and output, a name or a function.
        recurrent_activation: Of the gates.
        use_bias: Whether to add a bias.
        unit_forget_bias: Whether the forget gate's bias starts at one.
        **keywords: More arguments of `SimpleRNNCell`.
    """

    gates = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        unit_forget_bias: bool = True,
        **keywords: Any,
    ) -> None:
        super().__init__(units, activation, recurrent_activation, use_bias, **keywords)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [self.units, self.units]

    def initial_bias(self, shape: Any, dtype: Any = None) -> Any:
        """The bias initializer's values, with ones for the forget gate."""
        if not self.unit_forget_bias:
            return super().initial_bias(shape, dtype)
        first = self.bias_initializer((self.units,), dtype=dtype)
        ones = initializers.Ones()((self.units,), dtype=dtype)
        rest = self.bias_initializer((2 * self.units,), dtype=dtype)
        return ops.concatenate([first, ones, rest], axis=0)

    def step(self, projected: Any, states: Sequence[Any]) -> list[Any]:
        """Output and carry after a step."""
        output, carry = states
        gates = ops.split(projected + self.recur(output), 4, axis=-1)
        taken, kept, candidate, shown = gates
        gate = self.recurrent_activation
        carry = gate(kept) * carry + gate(taken) * self.activation(candidate)
        return [gate(shown) * self.activation(carry), carry]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal cell from."""
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}


class GRUCell(_GatedCell):
    """A step of `GRU` (Cho et al., 2014).

    The columns of the kernels and the bias are those of the update gate, the reset
    gate and the candidate.

    Args:
        units: The size of the output and of each state.
        activation: Of the candidate, a name or a function.
        recurrent_activation: Of the gates.
        use_bias: Whether to add a bias.
        reset_after: Whether the reset gate acts after the matrix multiplication.
        **keywords: More arguments of `SimpleRNNCell`.
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        *,
        reset_after: bool = True,
        **keywords: Any,
    ) -> None:
        super().__init__(units, activation, recurrent_activation, use_bias, **keywords)
        self.reset_after = reset_after

    def bias_shape(self) -> tuple[int, ...]:
        """One row for the input and, with `reset_after`, one for the recurrence."""
        shape = super().bias_shape()
        return (2, *shape) if self.reset_after else shape

    def input_bias(self) -> Any:
        """The input's row of the bias."""
        if self.bias is None or not self.reset_after:
            return self.bias
        return self.bias[0]

    def step(self, projected: Any, states: Sequence[Any]) -> list[Any]:
        """The state after a step."""
        (state,) = states
        update_in, reset_in, candidate_in = ops.split(projected, 3, axis=-1)
        if self.reset_after:
            inner = self.recur(state)
            if self.bias is not None:
                inner = ops.add(inner, self.bias[1])
            update, reset, candidate = ops.split(inner, 3, axis=-1)
            reset = self.recurrent_activation(reset_in + reset)
            candidate = reset * candidate
        else:
            update, reset = ops.split(self.recur(state, 0, 2), 2, axis=-1)
            reset = self.recurrent_activation(reset_in + reset)
            candidate = self.recur(reset * state, 2, 3)
        update = self.recurrent_activation(update_in + update)
        candidate = self.activation(candidate_in + candidate)
        return [update * state + (1 - update) * candidate]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal cell from."""
        return {**super().get_config(), "reset_after": self.reset_after}


class StackedRNNCells(Layer):
    """Cells one above the other: each one's output is the next one's input.

    Args:
        cells: The cells, the lowest first.

    Raises:
        ValueError: If one has no `call` or no `state_size`.
    """

    def __init__(self, cells: Sequence[Any], **keywords: Any) -> None:
        super().__init__(**keywords)
        for cell in cells:
            check_cell(cell)
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The state size of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        """The size of the topmost cell's output."""
        return output_size(self.cells[-1])

    def build(self, input_shape: Any) -> None:
        """Builds the cells."""
        for cell in self.cells:
            if isinstance(cell, Layer):
                cell.ensure_built_for(input_shape)
            input_shape = (input_shape[0], output_size(cell))

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """The initial states of each cell."""
        return [
            initial_state(cell, batch_size, self.compute_dtype) for cell in self.cells
        ]

    def call(self, inputs: Any, states: Any, training: bool | None = False) -> Any:
        """One step of each cell, the lowest first."""
        after: list[Any] = []
        for cell, before in zip(self.cells, states, strict=True):
            inputs, new = call_cell(cell, inputs, before, training)
            after.append(new)
        return inputs, after

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        cells = [LAYERS.serialize(cell) for cell in self.cells]
        return {**super().get_config(), "cells": cells}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer made from what `get_config` returned."""
        cells = [LAYERS.deserialize(cell) for cell in config["cells"]]
        return cls(**{**config, "cells": cells})


def check_cell(cell: Any) -> None:
    """Raises a ValueError unless `cell` has what a recurrent layer needs."""
    for name, what in (("call", "method"), ("state_size", "attribute")):
        if not hasattr(cell, name):
            raise ValueError(
                f"A recurrent cell must have a `{name}` {what}. Received: cell={cell!r}"
            )


def call_cell(cell: Any, inputs: Any, states: Any, training: bool | None) -> Any:
    """One step of any cell: its output and its states after the step."""
    keywords = {"training": training} if accepts(type(cell).call, "training") else {}
    return (cell if callable(cell) else cell.call)(inputs, states, **keywords)


def output_size(cell: Any) -> int:
    """The size of a cell's output."""
    found = getattr(cell, "output_size", None)
    if found is None:
        found = trees.leaves(cell.state_size)[0]
    return found


def initial_state(cell: Any, batch_size: Any, dtype: str) -> list[Any]:
    """The states that a cell starts with: its own, or zeros; always a list."""
    make = getattr(cell, "get_initial_state", None)
    if make is not None:
        found = make(batch_size=batch_size)
        return list(found) if isinstance(found, (list, tuple)) else [found]
    return _zero_states(cell, batch_size, dtype)


def _zero_states(cell: Any, batch_size: Any, dtype: str) -> list[Any]:
    return [ops.zeros((batch_size, n), dtype=dtype) for n in state_sizes(cell)]


def state_sizes(cell: Any) -> list[Any]:
    """The sizes of a cell's states, as a list."""
    size = cell.state_size
    return list(size) if isinstance(size, (list, tuple)) else [size]


@contextmanager
def drawn_masks(
    cell: Any, batch: Any, features: int, training: bool | None
) -> Iterator[None]:
    """While open, all steps of a cell and the cells inside drop the same elements."""
    if isinstance(cell, RecurrentCell):
        with cell.drawn_masks(batch, features, training):
            yield
    elif isinstance(cell, StackedRNNCells):
        with ExitStack() as stack:
            for inner in cell.cells:
                stack.enter_context(drawn_masks(inner, batch, features, training))
                features = output_size(inner)
            yield
    else:
        yield
