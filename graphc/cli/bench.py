"""``graphc bench``: latency, throughput, memory and where the time goes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from graphc.artifacts import load
from graphc.artifacts.contents import SUFFIX
from graphc.cli.cases import choose_sizes, fill, read_case
from graphc.cli.options import KINDS, picks_clock
from graphc.cli.plugins import loads_plugins
from graphc.cli.text import printable, read_pipeline
from graphc.ir.random_inputs import random_array
from graphc.ir.types import TensorType
from graphc.runtime.compile import compile_graph
from graphc.runtime.targets import targets
from graphc.tuning.bench import (
    ALIKE,
    ROUNDS,
    Contestant,
    Result,
    known_rates,
)
from graphc.tuning.bench import bench as measure
from graphc.tuning.cases import CLOCKS
from graphc.tuning.lock import read_lock
from graphc.tuning.tuner import locked_pipeline


@click.command()
@click.argument("file")
@click.option("--target", default="xla:cpu", show_default=True, help="What to run on.")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="predict",
    show_default=True,
    help="Which step of a saved model.",
)
@click.option("--batch", type=click.IntRange(min=1), help="The batch size B.")
@click.option(
    "--compare",
    multiple=True,
    metavar="TARGET|PIPELINE|LOCK",
    help="Another target, pipeline or lock file to take turns with. May be repeated.",
)
@click.option("--rounds", type=click.IntRange(min=2), default=ROUNDS, show_default=True)
@picks_clock
@click.option(
    "--seed", default=0, show_default=True, help="What inputs are drawn from."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@loads_plugins
def bench(
    file: str,
    target: str,
    kind: str,
    batch: int | None,
    compare: tuple[str, ...],
    rounds: int,
    clock: str,
    seed: int,
    as_json: bool,
) -> None:
    """Measure how fast FILE runs, on random inputs.

    FILE is a saved model (.graphc), a graph (.gir, .mlir) or an artifact (.gcx). All
    that is compared runs in turns on the same inputs; ratios are medians over rounds.
    `graphc calibrate` measures the rates that the roofline needs.
    """
    if Path(file).suffix == SUFFIX:
        if compare:
            raise click.UsageError("--compare is for models and graphs")
        contestants = [_artifact(file, target, batch or 1, seed)]
    else:
        contestants = _programs(file, target, kind, batch, compare, seed)
    results = measure(contestants, CLOCKS[clock], rounds, known_rates(target))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(each) for each in results]))
    else:
        click.echo(describe(results))


def _programs(
    file: str,
    target: str,
    kind: str,
    batch: int | None,
    compare: tuple[str, ...],
    seed: int,
) -> list[Contestant]:
    graph, given = read_case(file, kind)
    sizes = {
        name: size
        for name, size in choose_sizes(graph, given, batch).items()
        if name in graph.symbols
    }
    bound = graph.bind(**sizes)
    arrays = fill(bound, given, seed)
    known = {each.name for each in targets()}
    asked: dict[str, tuple[str, str | None]] = {target: (target, None)}
    for text in compare:
        if text in known:
            asked[text] = (text, None)
        elif Path(text).is_file():
            chosen = locked_pipeline(bound, target, sizes, read_lock(text))
            if chosen is None:
                raise click.UsageError(
                    f"{printable(text)} has no line about this graph"
                )
            asked[text] = (target, chosen)
        else:
            asked[text] = (target, read_pipeline(text))
    return [
        _contestant(name, bound, where, pipeline, arrays, sizes.get("B", 1))
        for name, (where, pipeline) in asked.items()
    ]


def _contestant(
    name: str,
    graph: Any,
    target: str,
    pipeline: str | None,
    arrays: list[np.ndarray[Any, Any]],
    examples: int,
) -> Contestant:
    made = compile_graph(graph, target, pipeline)
    return Contestant(
        name=name,
        run=made,
        inputs=[made.program.place(array) for array in arrays],
        examples=examples,
        graph=made.graph,
        memory=made.memory(),
        kernels=made.kernels(*arrays),
    )


def _artifact(file: str, target: str, batch: int, seed: int) -> Contestant:
    artifact = load(file, target)
    rng = np.random.default_rng(seed)
    inputs: list[np.ndarray[Any, Any]] = []
    for type in artifact.inputs.values():
        shape = tuple(d if isinstance(d, int) else batch for d in type.shape)
        inputs.append(random_array(TensorType(shape, type.dtype), rng))
    return Contestant(Path(file).name, artifact, inputs, batch)


def describe(results: list[Result]) -> str:
    """The results as text."""
    width = max(len(each.name) for each in results)
    head = ("median us", "p10", "p90", "per second", "ratio", "error", "peak MiB")
    lines = [f"{'':{width}}" + "".join(f"{title:>12}" for title in head)]
    for each in results:
        peak = "-" if each.memory is None else f"{each.memory['peak'] / 2**20:.2f}"
        cells = (
            *(f"{s * 1e6:.1f}" for s in (each.median, each.p10, each.p90)),
            f"{each.throughput:.1f}",
            f"{each.ratio:.3f}",
            "-" if each.error is None else f"{each.error:.1e}",
            peak,
        )
        lines.append(f"{each.name:<{width}}" + "".join(f"{c:>12}" for c in cells))
    for each in results:
        lines += _tables(each)
    return printable("\n".join(lines))


def _tables(of: Result) -> list[str]:
    """Where the time of a program goes: its kernels, or its ops."""
    if of.kernels:
        head = f"{'us':>12}{'roofline us':>12}{'launches':>10}  kernel"
        rows = [
            f"{'-' if k['seconds'] is None else format(k['seconds'] * 1e6, '.1f'):>12}"
            f"{k['roofline'] * 1e6:>12.1f}{k['launches']:>10}  {k['kernel']}"
            for k in of.kernels
        ]
        return ["", of.name, head, *rows]
    if not of.ops:
        return []
    head = f"{'MFLOP':>12}{'MB':>12}{'least us':>12}{'nodes':>8}  op"
    rows = [
        f"{row.flops / 1e6:>12.3f}{row.bytes / 1e6:>12.3f}"
        f"{'-' if row.seconds is None else format(row.seconds * 1e6, '.1f'):>12}"
        f"{row.count:>8}  {row.op}"
        for row in of.ops[:ALIKE]
    ]
    return ["", of.name, head, *rows]
