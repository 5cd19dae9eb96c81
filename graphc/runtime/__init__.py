"""Compiling graphs and running them; backends load when a target first needs them."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from graphc.runtime.backend import Backend

BACKENDS: dict[str, str] = {
    "jaxlib": "graphc.runtime.jaxlib_runtime",
    "numpy": "graphc.runtime.numpy_runtime",
    "triton": "graphc.runtime.triton_runtime",
    "xla": "graphc.runtime.xla_runtime",
}
"""The module of each backend. Importing one imports what it runs on, such as jax."""


def load_backend(name: str) -> Backend:
    """The backend called `name`, imported now if it has not been.

    Raises:
        ImportError: If what the backend runs on is not installed.
    """
    return cast(Backend, import_module(BACKENDS[name]))
