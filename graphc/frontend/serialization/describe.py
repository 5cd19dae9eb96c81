"""Models as entries of a file: layers by config, users' code as graphs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from graphc.frontend import constraints, regularizers
from graphc.frontend.keras_tensor import Operation, normalized_types
from graphc.frontend.layers.call_spec import signature_of
from graphc.frontend.layers.graph_layer import GraphCalls, signature_entries
from graphc.frontend.layers.layer import Layer
from graphc.frontend.layers.registry import LAYERS
from graphc.frontend.registry import registered_name
from graphc.frontend.serialization.capture import (
    CallSite,
    CapturedCall,
    capture_call,
    capture_function,
)
from graphc.frontend.serialization.functional import (
    TENSORS_ONLY,
    NotEncodableError,
    check_arguments,
    function_config,
)
from graphc.frontend.serialization.objects import (
    encode_config,
    is_closed,
    op_name,
)
from graphc.frontend.serialization.variable_paths import (
    canonical_paths,
    created_trainable,
    seed_state_ids,
    segments,
)
from graphc.frontend.tracing import name_scope
from graphc.frontend.variables import Variable
from graphc.ir import Graph, Module
from graphc.ir.errors import UnknownDimError

Entry = dict[str, Any]

_OVERRIDABLE = ("train_step", "test_step", "predict_step", "compute_loss",
                "compute_metrics")  # fmt: skip

_ONE_LIST = inspect.Signature(
    [inspect.Parameter("inputs", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
)
"""The signature that a recorded call of a function is saved with."""


class Description:
    """What a file says about a model, and what it takes to say it.

    Attributes:
        entry: The model's entry.
        module: The graphs of users' code.
        extra: Variables that graphs read and that no layer has, by path.
    """

    def __init__(self, model: Any) -> None:
        self.module = Module()
        self.extra: dict[str, Variable] = {}
        self._model = model
        self._paths = {id(v): path for path, v in canonical_paths(model).items()}
        self._configs: dict[int, Any] = {}
        self._by_config: set[int] = set()
        self._taken: set[int] = set()
        self._find_layers_with_configs(model)
        self.entry = self._describe(model, [], "")

    # -- which layers a config says all about ---------------------------------------------

    def _find_layers_with_configs(self, layer: Layer) -> None:
        """Notes whose variables are made again by a config and not by a graph."""
        inner = _stack(layer)
        if inner is not None:
            for sublayer in inner:
                self._find_layers_with_configs(sublayer)
        elif isinstance(layer, GraphCalls):
            self._by_config |= {id(v) for v in layer.saved_variables.values()}
        elif self._is_known(layer):
            self._by_config |= {id(v) for v in layer.variables}

    def _config(self, layer: Layer) -> Any:
        """The layer's config as JSON, or None if it has none."""
        if id(layer) not in self._configs:
            try:
                config = encode_config(layer.get_config())
            except (NotImplementedError, TypeError, ValueError):
                config = None
            self._configs[id(layer)] = config
        return self._configs[id(layer)]

    def _is_known(self, layer: Layer) -> bool:
        config = self._config(layer) if LAYERS.holds(type(layer)) else None
        return config is not None and is_closed(config)

    # -- entries --------------------------------------------------------------------------

    def _describe(self, layer: Any, operations: list[Operation], prefix: str) -> Entry:
        """The entry of a layer; `prefix` is its part of the paths of variables."""
        if _stack(layer) is not None:
            return self._model_entry(layer, prefix)
        if self._is_known(layer):
            return _known(layer, self._config(layer))
        if isinstance(layer, GraphCalls):
            return self._loaded_entry(layer)
        sites = [
            CallSite(layer, o.arguments, o.keywords, o.location) for o in operations
        ]
        if layer is self._model:
            sites = [_root_site(layer)]
        if not sites:
            raise ValueError(
                f"Layer '{layer.name}' of class {type(layer).__name__} is saved as the"
                " graph of its calls. Expected it to have been called: build the model"
                " first, by calling it or with model.build(input_shape)."
            )
        record = self._graph_record(layer, sites, prefix)
        entry = _custom(layer, self._config(layer)) | {"graph": record}
        return entry | {"is_model": True} if layer is self._model else entry

    def _model_entry(self, model: Any, prefix: str) -> Entry:
        """The entry of a model that consists of its layers."""
        with name_scope(model.name):
            config = {
                "name": model.name,
                "trainable": model.trainable,
                "dtype": encode_config(model.dtype_policy),
            }
            paths = {id(sub): f"{prefix}{part}/" for sub, part in segments(model)}
            stack = getattr(model, "_stack", None)
            if stack is not None:
                config |= self._sequential(model, stack, paths)
            else:
                describe = self._describer(paths, prefix)
                config |= function_config(model.function, describe)
        plain = {
            "module": "keras",
            "class_name": "Functional" if stack is None else "Sequential",
            "config": config,
            "registered_name": None,
        }
        if LAYERS.holds(type(model)):
            return plain
        entry = _custom(model, self._config(model))
        return entry | {"fallback": plain, "overrides": _overrides(model)}

    def _sequential(
        self, model: Any, stack: Sequence[Layer], paths: dict[int, str]
    ) -> Entry:
        calls: dict[int, list[Operation]] = {}
        shape = None
        if model._function is not None:
            shape = list(model.input_shape)
            for operation in model.function.operations:
                calls.setdefault(id(operation.function), []).append(operation)
        entries = [
            self._describe(layer, calls.get(id(layer), []), paths.get(id(layer), ""))
            for layer in stack
        ]
        return {"layers": entries, "build_input_shape": shape}

    def _describer(
        self, paths: dict[int, str], prefix: str
    ) -> Callable[[Any, list[Operation]], Entry]:
        def describe(called: Any, operations: list[Operation]) -> Entry:
            if isinstance(called, Layer):
                for operation in operations:
                    check_arguments(operation)
                return self._describe(called, operations, paths[id(called)])
            return self._op_entry(operations[0], prefix)

        return describe

    def _op_entry(self, operation: Operation, prefix: str) -> Entry:
        """The entry of a call of a function: by name if it is an op, else its graph."""
        name = op_name(operation.function)
        try:
            if name is not None:
                check_arguments(operation)
        except NotEncodableError:
            name = None
        if name is not None:
            return {
                "module": "graphc.ops",
                "class_name": "function",
                "config": name,
                "registered_name": "function",
            }
        segment = f"op:{operation.name}"
        site = _site_of_tensors(operation)
        record = self._graph_record(site.function, [site], f"{prefix}{segment}/")
        return {
            "module": None,
            "class_name": operation.name,
            "config": None,
            "registered_name": None,
            "graph": record | {"name": operation.name, "segment": segment},
            TENSORS_ONLY: True,
        }

    def _loaded_entry(self, layer: GraphCalls) -> Entry:
        """The entry of a layer that came from a file, with its graphs as they were."""
        names = {
            name: self.module.include(graph).name
            for name, graph in layer.saved_graphs().items()
        }
        variables = [
            described | {"shared": self._paths[id(variable)]}
            if "shared" in described
            else described | {"trainable": variable.trainable}
            for variable, described in layer.described()
        ]
        saved = layer.saved_entry["graph"] | {
            "name": layer.name,
            "trainable": layer.trainable,
            "variables": variables,
        }
        return layer.saved_entry | {"graph": _renamed(saved, names)}

    # -- graphs ---------------------------------------------------------------------------

    def _graph_record(
        self, called: Any, sites: list[CallSite], prefix: str
    ) -> dict[str, Any]:
        """What it takes to run the calls of a layer or function without its code."""
        layer = called if isinstance(called, Layer) else None
        signature = signature_of(type(layer).call) if layer else _ONE_LIST
        name = layer.name if layer else getattr(called, "__name__", "function")
        table = _VariableTable(self, layer, prefix)
        calls: list[dict[str, Any]] = []
        seen: list[tuple[Any, ...]] = []
        for site in sites:
            form, tensors = site.split(signature)
            masks = [getattr(t, "_keras_mask", None) is not None for t in tensors]
            kind = (form, normalized_types([t.type for t in tensors], {}), masks)
            if kind in seen:
                continue
            seen.append(kind)
            inference, training = self._capture_both(site, signature, name)
            first = second = self._part(inference, table)
            if not training.same_as(inference):
                _rename(training.graph, f"{training.graph.name}_training")
                second = self._part(training, table)
            calls.append({
                "form": form,
                "input_masks": masks,
                "inference": first,
                "training": second,
            })  # fmt: skip
        return {
            "name": name,
            "trainable": layer.trainable if layer else True,
            "dtype": layer.dtype_policy.name if layer else "float32",
            "parameters": signature_entries(signature),
            "variables": table.entries,
            "calls": calls,
            "overrides": _overrides(layer),
        }

    def _capture_both(
        self, site: CallSite, signature: inspect.Signature, name: str
    ) -> tuple[CapturedCall, CapturedCall]:
        def capture(training: bool) -> CapturedCall:
            try:
                return capture_call(site, signature, name, training, {})
            except UnknownDimError:
                size = self._model.known_batch_size()
                if size is None:
                    raise
                return capture_call(site, signature, name, training, {"B": size})

        return capture(False), capture(True)

    def _part(self, captured: CapturedCall, table: _VariableTable) -> dict[str, Any]:
        return {
            "graph": self.add(captured.graph),
            "reads": [table.index(v) for v in captured.reads],
            "writes": [table.index(v) for v in captured.writes],
            "losses": captured.losses,
            "outputs": captured.outputs,
            "masks": list(captured.masks),
        }

    def add(self, graph: Graph) -> str:
        """Adds a graph to those of the file and returns its name there."""
        graph.verify()
        return self.module.include(graph).name

    # -- variables ------------------------------------------------------------------------

    def owner_path(self, variable: Variable, path: str, prefix: str) -> str | None:
        """The path of a variable that another layer has, or None; then this one has it.

        Args:
            variable: The variable.
            path: Its path below the layer.
            prefix: The layer's part of paths.
        """
        known = self._paths.get(id(variable))
        if id(variable) in self._by_config or id(variable) in self._taken:
            return known
        self._taken.add(id(variable))
        if known is None:
            self._paths[id(variable)] = f"{prefix}{path}"
            self.extra[f"{prefix}{path}"] = variable
        return None

    def path_elsewhere(self, variable: Variable) -> str | None:
        """The path of a variable of the model that the layer at hand does not have."""
        return self._paths.get(id(variable))


