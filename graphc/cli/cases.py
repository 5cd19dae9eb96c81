"""What a command runs: a graph of a file with its sizes bound, and arrays for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from graphc.cli.text import printable, read_graph
from graphc.frontend.models.graphs import step_program
from graphc.frontend.saving import load_model
from graphc.frontend.tracing import located_at
from graphc.ir import Graph, Location, SymbolicDim
from graphc.ir.errors import LoadError
from graphc.ir.random_inputs import Array, random_inputs

SIZE = 2
"""What dimension symbols are bound to unless options or inputs say otherwise."""


def bound_case(
    file: str, kind: str, batch: int | None, seed: int, inputs: str | None = None
) -> tuple[Graph, list[Array]]:
    """The graph of a file with its sizes bound, and an array for each parameter.

    Args:
        file: A .graphc, .gir or .mlir file, or - for a graph on standard input.
        kind: Which graph of a saved model.
        batch: The batch size, if an option says it.
        seed: What is drawn from where neither the file nor `inputs` has an array.
        inputs: An .npz file of arrays by parameter name.
    """
    graph, given = read_case(file, kind)
    given |= read_arrays(inputs, graph) if inputs else {}
    sizes = choose_sizes(graph, given, batch)
    return graph.bind(**sizes), fill(graph, given, seed, sizes)


def fill(
    graph: Graph,
    given: Mapping[str, Array],
    seed: int,
    sizes: Mapping[str, int] | None = None,
) -> list[Array]:
    """An array for each parameter: the one that is given, else one that is drawn."""
    drawn = random_inputs(graph, seed, sizes)
    return [
        given.get(parameter_name(p.name, p.index), array)
        for p, array in zip(graph.parameters, drawn, strict=True)
    ]


def read_case(file: str, kind: str) -> tuple[Graph, dict[str, Array]]:
    """The graph of a file, and the arrays that a saved model has for its state.

    The nodes of a saved model are located in its file, by their layers' paths.
    """
    if file == "-" or Path(file).suffix != ".graphc":
        return read_graph(file), {}
    with errors_of(file), located_at(Location(Path(file).name, 1, 1)):
        program = step_program(load_model(file), kind)
    state = program.graph.parameters[program.inputs :]
    return program.graph, {
        parameter_name(p.name, p.index): np.asarray(variable.array())
        for p, variable in zip(state, program.state, strict=True)
    }


@contextmanager
def errors_of(file: str) -> Iterator[None]:
    """While open, what a saved model cannot do is an error about its file.

    Raises:
        LoadError: If the model lacks what a step needs, such as a loss.
    """
    try:
        yield
    except LoadError:  # which says the file
        raise
    except ValueError as error:
        raise LoadError(f"{printable(file)}: {error}") from error


def read_arrays(file: str, graph: Graph) -> dict[str, Array]:
    """The arrays of an .npz file; pickled objects are refused.

    Raises:
        LoadError: If the file is no such file.
        UsageError: If a name is not a parameter's.
    """
    try:
        with np.load(file, allow_pickle=False) as loaded:
            arrays = dict(loaded)
    except (ValueError, EOFError, TypeError) as error:
        raise LoadError(
            f"{printable(file)} is not an .npz file", received=str(error)[:200]
        ) from None
    names = [parameter_name(p.name, p.index) for p in graph.parameters]
    for name in arrays:
        if name not in names:
            raise click.UsageError(
                f"{printable(name)!r} is not a parameter; parameters: {', '.join(names)}"
            )
    return arrays


def parameter_name(name: str | None, index: int) -> str:
    """What a parameter is called in files: its number if it has no name."""
    return name or str(index)


def choose_sizes(
    graph: Graph,
    given: Mapping[str, Array],
    batch: int | None,
    asked: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """The sizes of the dimension symbols: as given arrays have them, else small.

    Args:
        graph: The graph.
        given: Arrays by parameter name.
        batch: The batch size, if an option says it.
        asked: Other sizes that options say, by symbol.

    Raises:
        UsageError: If they are about no symbol of the graph.
    """
    sizes = dict(asked or {})
    if unknown := sorted(sizes.keys() - graph.ranges.keys()):
        known = ", ".join(graph.ranges) or "none"
        raise click.UsageError(
            f"the graph has no dimension {unknown[0]}; its dimensions: {known}"
        )
    if batch is not None:
        sizes["B"] = batch
    for p in graph.parameters:
        array = given.get(parameter_name(p.name, p.index))
        for dim, size in zip(
            p.shape, () if array is None else array.shape, strict=False
        ):
            if isinstance(dim, SymbolicDim) and str(dim) in graph.ranges:
                sizes.setdefault(str(dim), size)
    for symbol, (low, high) in graph.ranges.items():
        sizes.setdefault(symbol, min(max(SIZE, low), high))
    return sizes
