"""``graphc vote``: which executor is wrong about a graph, and at which node."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click
import numpy as np

from graphc.cli.cases import bound_case
from graphc.cli.options import picks_graph, takes_inputs
from graphc.cli.text import printable, read_pipeline
from graphc.ir.printer import location_text
from graphc.runtime.ballots import Dispute
from graphc.runtime.vote import Verdict
from graphc.runtime.vote import vote as hold_vote


@click.command()
@click.argument("file")
@takes_inputs
@picks_graph()
@click.option(
    "-p",
    "--passes",
    "--pipeline",
    "pipeline",
    default="none",
    show_default=True,
    metavar="TEXT|@FILE",
    help="Passes to run first, as graphc opt takes them.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="A voter; by default all devices, and interpreters if the graph is small.",
)
@click.option("--all", "every", is_flag=True, help="Go on after the first dispute.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def vote(
    context: click.Context,
    file: str,
    inputs: str | None,
    kind: str,
    batch: int | None,
    seed: int,
    pipeline: str,
    targets: tuple[str, ...],
    every: bool,
    as_json: bool,
) -> None:
    """Run every node of a graph on every executor; say where they differ.

    FILE is a .graphc or a .gir file, or - for a graph on standard input. Each node gets
    the NumPy evaluator's values of its operands, and then others with equal neighbours
    and integers out of range; its results are compared with the evaluator's in float64.
    The exit code is 1 if an executor is wrong.
    """
    bound, arrays = bound_case(file, kind, batch, seed, inputs)
    verdict = hold_vote(
        bound,
        arrays,
        targets or None,
        None if pipeline == "none" else read_pipeline(pipeline),
        every,
    )
    click.echo(json.dumps(as_data(verdict)) if as_json else describe(verdict))
    context.exit(1 if verdict.disputes else 0)


def describe(verdict: Verdict) -> str:
    """The verdict as text."""
    voters = ", ".join(verdict.executors)
    lines = [f"graph @{verdict.graph}: {verdict.nodes} nodes, voters: {voters}"]
    lines += [f"not served: {refusal}" for refusal in verdict.refusals]
    lines += [describe_dispute(each) for each in verdict.disputes]
    if not verdict.disputes:
        lines.append("all agree")
    return printable("\n".join(lines))


def describe_dispute(of: Dispute) -> str:
    """One dispute as text: the node, who is wrong, and the numbers."""
    names = [opinion.executor for opinion in of.opinions]
    differ = f"{' and '.join(names)} differ"
    head = differ if of.odd is None else f"{of.odd} is wrong"
    where = "at this node" if of.alone else "in the whole program, first at"
    index = list(of.index)
    lines = [f"{head} {where}:", f"  {of.line}"]
    if of.location is not None:
        lines.append(of.location.describe())
    lines += [f"  operand {i}: {text}" for i, text in enumerate(of.operands)]
    lines.append(
        f"  result {of.result}, {of.type}: {of.count} elements wrong, most at {index}"
    )
    lines.append(f"  {'':24}{'value':>14}{'max abs':>12}{'max rel':>12}{'max ulp':>12}")
    lines.append(f"  {'float64':24}{of.exact:>14.7g}")
    lines += [
        f"  {o.executor:24}{o.value:>14.7g}"
        f"{o.absolute:>12.3g}{o.relative:>12.3g}{o.ulp:>12.3g}"
        for o in of.opinions
    ]
    return "\n".join(lines)


def as_data(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON holds it; numbers that JSON lacks are text."""
    data = dataclasses.asdict(dataclasses.replace(verdict, disputes=[]))
    return data | {"disputes": [_dispute_data(d) for d in verdict.disputes]}


def _dispute_data(of: Dispute) -> dict[str, Any]:
    location = None if of.location is None else location_text(of.location)
    plain = dataclasses.replace(of, opinions=(), location=None)
    return dataclasses.asdict(plain) | {
        "location": location,
        "type": str(of.type),
        "exact": _number(of.exact),
        "opinions": [
            {key: _number(value) for key, value in dataclasses.asdict(o).items()}
            for o in of.opinions
        ],
    }


def _number(value: Any) -> Any:
    return value if isinstance(value, str) or np.isfinite(value) else str(value)
