"""``graphc run --train``: training that goes on in an artifact, with data from a file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from graphc.artifacts import Artifact
from graphc.cli.text import printable
from graphc.files.opening import opened
from graphc.ir.errors import LoadError

EPOCHS = "epochs"
"""Under which name a state's file says how many epochs it has seen."""

STATE = "state.safetensors"

Arrays = Mapping[str, np.ndarray[Any, Any]]


def train(
    artifact: Artifact,
    data: str,
    epochs: int,
    state: str | None,
    output: str,
    shuffle: int | None,
) -> None:
    """Trains for some epochs; after each, prints the loss and writes the state.

    Stopped and started again from the state it is bit for bit as if it had gone on: in
    which order an epoch sees the examples depends on its number alone.

    Args:
        artifact: A training step.
        data: An ``.npz`` file with an array for each input, by name or in order.
        epochs: How many more epochs.
        state: The file of the state to start from, or None for the artifact's own.
        output: The directory that the state is written to.
        shuffle: The seed that examples are shuffled by, or None for their own order.

    Raises:
        UsageError: If the artifact does not train, or has no batch of the data's size.
        LoadError: If a file is not what it must be.
    """
    if not artifact.contents.written:
        raise click.UsageError("the artifact does not train: compile --kind train_step")
    arrays = read_data(data, list(artifact.inputs))
    seen = 0 if state is None else _seen(artifact.load_state(state), state)
    directory = Path(output)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / STATE
    total = len(next(iter(arrays.values())))
    sizes = _batch_sizes(artifact, total)
    for epoch in range(seen + 1, seen + epochs + 1):
        order = np.arange(total)
        if shuffle is not None:
            order = np.random.default_rng((shuffle, epoch)).permutation(total)
        logs = _epoch(artifact, arrays, order, sizes)
        artifact.save_state(path, {EPOCHS: str(epoch)})
        shown = ", ".join(f"{name}: {number:.6g}" for name, number in logs.items())
        click.echo(f"epoch {epoch}: {shown}")
    click.echo(str(path))


def read_data(file: str, names: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an ``.npz`` file, by the names of inputs, or else in order.

    Raises:
        LoadError: If it holds other arrays; pickled objects are refused.
    """
    try:
        with opened(file) as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise LoadError("it holds one array: give an .npz file")
            found = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise LoadError(
            f"{printable(file)} is not a .npz file", received=ascii(str(error))[:200]
        ) from None
    if found.keys() != set(names):
        if list(found) != [f"arr_{i}" for i in range(len(names))]:
            raise LoadError(
                f"{printable(file)} must hold the arrays {', '.join(names)}",
                received=ascii(", ".join(found))[:200],
            )
        found = dict(zip(names, found.values(), strict=True))
    counts = {array.shape[:1] for array in found.values()}
    if len(counts) != 1 or counts == {()} or counts == {(0,)}:
        raise LoadError(f"the arrays of {printable(file)} are not of one length")
    return {name: found[name] for name in names}


def _seen(metadata: Mapping[str, str], file: str) -> int:
    """How many epochs a state has seen; none if it is not from here.

    Raises:
        LoadError: If its file says no number.
    """
    text = metadata.get(EPOCHS, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise LoadError(
            f"{printable(file)} does not say how many epochs it has seen",
            received=ascii(text)[:80],
        )
    return int(text)


def _batch_sizes(artifact: Artifact, total: int) -> list[int]:
    """The sizes of the batches of so many examples; the last one may be smaller.

    What is left over for no batch is left out, and that is said.
    """
    first = {type.shape[:1] for type in artifact.inputs.values()}
    dim = next(iter(first))[0] if len(first) == 1 and first != {()} else None
    sizes = artifact.contents.contract.symbols.get(str(dim))
    if isinstance(dim, int):
        largest = dim
    elif sizes is None:
        raise click.UsageError("the artifact's inputs have no batch axis in common")
    else:
        fitting = [size for size in sizes.compiled if size <= total]
        largest = max(fitting, default=sizes.compiled[0])
        if not fitting and sizes.program_size(total) is not None:
            largest = total
    if total < largest:
        raise click.UsageError(
            f"there are {total} examples, fewer than a batch of {largest}"
        )
    whole, rest = divmod(total, largest)
    batches = [largest] * whole
    if rest and sizes is not None and sizes.program_size(rest) is not None:
        return [*batches, rest]
    if rest:
        click.echo(
            f"{rest} of {total} examples are left out in each epoch: the artifact is"
            f" not compiled for a batch of {rest}"
        )
    return batches


def _epoch(
    artifact: Artifact, arrays: Arrays, order: np.ndarray[Any, Any], sizes: list[int]
) -> dict[str, float]:
    """Trains on all batches once; the outputs that are numbers.

    Those of the last step, if the artifact has metrics, which are of all steps so far;
    else their means.
    """
    artifact.reset_metrics()
    sums: dict[str, float] = {}
    last: dict[str, float] = {}
    for chosen in _batches(order, sizes):
        outputs = artifact(**{name: array[chosen] for name, array in arrays.items()})
        every = outputs if isinstance(outputs, tuple) else (outputs,)
        for name, output in zip(artifact.contents.outputs, every, strict=True):
            number = np.asarray(output)
            if number.shape == ():
                last[name] = float(number)
                sums[name] = sums.get(name, 0.0) + last[name] * len(chosen)
    if artifact.contents.metrics:
        return last
    return {name: total / sum(sizes) for name, total in sums.items()}


def _batches(
    order: np.ndarray[Any, Any], sizes: list[int]
) -> Iterator[np.ndarray[Any, Any]]:
    start = 0
    for size in sizes:
        yield order[start : start + size]
        start += size
