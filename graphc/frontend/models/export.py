"""Models as artifacts: programs compiled ahead of time, without the model's Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.files.container import checked_path
from graphc.frontend import trees
from graphc.frontend.arguments import one_of
from graphc.frontend.execution import (
    ARTIFACT_SUFFIX,
    STEPS,
    ArtifactSource,
    Contract,
    Sizes,
    write_artifact,
)
from graphc.frontend.models.graphs import step_program
from graphc.frontend.program import Program
from graphc.frontend.serialization.variable_paths import canonical_paths
from graphc.frontend.variables import State, Variable, assign_all

if TYPE_CHECKING:
    from graphc.frontend.models.model import Model


def export_model(
    model: Any,
    filepath: str | os.PathLike[str],
    kind: str = "predict",
    targets: Iterable[str] = ("xla",),
    batch: int | Sequence[int] | None = None,
    ranges: Mapping[str, tuple[int, int]] | None = None,
    precision: str | None = None,
    overwrite: bool = True,
    say: Callable[[str], None] = lambda stage: None,
) -> None:
    """Writes a model's step to an artifact; see `Model.export`."""
    path = checked_path(filepath, ARTIFACT_SUFFIX, overwrite)
    source = model_source(model, kind)
    options = replace(model.compile_options, target="xla")
    if precision is not None:
        options = replace(options, precision=precision)
    write_artifact(
        path,
        source,
        contract_of(batch, ranges or {}),
        targets,
        options,
        say=say,
    )


def contract_of(
    batch: int | Sequence[int] | None, ranges: Mapping[str, tuple[int, int]]
) -> Contract:
    """The contract of batch sizes and of ranges of sizes by symbol."""
    symbols = {name: Sizes.between(low, high) for name, (low, high) in ranges.items()}
    if batch is not None:
        sizes = (batch,) if isinstance(batch, int) else tuple(batch)
        symbols["B"] = Sizes(tuple(sorted(set(sizes))))
    return Contract(symbols)


def model_source(model: Model, kind: str) -> ArtifactSource:
    """What an artifact of one of a model's steps is made of.

    Raises:
        ValueError: For an unknown kind, or if types are not known yet.
    """
    program = step_program(model, one_of("kind", kind, STEPS))
    paths = {id(v): path for path, v in canonical_paths(model).items()}
    fresh = {} if kind == "predict" else _fresh_metrics(model)
    source = program_source(program, model.name, kind, paths, fresh)
    if kind != "predict" or not model.has_function():
        return source
    inputs, outputs = tuple(model.input_names), tuple(model.output_names)
    if len(set(inputs)) == len(source.inputs):
        source = replace(source, inputs=inputs)
    # A dict's keys are names already.
    is_unnamed = source.outputs == _numbered(len(outputs))
    if is_unnamed and len(set(outputs)) == len(outputs):
        source = replace(source, outputs=outputs)
    return source


def program_source(
    program: Program,
    name: str,
    kind: str,
    paths: Mapping[int, str] | None = None,
    fresh: Mapping[int, np.ndarray[Any, Any]] | None = None,
) -> ArtifactSource:
    """What an artifact of a traced function is made of.

    Args:
        program: The function.
        name: What the artifact is called.
        kind: What the function does, as `ArtifactSource` says.
        paths: The names of variables by their identity, where their own are not used.
        fresh: What variables start with in each epoch, by their identity, if they do.
    """
    fresh = fresh or {}
    graph, read = program.graph, {id(v) for v in program.state}
    unread = [v for v in program.written if id(v) not in read]
    if unread:  # what a program keeps is what it is given: no more, no less
        graph = graph.copy()
        for variable in unread:
            graph.add_parameter(variable.type, attributes={"role": "state"})
    variables = [*program.state, *unread]
    names = _state_names(variables, paths or {})
    places = {id(variable): place for place, variable in enumerate(variables)}
    parameters = graph.parameters[: program.inputs]
    arrays = [
        fresh.get(id(variable), array)
        for variable, array in zip(variables, _arrays(variables), strict=True)
    ]
    return ArtifactSource(
        name=name,
        kind=kind,
        graph=graph,
        inputs=tuple(p.name or f"x_{i}" for i, p in enumerate(parameters)),
        outputs=_output_names(program),
        state=dict(zip(names, arrays, strict=True)),
        written=tuple(places[id(v)] for v in program.written),
        metrics=tuple(places[id(v)] for v in variables if id(v) in fresh),
    )


def _fresh_metrics(model: Model) -> dict[int, np.ndarray[Any, Any]]:
    """What the variables of a model's metrics start with; they stay as they are."""
    variables = [v for metric in model.metrics for v in metric.variables]
    before = _arrays(variables) if variables else []
    model.reset_metrics()
    fresh = {id(v): np.array(v.array()) for v in variables}
    assign_all(zip(variables, before, strict=True))
    return fresh


def _output_names(program: Program) -> tuple[str, ...]:
    """The places of the outputs in what the function returns."""
    count = len(program.graph.results) - len(program.written)
    numbers = trees.unflatten(program.structure, list(range(count)))
    paths, _, _ = trees.flatten_with_path(numbers)
    names = ["_".join(map(str, path)) for path in paths]
    if len(set(names)) == len(names) and all(map(str.isidentifier, names)):
        return tuple(names)
    return _numbered(count)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"output_{i}" for i in range(count))


def _state_names(variables: Iterable[Variable], paths: Mapping[int, str]) -> list[str]:
    """A name for each variable: its path in the model, or else its own path."""
    names: list[str] = []
    for variable in variables:
        name = paths.get(id(variable), variable.path)
        taken = sum(each == name or each.startswith(f"{name}#") for each in names)
        names.append(f"{name}#{taken}" if taken else name)
    return names


def _arrays(variables: Sequence[Variable]) -> list[np.ndarray[Any, Any]]:
    State.of(variables).initialize()
    return [np.asarray(variable.array()) for variable in variables]
