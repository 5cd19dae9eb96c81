"""``graphc why``: why a compile came out as it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from graphc.cli.cases import choose_sizes, read_case
from graphc.cli.options import picks_graph
from graphc.cli.plugins import loads_plugins
from graphc.cli.text import printable, read_pipeline
from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE
from graphc.runtime.why import Answer, Why

F = TypeVar("F", bound=Callable[..., Any])

ALL = "*"
"""What stands for everything where a node may be named."""


def _about(option: str, text: str) -> Callable[[F], F]:
    """An option that asks about a node, or about everything."""
    return click.option(
        option, is_flag=False, flag_value=ALL, metavar="[NODE]", help=text
    )


@click.command()
@click.argument("file")
@click.option(
    "--not-fused", nargs=2, metavar="A B", help="Why are two nodes not one kernel?"
)
@_about("--recomputed", "Why is a node, or anything, computed more than once?")
@_about("--float32", "Why does mixed precision keep a node, or anything, in float32?")
@click.option("--kernel", metavar="NAME", help="Why is a kernel as it is?")
@_about("--slow", "What bounds the time of a node's kernels, or of all?")
@click.option(
    "-p",
    "--passes",
    "pipeline",
    default="triton",
    show_default=True,
    metavar="TEXT|@FILE",
    help="The pipeline, as graphc opt takes it.",
)
@click.option(
    "--architecture",
    default=DEFAULT_ARCHITECTURE,
    show_default=True,
    help="The GPU whose measured schedules are taken.",
)
@picks_graph()
@loads_plugins
def why(
    file: str,
    not_fused: tuple[str, str] | None,
    recomputed: str | None,
    float32: str | None,
    kernel: str | None,
    slow: str | None,
    pipeline: str,
    architecture: str,
    kind: str,
    batch: int | None,
) -> None:
    """Say why a compile of FILE (.graphc, .gir, .mlir or -) came out as it did.

    A node is named by its value as the graph prints it (%h, %3), by a layer's path
    (encoder/dense) or by its op (reduce_sum), a kernel also by its graph (@dense_add).
    The passes run, nothing is compiled.
    """
    if not any((not_fused, recomputed, float32, kernel, slow)):
        raise click.UsageError(
            "ask something: --not-fused, --recomputed, --float32, --kernel or --slow"
        )
    graph, given = read_case(file, kind)
    bound = graph.bind(**choose_sizes(graph, given, batch))
    asked = Why(bound, read_pipeline(pipeline), architecture)
    for answer in _answers(asked, not_fused, recomputed, float32, kernel, slow):
        click.echo(printable(str(answer)))


def _answers(
    asked: Why,
    not_fused: tuple[str, str] | None,
    recomputed: str | None,
    float32: str | None,
    kernel: str | None,
    slow: str | None,
) -> Iterator[Answer]:
    if not_fused:
        yield asked.not_fused(*not_fused)
    if recomputed:
        yield asked.recomputed(_node(recomputed))
    if float32:
        yield asked.float32(_node(float32))
    if kernel:
        yield asked.kernel(kernel)
    if slow:
        yield asked.slow(_node(slow))


def _node(name: str) -> str | None:
    return None if name == ALL else name
