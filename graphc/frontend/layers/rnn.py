"""Recurrent layers: the loop over time, and SimpleRNN, LSTM and GRU."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from graphc.frontend import ops, trees
from graphc.frontend.layers.call_spec import constructor_parameters
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.layers.layer import Layer
from graphc.frontend.layers.recurrent_cells import (
    GRUCell,
    LSTMCell,
    RecurrentCell,
    SimpleRNNCell,
    StackedRNNCells,
    call_cell,
    check_cell,
    drawn_masks,
    initial_state,
    state_sizes,
)
from graphc.frontend.layers.registry import LAYERS
from graphc.frontend.naming import snake_case
from graphc.frontend.tracing import name_scope
from graphc.frontend.variables import Variable


class RNN(Layer):
    """Runs a cell over the time axis of its input.

    A step that the mask leaves out keeps the states, and repeats the output.

    Args:
        cell: A cell, or several to stack: objects with ``call(inputs, states)``, which
            gives the output and the new states, and a ``state_size``, an integer or a
            list of one per state; ``output_size`` and ``get_initial_state`` may be
            missing.
        return_sequences: Whether to return the output of all steps.
        return_state: Whether to return the last states too.
        go_backwards: Whether to take the steps from the last one to the first; the
            outputs are in the order of the steps taken.
        stateful: Whether a call starts with the states that the last one ended with;
            needs a fixed batch size.
        unroll: Whether to repeat the step's graph instead of looping; needs a fixed
            number of steps.
        zero_output_for_mask: Whether the output of masked steps is zero.

    Call arguments:
        sequences: Of shape (batch, time, ...).
        initial_state: The states to start with; zeros by default.
        mask: A bool tensor of shape (batch, time); False leaves a step out.
        training: Whether cells drop elements.

    Example:
        >>> import numpy as np, graphc
        >>> class Sum(graphc.layers.Layer):
        ...     state_size = 3
        ...     def call(self, inputs, states):
        ...         total = states[0] + inputs
        ...         return total, [total]
        >>> graphc.layers.RNN(Sum())(np.ones((2, 4, 3), "float32")).numpy()
        array([[4., 4., 4.],
               [4., 4., 4.]], dtype=float32)
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        check_cell(cell)
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.supports_masking = True
        self.states: list[Any] | None = None

    @property
    def state_size(self) -> Any:
        """The sizes of the cell's states, as a list."""
        return state_sizes(self.cell)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds the cell and, for a stateful layer, the variables of the states."""
        step_shape = (sequences_shape[0], *sequences_shape[2:])
        if isinstance(self.cell, Layer):
            self.cell.ensure_built_for(step_shape)
        if self.stateful:
            if sequences_shape[0] is None:
                raise ValueError(
                    f"Layer '{self.name}' is stateful, so the batch size must be fixed:"
                    " give Input(batch_shape=...). Received: input_shape="
                    f"{tuple(sequences_shape)}"
                )
            self.states = trees.map_leaves(
                self._state_variable, self.get_initial_state(sequences_shape[0])
            )

    def _state_variable(self, initial: Any) -> Variable:
        zeros = np.zeros(tuple(initial.shape))
        return Variable(
            zeros, trainable=False, dtype=self.variable_dtype, name="rnn_state"
        )

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """The states that a sequence starts with, as a list."""
        return initial_state(self.cell, batch_size, self.compute_dtype)

    def reset_state(self) -> None:
        """Sets the states of a stateful layer to zero."""
        for variable in trees.leaves(self.states or []):
            variable.assign(np.zeros(variable.shape))

    def reset_states(self) -> None:
        """The same as `reset_state`."""
        self.reset_state()

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The input's mask for the outputs of all steps; none for other outputs."""
        masks = trees.leaves(previous_mask)
        mask = masks[0] if masks and self.return_sequences else None
        return [mask, *(None for _ in self.state_size)] if self.return_state else mask

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = False,
    ) -> Any:
        """Runs the cell over all steps."""
        states = self._first_states(sequences, initial_state)
        batch, features = ops.shape(sequences)[0], sequences.shape[-1]
        with drawn_masks(self.cell, batch, features, training):
            last, outputs, states = self._loop(sequences, states, mask, training)
        for variable, state in zip(
            trees.leaves(self.states or []), trees.leaves(states), strict=False
        ):
            variable.assign(state)
        output = ops.cast(
            outputs if self.return_sequences else last, self.compute_dtype
        )
        return (output, *states) if self.return_state else output

    def _first_states(self, sequences: Any, given: Any) -> list[Any]:
        if given is None:
            given = self.states
        if given is None:
            given = self.get_initial_state(ops.shape(sequences)[0])
        if not isinstance(given, (list, tuple)):
            given = [given]
        if len(given) != len(self.state_size):
            raise ValueError(
                f"Layer '{self.name}' has {len(self.state_size)} states. Received:"
                f" initial_state with {len(given)} tensors"
            )
        dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
        return trees.map_leaves(
            lambda state: ops.convert_to_tensor(state, dtype=dtype), list(given)
        )

    def _loop(self, sequences: Any, states: Any, mask: Any, training: Any) -> Any:
        """The last output, all outputs if they are needed, and the last states."""
        xs = ops.swapaxes(sequences, 0, 1)
        cell, projects = self.cell, self._projects()
        if projects:
            with name_scope(cell.name):
                xs = cell.project(xs)
        stacked = self.return_sequences or not self._ends_with_state(mask)

        def body(before: Any, x: Any) -> Any:
            x, kept = x if mask is not None else (x, None)
            if projects:
                with name_scope(cell.name):
                    after = cell.step(x, before)
                output = after[0]
            else:
                output, after = call_cell(cell, x, before, training)
                after = list(after) if isinstance(after, (list, tuple)) else [after]
            if kept is not None:
                output = _choose(kept, output, self._skipped(before, output))
                after = trees.map_leaves(
                    lambda new, old: _choose(kept, new, old), after, before
                )
            return after, output if stacked else None

        if mask is not None:
            mask = ops.cast(trees.leaves(mask)[0], "bool")
            if len(mask.shape) == 3:
                mask = ops.any(mask, axis=-1)
            xs = (xs, ops.swapaxes(mask, 0, 1))
        states, outputs = self._steps(body, states, xs)
        if not stacked:
            return states[0], None, states
        return outputs[-1], ops.swapaxes(outputs, 0, 1), states

    def _projects(self) -> bool:
        """Whether the cell's input is projected before the loop."""
        # Not for a subclass with a step of its own.
        return getattr(type(self.cell), "call", None) is RecurrentCell.call

    def _ends_with_state(self, mask: Any) -> bool:
        """Whether the last output is the first of the last states."""
        plain = mask is None or not self.zero_output_for_mask
        return plain and isinstance(self.cell, RecurrentCell)

    def _skipped(self, before: Any, output: Any) -> Any:
        """The output of a step that is left out: zeros, or the output before it."""
        if self.zero_output_for_mask:
            return ops.zeros_like(output)
        # A cell's first state is its output; of stacked cells, the topmost one's.
        first = before[-1] if isinstance(before[0], (list, tuple)) else before[0]
        return first[0] if isinstance(first, (list, tuple)) else first

    def _steps(self, body: Any, states: Any, xs: Any) -> tuple[Any, Any]:
        """All steps in the order they are taken, with time-major outputs."""
        if not self.unroll:
            states, stacked = ops.scan(body, states, xs, reverse=self.go_backwards)
            if stacked is not None and self.go_backwards:
                stacked = ops.flip(stacked, axis=0)
            return states, stacked
        length = trees.leaves(xs)[0].shape[0]
        if not isinstance(length, int):
            raise ValueError(
                f"Layer '{self.name}' can only unroll a fixed number of steps. Give the"
                " input's time axis a size, or unroll=False."
            )
        steps = range(length)
        outputs: list[Any] = []
        for index in reversed(steps) if self.go_backwards else steps:
            states, output = body(states, trees.map_leaves(lambda x, i=index: x[i], xs))
            outputs.append(output)
        return states, None if outputs[0] is None else ops.stack(outputs)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**self._loop_config(), "cell": LAYERS.serialize(self.cell)}

    def _loop_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer made from what `get_config` returned."""
        return cls(**{**config, "cell": LAYERS.deserialize(config["cell"])})


def _choose(kept: Any, new: Any, old: Any) -> Any:
    """`new` where a step is kept, else `old`; `kept` has the batch axis alone."""
    return ops.where(ops.reshape(kept, (-1, *(1 for _ in new.shape[1:]))), new, old)


class _FromCell:
    """An attribute that is the cell's."""

    def __set_name__(self, owner: Any, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: Any = None) -> Any:
        return self if layer is None else getattr(layer.cell, self.name)


