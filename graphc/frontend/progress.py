"""What training prints: progress bars, status lines and messages, in one terminal."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, cast

import numpy as np
from rich.console import Console
from rich.text import Text

from graphc.frontend.config import is_interactive_logging_enabled

__all__ = ["Progbar", "print_line", "print_message", "show_status"]

LOGGER = logging.getLogger("graphc")

STATUS_SECONDS = 0.2

# Notebooks and PyCharm overwrite a line after "\r" although they are no terminals.
_OVERWRITES = "ipykernel" in sys.modules or "PYCHARM_HOSTED" in os.environ


class _Line:
    """The last line of the terminal, which is overwritten until it is finished.

    Args:
        file: Where to print; None for what `sys.stdout` is whenever it prints.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self._console = Console(
            file=file, highlight=False, markup=False, emoji=False, force_jupyter=False
        )
        self._lock = threading.Lock()
        self._shown = 0

    @property
    def is_dynamic(self) -> bool:
        """Whether a line can be overwritten."""
        console = self._console
        return _OVERWRITES or (console.is_terminal and not console.is_dumb_terminal)

    @property
    def bar_characters(self) -> tuple[str, str]:
        """What the done and the open part of a bar are made of."""
        return ("━", "─") if self._console.encoding.startswith("utf") else ("=", ".")

    def show(self, text: Text) -> None:
        """Puts `text` in place of what the line shows; it is cut to the width."""
        with self._lock:
            if self._console.is_terminal:  # a wrapped line could not be overwritten
                text.truncate(max(1, self._console.width - 1), overflow="ellipsis")
            self._overwrite(text)

    def finish(self, text: Text) -> None:
        """Puts `text` in place of what the line shows and goes to the next line."""
        with self._lock:
            self._overwrite(text)
            self._console.print()
            self._shown = 0

    def clear(self) -> None:
        """Empties the line."""
        with self._lock:
            self._overwrite(Text())

    def _overwrite(self, text: Text) -> None:
        """Writes over the line, and blanks over what is longer than `text`."""
        if self._shown:
            self._console.file.write("\r")
        padding = max(0, self._shown - text.cell_len)
        self._shown = text.cell_len
        self._console.print(text, end=" " * padding + "\b" * padding, soft_wrap=True)
        self._console.file.flush()


