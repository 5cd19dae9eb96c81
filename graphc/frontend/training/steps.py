"""Steps: a model's train, eval and predict functions as programs.

Each is traced once per structure of a batch, with the batch size as the symbol ``B``,
and compiled once per batch size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from graphc.frontend import trees
from graphc.frontend.layers.call_spec import CALL_CONTEXT
from graphc.frontend.program import Program, Slot, array_type, trace_program
from graphc.frontend.tracing import Trace
from graphc.frontend.variables import Variable, assign_all
from graphc.ir import Graph, TensorType
from graphc.ir.collection import collection_paused
from graphc.ir.dims import SymbolicDim
from graphc.ir.errors import UnknownDimError

if TYPE_CHECKING:
    from graphc.frontend.training.trainer import Trainer

B = SymbolicDim.symbol("B")

SMALLEST_BATCH = 1


class Step:
    """One of a model's steps, ready to run on batches.

    Args:
        model: The model.
        name: The name of the graph: ``train_step``, ``eval_step`` or ``predict``.
        function: Takes the batch, returns the outputs; traced.
    """

    def __init__(self, model: Trainer, name: str, function: Callable[..., Any]) -> None:
        self.model = model
        self.name = name
        self.function = function
        self.programs: dict[Any, Program] = {}
        self.blocks: dict[Program, Program] = {}
        self.status: Callable[[str], None] | None = None
        self._last: tuple[Any, Any, Any, Program | None] = (None, None, None, None)
        self._fresh: list[tuple[Variable, Any]] | None = None
        self._order: tuple[Any, list[str]] = (None, [])

    def __call__(self, batch: Any) -> Any:
        """Runs the step on a batch: a nested structure of arrays.

        Returns the outputs in their structure, with unwrapped arrays as leaves.
        """
        known_structure, known_types, known_key, program = self._last
        if type(batch) is tuple and [type(x) for x in batch] == known_types:
            arrays, structure = batch, known_structure
        else:
            arrays, structure = trees.flatten(batch)
        key = [(a.dtype, a.shape[1:]) for a in arrays]
        if program is None or key != known_key or structure != known_structure:
            program = self.program_for(arrays, structure)
            # One that was traced for a batch size is not for others.
            known = program if program.graph.symbols else None
            self._last = structure, _leaf_types(batch, arrays), key, known
        return program(arrays)

    def graph_and_arrays(self, batch: Any) -> tuple[Graph, list[Any]]:
        """The graph of the step for batches like this one, and what it would run on."""
        arrays, structure = trees.flatten(batch)
        program = self.program_for(arrays, structure)
        return program.graph, [*arrays, *(v.array() for v in program.state)]

    def reset_metrics(self) -> None:
        """Resets the model's metrics; from the second time on without asking them."""
        if self._fresh is not None:
            assign_all(self._fresh)
            return
        model = self.model
        model.reset_metrics()
        methods: list[Any] = [type(metric).reset_state for metric in model.metrics]
        methods.append(type(model).reset_metrics)
        if self.programs and all(m.__module__.startswith("graphc.") for m in methods):
            variables = [v for metric in model.metrics for v in metric.variables]
            self._fresh = [(v, v.array()) for v in variables]

    def report(self, logs: dict[str, Any], as_dict: bool) -> Any:
        """Logs as users get them: a dict, a list, or the only one.

        Lists are in the order of the model's metrics, with the rest by name.
        """
        if as_dict:
            return logs
        if len(logs) == 1:
            return next(iter(logs.values()))
        names, order = self._order
        if names != logs.keys():
            order = [n for n in dict.fromkeys(self.model.log_names()) if n in logs]
            order += sorted(logs.keys() - set(order))
            self._order = set(logs), order
        return [logs[name] for name in order]

    def program_for(self, arrays: Sequence[Any], structure: Any) -> Program:
        """The program for batches like this one, traced on first use."""
        types = tuple(array_type(a) for a in arrays)
        symbolic = types if _fixes_sizes(self.model) else _with_batch_symbol(types)
        for candidate in (symbolic, types):
            program = self.programs.get((structure, candidate))
            if program is not None:
                return program
        try:
            return self.trace(symbolic, structure)
        except UnknownDimError:
            # The model's Python asks for the batch size: trace for this very size.
            return self.trace(types, structure)

    def trace(self, types: tuple[TensorType, ...], structure: Any) -> Program:
        """Traces the step for a batch of these types."""
        if self.status is not None:
            self.status(f"tracing {self.name}")
        slots = [Slot(i) for i in range(len(types))]
        batch = trees.unflatten(structure, slots)
        with collection_paused():  # as a decorator it would be whom errors point at
            self.model.prepare(self.name, types, structure)
            program = trace_program(
                self.name,
                self.function,
                (batch,),
                types,
                _input_names(batch),
                {"B": (SMALLEST_BATCH, 2**31 - 1)},
            )
        program.options = self.model.compile_options
        program.on_status = self.status
        program.siblings = list(self.programs.values())
        self.model.forget_traced_losses()
        self.programs[structure, types] = program
        if self.status is not None:
            self.status("")
        return program


def _leaf_types(batch: Any, leaves: Sequence[Any]) -> list[type] | None:
    """The types of the items of a tuple of leaves, which need not be looked for again."""
    flat = type(batch) is tuple and len(batch) == len(leaves)
    if not flat or any(x is not leaf for x, leaf in zip(batch, leaves, strict=True)):
        return None
    return [type(leaf) for leaf in leaves]


def _fixes_sizes(model: Any) -> bool:
    """Whether a model takes batches of one size: its inputs or states say so."""
    if any(getattr(layer, "stateful", False) for layer in model._flatten_layers()):
        return True
    shapes = [tensor.shape for tensor in model.inputs] if model.has_function() else []
    return any(shape and isinstance(shape[0], int) for shape in shapes)


def _with_batch_symbol(types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    """`types` with ``B`` as the first dim, where all agree on what it is."""
    sizes = {t.shape[0] for t in types if t.shape}
    if len(sizes) != 1:
        return tuple(types)
    return tuple(t.with_shape((B, *t.shape[1:])) if t.shape else t for t in types)


def _input_names(batch: Any) -> list[str | None]:
    """``x``, ``y`` and ``sample_weight``, with the keys of nested structures."""
    parts = batch if isinstance(batch, tuple) else (batch,)
    names: list[str | None] = []
    for label, part in zip(("x", "y", "sample_weight"), parts, strict=False):
        paths, leaves, _ = trees.flatten_with_path(part)
        for path, _leaf in zip(paths, leaves, strict=True):
            names.append("_".join([label, *map(str, path)]))
    return names


def run_abstractly(
    function: Callable[..., Any], types: Sequence[TensorType], structure: Any
) -> Any:
    """Traces a function into a scratch graph: builds layers, keeps nothing else."""
    trace = Trace(Graph("scratch"))
    with trace(), CALL_CONTEXT.entered(None):
        tensors = [trace.parameter(t) for t in types]
        return function(trees.unflatten(structure, tensors))
