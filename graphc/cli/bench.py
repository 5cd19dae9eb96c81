"""``graphc bench``: latency, throughput, memory and where the time goes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
import numpy as np

from graphc.artifacts import Artifact, load
from graphc.artifacts.contents import SUFFIX
from graphc.cli.cases import choose_sizes, fill, read_case
from graphc.cli.options import picks_clock, picks_kind, picks_sizes
from graphc.cli.plugins import loads_plugins
from graphc.cli.text import printable, read_pipeline
from graphc.files.lock import Locked, read_locked
from graphc.ir import Graph
from graphc.ir.dims import substitute
from graphc.ir.errors import PassError
from graphc.ir.random_inputs import Array, random_array
from graphc.ir.types import TensorType
from graphc.passes import parse_pipeline
from graphc.runtime.options import CompileOptions
from graphc.runtime.targets import backend_name, targets
from graphc.tuning.bench import (
    ALIKE,
    ROUNDS,
    Contestant,
    Result,
    known_rates,
)
from graphc.tuning.bench import bench as measure
from graphc.tuning.cases import CLOCKS
from graphc.tuning.locked import compile_as_asked


@click.command()
@click.argument("file")
@click.option("--target", default="xla:cpu", show_default=True, help="What to run on.")
@picks_kind()
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="The batch size B; 2 unless given, or an artifact's least.",
)
@picks_sizes
@click.option(
    "--compare",
    multiple=True,
    metavar="TARGET|PIPELINE|LOCK",
    help="Another target, pipeline or lock file to take turns with. May be repeated.",
)
@click.option("--weights", help="The weights of an artifact that does not hold them.")
@click.option(
    "--rounds",
    type=click.IntRange(min=2),
    default=ROUNDS,
    show_default=True,
    help="How often each is timed.",
)
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
    sizes: dict[str, int],
    compare: tuple[str, ...],
    weights: str | None,
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
        artifact = load(file, target, weights=weights)
        sizes = _sizes_of(artifact, batch, sizes)
        contestants = [_artifact(artifact, Path(file).name, sizes, seed)]
    else:
        if weights is not None:
            raise click.UsageError("--weights is for artifacts")
        graph, given = read_case(file, kind)
        every = choose_sizes(graph, given, batch, sizes)
        sizes = {name: n for name, n in every.items() if name in graph.symbols}
        contestants = _programs(graph, given, sizes, target, compare, seed)
    results = measure(contestants, CLOCKS[clock], rounds, known_rates(target))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(each) for each in results]))
    else:
        if sizes:
            click.echo(", ".join(f"{name} = {n}" for name, n in sizes.items()))
        click.echo(describe(results))


def _programs(
    graph: Graph,
    given: dict[str, Array],
    sizes: dict[str, int],
    target: str,
    compare: tuple[str, ...],
    seed: int,
) -> list[Contestant]:
    """A graph compiled as usual, then as each text of `compare` says."""
    arrays = fill(graph.bind(**sizes), given, seed)
    options = {target: CompileOptions(target, lock=Locked(()))}
    options |= {text: _compared(text, target) for text in compare}
    return [
        _contestant(name, graph, sizes, asked, arrays)
        for name, asked in options.items()
    ]


def _compared(text: str, target: str) -> CompileOptions:
    """What another target, a lock file or a pipeline asks of a compile.

    Raises:
        UsageError: If it is none of these.
    """
    if text in {each.name for each in targets()}:
        return CompileOptions(text, lock=Locked(()))
    if Path(text).is_file():
        required = backend_name(target) != "triton"  # where lines are about kernels
        return CompileOptions(target, lock=read_locked(text, required))
    try:
        passes = read_pipeline(text)
        parse_pipeline(passes)
    except (PassError, OSError) as error:
        raise click.UsageError(
            f"{printable(text)!r} is no target, no lock file and no pipeline: {error}"
        ) from error
    return CompileOptions(target, passes, lock=Locked(()))


def _contestant(
    name: str,
    graph: Graph,
    sizes: dict[str, int],
    asked: CompileOptions,
    arrays: list[Array],
) -> Contestant:
    made = compile_as_asked(graph, asked, bindings=sizes)
    return Contestant(
        name=name,
        run=made,
        inputs=[made.program.place(array) for array in arrays],
        examples=sizes.get("B", 1),
        graph=made.graph,
        memory=made.memory(),
        kernels=made.kernels(*arrays),
    )


def _sizes_of(
    artifact: Artifact, batch: int | None, asked: dict[str, int]
) -> dict[str, int]:
    """The sizes that an artifact is measured at: the least that it is compiled for.

    Raises:
        UsageError: If options name what is no dimension of it.
    """
    symbols = artifact.contents.contract.symbols
    asked = asked if batch is None else {**asked, "B": batch}
    if unknown := sorted(asked.keys() - symbols.keys()):
        raise click.UsageError(
            f"the artifact has no dimension {unknown[0]}; its dimensions:"
            f" {', '.join(symbols) or 'none'}"
        )
    return {name: sizes.compiled[0] for name, sizes in symbols.items()} | asked


def _artifact(
    artifact: Artifact, name: str, sizes: dict[str, int], seed: int
) -> Contestant:
    rng = np.random.default_rng(seed)
    inputs: list[Array] = []
    for type in artifact.inputs.values():
        shape = tuple(substitute(dim, sizes) for dim in type.shape)
        inputs.append(random_array(TensorType(shape, type.dtype), rng))
    return Contestant(name, artifact, inputs, sizes.get("B", 1))


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
