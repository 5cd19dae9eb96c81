"""Pausing the garbage collector while graphs are built and rewritten."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Generator[None, None, None]:
    """While open, Python does not look for garbage in cycles.

    Nodes and values refer to one another, and nearly all that are made stay: looking
    through them again and again finds nothing, and takes a third of the time in which a
    large graph is traced and compiled.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