class _VariableTable:
    """The variables that the graphs of a layer read and write, as JSON."""

    def __init__(self, of: Description, layer: Layer | None, prefix: str) -> None:
        self._of = of
        self._prefix = prefix
        self._indices: dict[int, int] = {}
        self.entries: list[dict[str, Any]] = []
        if layer is None:
            return
        created, states = created_trainable(layer), seed_state_ids(layer)
        for path, variable in canonical_paths(layer).items():
            kind = "trainable" if id(variable) in created else "fixed"
            if id(variable) in states:
                kind = "state"
            self._add(variable, path, kind)

    def index(self, variable: Variable) -> int:
        """The position of a variable; one that the layer does not have is added."""
        if id(variable) not in self._indices:
            elsewhere = self._of.path_elsewhere(variable)
            if elsewhere is None:
                self._add(variable, f"external_{len(self.entries)}", "state")
            else:
                self._share(variable, elsewhere, "outside")
        return self._indices[id(variable)]

    def _note(self, variable: Variable, entry: dict[str, Any]) -> None:
        self._indices[id(variable)] = len(self.entries)
        self.entries.append(entry)

    def _share(self, variable: Variable, owner: str, kind: str) -> None:
        entry = {
            "shared": owner,
            "kind": kind,
            "shape": list(variable.shape),
            "dtype": variable.type.dtype.long_name,
        }
        self._note(variable, entry)

    def _add(self, variable: Variable, path: str, kind: str) -> None:
        owner = self._of.owner_path(variable, path, self._prefix)
        if owner is not None:
            self._share(variable, owner, kind)
            return
        entry = {
            "path": path,
            "kind": kind,
            "name": variable.name,
            "full_path": variable.path,
            "shape": list(variable.shape),
            "dtype": variable.type.dtype.long_name,
            "trainable": variable.trainable,
            "autocast": variable.autocast,
            "overwrite_with_gradient": variable.overwrite_with_gradient,
            "regularizer": self._penalty(variable, variable.regularizer, regularizers),
            "constraint": self._penalty(variable, variable.constraint, constraints),
        }
        self._note(variable, entry)

    def _penalty(self, variable: Variable, penalty: Any, family: Any) -> Any:
        """A regularizer or constraint: by config, or as the graph of its call."""
        if penalty is None:
            return None
        try:
            config = encode_config(family.serialize(penalty))
            if is_closed(config):
                return config
        except (AttributeError, NotImplementedError, TypeError, ValueError):
            pass
        name = getattr(penalty, "__name__", type(penalty).__name__)
        graph = capture_function(penalty, [variable.type], name)
        return {"graph": self._of.add(graph), "name": name}


