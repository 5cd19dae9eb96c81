"""``graphc show``: what a file holds."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click

from graphc.artifacts.contents import STEPS, SUFFIX, Contents
from graphc.artifacts.loading import inspect
from graphc.cli.cases import errors_of
from graphc.cli.options import picks_kind
from graphc.cli.text import printable, read_graph
from graphc.frontend.saving import load_model
from graphc.frontend.tracing import located_at
from graphc.ir import Graph, Location
from graphc.ir.cost import graph_cost
from graphc.ir.types import product


@click.command()
@click.argument("file")
@picks_kind(kinds=("init", *STEPS))
@click.option("--batch", type=int, help="Bind the batch size B.")
@click.option(
    "--graph", "only_graph", is_flag=True, help="Print the graph's text only."
)
@click.option("--json", "as_json", is_flag=True, help="Show an artifact as JSON.")
def show(
    file: str, kind: str, batch: int | None, only_graph: bool, as_json: bool
) -> None:
    """Show what a saved model, an artifact or a graph holds.

    FILE is a .graphc, .gcx, .gir or .mlir (StableHLO) file, or - for a graph on
    standard input. Shows layers, the graph's text, its cost in FLOPs and bytes, and its
    number of parameters; of an artifact the sizes that it is compiled for, its
    programs, how far their results may be from the graph, and the bytes of its parts.
    Nodes of a saved model say their layer. Nothing in the file runs.
    """
    suffix = "" if file == "-" else Path(file).suffix
    if as_json and suffix != SUFFIX:
        raise click.UsageError(f"--json is for {SUFFIX} files")
    if suffix == SUFFIX:
        contents, graph, sizes = inspect(file)
        if as_json:
            click.echo(json.dumps({**contents.to_json(), "bytes": sizes}))
            return
        if not only_graph:
            click.echo(describe_artifact(contents, sizes))
        graph = graph if batch is None else graph.bind(B=batch)
    elif suffix == ".graphc":
        with errors_of(file), located_at(Location(Path(file).name, 1, 1)):
            model = load_model(file)
            graph = model.graph(kind, batch)
        if not only_graph:
            model.summary(print_fn=lambda text: click.echo(printable(text)))
    else:
        graph = read_graph(file)
        if batch is not None:
            graph = graph.bind(B=batch)
    if only_graph:
        click.echo(str(graph), nl=False)
        return
    click.echo(describe(graph))
    click.echo(str(graph), nl=False)


def describe_contents(contents: Contents, size: int) -> str:
    """What an artifact of so many bytes is, in some lines."""
    symbols = contents.contract.symbols
    declared = ", ".join(f"{name} = {of}" for name, of in symbols.items())
    targets = ", ".join(contents.targets) or "no target: it is compiled when loaded"
    lines = [
        f"{contents.kind} of {printable(contents.name)}, {size:,} bytes",
        f"  inputs   {', '.join(contents.inputs)}",
        f"  outputs  {', '.join(contents.outputs)}",
        f"  sizes    {declared or 'as they are'}",
        f"  targets  {targets}",
    ]
    return "\n".join(lines)


def describe_artifact(contents: Contents, sizes: dict[str, int]) -> str:
    """What an artifact is: its interface, its sizes, its programs, its parts."""
    lines = [describe_contents(contents, sum(sizes.values()))]
    for program in contents.programs:
        bound = ", ".join(f"{name} = {n}" for name, n in program.sizes.items())
        size = sum(sizes[name] for name in program.members.values())
        lines.append(f"program for {program.target} {bound}: {size:,} bytes")
        lines += [f"  {said}" for said in program.numerics]
        lines += [f"  kernel {n}: {by}" for n, by in program.schedules.items()]
    lines += [f"{size:>12,} bytes  {name}" for name, size in sizes.items()]
    return printable("\n".join(lines))


def describe(graph: Graph) -> str:
    """A summary of a graph: sizes, ops, cost and state."""
    reachable = graph.reachable()
    counts = Counter(node.op.name for g in reachable for node in g.nodes)
    cost = graph_cost(graph)
    state = [p for p in graph.parameters if p.attributes.get("role") == "state"]
    parameters = sum(product(p.shape) for p in state)
    lines = [
        f"graph @{graph.name}: {sum(counts.values())} nodes in {len(reachable)} graphs",
        "  ops: " + ", ".join(f"{n} x {c}" for n, c in counts.most_common(12)),
        f"  inputs: {len(graph.parameters) - len(state)}, results: {len(graph.results)}",
        f"  state: {len(state)} tensors, {parameters} numbers",
        f"  cost: {grouped(cost.flops)} FLOPs, {grouped(cost.bytes)} bytes moved",
    ]
    return "\n".join(lines)


def grouped(number: object) -> str:
    """An integer with thousands separators; a symbolic expression as it is."""
    return f"{number:,}" if isinstance(number, int) else str(number)
