"""``graphc vote``: which executor is wrong about a graph, and at which node."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from graphc.cli.options import picks_graph, takes_inputs
from graphc.cli.text import printable, read_graph
from graphc.frontend.models.graphs import step_program
from graphc.frontend.saving import load_model
from graphc.frontend.tracing import without_locations
from graphc.ir import Graph, SymbolicDim
from graphc.ir.errors import LoadError
from graphc.ir.printer import location_text
from graphc.ir.random_inputs import Array, random_inputs
from graphc.runtime.ballots import Dispute
from graphc.runtime.vote import Verdict
from graphc.runtime.vote import vote as hold_vote

SIZE = 2
"""What dimension symbols are bound to unless options or inputs say otherwise."""


@click.command()
@click.argument("file")
@takes_inputs
@picks_graph()
@click.option(
    "-p",
    "--pipeline",
    default="none",
    show_default=True,
    help="Passes to run first, by name or as text.",
)
@click.option("--target", "targets", multiple=True, help="A voter; all by default.")
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
    the NumPy evaluator's values of its operands; its results are compared with the
    evaluator's in float64. The exit code is 1 if an executor is wrong.
    """
    graph, given = read_case(file, kind)
    given |= read_arrays(inputs, graph) if inputs else {}
    sizes = choose_sizes(graph, given, batch)
    drawn = random_inputs(graph, seed, sizes)
    arrays = [
        given.get(parameter_name(p.name, p.index), array)
        for p, array in zip(graph.parameters, drawn, strict=True)
    ]
    verdict = hold_vote(
        graph.bind(**sizes),
        arrays,
        targets or None,
        None if pipeline == "none" else pipeline,
        every,
    )
    click.echo(json.dumps(as_data(verdict)) if as_json else describe(verdict))
    context.exit(1 if verdict.disputes else 0)


def read_case(file: str, kind: str) -> tuple[Graph, dict[str, Array]]:
    """The graph of a file, and the arrays that a saved model has for its state."""
    if file == "-" or Path(file).suffix != ".graphc":
        return read_graph(file), {}
    with without_locations():
        program = step_program(load_model(file), kind)
    state = program.graph.parameters[program.inputs :]
    return program.graph, {
        parameter_name(p.name, p.index): np.asarray(variable.array())
        for p, variable in zip(state, program.state, strict=True)
    }


def read_arrays(file: str, graph: Graph) -> dict[str, Array]:
    """The arrays of an .npz file; pickled objects are refused.

    Raises:
        LoadError: If the file is no such file.
        UsageError: If a name is not a parameter's.
    """
    try:
        with np.load(file, allow_pickle=False) as loaded:
            arrays = dict(loaded)
    except (ValueError, EOFError, TypeError) as error:
        raise LoadError(
            f"{printable(file)} is not an .npz file", received=str(error)[:200]
        ) from None
    names = [parameter_name(p.name, p.index) for p in graph.parameters]
    for name in arrays:
        if name not in names:
            raise click.UsageError(
                f"{printable(name)!r} is not a parameter; parameters: {', '.join(names)}"
            )
    return arrays


def parameter_name(name: str | None, index: int) -> str:
    """What a parameter is called in files: its number if it has no name."""
    return name or str(index)


def choose_sizes(
    graph: Graph, given: Mapping[str, Array], batch: int | None
) -> dict[str, int]:
    """The sizes of the dimension symbols: as given arrays have them, else small."""
    sizes = {} if batch is None else {"B": batch}
    for p in graph.parameters:
        array = given.get(parameter_name(p.name, p.index))
        for dim, size in zip(
            p.shape, () if array is None else array.shape, strict=False
        ):
            if isinstance(dim, SymbolicDim) and str(dim) in graph.ranges:
                sizes.setdefault(str(dim), size)
    for symbol, (low, high) in graph.ranges.items():
        sizes.setdefault(symbol, min(max(SIZE, low), high))
    return sizes


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
