"""What a model has for saving: files, weights, configs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from graphc.frontend import trees
from graphc.frontend.keras_tensor import KerasTensor, abstract_call
from graphc.frontend.layers.call_spec import is_tensor_like, signature_of
from graphc.frontend.layers.constructor import constructor_config
from graphc.frontend.layers.layer import Layer
from graphc.frontend.models.export import export_model
from graphc.frontend.models.graphs import target_types
from graphc.frontend.registry import custom_scope
from graphc.frontend.serialization.functional import (
    function_config,
    function_from_config,
)
from graphc.frontend.serialization.model_file import save_model
from graphc.frontend.serialization.objects import (
    OPS,
    deserialize_keras_object,
    encode_config,
    op_name,
    serialize_keras_object,
)
from graphc.frontend.serialization.weights_file import load_weights, save_weights
from graphc.frontend.tracing import value
from graphc.ir import TensorType
from graphc.ir.dims import SymbolicDim

FUNCTION_KEYS = ("layers", "input_layers", "output_layers")


class Saving:
    """Saving and loading, for models."""

    config_is_json: ClassVar[bool] = True
    """Whether `from_config` reads JSON, and not what JSON stands for."""

    _noted_call: tuple[Any, Any] | None = None
    _noted_batch: int | None = None

    # -- files ---------------------------------------------------------------------------

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Saves the model to a file, from which `graphc.load_model` makes it again.

        The file holds the architecture, the graphs of the code of custom layers, all
        variables, and, if the model is compiled, the optimizer with its state. It holds
        no code. An existing file is replaced in one step, at the end.

        Args:
            filepath: A name that ends in ``.graphc``.
            overwrite: Whether to replace a file that exists.

        Raises:
            ValueError: If the name has another ending, or the model cannot be saved.
            FileExistsError: If the file exists and is not to be replaced.
            OSError: If the file cannot be written; an existing one stays as it was.
        """
        save_model(self, filepath, overwrite)

    def export(
        self,
        filepath: str | os.PathLike[str],
        kind: str = "predict",
        targets: Iterable[str] = ("xla",),
        batch: int | Sequence[int] | None = None,
        ranges: Mapping[str, tuple[int, int]] | None = None,
        precision: str | None = None,
        overwrite: bool = True,
    ) -> None:
        """Writes one of the model's steps, compiled, to a file that `graphc.load` loads.

        The file runs without the classes that the model is made of, on any machine that
        graphc runs on. It holds the graph, the weights, and what they were compiled to.

        Args:
            filepath: A name that ends in ``.gcx``.
            kind: ``"predict"``, ``"train_step"`` or ``"eval_step"``.
            targets: The targets to compile for; their devices need not be here.
            batch: The batch size, or several.
            ranges: The smallest and the largest size of dimension symbols, such as
                ``{"B": (1, 64)}``: what lies between is padded.
            precision: The precision policy of the compile; by default that of the
                model's `compile`.
            overwrite: Whether to replace a file that exists.

        Raises:
            ValueError: If the name has another ending, the kind is unknown, or types
                are not known yet.
            GraphError: If a dimension symbol has no sizes.
            TargetError: For an unknown target.
            FileExistsError: If the file exists and is not to be replaced.
            OSError: If the file cannot be written; an existing one stays as it was.
        """
        export_model(self, filepath, kind, targets, batch, ranges, precision, overwrite)

    def save_weights(
        self, filepath: str | os.PathLike[str], overwrite: bool = True
    ) -> None:
        """Saves the weights, and the states of random generators, as safetensors.

        Args:
            filepath: A name that ends in ``.safetensors``.
            overwrite: Whether to replace a file that exists.

        Raises:
            ValueError: If the name has another ending, or the model is not built.
            FileExistsError: If the file exists and is not to be replaced.
            OSError: If the file cannot be written; an existing one stays as it was.
        """
        save_weights(self, filepath, overwrite)

    def load_weights(
        self, filepath: str | os.PathLike[str], skip_mismatch: bool = False
    ) -> None:
        """Sets the weights to those of a file of a model of the same architecture.

        Args:
            filepath: A name that ends in ``.safetensors``.
            skip_mismatch: Whether to load what fits, with a warning for each weight
                that does not, as for a model with another head.

        Raises:
            ValueError: If the name has another ending, or the model is not built.
            LoadError: If the file is damaged, or names, shapes or dtypes differ; lists
                the first ones. The model is as it was.
        """
        load_weights(self, filepath, skip_mismatch)

    # -- configs -------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes an equal model from: JSON values.

        Raises:
            NotImplementedError: If the model is subclassed, and has constructor
                arguments that are not JSON values and no `get_config` of its own.
        """
        model: Any = self
        made_by_user = not type(self).__init__.__module__.startswith("graphc.")
        if made_by_user or not self.consists_of_layers():
            config = Layer.get_config(model)
            inherited = type(self).get_config.__module__.startswith("graphc.")
            return config | constructor_config(model) if inherited else config
        return self._base_config() | function_config(model.function, _describe)

    def _base_config(self) -> dict[str, Any]:
        model: Any = self
        return {
            "name": model.name,
            "trainable": model.trainable,
            "dtype": encode_config(model.dtype_policy),
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
        if not all(key in config for key in FUNCTION_KEYS):
            return cls(**config)
        rest = {key: x for key, x in config.items() if key not in FUNCTION_KEYS}
        with custom_scope(custom_objects or {}):
            inputs, outputs = function_from_config(config, _make)
        return cls(**(rest | {"inputs": inputs, "outputs": outputs}))

    def to_json(self, **options: Any) -> str:
        """The architecture as JSON, for `graphc.models.model_from_json`.

        Args:
            **options: Options of `json.dumps`.
        """
        return json.dumps(serialize_keras_object(self), **options)

    def get_compile_config(self) -> dict[str, Any] | None:
        """The arguments of `compile` as JSON, or None if the model is not compiled.

        Raises:
            ValueError: For a lambda, or an object without a config.
        """
        model: Any = self
        given = model.compile_arguments()
        if given is None:
            return None
        return serialize_keras_object(given | {"optimizer": model.optimizer})

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model with what `get_compile_config` returned.

        Raises:
            ValueError: If the config names something unknown.
        """
        model: Any = self
        model.compile(**deserialize_keras_object(config))

    # -- what saving asks ------------------------------------------------------------------

    def consists_of_layers(self) -> bool:
        """Whether the calls of its layers that were recorded are all that it computes."""
        raise NotImplementedError

    def call_site(self) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """How the model is called: arguments with symbolic tensors; None if it was not."""
        model: Any = self
        if model._function is not None:
            return (model.function.inputs_structure,), {}
        return self._noted_call

    def known_batch_size(self) -> int | None:
        """The batch size that the model's code asked for, if it did."""
        model: Any = self
        for kind in ("train_step", "eval_step", "predict"):
            for _, types in model.step(kind).programs:
                size = types[0].shape[0] if types and types[0].shape else None
                if isinstance(size, int):
                    return size
        return self._noted_batch

    def note_call(self, arguments: Any, keywords: Any) -> None:
        """Remembers the types of a call, from which the model is saved as a graph."""
        site = _without_training(self, arguments, keywords)
        leaves = [x for x in trees.leaves(site) if is_tensor_like(x)]
        types = [value(x).type for x in leaves]
        symbolic = any(type.symbols for type in types)
        if not types or (self._noted_call is not None and not symbolic):
            return
        sizes = {type.shape[0] for type in types if type.shape}
        if not symbolic and len(sizes) == 1:
            self._noted_batch = int(sizes.pop())
            types = [_with_batch(type) for type in types]
        made = iter([symbolic_tensor(type) for type in types])

        def placeholder(leaf: Any) -> Any:
            if not is_tensor_like(leaf):
                return leaf
            found, mask = next(made), getattr(leaf, "_keras_mask", None)
            if mask is not None:
                found._keras_mask = KerasTensor(mask.shape, mask.dtype)
            return found

        self._noted_call = trees.map_leaves(placeholder, site)

    def target_and_output_types(self) -> tuple[Any, Any] | None:
        """The types of the targets and outputs of a batch, or None if not known."""
        model: Any = self
        site = self.call_site()
        if site is None:
            return None
        outputs = trees.map_leaves(lambda leaf: leaf.type, abstract_call(model, *site))
        for kind in ("train_step", "eval_step"):
            for structure, types in model.step(kind).programs:
                batch = trees.unflatten(structure, types)
                if isinstance(batch, tuple) and len(batch) > 1:
                    return batch[1], outputs
        if model._function is None:
            return None
        return target_types(model), outputs


