"""Models made anew from the configs of others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from graphc.frontend import trees
from graphc.frontend.keras_tensor import KerasTensor
from graphc.frontend.layers.input_layer import InputLayer
from graphc.frontend.layers.layer import Layer
from graphc.frontend.models.model import Model
from graphc.frontend.models.sequential import Sequential
from graphc.frontend.serialization.functional import (
    function_config,
    function_from_config,
)
from graphc.frontend.serialization.objects import deserialize_keras_object


def model_from_json(
    json_string: str, custom_objects: Mapping[str, Any] | None = None
) -> Model:
    """The model of an architecture that `Model.to_json` gave, with new weights.

    Args:
        json_string: The JSON.
        custom_objects: Classes and functions of your own by name.

    Raises:
        ValueError: If it is no JSON, or names something unknown.
    """
    return model_from_config(json.loads(json_string), custom_objects)


def model_from_config(
    config: Any, custom_objects: Mapping[str, Any] | None = None
) -> Model:
    """The model of an architecture that `serialize_keras_object` gave, with new weights.

    Args:
        config: What `serialize_keras_object` gave.
        custom_objects: Classes and functions of your own by name.

    Raises:
        ValueError: If it is of no model, or names something unknown.
    """
    found = deserialize_keras_object(config, custom_objects)
    if not isinstance(found, Model):
        raise ValueError(
            f"Expected the config of a model. Received: that of {type(found).__name__}"
        )
    return found


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Layer], Layer] | None = None,
) -> Model:
    """A model of the same architecture with new layers and new weights.

    Args:
        model: The model.
        input_tensors: Symbolic inputs for the new model, from `graphc.Input`; new ones
            by default.
        clone_function: Gives the new layer for a layer; by default one with the same
            config.

    Raises:
        ValueError: If a subclassed model is to have given inputs or layers.
    """
    clone = clone_function or _clone_layer
    if isinstance(model, Sequential) and model.consists_of_layers():
        sources = _sources(input_tensors)
        layers = [
            clone(x) for x in model._stack if not sources or x not in _inputs(model)
        ]
        made = Sequential([*sources, *layers], name=model.name)
        if not made.built and model._function is not None:
            made.build(model.input_shape)
        return made
    if not model.consists_of_layers():
        if input_tensors is not None or clone_function is not None:
            raise ValueError(
                "Arguments `input_tensors` and `clone_function` are for functional and"
                f" Sequential models. Received: model={model!r}"
            )
        return _clone_layer(model)
    called: list[Any] = []
    sources = iter(_sources(input_tensors))

    def describe(function: Any, operations: list[Any]) -> dict[str, Any]:
        called.append(function)
        return {"called": len(called) - 1}

    def make(entry: dict[str, Any]) -> Any:
        if "called" not in entry:  # an input
            return next(sources, None) or InputLayer(**entry["config"])
        function = called[entry["called"]]
        return clone(function) if isinstance(function, Layer) else function

    config = function_config(model.function, describe)
    inputs, outputs = function_from_config(config, make)
    return type(model)(inputs=inputs, outputs=outputs, name=model.name)


def _clone_layer(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config())


def _sources(tensors: Any) -> list[Layer]:
    """The input layers of symbolic inputs."""
    found: list[Layer] = []
    for tensor in trees.leaves(tensors):
        operation = tensor.operation if isinstance(tensor, KerasTensor) else None
        if operation is None or not isinstance(operation.function, InputLayer):
            raise ValueError(
                "Expected `input_tensors` from graphc.Input()."
                f" Received: input_tensors={tensors!r}"
            )
        found.append(operation.function)
    return found


def _inputs(model: Sequential) -> list[Layer]:
    return [layer for layer in model._stack if isinstance(layer, InputLayer)]
