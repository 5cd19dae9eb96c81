"""Code as graphs: calls of layers and functions, traced so that they run without it."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.frontend import trees
from graphc.frontend.keras_tensor import KerasTensor, normalized_types
from graphc.frontend.layers.call_spec import CALL_CONTEXT
from graphc.frontend.layers.layer import Layer
from graphc.frontend.program import LARGEST_SIZE
from graphc.frontend.serialization.functional import encode_argument
from graphc.frontend.serialization.objects import encode
from graphc.frontend.tensor import Tensor, TracedTensor
from graphc.frontend.tracing import Trace, replay, value
from graphc.frontend.variables import Variable
from graphc.ir import Graph, Location, TensorType
from graphc.ir.values import sanitize_name

TENSOR = "__tensor__"
"""The class name that stands for a tensor in a saved structure."""

_FILE_NAME = re.compile(r"<[\w.+-]*>")


@dataclass(frozen=True, slots=True)
class CallSite:
    """One way in which a layer or function is called.

    Attributes:
        function: The layer or function.
        arguments: Its positional arguments; symbolic tensors are leaves.
        keywords: Its keyword arguments.
        location: The user's line.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    location: Location | None = None

    def split(self, signature: inspect.Signature) -> tuple[Any, list[KerasTensor]]:
        """The call without its tensors as JSON, and the tensors in its order.

        Args:
            signature: The names of the arguments.

        Raises:
            NotEncodableError: If an argument is neither a tensor nor a plain value.
        """
        arguments, keywords, tensors = self._numbered()
        bound = signature.bind(*arguments, **keywords).arguments
        form, order = call_form(bound, lambda x: isinstance(x, _Number))
        return form, [tensors[number.index] for number in order]

    def call(
        self, signature: inspect.Signature, given: Callable[[int], TracedTensor]
    ) -> Any:
        """Calls the function with ``given(position)`` for each tensor of `split`."""
        arguments, keywords, _ = self._numbered()
        bound = signature.bind(*arguments, **keywords).arguments
        _, order = call_form(bound, lambda x: isinstance(x, _Number))
        positions = {number.index: i for i, number in enumerate(order)}
        arguments, keywords = trees.map_leaves(
            lambda x: given(positions[x.index]) if isinstance(x, _Number) else x,
            (arguments, keywords),
        )
        return replay(self.location, self.function, *arguments, **keywords)

    def _numbered(self) -> tuple[tuple[Any, ...], dict[str, Any], list[KerasTensor]]:
        """The arguments with a number for each occurrence of a tensor."""
        tensors: list[KerasTensor] = []

        def number(leaf: Any) -> Any:
            if not isinstance(leaf, KerasTensor):
                return leaf
            tensors.append(leaf)
            return _Number(len(tensors) - 1)

        tree = trees.map_leaves(number, (self.arguments, self.keywords))
        return *tree, tensors


@dataclass(frozen=True, slots=True)
class _Number:
    index: int


def call_form(
    bound: Mapping[str, Any], is_tensor: Callable[[Any], bool]
) -> tuple[Any, list[Any]]:
    """Arguments by name as JSON with placeholders for tensors, and the tensors.

    What is None (or an empty ``*args``) is left out, as a default would be.
    """
    tensors: list[Any] = []

    def leaf(found: Any) -> Any:
        if is_tensor(found):
            tensors.append(found)
            return {"class_name": TENSOR}
        return encode_argument(found)

    given = {name: x for name, x in bound.items() if not _is_left_out(x)}
    form = encode(given, leaf, is_tensor)
    return form, tensors


def _is_left_out(argument: Any) -> bool:
    return argument is None or (isinstance(argument, (tuple, dict)) and not argument)


@dataclass(frozen=True, slots=True)
class CapturedCall:
    """A call as a graph.

    The graph takes the tensors, the masks of those that have one, and the variables it
    reads; it returns tensors, their masks, added losses, and the variables it writes.

    Attributes:
        graph: The graph, in a module of its own.
        reads: The variables among the parameters.
        writes: The variables among the results.
        losses: How many losses are added.
        outputs: The structure of the outputs as JSON.
        masks: For each output tensor whether it has a mask.
    """

    graph: Graph
    reads: tuple[Variable, ...]
    writes: tuple[Variable, ...]
    losses: int
    outputs: Any
    masks: tuple[bool, ...]

    def same_as(self, other: CapturedCall) -> bool:
        """Whether both compute the same from the same."""
        return (
            _same(self.reads, other.reads)
            and _same(self.writes, other.writes)
            and (self.losses, self.outputs) == (other.losses, other.outputs)
            and self.masks == other.masks
            and self.graph == other.graph
        )