def _without_training(
    model: Any, arguments: Any, keywords: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call without `training`: a graph is made for both modes."""
    signature = signature_of(type(model).call)
    rest = {name: x for name, x in keywords.items() if name != "training"}
    bound = signature.bind(*arguments, **rest)
    bound.arguments.pop("training", None)
    return bound.args, bound.kwargs


def symbolic_tensor(type: TensorType) -> KerasTensor:
    """A symbolic tensor of a type."""
    shape: Any = type.shape
    return KerasTensor(shape, type.dtype.long_name)


def _with_batch(type: TensorType) -> TensorType:
    if not type.shape:
        return type
    return type.with_shape((SymbolicDim.symbol("B"), *type.shape[1:]))


def _describe(called: Any, operations: list[Any]) -> dict[str, Any]:
    """The config of what a functional model calls."""
    if isinstance(called, Layer):
        return serialize_keras_object(called)
    name = op_name(called)
    if name is None:
        raise ValueError(
            "Expected a model of layers and functions of graphc.ops, to give its config."
            f" Received: a call of {called!r}. Put it in the `call` of a layer."
        )
    return {
        "module": "graphc.ops",
        "class_name": "function",
        "config": name,
        "registered_name": "function",
    }


def _make(entry: dict[str, Any]) -> Any:
    """The layer or op that an entry of a functional model describes."""
    if entry.get("module") == "graphc.ops":
        return op_function(entry)
    return deserialize_keras_object(entry)


def op_function(entry: Mapping[str, Any]) -> Any:
    """The op that an entry names.

    Raises:
        ValueError: If there is none of that name.
    """
    name = entry["config"]
    if not isinstance(name, str) or name not in OPS:
        raise ValueError(f"Expected the name of an op. Received: {name!r}")
    return OPS[name]


def layers_from_config(config: Mapping[str, Any]) -> list[Layer]:
    """The layers of the config of a Sequential model."""
    return [deserialize_keras_object(entry) for entry in config["layers"]]
