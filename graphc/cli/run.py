"""``graphc run``: run a saved model or a graph on arrays from files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click
import numpy as np

from graphc.cli.text import printable, read_graph, write_whole
from graphc.frontend import trees
from graphc.frontend.compilation import compile
from graphc.frontend.saving import load_model
from graphc.frontend.tracing import without_locations
from graphc.ir import Graph
from graphc.ir.errors import LoadError


@click.command()
@click.argument("file")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME=]FILE.npy",
    help="An input, by parameter name or in order. Repeat for several.",
)
@click.option("-o", "--output", help="A directory for the results, as .npy files.")
@click.option("--target", default="xla", show_default=True, help="What to run on.")
def run(file: str, inputs: tuple[str, ...], output: str | None, target: str) -> None:
    """Run a saved model or a graph on arrays.

    FILE is a .graphc, .gir or .mlir (StableHLO) file, or - for a graph on standard
    input. The results are printed, or written to a directory.
    """
    if file != "-" and Path(file).suffix == ".graphc":
        results = _run_model(file, inputs)
    else:
        results = _run_graph(read_graph(file), inputs, target)
    if output is None:
        for index, array in enumerate(results):
            click.echo(f"result {index}: {array.dtype}{list(array.shape)}")
            click.echo(np.array2string(array, threshold=100))
        return
    directory = Path(output)
    directory.mkdir(parents=True, exist_ok=True)
    for index, array in enumerate(results):
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        path = directory / f"result_{index}.npy"
        write_whole(path, buffer.getvalue())
        click.echo(str(path))


def _run_model(file: str, inputs: tuple[str, ...]) -> list[np.ndarray[Any, Any]]:
    with without_locations():
        model = load_model(file, compile=False)
        # A subclassed model's inputs have no names: they go by position.
        count = max(1, len(inputs))
        names = model.input_names if model.has_function() else _positions(count)
        given = read_inputs(inputs, names)
        outputs = model.predict(given[0] if len(given) == 1 else given, verbose=0)
    return [np.asarray(x) for x in trees.leaves(outputs)]


def _positions(count: int) -> list[str]:
    return ["x", *(f"x_{i}" for i in range(1, count))]


def _run_graph(
    graph: Graph, inputs: tuple[str, ...], target: str
) -> list[np.ndarray[Any, Any]]:
    names = [p.name or str(p.index) for p in graph.parameters]
    given = read_inputs(inputs, names)
    outputs = compile(graph, target=target)(*given)
    return [np.asarray(x) for x in trees.leaves(outputs)]


def read_inputs(
    options: tuple[str, ...], names: list[str]
) -> list[np.ndarray[Any, Any]]:
    """The arrays that ``--input`` options name, in the order of `names`.

    Raises:
        UsageError: If inputs are missing, unknown or given twice.
        LoadError: If a file is not an array.
    """
    found: dict[str, np.ndarray[Any, Any]] = {}
    for position, option in enumerate(options):
        name, equals, file = option.partition("=")
        if not equals:
            file = option
            if position >= len(names):
                raise click.UsageError(f"there are only {len(names)} inputs")
            name = names[position]
        if name not in names or name in found:
            what = "given twice" if name in found else "not an input"
            raise click.UsageError(
                f"{printable(name)!r} is {what}; inputs: {', '.join(names)}"
            )
        found[name] = read_array(file)
    missing = [name for name in names if name not in found]
    if missing:
        raise click.UsageError(
            f"missing inputs: {', '.join(missing)} (use --input NAME=FILE.npy)"
        )
    return [found[name] for name in names]


def read_array(file: str) -> np.ndarray[Any, Any]:
    """The array in an .npy file; pickled objects are refused.

    Raises:
        LoadError: If the file is not an array.
    """
    try:
        loaded = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise LoadError(
            f"{printable(file)} is not a .npy file", received=str(error)[:200]
        ) from None
    if not isinstance(loaded, np.ndarray):
        raise LoadError(f"{printable(file)} holds several arrays", hint="give one .npy")
    return loaded
