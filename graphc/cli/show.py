"""``graphc show``: what a file holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from graphc.cli.text import printable, read_graph
from graphc.frontend.saving import load_model
from graphc.frontend.tracing import without_locations
from graphc.ir import Graph
from graphc.ir.cost import graph_cost
from graphc.ir.types import product

KINDS = ("init", "predict", "train_step", "eval_step")


@click.command()
@click.argument("file")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="predict",
    help="Which graph of a saved model.",
)
@click.option("--batch", type=int, help="Bind the batch size B.")
@click.option(
    "--graph", "only_graph", is_flag=True, help="Print the graph's text only."
)
def show(file: str, kind: str, batch: int | None, only_graph: bool) -> None:
    """Show what a saved model or a graph holds.

    FILE is a .graphc, .gir or .mlir (StableHLO) file, or - for a graph on standard
    input. Shows layers, the graph's text, its cost in FLOPs and bytes, and its number
    of parameters.
    """
    if file != "-" and Path(file).suffix == ".graphc":
        with without_locations():
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