class _Status:
    """What the program is busy with, shown with the seconds it takes."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, message: str) -> None:
        self.end()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._tick, args=(message,), name="graphc-status", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None

    def _tick(self, message: str) -> None:
        start = time.perf_counter()
        shown = False
        while not self._ended.wait(STATUS_SECONDS):
            seconds = time.perf_counter() - start
            self._line.show(Text(f"{message} ... {seconds:.1f} s", style="dim"))
            shown = True
        if shown:
            self._line.clear()


_line = _Line()
_status = _Status(_line)


def print_message(message: str) -> None:
    """Prints a line, in place of a progress bar, which is then drawn again below.

    It goes to the logger ``graphc`` while interactive logging is disabled.
    """
    if is_interactive_logging_enabled():
        _line.finish(Text(message))
    else:
        LOGGER.info(message)


def print_line(text: str) -> None:
    """Prints a line, in place of a progress bar, whether logging is enabled or not."""
    _line.finish(Text(text))


def show_status(message: str) -> None:
    """Shows what takes time, such as compiling, until called with an empty message.

    It appears in place, with the seconds passed, when it takes longer than an instant;
    nowhere if lines cannot be overwritten, as in a log file.
    """
    if message and _line.is_dynamic and is_interactive_logging_enabled():
        _status.begin(message)
    else:
        _status.end()


class Progbar:
    """Displays a progress bar.

    It is drawn at most every `interval` seconds, and in place. Where lines cannot be
    overwritten, as in a log file, only the last one is printed.

    Args:
        target: The number of steps, or None if it is not known.
        width: The length of the bar in characters.
        verbose: 0 for nothing, 1 for a bar, 2 for one line at the end.
        interval: The least time between two drawings, in seconds.
        stateful_metrics: Names of values to show as they are; the others' averages over
            the steps are shown.
        stateless_metrics: Names of values to average; the others are shown as they are.
            Give one of the two lists.
        unit_name: What a step is called.

    Raises:
        ValueError: If both lists of names are given.

    Example:
    >>> bar = Progbar(target=3, verbose=2)
    >>> for step in range(3):
    ...     bar.update(step + 1, [("loss", 1 / (step + 1))])  # doctest: +ELLIPSIS
    3/3 - 0s - ...s/step - loss: 0.3333
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Expected `stateful_metrics` or `stateless_metrics`. Received: both"
            )
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self._stateful = set(stateful_metrics or ())
        self._stateless = None if stateless_metrics is None else set(stateless_metrics)
        self._sums: dict[str, tuple[Any, int]] = {}
        self._seen = 0
        self._start = time.perf_counter()
        self._first: tuple[float, int] | None = None
        self._next_drawing = 0.0

    def update(
        self,
        current: int,
        values: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        finalize: bool | None = None,
    ) -> None:
        """Moves the bar.

        Args:
            current: The number of steps done.
            values: A list of pairs of name and value, for the steps since the last
                update; or a mapping of values that are averages already, which is read
                only when the bar is drawn.
            finalize: Whether this is the last update; None for when `target` is reached.
        """
        reached = self.target is not None and current >= self.target
        finalize = reached if finalize is None else finalize
        now = time.perf_counter()
        if self._first is None:
            self._first = (now, current)
        averages: Mapping[str, Any] | None = None
        if isinstance(values, (list, tuple)):
            self._accumulate(values, max(current - self._seen, 1), finalize)
        elif values is not None:
            averages = cast("Mapping[str, Any]", values)
        self._seen = current
        if finalize or reached or now >= self._next_drawing:
            self._next_drawing = now + self.interval
            self._draw(now, averages, finalize)

    def add(self, n: int, values: Sequence[tuple[str, Any]] | None = None) -> None:
        """Moves the bar by `n` steps; see `update`."""
        self.update(self._seen + n, values)

    def _accumulate(
        self, values: Sequence[tuple[str, Any]], steps: int, finalize: bool
    ) -> None:
        for name, value in values:
            stateless = self._stateless
            averaged = name not in self._stateful and (
                stateless is None or name in stateless
            )
            if averaged and not finalize:
                total, count = self._sums.get(name, (0, 0))
                self._sums[name] = (total + value * steps, count + steps)
            else:  # the last values are those of all steps
                self._sums[name] = (value, 1)

    def _draw(
        self, now: float, averages: Mapping[str, Any] | None, finalize: bool
    ) -> None:
        interactive = is_interactive_logging_enabled()
        in_place = self.verbose == 1 and interactive and _line.is_dynamic
        if not self.verbose or not (finalize or in_place):
            return
        if averages is None:
            averages = {name: total / n for name, (total, n) in self._sums.items()}
        if finalize and self.target is None:
            self.target = self._seen
        text = self._text(now, averages, finalize)
        if not interactive:
            LOGGER.info(text.plain)
        elif finalize:
            _line.finish(text)
        else:
            _line.show(text)

    def _text(self, now: float, averages: Mapping[str, Any], finalize: bool) -> Text:
        if self.target is None:
            counter = f"{self._seen:>7}/Unknown"
        else:
            counter = f"{self._seen:>{len(str(self.target))}}/{self.target}"
        per_step = self._seconds_per_step(now)
        seconds = now - self._start
        if self.target is not None and not finalize:
            seconds = per_step * (self.target - self._seen)  # still to go
        metrics = "".join(
            f" - {name}: {_format_value(value)}" for name, value in averages.items()
        )
        duration, step = _format_duration(seconds), _format_step(per_step)
        if self.verbose == 2:
            return Text(f"{counter} - {duration} - {step}/{self.unit_name}{metrics}")
        text = Text(counter, style="bold").append(" ", "not bold")
        if self.target is not None:
            done = min(self.width, self.width * self._seen // max(self.target, 1))
            full, empty = _line.bar_characters
            text.append(full * done, "not bold green")
            text.append(empty * (self.width - done) + " ", "not bold dim")
        text.append(duration)
        return text.append(f" {step}/{self.unit_name}{metrics}", "not bold")

    def _seconds_per_step(self, now: float) -> float:
        """The time of a step; without the first ones, which include compiling."""
        first_time, first_step = self._first or (self._start, 0)
        if self._seen > first_step:
            return (now - first_time) / (self._seen - first_step)
        return (now - self._start) / max(self._seen, 1)


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{rest}s"


def _format_step(seconds: float) -> str:
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms"
    return f"{seconds * 1e6:.0f}us"


def _format_value(value: Any) -> str:
    array = np.asarray(value)
    if array.dtype.kind in "USO":
        return str(value)
    if array.ndim:
        return np.array2string(array, precision=4)
    number = float(array)
    return f"{number:.4f}" if abs(number) > 1e-3 else f"{number:.4e}"
