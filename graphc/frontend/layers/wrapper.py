"""Layers around other layers: TimeDistributed and Bidirectional."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops, trees
from graphc.frontend.arguments import one_of
from graphc.frontend.layers.call_spec import accepts
from graphc.frontend.layers.layer import Layer
from graphc.frontend.layers.registry import LAYERS
from graphc.frontend.seeds import drawing_path, note_name


class Wrapper(Layer):
    """The base of layers around one other layer.

    Args:
        layer: The layer.

    Raises:
        ValueError: If it is no layer.
    """

    def __init__(self, layer: Layer, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.layer = check_layer(self, "layer", layer)

    def build(self, input_shape: Any = None) -> None:
        """Builds the inner layer for the same input."""
        self.layer.ensure_built_for(input_shape)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {**super().get_config(), "layer": LAYERS.serialize(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer made from what `get_config` returned."""
        return cls(**{**config, "layer": LAYERS.deserialize(config["layer"])})


def check_layer(wrapper: Layer, name: str, given: Any) -> Any:
    """`given`, after checking that it is a layer.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(given, Layer):
        return given
    raise ValueError(
        f"{type(wrapper).__name__} needs a layer. Received: {name}={given!r}"
    )


class TimeDistributed(Wrapper):
    """Applies a layer to each step of a sequence.

    A layer whose examples do not depend on each other is applied once, to all steps as
    one batch; others (batch normalization, layers of your own) step by step.

    Args:
        layer: The layer.

    Call arguments:
        inputs: Of shape (batch, time, ...), with at least three axes.
        training: Passed to the layer.
        mask: Of shape (batch, time, ...); passed to the layer step by step.

    Example:
        >>> import numpy as np, graphc
        >>> frames = np.ones((2, 5, 8, 8, 3), "float32")
        >>> graphc.layers.TimeDistributed(graphc.layers.Conv2D(4, 3))(frames).shape
        (2, 5, 6, 6, 4)
    """

    def __init__(self, layer: Layer, **keywords: Any) -> None:
        super().__init__(layer, **keywords)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Builds the layer for the input of one step."""
        if len(input_shape) < 3:
            raise ValueError(
                f"TimeDistributed layer '{self.name}' needs an input with at least 3"
                f" axes: (batch, time, ...). Received: input_shape={tuple(input_shape)}"
            )
        super().build((input_shape[0], *input_shape[2:]))

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Applies the layer to all steps."""
        if mask is not None and tuple(mask.shape[:2]) != tuple(inputs.shape[:2]):
            raise ValueError(
                f"TimeDistributed layer '{self.name}': the first two axes of the mask"
                " must be those of the input. Received: mask of shape"
                f" {tuple(mask.shape)}, input of shape {tuple(inputs.shape)}"
            )
        masked = mask is not None and accepts(type(self.layer).call, "mask")
        xs = (inputs, mask if masked else None)
        if _maps_examples(self.layer):
            return self._all_at_once(xs, training)
        steps = trees.map_leaves(lambda x: ops.swapaxes(x, 0, 1), xs)
        length = steps[0].shape[0]
        if isinstance(length, int):
            outputs = [
                self._apply(trees.map_leaves(lambda x, i=i: x[i], steps), training)
                for i in range(length)
            ]
            stacked = trees.map_leaves(lambda *each: ops.stack(each), *outputs)
        else:
            stacked = ops.map(lambda x: self._apply(x, training), steps)
        return trees.map_leaves(lambda x: ops.swapaxes(x, 0, 1), stacked)

    def _all_at_once(self, xs: Any, training: Any) -> Any:
        batch, time = ops.shape(xs[0])[:2]
        merged = trees.map_leaves(lambda x: ops.reshape(x, (-1, *x.shape[2:])), xs)
        return trees.map_leaves(
            lambda y: ops.reshape(y, (batch, time, *y.shape[1:])),
            self._apply(merged, training),
        )

    def _apply(self, xs: Any, training: Any) -> Any:
        inputs, mask = xs
        keywords = {} if mask is None else {"mask": mask}
        return self.layer(inputs, training=training, **keywords)


def _maps_examples(layer: Any) -> bool:
    """Whether a layer computes each example of a batch without the others."""
    consists = getattr(layer, "consists_of_layers", None)
    if consists is not None and consists():
        return all(map(_maps_examples, layer.sublayers()))
    says = {"call", "examples_apart"}
    owner = next(c for c in type(layer).__mro__ if says & c.__dict__.keys())
    apart = owner.__dict__.get("examples_apart", False)
    # The loss of a regularizer is a mean over the batch of each step.
    return apart and layer.activity_regularizer is None


_MERGE_MODES = ("concat", "sum", "ave", "mul", None)


class Bidirectional(Layer):
    """Runs a recurrent layer over a sequence in both directions.

    Args:
        layer: A layer like `RNN`, of which both directions get a fresh copy.
        merge_mode: How outputs are merged: ``"concat"``, ``"sum"``, ``"ave"`` (the
            mean), ``"mul"``, or None, which returns both.
        weights: The initial weights, those of the forward layer first.
        backward_layer: The layer for the backward direction, with `go_backwards` set;
            by default a copy of `layer`.

    Raises:
        ValueError: For no layer, an unknown `merge_mode`, or two layers that do not
            fit each other.

    Example:
        >>> import numpy as np, graphc
        >>> layer = graphc.layers.Bidirectional(graphc.layers.GRU(4))
        >>> layer(np.ones((2, 5, 3), "float32")).shape
        (2, 8)
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        check_layer(self, "layer", layer)
        if not hasattr(layer, "go_backwards"):
            raise ValueError(
                "Bidirectional needs a layer that can go backwards, such as an LSTM."
                f" Received: layer={layer!r}"
            )
        self.forward_layer = _copied(layer, "forward")
        if backward_layer is None:
            backwards = not layer.go_backwards
            backward_layer = _copied(layer, "backward", go_backwards=backwards)
        self.backward_layer = check_layer(self, "backward_layer", backward_layer)
        self._check_pair()
        for direction in (self.forward_layer, self.backward_layer):
            direction.zero_output_for_mask = layer.return_sequences
        self.merge_mode = one_of("merge_mode", merge_mode, _MERGE_MODES)
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self._initial_weights = weights

    def _check_pair(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                "One of the two layers must go backwards. Received: go_backwards="
                f"{forward.go_backwards} for both"
            )
        for name in ("stateful", "return_sequences", "return_state"):
            if getattr(forward, name) != getattr(backward, name):
                raise ValueError(
                    f"Both layers must have the same `{name}`. Received:"
                    f" {getattr(forward, name)} and {getattr(backward, name)}"
                )

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds both directions."""
        self.forward_layer.ensure_built_for(sequences_shape)
        self.backward_layer.ensure_built_for(sequences_shape)
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)

    @property
    def states(self) -> Any:
        """The state variables of both directions if the layers are stateful, or None."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return (*forward, *backward) if forward and backward else None

    def reset_state(self) -> None:
        """Sets the states of stateful layers to zero."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def reset_states(self) -> None:
        """The same as `reset_state`."""
        self.reset_state()

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The input's mask for the outputs of all steps; none for other outputs."""
        masks = trees.leaves(previous_mask)
        mask = masks[0] if masks and self.return_sequences else None
        outputs = [mask] if self.merge_mode else [mask, mask]
        if self.return_state:
            outputs += [None] * (2 * len(self.forward_layer.state_size))
        return outputs if len(outputs) > 1 else outputs[0]

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Runs both layers and merges their outputs."""
        first = second = None
        if initial_state is not None:
            half = len(initial_state) // 2
            first, second = initial_state[:half], initial_state[half:]
        keywords = {"mask": mask, "training": training}
        y = self.forward_layer(sequences, initial_state=first, **keywords)
        reverse = self.backward_layer(sequences, initial_state=second, **keywords)
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*y[1:], *reverse[1:])
            y, reverse = y[0], reverse[0]
        if self.return_sequences:
            reverse = ops.flip(reverse, axis=1)
        if self.merge_mode is None:
            return (y, reverse, *states)
        merged = self._merge(y, reverse)
        return (merged, *states) if states else merged

    def _merge(self, y: Any, reverse: Any) -> Any:
        if self.merge_mode == "concat":
            return ops.concatenate([y, reverse], axis=-1)
        if self.merge_mode == "mul":
            return y * reverse
        return y + reverse if self.merge_mode == "sum" else (y + reverse) / 2

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal layer from."""
        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": LAYERS.serialize(self.forward_layer),
            "backward_layer": LAYERS.serialize(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer made from what `get_config` returned."""
        names = ("layer", "backward_layer")
        made = {k: LAYERS.deserialize(config[k]) for k in names if config.get(k)}
        return cls(**{**config, **made})


def _copied(layer: Any, direction: str, **changes: Any) -> Any:
    """A layer with the configuration of `layer` and no state of it."""
    own = layer.name.removeprefix(f"{direction}_")
    name = f"{direction}_{own}"
    note_name(name, f"{direction}_{drawing_path(own)}")
    return type(layer).from_config({**layer.get_config(), **changes, "name": name})