def _same(a: Sequence[Variable], b: Sequence[Variable]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def capture_call(
    site: CallSite,
    signature: inspect.Signature,
    name: str,
    training: bool,
    sizes: Mapping[str, int],
) -> CapturedCall:
    """Traces a call of a layer or a function.

    Args:
        site: The call.
        signature: The names of its arguments.
        name: What to call the graph.
        training: Whether the call is one of training.
        sizes: Sizes to put for symbols of the tensors' types.

    Raises:
        UnknownDimError: If Python code asks for a size that is a symbol.
    """
    _, tensors = site.split(signature)
    masks = [getattr(t, "_keras_mask", None) for t in tensors]
    of_masks = [mask.type for mask in masks if mask is not None]
    types = normalized_types([*(t.type for t in tensors), *of_masks], sizes)
    trace = Trace(Graph(sanitize_name(name)[:100]))
    layer = site.function if isinstance(site.function, Layer) else None
    apart = layer._losses_apart() if layer is not None else nullcontext()
    with trace(), CALL_CONTEXT.entered(training), apart:
        given = [trace.parameter(type) for type in types]
        inputs, mask_values = given[: len(tensors)], iter(given[len(tensors) :])
        for tensor, mask in zip(inputs, masks, strict=True):
            if mask is not None:
                tensor._keras_mask = next(mask_values)
        outputs = site.call(signature, inputs.__getitem__)
        return _finish(trace, outputs, _added_losses(layer))


def _finish(trace: Trace, outputs: Any, losses: list[Any]) -> CapturedCall:
    """Makes what was traced a graph, with everything that leaves it as results."""
    tensors: list[Any] = []

    def leaf(found: Any) -> dict[str, Any]:
        if not isinstance(found, Tensor):
            raise ValueError(
                "Expected a layer to return tensors and plain values, to save it."
                f" Received: {found!r} (of type {type(found).__name__})"
            )
        tensors.append(found)
        return {"class_name": TENSOR, "config": len(tensors) - 1}

    structure = encode(_arrays_as_tensors(outputs), leaf)
    found = [getattr(tensor, "_keras_mask", None) for tensor in tensors]
    results = [value(x) for x in (*tensors, *(m for m in found if m is not None))]
    results += [value(loss) for loss in losses]
    results += [trace.read(variable).value for variable in trace.written]
    trace.graph.results = results
    finish_graphs(trace)
    return CapturedCall(
        trace.graph,
        tuple(trace.state),
        tuple(trace.written),
        len(losses),
        structure,
        tuple(mask is not None for mask in found),
    )


def _arrays_as_tensors(outputs: Any) -> Any:
    return trees.map_leaves(
        lambda x: TracedTensor(value(x)) if isinstance(x, np.ndarray) else x, outputs
    )


def capture_function(
    function: Callable[..., Any], types: Sequence[TensorType], name: str
) -> Graph:
    """Traces a function of tensors that returns one tensor and reads no variables.

    Raises:
        ValueError: If it returns or does something else.
    """
    trace = Trace(Graph(sanitize_name(name)[:100]))
    with trace(), CALL_CONTEXT.entered(None):
        result = function(*(trace.parameter(t) for t in normalized_types(types, {})))
        if trace.state or trace.written:
            raise ValueError(
                "Expected a function that reads no variables, to save it."
                f" Received: {function!r} reads {[v.path for v in trace.state]}"
            )
        trace.graph.results = [value(result)]
    finish_graphs(trace)
    return trace.graph


def finish_graphs(trace: Trace) -> None:
    """Declares the ranges of symbols, and makes locations fit to be shared."""
    for graph in trace.module.graphs.values():
        symbols = sorted(graph.symbols)
        graph.ranges = {s: (1 if s == "B" else 0, LARGEST_SIZE) for s in symbols}
        for node in graph.nodes:
            if node.location is not None:
                node.location = anonymous(node.location)


def anonymous(location: Location) -> Location:
    """A location whose file is a name in angle brackets, which is never opened.

    Whoever gets a saved model need not know the folders of who saved it, and a file
    of unknown origin must not choose what an error message shows.
    """
    file = location.file
    if _FILE_NAME.fullmatch(file) is None:
        base = os.path.basename(file.replace("\\", "/"))
        file = f"<{re.sub(r'[^A-Za-z0-9_.+-]', '_', base)[:100]}>"
    return Location(
        file, location.line, location.column, location.path, location.origin
    )


def _added_losses(layer: Layer | None) -> list[Any]:
    inner = layer._flatten_layers() if layer is not None else ()
    return [loss for each in inner for loss in each._own_losses]
