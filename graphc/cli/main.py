"""The ``graphc`` command."""

from __future__ import annotations

import sys

import click

from graphc import __version__
from graphc.cli.ablate import ablate
from graphc.cli.bench import bench
from graphc.cli.blame import blame
from graphc.cli.bundle import bundle
from graphc.cli.cache import cache
from graphc.cli.calibrate import calibrate
from graphc.cli.compile import compile
from graphc.cli.demo.command import demo
from graphc.cli.doctor import doctor
from graphc.cli.ops import ops
from graphc.cli.opt import opt
from graphc.cli.run import run
from graphc.cli.show import show
from graphc.cli.text import printable
from graphc.cli.tune import tune
from graphc.cli.view import view
from graphc.cli.vote import vote
from graphc.cli.why import why
from graphc.ir.errors import GraphcError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="graphc")
def commands() -> None:
    """A compiler-style deep-learning framework with Keras's API.

    Exit codes: 0 for success, 1 if a check fails, 2 for wrong usage or a file that
    cannot be used.
    """


for _command in (
    demo,
    compile,
    bundle,
    show,
    opt,
    run,
    tune,
    bench,
    vote,
    blame,
    why,
    view,
    ops,
    cache,
    doctor,
    ablate,
    calibrate,
):
    commands.add_command(_command)


def main() -> None:
    """Runs the command line; errors that graphc raises become one message."""
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except GraphcError as error:
        if error.location is not None and error.location.captured:
            error.location = None  # a line of the command, not of the user's
        click.echo(f"graphc: {printable(str(error))}", err=True)
        sys.exit(2)
    except OSError as error:
        name = f"{printable(str(error.filename))}: " if error.filename else ""
        click.echo(f"graphc: {name}{error.strerror or error}", err=True)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
