"""Sequential: a stack of layers, each with one input and one output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from graphc.frontend.keras_tensor import KerasTensor
from graphc.frontend.layers.call_spec import shapes_of
from graphc.frontend.layers.input_layer import InputLayer
from graphc.frontend.layers.layer import Layer
from graphc.frontend.models.function import Function
from graphc.frontend.models.model import Model
from graphc.frontend.models.saving import layers_from_config
from graphc.frontend.registry import custom_scope
from graphc.frontend.serialization.objects import serialize_keras_object
from graphc.frontend.tracing import name_scope, replay


class Sequential(Model):
    """A stack of layers.

    Args:
        layers: The layers; an `Input` first fixes the input shape, so the model is
            built at once.
        trainable: Whether the weights are trained.
        name: The model's name.
        dtype: The dtype policy; the global one by default.

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
        dtype: Any = None,
    ) -> None:
        super().__init__(trainable=trainable, name=name, dtype=dtype)
        self._stack: list[Layer] = []
        if isinstance(layers, Layer):
            raise ValueError(
                f"Expected `layers` to be a list of layers. Received: layers={layers!r}"
            )
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
        for operation in (
            self._function.operations if self._function is not None else ()
        ):
            called = operation.function
            called._operations = [o for o in called._operations if o is not operation]
        self._function = None
        self.built = False
        self._programs.clear()
        self.reset_programs()

    def _build_if_possible(self) -> None:
        if not self._stack or self._function is not None:
            return
        first = self._stack[0]
        source: KerasTensor | None = None
        if isinstance(first, InputLayer):
            source = first.tensor
        elif first.declared_input_shape is not None:
            source = InputLayer(shape=tuple(first.declared_input_shape)).tensor
        elif isinstance(first, Model) and first._function is not None:
            source = InputLayer(batch_shape=first.input_shape).tensor
        if source is not None:
            with name_scope(self.name):
                self._build_from(source)

    def ensure_built(self, bound: dict[str, Any]) -> None:
        """Builds the layers for inputs of these shapes and any batch size."""
        if not self.built:
            shape = shapes_of(next(iter(bound.values()), None))
            self.build((None, *shape[1:]) if isinstance(shape, tuple) else shape)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layers for inputs of this shape, batch dimension included."""
        if self._function is not None or input_shape is None:
            self.built = True
            return
        shape = tuple(input_shape)
        if shape and isinstance(shape[0], (list, tuple)):
            raise ValueError(
                f"A Sequential model has one input. Received: input_shape={input_shape}"
            )
        self._build_from(InputLayer(batch_shape=shape).tensor)

    def _build_from(self, source: KerasTensor) -> None:
        if all(isinstance(layer, InputLayer) for layer in self._stack):
            return
        self.built = True
        x = source
        for layer in self.layers:
            x = layer(x)
        self._function = Function(source, x)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Passes the input through the layers in turn."""
        x = inputs
        if self._function is not None:
            (x,) = self._function.conform(inputs)
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

    def consists_of_layers(self) -> bool:
        """Whether the model does nothing but call its layers in turn."""
        return type(self).call is Sequential.call

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal model from: JSON values."""
        made_by_user = type(self).__init__ is not Sequential.__init__
        if made_by_user or not self.consists_of_layers():
            return super().get_config()
        shape = None if self._function is None else list(self.input_shape)
        return self._base_config() | {
            "layers": [serialize_keras_object(layer) for layer in self._stack],
            "build_input_shape": shape,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """A model made from what `get_config` returned, with new weights.

        Args:
            config: The config.
            custom_objects: Classes and functions of your own by name.

        Raises:
            ValueError: If the config is malformed or names something unknown.
        """
        rest = dict(config)
        shape = rest.pop("build_input_shape", None)
        with custom_scope(custom_objects or {}):
            layers = layers_from_config(config)
        made = cls(**(rest | {"layers": layers}))
        if shape is not None and not made.built:
            made.build(shape)
        return made
