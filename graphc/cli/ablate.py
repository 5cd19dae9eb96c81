"""``graphc ablate``: what each pass is worth on a graph."""

from __future__ import annotations

import dataclasses
import json

import click

from graphc.cli.cases import bound_case
from graphc.cli.options import picks_graph
from graphc.cli.plugins import loads_plugins
from graphc.cli.text import printable, read_pipeline
from graphc.runtime.ablation import Variant
from graphc.runtime.ablation import ablate as run_ablation
from graphc.runtime.targets import find_target


@click.command()
@click.argument("file")
@click.option(
    "--passes",
    default="all",
    show_default=True,
    help="The optional passes to look at, between commas.",
)
@click.option(
    "-p",
    "--pipeline",
    metavar="TEXT|@FILE",
    help="The passes to start from; the target's own unless given.",
)
@click.option("--target", default="xla", show_default=True, help="What to run on.")
@picks_graph("train_step")
@click.option("--seed", default=0, help="What inputs are drawn from.")
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    help="How often each program is timed; the programs take turns.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@loads_plugins
def ablate(
    file: str,
    passes: str,
    pipeline: str | None,
    target: str,
    kind: str,
    batch: int | None,
    seed: int,
    rounds: int,
    as_json: bool,
) -> None:
    """Compile a graph without each optional pass, and with each alone; compare.

    FILE is a .graphc or a .gir file, or - for a graph on standard input. Ratios are
    those of the time to all passes, 2.00 being twice as slow, ± half the range of the
    middle half of the rounds; errors are those of the worst result against float64,
    relative to its root mean square.
    """
    bound, arrays = bound_case(file, kind, batch, seed)
    default = find_target(target).pipeline
    variants = run_ablation(
        bound,
        arrays,
        default if pipeline is None else read_pipeline(pipeline),
        passes=None if passes == "all" else passes.split(","),
        target=target,
        rounds=rounds,
    )
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(each) for each in variants]))
    else:
        click.echo(table(variants))


def table(variants: list[Variant]) -> str:
    """The variants as text in columns."""
    width = max(len(each.name) for each in variants)
    head = ("ms", "ratio", "temporaries", "nodes", "passes s", "compile s", "error")
    lines = [f"{'':{width}}" + "".join(f"{title:>12}" for title in head)]
    for each in variants:
        if each.failure is not None:
            text = f"  cannot run: {each.failure}"
        else:
            cells = (
                f"{(each.seconds or 0) * 1e3:.3f}",
                f"{each.ratio or 0:.2f} ±{each.spread or 0:.2f}",
                _bytes(each.temporaries),
                str(each.nodes),
                f"{each.pass_seconds:.3f}",
                f"{each.compile_seconds:.3f}",
                f"{each.error or 0:.1e}",
            )
            text = "".join(f"{cell:>12}" for cell in cells)
            if each.same_as is not None:
                text += f"  the program of: {each.same_as}"
        lines.append(f"{each.name:<{width}}{text}")
    return printable("\n".join(lines))


def _bytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 2**20:.2f} MiB"
