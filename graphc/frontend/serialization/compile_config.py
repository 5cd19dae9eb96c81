"""What a model was compiled with, as JSON and back; users' functions as graphs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from graphc.frontend import optimizers, trees
from graphc.frontend.layers.graph_layer import GraphFunction
from graphc.frontend.registry import find_custom, registered_name
from graphc.frontend.serialization.capture import capture_function
from graphc.frontend.serialization.describe import Description
from graphc.frontend.serialization.objects import (
    decode,
    decode_config,
    encode,
    encode_config,
    is_closed,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import Trace, value
from graphc.frontend.training import losses, metrics, schedules
from graphc.frontend.training.compile_utils import (
    ACCURACY,
    CROSSENTROPY,
    CompileLoss,
    CompileMetrics,
)
from graphc.frontend.training.losses import Loss
from graphc.frontend.training.metrics.averages import FUNCTIONS
from graphc.frontend.training.schedules import LearningRateSchedule
from graphc.ir import Graph, TensorType
from graphc.ir.errors import LoadError

PLAIN = (
    "loss_weights",
    "run_eagerly",
    "steps_per_execution",
    "auto_scale_loss",
    "precision",
)
TREES = ("loss", "metrics", "weighted_metrics")
_FAMILIES: dict[str, Any] = {
    "loss": losses,
    "metrics": metrics,
    "weighted_metrics": metrics,
}


class GraphLoss(Loss):
    """A loss of a class that is not there: it runs a saved graph.

    Args:
        entry: What the file says about the loss.
        graph: The graph of its `call`.
    """

    def __init__(self, entry: dict[str, Any], graph: Graph) -> None:
        saved = entry["graph"]
        super().__init__(saved["name"], saved["reduction"], saved["dtype"])
        self.saved_entry = entry
        self.function = GraphFunction(graph, saved["name"])
        self._saved_target_dtype: str | None = saved["target_dtype"]

    @property
    def _target_dtype(self) -> str | None:
        return self._saved_target_dtype

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred)


class GraphSchedule(LearningRateSchedule):
    """A learning rate schedule of a class that is not there: it runs a saved graph.

    Args:
        entry: What the file says about the schedule.
        graph: The graph of its call.
    """

    def __init__(self, entry: dict[str, Any], graph: Graph) -> None:
        self.saved_entry = entry
        self.function = GraphFunction(graph, entry["class_name"])

    def __call__(self, step: Any) -> Any:
        return self.function(step)

    def get_config(self) -> dict[str, Any]:
        return self.saved_entry["config"] or {}


# -- to JSON -----------------------------------------------------------------------------


def describe_compile(model: Any, description: Description) -> dict[str, Any] | None:
    """The arguments of `compile` as JSON, or None if the model is not compiled.

    Args:
        model: The model.
        description: Takes the graphs of users' losses, metric functions and schedules.
    """
    given = model.compile_arguments() if model.compiled else None
    if given is None:
        return None
    types = _function_types(model, given)
    config: dict[str, Any] = {name: encode_config(given[name]) for name in PLAIN}
    for name in TREES:
        config[name] = encode(
            given[name],
            lambda item, n=name: _describe_item(item, n, types, description),
        )
    config["optimizer"] = _describe_optimizer(model.optimizer, description)
    return config


def _describe_item(
    item: Any, name: str, types: Mapping[int, Any], description: Description
) -> dict[str, Any]:
    """The JSON of a loss or metric."""
    if isinstance(item, GraphLoss):
        saved = item.saved_entry["graph"]
        graph = description.add(item.function.graph)
        return item.saved_entry | {"graph": saved | {"graph": graph}}
    config: Any = None
    with suppress(AttributeError, NotImplementedError, TypeError, ValueError):
        config = encode_config(_FAMILIES[name].serialize(item))
    if config is not None and is_closed(config):
        return config
    entry = _custom_entry(item, config)
    if isinstance(item, GraphFunction):
        graph = description.add(item.graph)
        return entry | {"graph": {"graph": graph, "name": item.__name__}}
    if id(item) not in types:
        return entry
    called = item.call if isinstance(item, Loss) else item
    label = str(entry["class_name"] if isinstance(item, Loss) else entry["config"])
    found = capture_function(called, types[id(item)], label)
    saved = {"graph": description.add(found), "name": label}
    if isinstance(item, Loss):
        saved |= {
            "name": item.name,
            "reduction": item.reduction,
            "dtype": item.dtype,
            "target_dtype": item._target_dtype,
        }
    return entry | {"graph": saved}


def _custom_entry(item: Any, config: Any) -> dict[str, Any]:
    if config is not None:
        return config
    kind = type(item)
    if callable(item) and not hasattr(item, "get_config"):
        name = getattr(item, "__name__", kind.__name__).strip("<>")
        name = registered_name(item) or name
        return {"module": None, "class_name": "function", "config": name,
                "registered_name": name}  # fmt: skip
    return {
        "module": None,
        "class_name": kind.__name__,
        "config": None,
        "registered_name": registered_name(kind) or kind.__name__,
    }


def _describe_optimizer(optimizer: Any, description: Description) -> Any:
    config = encode_config(optimizers.serialize(optimizer))
    rate = getattr(optimizer, "_learning_rate", None)
    if isinstance(rate, GraphSchedule):
        graph = description.add(rate.function.graph)
        config["config"]["learning_rate"] = rate.saved_entry | {"graph": graph}
    elif isinstance(rate, LearningRateSchedule) and not schedules.REGISTRY.holds(
        type(rate)
    ):
        step = optimizer.iterations.type
        graph = capture_function(rate, [step], type(rate).__name__)
        name = description.add(graph)
        config["config"]["learning_rate"] |= {"graph": name}
    return config


# -- the types that users' functions are called with ---------------------------------------


class _Spy:
    """A loss or metric function that notes what types it is called with."""

    def __init__(self, function: Callable[..., Any], found: dict[int, Any]) -> None:
        self.function = function
        self.found = found
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, *tensors: Any) -> Any:
        operands = [value(x) for x in tensors]
        self.found.setdefault(id(self.function), [o.type for o in operands])
        return self.function(*tensors)


class _SpyLoss(Loss):
    """A loss that notes what types another one is called with."""

    def __init__(self, loss: Loss, found: dict[int, Any]) -> None:
        super().__init__(loss.name, loss.reduction, loss.dtype)
        self.loss = loss
        self.found = found

    @property
    def _target_dtype(self) -> str | None:
        return self.loss._target_dtype

    def call(self, y_true: Any, y_pred: Any) -> Any:
        types = [value(y_true).type, value(y_pred).type]
        self.found.setdefault(id(self.loss), types)
        return self.loss.call(y_true, y_pred)


def _function_types(model: Any, given: Mapping[str, Any]) -> dict[int, Any]:
    """The types of the arguments of users' losses and metric functions, by id.

    They are found by tracing the losses and metrics for a batch; none are found where
    the types of a batch are not known yet.
    """
    found: dict[int, Any] = {}
    if not any(_is_spied(x) for n in TREES for x in trees.leaves(given[n])):
        return found
    batch = model.target_and_output_types()
    if batch is None:
        return found

    def spied(item: Any) -> Any:
        if not _is_spied(item):
            return item
        return _SpyLoss(item, found) if isinstance(item, Loss) else _Spy(item, found)

    wrapped = {name: trees.map_leaves(spied, given[name]) for name in TREES}
    names = model.output_names or None
    with Trace(Graph("scratch"))() as trace:
        y, y_pred = trees.map_leaves(
            lambda t: trace.parameter(t),
            batch,
            is_leaf=lambda x: isinstance(x, TensorType),
        )
        if wrapped["loss"] is not None:
            CompileLoss(wrapped["loss"], output_names=names)(y, y_pred)
        if wrapped["metrics"] is not None or wrapped["weighted_metrics"] is not None:
            compiled = CompileMetrics(
                wrapped["metrics"], wrapped["weighted_metrics"], output_names=names
            )
            compiled.update_state(y, y_pred)
    return found


def _is_spied(item: Any) -> bool:
    if isinstance(item, GraphLoss) or not callable(item) or inspect.isclass(item):
        return False
    if isinstance(item, Loss):
        plain = type(item).__call__ is Loss.__call__
        return plain and not losses.REGISTRY.holds(type(item))
    built_in = losses.REGISTRY.holds(item) or FUNCTIONS.holds(item)
    return not built_in and not isinstance(
        item, (metrics.Metric, Tensor, GraphFunction)
    )


# -- and back ------------------------------------------------------------------------------


def compile_arguments(
    config: Mapping[str, Any], graphs: Mapping[str, Graph]
) -> dict[str, Any]:
    """The arguments of `compile` that `describe_compile` described.

    Args:
        config: The JSON.
        graphs: The graphs of the file by name.

    Raises:
        LoadError: If an argument names a user's class that is not there.
        ValueError: If the JSON is malformed.
    """
    config = {"precision": encode_config("float32"), **config}  # older files lack it
    arguments: dict[str, Any] = {name: decode_config(config[name]) for name in PLAIN}
    for name in TREES:
        arguments[name] = decode(
            config[name], lambda entry, n=name: _make_item(entry, _FAMILIES[n], graphs)
        )
        for item in trees.leaves(arguments[name]):
            if isinstance(item, str) and item.lower() not in (*ACCURACY, *CROSSENTROPY):
                _FAMILIES[name].get(item)  # or the first batch would be told
    arguments["optimizer"] = _make_optimizer(config["optimizer"], graphs)
    return arguments


def _make_item(entry: dict[str, Any], family: Any, graphs: Mapping[str, Graph]) -> Any:
    custom = find_custom(entry.get("registered_name"))
    if custom is None and entry.get("module", "") is None:
        name = (
            entry["config"]
            if entry["class_name"] == "function"
            else entry["class_name"]
        )
        custom = find_custom(name)
        if custom is None:
            return _from_graph(entry, name, graphs)
    if custom is not None and not inspect.isclass(custom):
        return custom
    return family.deserialize(decode_config(entry))


def _from_graph(entry: dict[str, Any], name: Any, graphs: Mapping[str, Graph]) -> Any:
    if "graph" not in entry:
        raise missing_class(name)
    graph = graphs[entry["graph"]["graph"]]
    if "reduction" in entry["graph"]:
        return GraphLoss(entry, graph)
    return GraphFunction(graph, str(name))


def _make_optimizer(entry: dict[str, Any], graphs: Mapping[str, Graph]) -> Any:
    if entry.get("module") is None:
        name = entry.get("registered_name") or entry["class_name"]
        if find_custom(name) is None and find_custom(entry["class_name"]) is None:
            raise missing_class(name)
    rate = (entry["config"] or {}).get("learning_rate")
    if not isinstance(rate, dict) or "graph" not in rate:
        return optimizers.deserialize(decode_config(entry))
    known = find_custom(rate.get("registered_name")) or find_custom(rate["class_name"])
    if known is not None:
        found = known.from_config(decode_config(rate["config"] or {}))
    else:
        found = GraphSchedule(rate, graphs[rate["graph"]])
    config = decode_config(entry)
    return optimizers.deserialize(
        config | {"config": config["config"] | {"learning_rate": found}}
    )


def missing_class(name: Any) -> LoadError:
    """The error that a user's class is needed and not there."""
    return LoadError(
        f"the file needs the class or function {ascii(name)[:80]}, which is no part of"
        " graphc and was not saved as a graph",
        hint="pass custom_objects={...}, register it with"
        " @graphc.saving.register_keras_serializable(), or use compile=False if the"
        " model was compiled with it",
    )
