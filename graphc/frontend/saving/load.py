"""Loading a model: a file of unknown origin is checked whole before a model exists."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from graphc.files.container import Container, check_keys
from graphc.files.json_text import load_json
from graphc.files.opening import opened
from graphc.frontend.keras_tensor import abstract_call
from graphc.frontend.layers.graph_layer import GraphCalls, GraphLayer
from graphc.frontend.layers.layer import Layer
from graphc.frontend.layers.registry import LAYERS
from graphc.frontend.models import Model, Sequential
from graphc.frontend.models.graph_model import GraphModel
from graphc.frontend.models.saving import op_function, symbolic_tensor
from graphc.frontend.registry import custom_scope, find_custom
from graphc.frontend.seeds import note_name
from graphc.frontend.serialization.capture import TENSOR, anonymous
from graphc.frontend.serialization.compile_config import (
    compile_arguments,
    missing_class,
)
from graphc.frontend.serialization.functional import function_from_config
from graphc.frontend.serialization.model_file import (
    CONFIG,
    FORMAT,
    GRAPH,
    MAX_GRAPH,
    MAX_JSON,
    MODEL,
    OPTIMIZER,
    SUFFIX,
    WEIGHTS,
    name_problem,
)
from graphc.frontend.serialization.objects import config_for, decode, decode_config
from graphc.frontend.serialization.variable_paths import variable_paths
from graphc.frontend.serialization.weights_file import (
    assign_all,
    mismatch,
    refuse_mismatches,
    shown,
)
from graphc.frontend.variables import Variable
from graphc.ir import Graph, TensorType, parse
from graphc.ir.errors import GraphcError, LoadError, ParseError

_KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_CONFIG_KEYS = frozenset(
    {"model", "compile", "optimizer_built", "aliases", "frozen", "drawn_as"}
)


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
) -> Model:
    """Makes the model again that `Model.save` saved.

    A file is data: loading one runs no code that it holds, imports nothing and opens no
    other file. A custom layer is made by its class if that is registered or given;
    otherwise it runs the graphs that were saved with it, in inference and in training.

    Args:
        filepath: The file's name.
        custom_objects: Classes and functions of your own by name.
        compile: Whether to compile the model as it was, with the optimizer's state.

    Returns:
        The model.

    Raises:
        LoadError: If the file is missing, damaged, of an unknown version, or no such
            file, or needs a class that is not there. It is also a `FileNotFoundError`
            if the file is missing, and an `OSError` if it cannot be read.
    """
    path = os.fsdecode(filepath)
    if path.endswith(_KERAS_SUFFIXES):
        raise LoadError(
            f"{path}: expected a file that graphc saved, whose name ends in {SUFFIX!r}",
            hint="graphc.from_keras reads a .keras file, load_keras_weights of"
            " graphc.importers.keras_files a .weights.h5",
        )
    with opened(path) as file, custom_scope(custom_objects or {}):
        try:
            return _Loading(file).run(compile)
        except LoadError:
            raise
        except Exception as error:
            # What a damaged config makes constructors raise is not one kind of error.
            raise LoadError(
                f"the model cannot be made as its config says: {_reason(error)}"
            ) from error


def _reason(error: Exception) -> str:
    """What went wrong, without the user's line: that is the call of `load_model`."""
    if not isinstance(error, GraphcError):
        return (str(error) or type(error).__name__)[:1000]
    received = "" if error.received is None else f"; received {error.received}"
    return f"{error.message}{received}"[:1000]


