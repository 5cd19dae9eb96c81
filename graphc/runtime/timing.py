"""Interleaved timing: contestants take turns, ratios are medians over the rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def interleaved(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int = 30,
    inner: int = 20,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds per call of each contestant in each round, all taking turns.

    By `time.process_time`, others on the machine disturb the measurement less; but
    what waits for another device costs nothing then.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for number in range(rounds):
        names = list(contestants)
        if number % 2:
            names.reverse()
        for name in names:
            run = contestants[name]
            start = clock()
            for _ in range(inner):
                run()
            times[name].append((clock() - start) / inner)
    return times


def ratios(times: Mapping[str, list[float]], baseline: str) -> dict[str, float]:
    """The median over rounds of each contestant's time over the baseline's."""
    return {
        name: statistics.median(t / b for t, b in zip(ts, times[baseline], strict=True))
        for name, ts in times.items()
    }
