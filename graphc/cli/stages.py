"""What a command is doing, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status


@contextmanager
def shown_stages(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Shows on standard error what is being done, and how long it took."""
    console = Console(stderr=True)
    if quiet:
        yield lambda stage: None
        return
    status: Status | None = None
    begun: tuple[str, float] | None = None

    def done() -> None:
        if begun is not None:
            seconds = time.perf_counter() - begun[1]
            console.print(f"{begun[0]}: {seconds:.1f} s", highlight=False)

    def say(stage: str) -> None:
        nonlocal status, begun
        done()
        begun = (stage, time.perf_counter())
        if status is not None:
            status.update(stage)
        elif sys.stderr.isatty():
            status = console.status(stage)
            status.start()

    try:
        yield say
        done()
    finally:
        if status is not None:
            status.stop()
