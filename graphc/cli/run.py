"""``graphc run``: run a saved model or a graph on arrays from files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click
import numpy as np

from graphc.artifacts import Artifact, load
from graphc.artifacts.contents import SUFFIX
from graphc.artifacts.loading import CODE
from graphc.cli.text import printable, read_graph, write_whole
from graphc.cli.training import train
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
@click.option("--target", help="What to run on; by default xla, or an artifact's own.")
@click.option(
    "--trust-code",
    is_flag=True,
    help="Run the machine code that an artifact holds, which can do anything.",
)
@click.option("--weights", help="The weights of an artifact that does not hold them.")
@click.option("--train", "trains", is_flag=True, help="Train on, with an artifact.")
@click.option(
    "--data", metavar="FILE.npz", help="What to train on: an array per input."
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many epochs to train.",
)
@click.option("--state", help="The state to train on from; by default the artifact's.")
@click.option("--shuffle", type=int, metavar="SEED", help="Shuffle what is trained on.")
def run(
    file: str,
    inputs: tuple[str, ...],
    output: str | None,
    target: str | None,
    trust_code: bool,
    weights: str | None,
    trains: bool,
    data: str | None,
    epochs: int,
    state: str | None,
    shuffle: int | None,
) -> None:
    """Run a saved model, an artifact or a graph on arrays.

    FILE is a .graphc, .gcx, .gir or .mlir (StableHLO) file, or - for a graph on
    standard input. The results are printed, or written to a directory.

    With --train the artifact of a training step trains on the arrays of --data; after
    each epoch its state is written to the directory, as state.safetensors. With
    --state it goes on from there, bit for bit as if it had not stopped.
    """
    suffix = "" if file == "-" else Path(file).suffix
    if trains:
        if suffix != SUFFIX or data is None or output is None or inputs:
            raise click.UsageError(
                f"--train takes a {SUFFIX} file, --data and --output"
            )
        artifact = load(file, target, CODE if trust_code else None, weights)
        train(artifact, data, epochs, state, output, shuffle)
        return
    if data is not None or state is not None or shuffle is not None:
        raise click.UsageError("--data, --state and --shuffle are for --train")
    if suffix != SUFFIX and (trust_code or weights is not None):
        raise click.UsageError(f"--trust-code and --weights are for {SUFFIX} files")
    named: tuple[str, ...] = ()
    if suffix == ".graphc":
        results = _run_model(file, inputs, target or "xla")
    elif suffix == SUFFIX:
        trust = CODE if trust_code else None
        artifact = load(file, target, trust, weights)
        results, named = _run_artifact(artifact, inputs), artifact.contents.outputs
    else:
        results = _run_graph(read_graph(file), inputs, target or "xla")
    if output is None:
        for index, array in enumerate(results):
            name = f" ({printable(named[index])})" if named else ""
            click.echo(f"result {index}{name}: {array.dtype}{list(array.shape)}")
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


def _run_model(
    file: str, inputs: tuple[str, ...], target: str
) -> list[np.ndarray[Any, Any]]:
    with without_locations():
        model = load_model(file, compile=False)
        model.compile(target=target)
        # A subclassed model's inputs have no names: they go by position.
        count = max(1, len(inputs))
        names = model.input_names if model.has_function() else _positions(count)
        given = read_inputs(inputs, names)
        outputs = model.predict(given[0] if len(given) == 1 else given, verbose=0)
    return [np.asarray(x) for x in trees.leaves(outputs)]


def _run_artifact(
    artifact: Artifact, inputs: tuple[str, ...]
) -> list[np.ndarray[Any, Any]]:
    outputs = artifact(*read_inputs(inputs, list(artifact.inputs)))
    every = outputs if isinstance(outputs, tuple) else (outputs,)
    return [np.asarray(output) for output in every]


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
            f"{printable(file)} is no .npy file of numbers", received=str(error)[:200]
        ) from None
    if not isinstance(loaded, np.ndarray):
        raise LoadError(f"{printable(file)} holds several arrays", hint="give one .npy")
    return loaded
