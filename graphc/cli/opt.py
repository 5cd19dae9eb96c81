"""``graphc opt``: passes over a graph's text."""

from __future__ import annotations

from pathlib import Path

import click

from graphc.cli.text import read_graph, write_whole
from graphc.passes import PASSES, PIPELINES, run_with_report
from graphc.passes.fusion import fusion_report


@click.command()
@click.argument("file")
@click.option(
    "-p",
    "--passes",
    "pipeline",
    default="default",
    show_default=True,
    help='A pipeline by name or as text, such as "autodiff,(canonicalize,cse)*,dce".',
)
@click.option("-o", "--output", help="Write the text to a file.")
@click.option("--verify", is_flag=True, help="Verify after each pass.")
@click.option("--check", is_flag=True, help="Compare what the graph computes.")
@click.option("--dump-dir", help="Write the graph after each pass to this directory.")
@click.option("--stop-after", help="Stop after the first run of this pass.")
@click.option("--time-passes", is_flag=True, help="Print what each pass did to stderr.")
@click.option("--list", "list_passes", is_flag=True, help="List passes and pipelines.")
def opt(
    file: str,
    pipeline: str,
    output: str | None,
    verify: bool,
    check: bool,
    dump_dir: str | None,
    stop_after: str | None,
    time_passes: bool,
    list_passes: bool,
) -> None:
    """Run passes over FILE (.gir, .mlir or - for standard input); print the result."""
    if list_passes:
        for name, each in sorted(PASSES.items()):
            summary = (each.__doc__ or "").strip().splitlines()[0]
            click.echo(f"{name:20} {summary}")
        for name, text in PIPELINES.items():
            click.echo(f"{name:20} = {text}")
        return
    graph, report = run_with_report(
        read_graph(file),
        pipeline,
        verify=verify or None,
        check=check or None,
        dump_dir=dump_dir,
        stop_after=stop_after,
    )
    text = str(graph)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_whole(Path(output), text.encode())
    if time_passes:
        click.echo(report.table(), err=True)
        kernels = fusion_report(graph)
        if kernels.distinct:
            click.echo(kernels, err=True)
