"""Ctrl-C while a step runs: kept until the step has finished, so weights stay usable."""

from __future__ import annotations

# The functions behind those of `signal`, which turn handlers into enum members and back
# by catching an error. That would take a tenth of a small step.
import _signal  # pyright: ignore[reportMissingImports]
import signal
import threading
from types import FrameType, TracebackType


class DeferredInterrupts:
    """While open, the first Ctrl-C takes effect at the end; a second one at once.

    The new state of a step replaces the old one in one assignment, but the old buffers
    are already given away while a step runs: an interrupt in between would lose both.
    """

    __slots__ = ("_installed", "_pressed")

    def __enter__(self) -> None:
        self._pressed = False
        # Elsewhere Python raises no KeyboardInterrupt, or somebody else handles it.
        self._installed = (
            threading.current_thread() is threading.main_thread()
            and _signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._installed:
            _signal.signal(signal.SIGINT, self._keep)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        if self._pressed:
            signal.default_int_handler(number, frame)
        self._pressed = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._installed:
            _signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._pressed:
                raise KeyboardInterrupt
