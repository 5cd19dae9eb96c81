"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from graphc.artifacts.contents import STEPS
from graphc.cli.text import printable
from graphc.tuning.cases import CLOCKS

F = TypeVar("F", bound=Callable[..., Any])


def picks_kind(
    default: str = "predict", kinds: Sequence[str] = STEPS
) -> Callable[[F], F]:
    """Gives a command ``--kind``: which graph of a saved model."""
    return click.option(
        "--kind",
        type=click.Choice(kinds),
        default=default,
        show_default=True,
        help="Which graph of a saved model.",
    )


def picks_graph(default: str = "predict") -> Callable[[F], F]:
    """Gives a command ``--kind`` and ``--batch``: which graph of a model, how bound."""

    def decorate(command: F) -> F:
        batch = click.option("--batch", type=int, help="The batch size B.")
        return picks_kind(default)(batch(command))

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


def numbers(text: str, option: str) -> list[int]:
    """The positive numbers of an option, between commas.

    Raises:
        UsageError: If it holds something else.
    """
    parts = text.split(",")
    if not all(map(_is_size, parts)):
        raise click.UsageError(f"{option} is like 1,8,32, not {printable(text)!r}")
    return [int(part) for part in parts]


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text[:20]) < 2**31


def picks_sizes(command: F) -> F:
    """Gives a command ``--size``: sizes of dimensions but the batch, by their names."""
    return click.option(
        "--size",
        "sizes",
        multiple=True,
        metavar="NAME=SIZE",
        callback=_sizes,
        help="The size of another dimension, such as N0=128; 2 unless given. May be"
        " repeated.",
    )(command)


def _sizes(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in texts:
        name, _, size = text.partition("=")
        if not name or not _is_size(size):
            raise click.UsageError(f"--size is like N0=128, not {printable(text)!r}")
        found[name] = int(size)
    return found


def takes_inputs(command: F) -> F:
    """Gives a command ``--inputs`` and ``--seed``: arrays, and where others are from."""
    inputs = click.option(
        "--inputs", metavar="FILE.npz", help="Arrays by parameter name."
    )
    seed = click.option(
        "--seed", default=0, help="What inputs that are not given are drawn from."
    )
    return inputs(seed(command))
