"""Models made of symbolic tensors as configs, in Keras's form, and back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from graphc.frontend import trees
from graphc.frontend.keras_tensor import (
    BATCH,
    KerasTensor,
    Operation,
    known_shape,
    symbolic_leaves,
)
from graphc.frontend.layers.input_layer import InputLayer
from graphc.frontend.layers.layer import Layer
from graphc.frontend.serialization.objects import decode, encode, encode_config
from graphc.ir.dims import SymbolicDim, parse_dim
from graphc.ir.errors import LoadError
from graphc.ir.graph import fresh_name

if TYPE_CHECKING:
    from graphc.frontend.models.function import Function

Describe = Callable[[Any, list[Operation]], dict[str, Any]]
"""Gives the config of a layer or function that operations call."""

Make = Callable[[dict[str, Any]], Callable[..., Any]]
"""Gives the layer or function of a config."""


TENSORS_ONLY = "tensors_only"
"""The key of entries whose calls take a list of their tensors and nothing else."""


class NotEncodableError(ValueError):
    """An argument of a recorded call is no JSON."""


def function_config(function: Function, describe: Describe) -> dict[str, Any]:
    """The operations of a function, as ``layers``, ``input_layers``, ``output_layers``.

    Args:
        function: The function.
        describe: Gives the config of what operations call; called once per layer and
            once per call of an op.

    Raises:
        ValueError: If two layers have one name, or an argument cannot be saved.
    """
    places: dict[tuple[Any, int], list[Any]] = {}
    entries = [_input_entry(tensor, places) for tensor in function.inputs]
    taken = {entry["name"] for entry in entries}
    for called, operations in _calls(function):
        name = called.name if isinstance(called, Layer) else operations[0].name
        if name in taken and isinstance(called, Layer):
            raise ValueError(
                "All layers of a functional model must have unique names to be saved."
                f" Received: two layers called {name!r}"
            )
        name = fresh_name(name, taken)
        taken.add(name)
        for index, operation in enumerate(operations):
            places[operation, 0] = [name, index]
        entries.append({"name": name, "called": called, "operations": operations})
    for entry in entries:
        if "called" in entry:
            operations = entry.pop("operations")
            entry.update(describe(entry.pop("called"), operations))
            only = entry.pop(TENSORS_ONLY, False)
            entry["inbound_nodes"] = [_node(o, places, only) for o in operations]
    return {
        "layers": entries,
        "input_layers": _history_tree(function.inputs_structure, places),
        "output_layers": _history_tree(function.outputs_structure, places),
    }


def _calls(function: Function) -> Iterator[tuple[Any, list[Operation]]]:
    """What the operations call, each with its operations: layers once, ops per call."""
    found: dict[int, tuple[Any, list[Operation]]] = {}
    for operation in function.operations:
        called = operation.function
        key = id(called) if isinstance(called, Layer) else id(operation)
        found.setdefault(key, (called, []))[1].append(operation)
    yield from found.values()


def _input_entry(
    tensor: KerasTensor, places: dict[tuple[Any, int], list[Any]]
) -> dict[str, Any]:
    """The entry of an input; one that a layer computed becomes an input of its own."""
    assert tensor.operation is not None
    source = tensor.operation.function
    config = {
        "batch_shape": list(known_shape(tensor.type.shape)),
        "dtype": tensor.dtype,
        "name": tensor.name,
    }
    if isinstance(source, InputLayer):
        config = encode_config(source.get_config())
        places[tensor.operation, 0] = [source.name, 0]
    else:
        places[tensor.operation, -1 - tensor.index] = [tensor.name, 0, 0]
    return {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": config,
        "registered_name": None,
        "name": config["name"],
        "inbound_nodes": [],
    }


def _history(
    tensor: KerasTensor, places: dict[tuple[Any, int], list[Any]]
) -> list[Any]:
    """Where a tensor comes from: the layer's name, its call and the output's number."""
    if tensor.index < 0:
        raise NotEncodableError(
            "Expected arguments that a layer or an op returned. Received: a mask that a"
            f" tensor carries, of {tensor.name!r}"
        )
    given = places.get((tensor.operation, -1 - tensor.index))
    return given or [*places[tensor.operation, 0], tensor.index]


def _history_tree(tree: Any, places: dict[tuple[Any, int], list[Any]]) -> Any:
    return encode(tree, lambda leaf: _history(leaf, places))


def _node(
    operation: Operation, places: dict[tuple[Any, int], list[Any]], tensors_only: bool
) -> dict[str, Any]:
    def leaf(value: Any) -> dict[str, Any]:
        if isinstance(value, KerasTensor):
            config = {
                "shape": list(value.shape),
                "dtype": value.dtype,
                "keras_history": _history(value, places),
            }
            return {"class_name": "__keras_tensor__", "config": config}
        return encode_argument(value)

    if tensors_only:
        return {"args": [encode(operation.inputs, leaf)], "kwargs": {}}
    return {
        "args": [encode(x, leaf) for x in operation.arguments],
        "kwargs": {k: encode(v, leaf) for k, v in operation.keywords.items()},
    }


def encode_argument(value: Any) -> dict[str, Any]:
    """An argument of a recorded call that is no tensor and no plain value.

    Raises:
        NotEncodableError: If it is no dim of the batch size either.
    """
    if isinstance(value, SymbolicDim) and value.symbols() == BATCH.symbols():
        return {"class_name": "__dim__", "config": str(value)}
    raise NotEncodableError(
        "Expected arguments that are plain values or tensors, to save a recorded call."
        f" Received: {value!r} (of type {type(value).__name__})"
    )


def check_arguments(operation: Operation) -> None:
    """Raises a `NotEncodableError` if an argument of an operation is no JSON."""
    keep = {"class_name": "__keras_tensor__"}

    def leaf(value: Any) -> dict[str, Any]:
        return keep if isinstance(value, KerasTensor) else encode_argument(value)

    encode([list(operation.arguments), operation.keywords], leaf)


# -- back to tensors -----------------------------------------------------------------------


def function_from_config(config: dict[str, Any], make: Make) -> tuple[Any, Any]:
    """The symbolic inputs and outputs that `function_config` described.

    Args:
        config: What it returned.
        make: Gives the layer or function of an entry.

    Raises:
        LoadError: If calls read what no call computes.
    """
    outputs: dict[tuple[str, int], list[Any]] = {}
    pending: list[_Call] = []
    names: set[str] = set()
    for entry in config["layers"]:
        name = entry["name"]
        if name in names:
            raise LoadError(f"two layers are called {ascii(name)[:80]}")
        names.add(name)
        called = make(entry)
        if isinstance(called, InputLayer):
            outputs[name, 0] = [called.tensor]
        for index, node in enumerate(entry["inbound_nodes"]):
            pending.append(_Call(name, index, called, node))
    _run(pending, outputs)
    return (
        _tensor_tree(config["input_layers"], outputs),
        _tensor_tree(config["output_layers"], outputs),
    )


class _Call:
    """A call of a layer or op that waits for what it reads."""

    def __init__(
        self, name: str, index: int, called: Any, node: dict[str, Any]
    ) -> None:
        self.name = name
        self.index = index
        self.called = called
        self.node = node
        self.reads = set(_reads([node["args"], node["kwargs"]]))

    def run(self, outputs: dict[tuple[str, int], list[Any]]) -> list[Any]:
        def leaf(value: dict[str, Any]) -> Any:
            if value["class_name"] == "__keras_tensor__":
                return _tensor_at(value["config"]["keras_history"], outputs)
            if value["class_name"] == "__dim__":
                return parse_dim(str(value["config"]))
            raise LoadError(
                "an argument of a layer has an unknown class",
                received=ascii(value["class_name"])[:80],
            )

        arguments = [decode(x, leaf) for x in self.node["args"]]
        keywords = {k: decode(v, leaf) for k, v in self.node["kwargs"].items()}
        if not symbolic_leaves((arguments, keywords)):
            raise LoadError(f"a call of {ascii(self.name)[:80]} takes no tensor")
        return trees.leaves(self.called(*arguments, **keywords))


def _reads(value: Any) -> Iterator[tuple[str, int]]:
    if isinstance(value, list):
        for item in value:
            yield from _reads(item)
    elif isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, index, _ = value["config"]["keras_history"]
            yield name, index
        else:
            for item in value.values():
                yield from _reads(item)


def _run(calls: list[_Call], outputs: dict[tuple[str, int], list[Any]]) -> None:
    """Runs each call as soon as all that it reads is there."""
    waiting: dict[tuple[str, int], list[_Call]] = {}
    missing = {id(call): len(call.reads - outputs.keys()) for call in calls}
    ready = deque(call for call in calls if not missing[id(call)])
    for call in calls:
        for read in call.reads - outputs.keys():
            waiting.setdefault(read, []).append(call)
    done = 0
    while ready:
        call = ready.popleft()
        done += 1
        outputs[call.name, call.index] = call.run(outputs)
        for waiter in waiting.pop((call.name, call.index), ()):
            missing[id(waiter)] -= 1
            if not missing[id(waiter)]:
                ready.append(waiter)
    if done < len(calls):
        lacking = ", ".join(ascii(name)[:40] for name, _ in list(waiting)[:5])
        raise LoadError(
            "the layers read what no layer computes, or each other in a circle",
            received=f"no tensors of {lacking}",
        )


def _tensor_at(history: Any, outputs: dict[tuple[str, int], list[Any]]) -> KerasTensor:
    name, index, position = history
    found = outputs[name, index][position]
    if not isinstance(found, KerasTensor) or position < 0:
        raise LoadError(f"output {position} of {ascii(name)[:80]} is no tensor")
    return found


def _tensor_tree(tree: Any, outputs: dict[tuple[str, int], list[Any]]) -> Any:
    """The structure of tensors that a structure of places describes."""
    if isinstance(tree, list):
        place = len(tree) == 3 and isinstance(tree[0], str) and type(tree[1]) is int
        if place:
            return _tensor_at(tree, outputs)
        return [_tensor_tree(item, outputs) for item in tree]
    if isinstance(tree, dict):
        if tree.get("class_name") == "__tuple__":
            return tuple(_tensor_tree(item, outputs) for item in tree["items"])
        return {key: _tensor_tree(item, outputs) for key, item in tree.items()}
    raise LoadError("a place of a tensor is missing", received=ascii(tree)[:80])
