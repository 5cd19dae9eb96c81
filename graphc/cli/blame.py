"""``graphc blame``: which rewrite is to blame for wrong, failing or slow programs."""

from __future__ import annotations

from pathlib import Path

import click

from graphc.cli.cases import bound_case
from graphc.cli.options import picks_graph, takes_inputs
from graphc.cli.plugins import LOADED, loads_plugins
from graphc.cli.text import printable, read_pipeline, write_whole
from graphc.debug import SYMPTOMS
from graphc.debug import blame as find_blame
from graphc.debug.reproducer import write


@click.command()
@click.argument("file")
@click.option(
    "--symptom",
    type=click.Choice(SYMPTOMS),
    default="differs",
    show_default=True,
    help="What is wrong: results differ or are not finite, a pass or the compiler fails,"
    " or the program is slower or needs more memory than without optional passes.",
)
@takes_inputs
@picks_graph()
@click.option(
    "-p",
    "--passes",
    "pipeline",
    metavar="TEXT|@FILE",
    help="A pipeline instead of the target's own, as graphc opt takes it.",
)
@click.option(
    "--target",
    default="xla",
    show_default=True,
    help="What the program runs on; numpy looks at the passes alone.",
)
@click.option("-o", "--output", help="A directory for the reduced program.")
@click.option(
    "--seconds",
    default=60.0,
    show_default=True,
    help="How long to look for a smaller program.",
)
@loads_plugins
@click.pass_context
def blame(
    context: click.Context,
    file: str,
    symptom: str,
    inputs: str | None,
    kind: str,
    batch: int | None,
    seed: int,
    pipeline: str | None,
    target: str,
    output: str | None,
    seconds: float,
) -> None:
    """Find the pass and the rewrite with which a symptom comes.

    FILE is a .graphc, .gir or .mlir file, or - for a graph on standard input. The
    rewrites of the pipeline are replayed by bisection. With --output the program and
    its inputs are made small, and written with a script that shows the same. The exit
    code is 1 if the symptom shows.
    """
    bound, arrays = bound_case(file, kind, batch, seed, inputs)
    found = find_blame(
        bound,
        arrays,
        symptom,
        target,
        None if pipeline is None else read_pipeline(pipeline),
        seconds if output is not None else 0.0,
    )
    click.echo(printable(str(found)))
    if output is not None and found.reproducer is not None:
        modules = map(_anywhere, context.meta[LOADED])
        for path in write(found.reproducer, Path(output), modules, write_whole):
            click.echo(str(path))
    context.exit(1 if found.problem is not None else 0)


def _anywhere(module: str) -> str:
    """What names a module from any directory."""
    return str(Path(module).resolve()) if module.endswith(".py") else module
