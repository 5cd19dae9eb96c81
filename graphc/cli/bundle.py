"""``graphc bundle``: C programs from artifacts."""

from __future__ import annotations

import json

import click

from graphc.artifacts.bundling import write_bundle
from graphc.cli.stages import shown_stages
from graphc.cli.text import printable


@click.command()
@click.argument("file", metavar="FILE.gcx")
@click.option("-o", "--output", required=True, help="A new folder.")
@click.option(
    "--target",
    help="The GPU, such as triton:sm_90; by default the artifact's first.",
)
@click.option(
    "--name",
    default="model",
    show_default=True,
    help="What names in C begin with. Programs that link several need several.",
)
@click.option(
    "--trust-code",
    is_flag=True,
    help="Take the machine code that the artifact holds, which can do anything;"
    " otherwise its graph is compiled here, for which no GPU is needed.",
)
@click.option("--weights", help="The weights of an artifact that does not hold them.")
@click.option("--json", "as_json", is_flag=True, help="Print the files as JSON.")
def bundle(
    file: str,
    output: str,
    target: str | None,
    name: str,
    trust_code: bool,
    weights: str | None,
    as_json: bool,
) -> None:
    """Write a C program that runs an artifact on a GPU.

    The folder has C source, a header, a Makefile, and machine code, constants and
    weights as data. It needs a C compiler, and where it runs the NVIDIA driver: neither
    graphc nor Python nor the CUDA toolkit.

    Exit codes: 0 for success, 2 for wrong usage, a file that cannot be used, or a
    program that cannot be compiled.
    """
    with shown_stages(quiet=as_json) as say:
        paths = write_bundle(file, output, target, trust_code, weights, name, say)
    if as_json:
        click.echo(json.dumps([str(path) for path in paths]))
    else:
        for path in paths:
            click.echo(printable(str(path)))