class _Loading:
    """One run of `load_model`."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = Container(file, FORMAT)
        self.file.require({CONFIG, WEIGHTS}, {GRAPH})
        self.graphs: dict[str, Graph] = {}
        self.layers: list[GraphCalls] = []
        self.overridden: list[str] = []

    # -- the model ------------------------------------------------------------------------

    def run(self, compile: bool) -> Model:
        config = load_json(self.file.read(CONFIG, MAX_JSON), CONFIG)
        if isinstance(config, dict):
            config.setdefault("drawn_as", {})  # which files lacked at first
        check_keys(config, _CONFIG_KEYS, CONFIG)
        if problem := name_problem(config):
            raise LoadError(
                "a name is too long or has control characters", received=problem
            )
        if GRAPH in self.file.names:
            self.graphs = _parse_graphs(self.file.read(GRAPH, MAX_GRAPH))
        header = self.file.tensor_header(WEIGHTS)
        model = self._make(config["model"])
        if not isinstance(model, Model):
            raise LoadError("the file does not describe a model")
        _note_names(model, config["drawn_as"])
        self._share_variables(model, config["aliases"])
        _freeze(model, config["frozen"], config["aliases"])
        arguments = None
        if compile and config["compile"] is not None:
            arguments = compile_arguments(config["compile"], self.graphs)
            model.compile(**arguments)
            if config["optimizer_built"]:
                model.optimizer.build(model.trainable_variables)
        targets = self._match(model, header.types, config, arguments is not None)
        arrays = self.file.tensors(WEIGHTS, header)
        assign_all([(variable, arrays[name]) for variable, name in targets])
        self._warn_of_overrides()
        return model

    def _make(self, entry: Any) -> Any:
        """The layer, model or op that an entry describes."""
        if not isinstance(entry, dict):
            raise LoadError("a layer is no JSON object")
        if entry["module"] is None:
            return self._make_custom(entry)
        if entry["module"] == "graphc.ops":
            return op_function(entry)
        if entry["class_name"] == "Functional":
            return self._make_functional(entry["config"])
        if entry["class_name"] == "Sequential":
            return self._make_sequential(entry["config"])
        plain = {key: entry.get(key) for key in ("module", "class_name", "config")}
        if plain["module"] != LAYERS.module or not LAYERS.has(str(plain["class_name"])):
            raise LoadError(
                "unknown layer",
                received=ascii(f"{plain['module']}.{plain['class_name']}")[:200],
            )
        return LAYERS.deserialize(decode_config(plain))

    def _make_custom(self, entry: dict[str, Any]) -> Any:
        """A layer of a user's class: by the class if it is there, else by its graphs."""
        known = find_custom(entry["registered_name"]) or find_custom(
            entry["class_name"]
        )
        if known is not None:
            made = known.from_config(config_for(known, entry["config"] or {}))
            if isinstance(made, Model) and not made.built and "graph" in entry:
                self._build(made, entry["graph"])
            return made
        self.overridden += (entry.get("graph") or entry).get("overrides", [])
        if "fallback" in entry:
            return self._make(entry["fallback"])
        if "graph" not in entry:
            raise missing_class(entry["registered_name"] or entry["class_name"])
        kind = GraphModel if entry.get("is_model") else GraphLayer
        layer = kind(entry, self.graphs)
        self.layers.append(layer)
        return layer

    def _build(self, model: Model, saved: dict[str, Any]) -> None:
        """Builds a subclassed model by calling it as it was called."""
        call = saved["calls"][0]
        graph = self.graphs[call["inference"]["graph"]]
        types = iter([p.type for p in graph.parameters])

        def leaf(found: dict[str, Any]) -> Any:
            if found["class_name"] != TENSOR:
                raise LoadError("an argument of a model has an unknown class")
            return symbolic_tensor(next(types))

        arguments = {name: decode(x, leaf) for name, x in call["form"].items()}
        abstract_call(model, (), arguments)

    def _make_functional(self, config: dict[str, Any]) -> Model:
        inputs, outputs = function_from_config(config, self._make)
        return Model(inputs=inputs, outputs=outputs, **_base_arguments(config))

    def _make_sequential(self, config: dict[str, Any]) -> Model:
        layers = [self._make(entry) for entry in config["layers"]]
        model = Sequential(layers, **_base_arguments(config))
        shape = config["build_input_shape"]
        if shape is not None and not model.built:
            model.build(shape)
        return model

    def _share_variables(self, model: Model, aliases: Mapping[str, str]) -> None:
        """Gives layers that run graphs the variables that other layers have."""
        if not any(layer.awaited() for layer in self.layers):
            return
        found: dict[str, Variable] = {}
        for path, variable in variable_paths(model).items():
            found.setdefault(path, variable)
            found.setdefault(aliases.get(path, path), variable)
        for layer in self.layers:
            missing = [path for path in layer.awaited() if path not in found]
            if missing:
                raise LoadError(
                    f"layer '{layer.name}' reads a variable that no layer has",
                    received=ascii(missing[0])[:200],
                )
            layer.share(found)

    # -- its state ------------------------------------------------------------------------

    def _match(
        self,
        model: Model,
        types: Mapping[str, TensorType],
        config: dict[str, Any],
        compiled: bool,
    ) -> list[tuple[Variable, str]]:
        """The variables, each with the name of its tensor.

        Raises:
            LoadError: Listing the first mismatches, if there are any.
        """
        aliases: dict[str, str] = config["aliases"]
        expected: list[tuple[Variable, str]] = []
        for path, variable in variable_paths(model).items():
            expected.append((variable, f"{MODEL}{aliases.get(path, path)}"))
        if compiled:
            variables = model.optimizer.variables
            expected += [(v, f"{OPTIMIZER}{i}") for i, v in enumerate(variables)]
        problems: list[str] = []
        found: dict[int, tuple[Variable, str]] = {}
        for variable, name in expected:
            if name not in types:
                problems.append(f"{name}: not in the file")
            elif problem := mismatch(variable, types[name]):
                problems.append(f"{name}: {problem}")
            found.setdefault(id(variable), (variable, name))
        known = {name for _, name in expected}
        for name in types.keys() - known:
            if compiled or not name.startswith(OPTIMIZER):
                problems.append(f"{shown(name)}: not in the model")
        refuse_mismatches(f"model '{model.name}'", problems)
        return list(found.values())

    def _warn_of_overrides(self) -> None:
        if self.overridden:
            names = ", ".join(sorted({str(name)[:40] for name in self.overridden}))
            warnings.warn(
                f"The model was saved with its own {names}. Its class is not here, so"
                " graphc's own are used. Load it with custom_objects to have them.",
                stacklevel=4,
            )


def _parse_graphs(data: bytes) -> dict[str, Graph]:
    """The graphs of a text by name, with locations that name no file."""
    try:
        graphs = parse(data.decode("utf-8")).module.graphs
    except (ParseError, UnicodeDecodeError) as error:
        raise LoadError(f"{GRAPH} is not valid: {error}") from error
    for graph in graphs.values():
        for node in graph.nodes:
            if node.location is not None:
                node.location = anonymous(node.location)
    return graphs


def _base_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: config[name] for name in ("name", "trainable", "dtype")}


def _note_names(model: Layer, drawn_as: Any) -> None:
    """Makes layers draw the random numbers that they would draw where they were made."""
    if not isinstance(drawn_as, dict) or not all(
        isinstance(name, str) for name in drawn_as.values()
    ):
        raise LoadError(f"{CONFIG}: drawn_as: expected names by name")
    for layer in model._flatten_layers():
        note_name(layer.name, drawn_as.get(layer.name, layer.name))


def _freeze(model: Layer, paths: Sequence[str], aliases: Mapping[str, str]) -> None:
    """Makes exactly those variables not trainable that were frozen one by one."""
    frozen = set(paths)
    for path, variable in variable_paths(model).items():
        if path in frozen or aliases.get(path, path) in frozen:
            variable.trainable = False
