"""``python -m graphc.fuzz``: random programs against the whole compiler."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from graphc.fuzz.checks import CHECKS
from graphc.fuzz.findings import find_failures, reduce_finding, write_reproducer

BATCH = 8
"""How many programs XLA compiles at once."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--count", default=100, show_default=True, help="How many programs.")
@click.option("--seed", default=0, show_default=True, help="The first program's seed.")
@click.option("--nodes", default=40, show_default=True, help="A program's size.")
@click.option(
    "--check",
    "checks",
    multiple=True,
    type=click.Choice(list(CHECKS)),
    help="A check to make; all of them unless given.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="fuzz-failures",
    show_default=True,
    help="Where reproducers go.",
)
@click.option("--seconds", default=300, help="The most time to reduce one program.")
def main(
    count: int,
    seed: int,
    nodes: int,
    checks: tuple[str, ...],
    output: Path,
    seconds: int,
) -> None:
    """Check random programs; write a small reproducer for each that fails.

    Programs have the seeds from --seed on, one after the other, so a run is taken up
    again behind the last seed it printed. The exit code is 1 if a program fails.
    """
    start, failed, end = time.monotonic(), 0, seed + count
    for first in range(seed, end, BATCH):
        seeds = range(first, min(first + BATCH, end))
        for finding in find_failures(seeds, nodes, checks or tuple(CHECKS)):
            failed += 1
            click.echo(str(finding))
            path = write_reproducer(reduce_finding(finding, seconds), output, nodes)
            click.echo(f"reduced: {path}")
        click.echo(
            f"{seeds[-1] + 1 - seed} of {count} programs, up to seed {seeds[-1]},"
            f" {time.monotonic() - start:.0f} s, {failed} failed",
            err=True,
        )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
