"""Sequential: a stack of layers, each with one input and one output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend.keras_tensor import KerasTensor
from graphc.frontend.layers.input_layer import InputLayer
from graphc.frontend.layers.layer import Layer
from graphc.frontend.models.function import Function
from graphc.frontend.models.model import Model
from graphc.frontend.tracing import name_scope, replay


class Sequential(Model):
    """A stack of layers.

    Args:
        layers: The layers; an `Input` first fixes the input shape, so the model is
            built at once.
        trainable: Whether the weights are trained.
        name: The model's name.

    Example:
        >>> import graphc
        >>> model = graphc.Sequential([graphc.Input((4,)), graphc.layers.Dense(2)])
        >>> model.output_shape
        (None, 2)
    """

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(trainable=trainable, name=name)
        self._stack: list[Layer] = []
        for layer in layers or ():
            self._append(layer)
        self._build_if_possible()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Appends a layer.

        Raises:
            ValueError: If it is no layer, or its name is taken.
        """
        self._append(layer)
        if rebuild:
            self._build_if_possible()

    def pop(self, rebuild: bool = True) -> Layer:
        """Removes and returns the last layer.

        Raises:
            ValueError: If there is none.
        """
        if not self._stack:
            raise ValueError("There are no layers in the model.")
        layer = self._stack.pop()
        self._reset()
        if rebuild:
            self._build_if_possible()
        return layer

    def _append(self, layer: Any) -> None:
        if isinstance(layer, KerasTensor) and layer.operation is not None:
            layer = layer.operation.function
        if not isinstance(layer, Layer):
            raise ValueError(
                "Only instances of graphc.Layer can be added to a Sequential model."
                f" Received: {layer!r} (of type {type(layer).__name__})"
            )
        if any(layer.name == other.name for other in self._stack):
            raise ValueError(
                "All layers added to a Sequential model should have unique names."
                f" Name '{layer.name}' is already the name of a layer in this model."
            )
        if isinstance(layer, InputLayer) and self._stack:
            raise ValueError(
                f"Sequential model '{self.name}' already has been configured to use"
                " input shape: an Input must come first."
            )
        self._stack.append(layer)
        self._reset()

    def _reset(self) -> None:
        self._function = None
        self.built = False
        self._programs.clear()
        self.reset_programs()

    def _build_if_possible(self) -> None:
        if not self._stack or self._function is not None:
            return
        first = self._stack[0]
        if isinstance(first, InputLayer):
            self._build_from(first.tensor)
        elif first.declared_input_shape is not None:
            self._build_from(InputLayer(shape=tuple(first.declared_input_shape)).tensor)
        elif isinstance(first, Model) and first._function is not None:
            self._build_from(InputLayer(batch_shape=first.input_shape).tensor)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers for inputs of this shape, batch dimension included."""
        if self._function is not None or input_shape is None:
            self.built = True
            return
        shape = tuple(input_shape)
        if shape and isinstance(shape[0], (list, tuple)):
            raise ValueError(
                "A Sequential model has one input."
                f" Received: input_shape={input_shape}"
            )
        self._build_from(InputLayer(batch_shape=shape).tensor)

    def _build_from(self, source: KerasTensor) -> None:
        if all(isinstance(layer, InputLayer) for layer in self._stack):
            return
        self.built = True
        x = source
        with name_scope(self.name):
            for layer in self.layers:
                x = layer(x)
        self._function = Function(source, x)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Passes the input through the layers in turn."""
        x = inputs
        for layer in self.layers:
            x = replay(layer.created_at, layer, x)
        return x

    def sublayers(self) -> list[Layer]:
        """The layers of the stack, without the input layer."""
        return [layer for layer in self._stack if not isinstance(layer, InputLayer)]

    @property
    def layers(self) -> list[Layer]:
        """The layers of the stack, without the input layer."""
        return self.sublayers()