def _stack(layer: Any) -> list[Layer] | None:
    """The layers of a model that consists of them, or None for any other layer."""
    consists = getattr(layer, "consists_of_layers", None)
    if consists is None or not consists():
        return None
    return layer.sublayers()


def _known(layer: Layer, config: Any) -> Entry:
    return {
        "module": "keras.layers",
        "class_name": LAYERS.name_of(type(layer)),
        "config": config,
        "registered_name": None,
    }


def _custom(layer: Layer, config: Any) -> Entry:
    kind = type(layer)
    return {
        "module": None,
        "class_name": kind.__name__,
        "config": config,
        "registered_name": registered_name(kind) or kind.__name__,
    }


def _overrides(layer: Any) -> list[str]:
    """The steps of training that a user's class defines anew, which no graph holds."""
    if layer is None:
        return []
    methods = ((name, getattr(type(layer), name, None)) for name in _OVERRIDABLE)
    return [
        name
        for name, method in methods
        if method is not None and not method.__module__.startswith("graphc.")
    ]


def _root_site(model: Any) -> CallSite:
    """The call of a model that is saved as a graph itself."""
    site = model.call_site()
    if site is None:
        raise ValueError(
            f"Model '{model.name}' of class {type(model).__name__} is saved as the graph"
            " of its call. Expected it to have been called: call it on data, or build it"
            " with model.build(input_shape)."
        )
    return CallSite(model, *site)


def _site_of_tensors(operation: Operation) -> CallSite:
    """A recorded call as that of a function of the list of its tensors."""
    tensors = operation.inputs

    def run(inputs: list[Any]) -> Any:
        given = iter(inputs)
        return operation.replay(lambda _: next(given))

    run.__name__ = operation.name
    return CallSite(run, (tensors,), {}, operation.location)


def _rename(graph: Graph, name: str) -> None:
    module = graph.module
    module.remove(graph)
    graph.name = module.fresh_name(name)
    module.add(graph)


def _renamed(saved: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A saved record with new names for its graphs."""

    def part(of: dict[str, Any]) -> dict[str, Any]:
        return of | {"graph": names[of["graph"]]}

    def penalty(of: Any) -> Any:
        return part(of) if isinstance(of, dict) and "graph" in of else of

    calls = [
        call
        | {"inference": part(call["inference"]), "training": part(call["training"])}
        for call in saved["calls"]
    ]
    variables = [
        v if "shared" in v else v | {"regularizer": penalty(v["regularizer"]),
                                     "constraint": penalty(v["constraint"])}
        for v in saved["variables"]
    ]  # fmt: skip
    return saved | {"calls": calls, "variables": variables}
