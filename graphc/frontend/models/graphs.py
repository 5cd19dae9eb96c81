"""The graphs of a model's steps, as traced, before passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphc.frontend import trees
from graphc.frontend.arguments import one_of
from graphc.frontend.execution import STEPS
from graphc.frontend.initial_values import Draw, initial_values_graph
from graphc.frontend.keras_tensor import KerasTensor, normalized_types
from graphc.frontend.layers.graph_layer import GraphCalls
from graphc.frontend.program import Program
from graphc.frontend.training import losses
from graphc.frontend.training.blocks import block_of
from graphc.ir import Graph, TensorType, dtype

if TYPE_CHECKING:
    from graphc.frontend.models.model import Model

KINDS = ("init", *STEPS)
BLOCKS = {"train_block": "train_step", "eval_block": "eval_step"}
"""The step of each kind of block."""


def model_graph(model: Model, kind: str, batch_size: int | None = None) -> Graph:
    """The graph of one of a model's steps; see `Model.graph`."""
    one_of("kind", kind, (*KINDS, *BLOCKS))
    if kind == "init":
        return _init_graph(model)
    program = step_program(model, BLOCKS.get(kind, kind))
    if kind in BLOCKS:
        program = block_of(model.step(BLOCKS[kind]), program)
    graph = program.graph
    if batch_size is None or "B" not in graph.symbols:
        return graph.copy()
    return graph.bind(B=batch_size)


def _init_graph(model: Model) -> Graph:
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built, so it has no weights yet. Build it"
            " with model.build(input_shape) or by calling it."
        )
    draws = [
        Draw(v.type, v.recipe, v.draw_path)
        for v in model.weights
        if v.recipe is not None
    ]
    return initial_values_graph(draws)


def step_program(model: Model, kind: str) -> Program:
    """A program of one of a model's steps: one that has run, or one traced now."""
    step = model.step(kind)
    for program in step.programs.values():
        return program
    x = _input_types(model, kind)
    batch: Any = (x,)
    if kind != "predict":
        if not model.compiled:
            raise ValueError(
                f"Call compile() before graph({kind!r}): the step needs a loss."
            )
        batch = _known_targets(model) or (x, target_types(model))
    types, structure = trees.flatten(batch, is_leaf=_is_type)
    return step.trace(tuple(normalized_types(types, {}, named=False)), structure)


def _known_targets(model: Model) -> Any:
    """A batch with targets that a step was run on, or None."""
    for batch in model.known_batches():
        if isinstance(batch, tuple) and len(batch) > 1:
            return batch
    return None


def _input_types(model: Model, kind: str) -> Any:
    for program_batch in model.known_batches():
        return program_batch[0] if isinstance(program_batch, tuple) else program_batch
    if isinstance(model, GraphCalls):
        types = model.input_types()
        return types[0] if len(types) == 1 else types
    if model._function is None:
        raise ValueError(
            f"Model '{model.name}' has no symbolic inputs, so graph({kind!r}) needs to"
            " know their types: run the step on a batch first, for example with"
            " model.train_on_batch or model.predict_on_batch."
        )
    return trees.map_leaves(lambda t: t.type, model.function.inputs_structure)


def target_types(model: Model) -> Any:
    """The types of the targets that the compiled loss takes.

    They are the outputs' own, or class numbers for sparse losses.
    """
    outputs = model.function.outputs_structure
    given = model.loss

    def target(tensor: KerasTensor, loss: Any) -> TensorType:
        return _target_type(tensor.type, loss)

    if isinstance(given, dict) and not isinstance(outputs, dict):
        by_name = dict(zip(model.output_names, trees.leaves(outputs), strict=True))
        return [target(t, given.get(n)) for n, t in by_name.items()]
    if isinstance(given, (list, tuple, dict)):
        return trees.map_leaves(target, outputs, given)
    return trees.map_leaves(lambda t: target(t, given), outputs)


def _target_type(output: TensorType, loss: Any) -> TensorType:
    known = losses.get(loss) if loss is not None else None
    name = getattr(known, "__name__", type(known).__name__).lower().replace("_", "")
    if name.startswith("sparsecategorical"):
        return TensorType(output.shape[:-1], dtype("int32"))
    return output


def _is_type(x: Any) -> bool:
    return isinstance(x, TensorType)
