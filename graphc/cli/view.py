"""``graphc view``: one HTML page that shows a graph and what passes make of it."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from graphc.artifacts import load
from graphc.artifacts.contents import SUFFIX
from graphc.cli.cases import choose_sizes
from graphc.cli.options import picks_graph
from graphc.cli.plugins import loads_plugins
from graphc.cli.text import printable, read_graph, read_pipeline, write_whole
from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE
from graphc.frontend.models.graphs import step_program
from graphc.frontend.saving import load_model
from graphc.ir import Graph, Location
from graphc.passes.cost_model import GPUS
from graphc.runtime.targets import find_emitter
from graphc.viewer import page
from graphc.viewer import view as view_graph


@click.command()
@click.argument("file")
@click.option("-o", "--output", help="The page; by default FILE with the ending .html.")
@click.option(
    "-p",
    "--passes",
    "--pipeline",
    "pipeline",
    metavar="TEXT|@FILE",
    help="A pipeline instead of the target's own, as graphc opt takes it.",
)
@click.option("--stop-after", help="Stop after the first run of this pass.")
@click.option(
    "--target",
    default="triton",
    show_default=True,
    help="Whose passes to run; its device need not be here.",
)
@click.option(
    "--gpu",
    type=click.Choice(list(GPUS)),
    default="H200",
    show_default=True,
    help="The GPU whose roofline says how long nodes and kernels take.",
)
@picks_graph()
@click.option("--weights", help="The weights of an artifact that does not hold them.")
@click.option("--open", "opens", is_flag=True, help="Show the page in a browser.")
@loads_plugins
def view(
    file: str,
    output: str | None,
    pipeline: str | None,
    stop_after: str | None,
    target: str,
    gpu: str,
    kind: str,
    batch: int | None,
    weights: str | None,
    opens: bool,
) -> None:
    """Write a page that shows FILE (.graphc, .gcx, .gir, .mlir or -) in a browser.

    The page holds the graph by layers, before and after the passes, with types, costs
    and the lines of your program; what each pass changed and what it refused to; the
    kernels with their source; what the rewrites promise and the memory that a run
    needs. It is one file and loads nothing from anywhere.
    """
    graph, title = _read(file, kind, batch, weights)
    backend, device = find_emitter(target)
    passes = backend.pipeline(device) if pipeline is None else read_pipeline(pipeline)
    document = view_graph(
        graph, passes, title, gpu, DEFAULT_ARCHITECTURE, stop_after=stop_after
    )
    path = Path(output or f"{'graph' if file == '-' else Path(file).stem}.html")
    write_whole(path, page(document).encode())
    size = path.stat().st_size
    click.echo(f"{printable(str(path))}: {len(document.graph)} nodes, {size:,} bytes")
    if opens:
        webbrowser.open(path.resolve().as_uri())


def _read(
    file: str, kind: str, batch: int | None, weights: str | None
) -> tuple[Graph, str]:
    """The graph of a file with its sizes bound, and what to call it."""
    if file != "-" and Path(file).suffix == SUFFIX:
        # The evaluator is a target that is everywhere; nothing of the file is run.
        artifact = load(file, "numpy", weights=weights)
        name, graph = artifact.contents.name, artifact.graph
    elif file != "-" and Path(file).suffix == ".graphc":
        name, graph = Path(file).name, _model_graph(file, kind)
    else:
        graph = read_graph(file)
        name = graph.name if file == "-" else Path(file).name
    sizes = choose_sizes(graph, {}, batch)
    bound = graph.bind(**sizes) if sizes else graph
    about = ", ".join(f"{symbol}={size}" for symbol, size in sizes.items())
    return bound, f"{name} ({about})" if about else name


def _model_graph(file: str, kind: str) -> Graph:
    """A graph of a saved model, whose nodes come from layers of the file, not lines."""
    graph = step_program(load_model(file), kind).graph
    for each in graph.reachable():
        for node in each.nodes:
            if found := node.location:
                node.location = Location(
                    Path(file).name, 0, 0, found.path, found.origin
                )
    return graph