class _CellLayer(RNN):
    """A recurrent layer that makes its own cell."""

    cell_class: ClassVar[type[RecurrentCell]]

    units = _FromCell()
    activation = _FromCell()
    use_bias = _FromCell()
    kernel_initializer = _FromCell()
    recurrent_initializer = _FromCell()
    bias_initializer = _FromCell()
    kernel_regularizer = _FromCell()
    recurrent_regularizer = _FromCell()
    bias_regularizer = _FromCell()
    kernel_constraint = _FromCell()
    recurrent_constraint = _FromCell()
    bias_constraint = _FromCell()
    dropout = _FromCell()
    recurrent_dropout = _FromCell()

    def __init__(self, units: int, **keywords: Any) -> None:
        keywords.pop("use_cudnn", None)  # which only chooses a kernel
        own = constructor_parameters(RNN)
        for_cell = {k: keywords.pop(k) for k in list(keywords) if k not in own}
        both = {k: keywords[k] for k in ("dtype", "trainable") if k in keywords}
        name = snake_case(self.cell_class.__name__)
        cell = self.cell_class(units, name=name, **for_cell, **both)
        super().__init__(cell, **keywords)
        self.input_spec = InputSpec(ndim=3)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**self.cell.get_config(), **self._loop_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer made from what `get_config` returned."""
        return cls(**config)


class SimpleRNN(_CellLayer):
    """A recurrent layer whose output is its state (Elman, 1990).

    Args:
        units: The size of the output.
        activation: A name or a function.
        use_bias: Whether to add a bias.
        **keywords: More arguments of `SimpleRNNCell` and of `RNN`.

    Example:
        >>> import numpy as np, graphc
        >>> graphc.layers.SimpleRNN(4)(np.ones((2, 5, 3), "float32")).shape
        (2, 4)
    """

    cell_class = SimpleRNNCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        **keywords: Any,
    ) -> None:
        super().__init__(units, activation=activation, use_bias=use_bias, **keywords)


class GatedLayer(_CellLayer):
    """A recurrent layer with an activation for its gates."""

    recurrent_activation = _FromCell()

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        **keywords: Any,
    ) -> None:
        super().__init__(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            **keywords,
        )


class LSTM(GatedLayer):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997).

    Args:
        units: The size of the output.
        activation: Of candidate and output, a name or a function.
        recurrent_activation: Of the gates.
        use_bias: Whether to add a bias.
        **keywords: More arguments of `LSTMCell` and of `RNN`.

    Example:
        >>> import numpy as np, graphc
        >>> layer = graphc.layers.LSTM(4, return_sequences=True, return_state=True)
        >>> outputs, hidden, carry = layer(np.ones((2, 5, 3), "float32"))
        >>> outputs.shape, hidden.shape, carry.shape
        ((2, 5, 4), (2, 4), (2, 4))
    """

    cell_class = LSTMCell
    unit_forget_bias = _FromCell()


class GRU(GatedLayer):
    """Gated recurrent unit (Cho et al., 2014).

    Args:
        units: The size of the output.
        activation: Of the candidate, a name or a function.
        recurrent_activation: Of the gates.
        use_bias: Whether to add a bias.
        **keywords: More arguments of `GRUCell` and of `RNN`.

    Example:
        >>> import numpy as np, graphc
        >>> graphc.layers.GRU(4)(np.ones((2, 5, 3), "float32")).shape
        (2, 4)
    """

    cell_class = GRUCell
    reset_after = _FromCell()
