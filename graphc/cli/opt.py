"""``graphc opt``: passes over a graph's text."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from graphc.cli.cases import read_case
from graphc.cli.options import picks_graph
from graphc.cli.plugins import loads_plugins
from graphc.cli.text import read_pipeline, write_whole
from graphc.ir import Graph
from graphc.passes import PASSES, PIPELINES, GraphDiff, run_with_report
from graphc.passes.checking import NUMERICS
from graphc.passes.fusion import fusion_report
from graphc.passes.graph_diff import PassDiff
from graphc.passes.memory_bill import is_state
from graphc.passes.memory_budget import plan_memory
from graphc.passes.plugins import EXTRAS, known_passes


@click.command()
@click.argument("file", required=False)
@click.option(
    "-p",
    "--passes",
    "pipeline",
    default="default",
    show_default=True,
    metavar="TEXT|@FILE",
    help='A pipeline by name or as text, such as "autodiff,(canonicalize,cse)*,dce",'
    " or a file that holds one; # starts a comment.",
)
@click.option("-o", "--output", help="Write the text to a file.")
@click.option("--verify", is_flag=True, help="Verify after each pass.")
@click.option(
    "--check",
    is_flag=True,
    help="Compare what the graph computes before and after each pass; says how.",
)
@click.option(
    "--numerics",
    is_flag=True,
    help="Print to stderr what the rewrites promise of each result.",
)
@click.option("--diff", is_flag=True, help="Print what each pass changed instead.")
@click.option("--dump-dir", help="Write the graph after each pass to this directory.")
@click.option("--stop-after", help="Stop after the first run of this pass.")
@click.option("--time-passes", is_flag=True, help="Print what each pass did to stderr.")
@click.option(
    "--memory-budget",
    metavar="SIZE",
    help="Add passes until the predicted peak fits, such as 20GiB; print the bill.",
)
@click.option("--list", "list_passes", is_flag=True, help="List passes and pipelines.")
@picks_graph()
@loads_plugins
def opt(
    file: str | None,
    pipeline: str,
    output: str | None,
    verify: bool,
    check: bool,
    numerics: bool,
    diff: bool,
    dump_dir: str | None,
    stop_after: str | None,
    time_passes: bool,
    memory_budget: str | None,
    list_passes: bool,
    kind: str,
    batch: int | None,
) -> None:
    """Run passes over FILE; print the result.

    FILE is a .graphc, .gir or .mlir file, or - for a graph on standard input.

    With --diff what each pass changed is printed: removed nodes with -, added ones with
    +, and nodes that stay but read something else with ~ and >.
    """
    if list_passes:
        _list()
        return
    if file is None:
        raise click.UsageError("name a FILE, or - for standard input")
    (given, _), passes = read_case(file, kind), read_pipeline(pipeline)
    given = given if batch is None else given.bind(B=batch)
    if memory_budget is not None:
        passes = _fitted(given, passes, memory_budget)
    graph, report = run_with_report(
        given,
        passes,
        verify=verify or None,
        check=NUMERICS if check else None,
        dump_dir=dump_dir,
        stop_after=stop_after,
        watch=GraphDiff(_echo) if diff else None,
    )
    text = str(graph)
    if output is not None:
        write_whole(Path(output), text.encode())
    elif not diff:
        click.echo(text, nl=False)
    if check:
        click.echo(report.check_summary(), err=True)
    if numerics or check:
        click.echo("\n".join(map(str, report.numerics)), err=True)
    if time_passes:
        click.echo(report.table(), err=True)
        kernels = fusion_report(graph)
        if kernels.distinct:
            click.echo(kernels, err=True)


def _fitted(graph: Graph, passes: str, budget: str) -> str:
    """The passes that make a graph fit into a budget; prints the bill to stderr."""
    donated = [p.index for p in graph.parameters if is_state(p)]
    plan = plan_memory(graph, passes, budget, donated)
    click.echo(plan, err=True)
    return plan.pipeline or passes


def _echo(diff: PassDiff) -> None:
    click.echo(diff.text(colours=sys.stdout.isatty()))


def _list() -> None:
    """Prints all passes and pipelines, and what else pipelines may name."""
    lines = dict.fromkeys(known_passes(), "of an installed package")
    lines |= {n: f"needs graphc[{extra}]" for n, (_, extra) in EXTRAS.items()}
    for name, each in PASSES.items():
        lines[name] = (each.__doc__ or "").strip().splitlines()[0]
    width = max(map(len, lines))
    for name, text in sorted(lines.items()):
        click.echo(f"{name:{width}} {text}")
    for name, text in PIPELINES.items():
        click.echo(f"{name:{width}} = {text}")
