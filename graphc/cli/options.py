"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from graphc.tuning.cases import CLOCKS

F = TypeVar("F", bound=Callable[..., Any])

KINDS = ("predict", "eval_step", "train_step")
"""The graphs of a saved model that commands run."""


def picks_graph(default: str = "predict") -> Callable[[F], F]:
    """Gives a command ``--kind`` and ``--batch``: which graph of a model, how bound."""

    def decorate(command: F) -> F:
        kind = click.option(
            "--kind",
            type=click.Choice(KINDS),
            default=default,
            show_default=True,
            help="Which graph of a saved model.",
        )
        batch = click.option("--batch", type=int, help="The batch size B.")
        return kind(batch(command))

    return decorate


def picks_clock(command: F) -> F:
    """Gives a command ``--clock``: by which clock it measures."""
    return click.option(
        "--clock",
        type=click.Choice(list(CLOCKS)),
        default="wall",
        show_default=True,
        help="cpu counts what is computed; it is steadier on a busy machine.",
    )(command)


def takes_inputs(command: F) -> F:
    """Gives a command ``--inputs`` and ``--seed``: arrays, and where others are from."""
    inputs = click.option(
        "--inputs", metavar="FILE.npz", help="Arrays by parameter name."
    )
    seed = click.option(
        "--seed", default=0, help="What inputs that are not given are drawn from."
    )
    return inputs(seed(command))
