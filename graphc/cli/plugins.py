"""The options ``--load`` and ``--plugins``: code of others that a user asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from graphc.passes.plugins import load_module, load_ops

F = TypeVar("F", bound=Callable[..., Any])

LOADED = "graphc.loaded"
"""Where a command's context keeps the names that ``--load`` gave, in `meta`."""


def _load(context: click.Context, option: click.Parameter, names: list[str]) -> None:
    context.meta[LOADED] = list(names)
    for name in names:
        load_module(name)


def loads_plugins(command: F) -> F:
    """Gives a command ``--load`` and ``--plugins``, done before anything is read."""
    load = click.option(
        "--load",
        multiple=True,
        metavar="FILE.py|MODULE",
        is_eager=True,
        expose_value=False,
        callback=_load,
        help="Run a Python file or import a module that registers passes, rules or ops."
        " Repeat for several.",
    )
    plugins = click.option(
        "--plugins",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=lambda context, option, wanted: load_ops() if wanted else [],
        help="Import the ops that installed packages declare (graphc.ops).",
    )
    return load(plugins(command))
