"""Model: a layer that can be compiled, trained, evaluated, run and saved."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from graphc.frontend import trees
from graphc.frontend.dtype_policies import FLOAT8
from graphc.frontend.keras_tensor import KerasTensor, symbolic_leaves
from graphc.frontend.layers.call_spec import shape_of
from graphc.frontend.layers.float8 import Float8Layer
from graphc.frontend.layers.input_layer import InputLayer
from graphc.frontend.layers.layer import Layer
from graphc.frontend.models.function import Function
from graphc.frontend.models.graphs import model_graph
from graphc.frontend.models.plotting import Dot, plot_model
from graphc.frontend.models.saving import Saving
from graphc.frontend.models.summary import print_summary
from graphc.frontend.training.trainer import Trainer
from graphc.ir import Graph


class Model(Saving, Trainer, Layer):
    """A model: made from symbolic inputs and outputs, or by subclassing.

    Args:
        inputs: A nested structure of symbolic inputs, from `graphc.Input`.
        outputs: A nested structure of symbolic tensors computed from them.
        name: The model's name.
        trainable: Whether its weights are trained.

    Example:
        >>> import graphc
        >>> inputs = graphc.Input((4,))
        >>> outputs = graphc.layers.Dense(3)(inputs)
        >>> model = graphc.Model(inputs, outputs)
        >>> model.count_params()
        15
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        given = dict(zip(("inputs", "outputs", "name"), arguments, strict=False))
        if arguments and not symbolic_leaves(arguments[0]):
            raise ValueError(
                "Expected the first argument of a Model to be symbolic tensors from"
                f" graphc.Input(). Received: {type(arguments[0]).__name__}"
            )
        keywords = given | keywords
        inputs = keywords.pop("inputs", None)
        outputs = keywords.pop("outputs", None)
        Layer.__init__(self, **keywords)
        Trainer.__init__(self)
        self._function: Function | None = None
        if inputs is not None or outputs is not None:
            self._set_function(Function(inputs, outputs))
            self.built = True

    def _set_function(self, function: Function) -> None:
        """Makes the model compute `function`; its layers become the model's."""
        called = function.sorted_layers()
        self._function_layers = [f for f in called if isinstance(f, Layer)]
        names = [layer.name for layer in self._function_layers]
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                raise ValueError(
                    "All layers of a functional model must have unique names."
                    f" Received: {names.count(name)} layers called {name!r}"
                )
        self._function = function

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Computes the outputs; overridden by subclassed models."""
        if self._function is None:
            raise NotImplementedError(
                f"Model {type(self).__name__} does not have a `call()` method"
                " implemented."
            )
        return self._function(inputs)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers by tracing a call for inputs of this shape.

        Args:
            input_shape: The shape of the input with the batch dimension, or a
                structure of shapes.
        """
        if self.built or input_shape is None:
            self.built = True
            return
        self.built = True
        self(_inputs_of(input_shape))

    def build_scope(self) -> Any:
        """No scope where the layers are built by calling the model, which opens one."""
        return (
            nullcontext() if type(self).build is Model.build else super().build_scope()
        )

    def ensure_built(self, bound: dict[str, Any]) -> None:
        """Marks a subclassed model as built: its layers build when they are called."""
        if type(self).build is Model.build:
            self.built = True
        else:
            super().ensure_built(bound)

    def has_function(self) -> bool:
        """Whether the model has symbolic inputs and outputs."""
        return self._function is not None

    def has_call(self) -> bool:
        """Whether the model can be called; one with its own train_step may not be."""
        return self._function is not None or type(self).call is not Model.call

    def sublayers(self) -> list[Layer]:
        """The layers of the model, in Keras's order."""
        if self._function is None:
            return Layer.sublayers(self)
        listed = [*self._function_layers, *Layer.sublayers(self)]
        return list({id(layer): layer for layer in listed}.values())

    @property
    def layers(self) -> list[Layer]:
        """The layers of the model."""
        return self.sublayers()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by name or position.

        Raises:
            ValueError: If there is none.
        """
        if (name is None) == (index is None):
            raise ValueError("Expected exactly one of `name` and `index`.")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(
                    f"The model has {len(self.layers)} layers. Received: index={index}"
                )
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"No such layer: {name}. Existing layers are: {[x.name for x in self.layers]}."
        )

    # -- the functional view -------------------------------------------------------------

    @property
    def function(self) -> Function:
        """The operations of a functional or built sequential model.

        Raises:
            AttributeError: If the model is subclassed or not built yet.
        """
        if self._function is None:
            raise AttributeError(
                f"Model '{self.name}' has no symbolic inputs and outputs: it is"
                " subclassed or not built yet."
            )
        return self._function

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic inputs."""
        return self.function.inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic outputs."""
        return self.function.outputs

    @property
    def input(self) -> Any:
        """The symbolic inputs in the structure that the model was made with."""
        return self.function.inputs_structure

    @property
    def output(self) -> Any:
        """The symbolic outputs in the structure that the model was made with."""
        return self.function.outputs_structure

    @property
    def input_shape(self) -> Any:
        """The shape of each input; None stands for an unknown size."""
        return trees.map_leaves(shape_of, self.function.inputs_structure)

    @property
    def output_shape(self) -> Any:
        """The shape of each output; None stands for an unknown size."""
        return trees.map_leaves(shape_of, self.function.outputs_structure)

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""
        return [t.name for t in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that make the outputs, as losses are named by."""
        if self._function is None:
            return []
        names: list[str] = []
        for tensor in self._function.outputs:
            assert tensor.operation is not None
            called = tensor.operation.function
            names.append(called.name if isinstance(called, Layer) else tensor.name)
        return names

    def graph(self, kind: str, batch_size: int | None = None) -> Graph:
        """The graph of one of the model's steps, as traced, before passes.

        Args:
            kind: ``"init"`` (random keys to initial values), ``"train_step"``,
                ``"eval_step"`` or ``"predict"``; ``"train_block"`` and
                ``"eval_block"`` for the loops of ``steps_per_execution``, with the
                number of batches as the symbol ``K``.
            batch_size: Binds the batch size; by default it is the symbol ``B``.

        Returns:
            The graph. Inputs come first, then state (parameters with ``role="state"``);
            outputs come first, then the new values of the state that is written.

        Raises:
            ValueError: For an unknown kind, or if types are not known yet.

        Example:
            >>> import graphc
            >>> model = graphc.Sequential([graphc.Input((4,)), graphc.layers.Dense(2)])
            >>> [n.op.name for n in model.graph("predict").nodes]
            ['dot_general', 'broadcast_in_dim', 'add']
        """
        return model_graph(self, kind, batch_size)

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], None] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Prints the layers, their output shapes and their numbers of parameters.

        Args:
            line_length: The width of the table; that of the terminal by default.
            positions: Kept for Keras's signature; columns are as wide as their text.
            print_fn: Called with the text instead of printing it.
            expand_nested: Whether to list the layers of models in the model.
            show_trainable: Whether to show which layers are trained.
            layer_range: The names of the first and the last layer to list, or patterns
                of their names.

        Raises:
            ValueError: If `layer_range` matches no layers.
        """
        print_summary(
            self,
            line_length=line_length,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
        )

    def quantize(
        self, mode: str = FLOAT8, config: Any = None, filters: Any = None
    ) -> None:
        """Makes the built layers that can multiply 8-bit floats do so, as Keras does.

        A model that was compiled has to be compiled anew: there are new weights.

        Args:
            mode: ``"float8"``.
            config: Kept for Keras's signature.
            filters: Which layers: a regular expression that is searched for in their
                names, a list of these, or a function of a layer; all by default.

        Raises:
            ValueError: For another mode, or a layer that is quantized already.
        """
        for layer in self._flatten_layers():
            if isinstance(layer, Float8Layer) and _is_chosen(layer, filters):
                layer.quantize(mode, config)
        self.reset_programs()

    def plot(
        self, to_file: str | os.PathLike[str] = "model.png", **options: Any
    ) -> Dot:
        """Draws the model's layers to a file, as ``utils.plot_model`` does.

        Args:
            to_file: The file's name; its ending is the format. One that ends in
                ``.dot`` needs no graphviz.
            **options: The options of ``utils.plot_model``, such as ``show_shapes``.

        Raises:
            ValueError: If the model has not been built.
            ImportError: If graphviz is needed and not installed.
        """
        return plot_model(self, to_file, **options)

    def consists_of_layers(self) -> bool:
        """Whether the calls of its layers that were recorded are all that it computes."""
        if self._function is None or type(self).call is not Model.call:
            return False
        called = {id(layer) for layer in self._function_layers}
        return all(id(layer) in called for layer in Layer.sublayers(self))

    def _call_traced(self, arguments: Any, keywords: Any) -> Any:
        outputs = super()._call_traced(arguments, keywords)
        if self._function is None:
            self.note_call(arguments, keywords)
        return outputs

    @property
    def input_layers(self) -> list[InputLayer]:
        """The input layers of a functional model."""
        return [layer for layer in self.layers if isinstance(layer, InputLayer)]

    def __reduce__(self) -> Any:
        raise TypeError(
            "Models are not pickled: files that hold code are unsafe. Use"
            " model.save('model.graphc') and graphc.load_model."
        )


def _is_chosen(layer: Layer, filters: Any) -> bool:
    if filters is None or callable(filters):
        return filters is None or bool(filters(layer))
    patterns = [filters] if isinstance(filters, str) else filters
    return any(re.search(pattern, layer.name) for pattern in patterns)


def _inputs_of(shape: Any) -> Any:
    """Symbolic inputs for a shape or a structure of shapes."""
    if isinstance(shape, dict):
        return {name: _inputs_of(s) for name, s in shape.items()}
    if shape and isinstance(shape[0], (list, tuple)):
        return [_inputs_of(s) for s in shape]
    if not all(d is None or isinstance(d, (int, np.integer)) for d in shape):
        raise ValueError(
            f"Expected a shape of integers and None. Received: input_shape={shape}"
        )
    return InputLayer(batch_shape=tuple(shape)).tensor
