"""Ctrl-C during training: kept until a step has finished, so weights stay usable."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupts:
    """Whether Ctrl-C was pressed since training began."""

    def __init__(self) -> None:
        self.pressed = False

    def check(self) -> None:
        """Raises the KeyboardInterrupt that was kept back, if there is one."""
        if self.pressed:
            raise KeyboardInterrupt


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """While open, the first Ctrl-C only sets a flag; a second one stops at once.

    The new state of a step replaces the old one in one assignment, but the old buffers
    are already given away while a step runs: an interrupt in between would lose both.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    previous: Any = signal.getsignal(signal.SIGINT)
    if previous is not signal.default_int_handler:  # somebody else handles it
        yield interrupts
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupts.pressed:
            signal.default_int_handler(number, frame)
        interrupts.pressed = True

    signal.signal(signal.SIGINT, handle)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, previous)
    interrupts.check()
