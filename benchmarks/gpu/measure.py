"""Fair timing: contestants take turns, and each round gives one ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ROUND_SECONDS = 0.02
"""How long a contestant's turn takes at least, so that waiting for it costs nothing."""


@dataclass(frozen=True)
class Contestant:
    """Something to be timed.

    Attributes:
        name: Its name.
        run: Queues some calls.
        wait: Returns when all calls have ended.
        calls: How many calls `run` queues.
        note: What a reader must know, such as that no CUDA graph could be captured.
    """

    name: str
    run: Callable[[], object]
    wait: Callable[[], object]
    calls: int = 1
    note: str = ""


def interleaved(
    contestants: Sequence[Contestant], rounds: int, warm: int = 3
) -> dict[str, list[float]]:
    """Seconds per call of each contestant in each round; every other is backwards.

    Args:
        contestants: What to time.
        rounds: How often each has its turn.
        warm: How often each runs before.
    """
    repeats = {each.name: _repeats(each, warm) for each in contestants}
    times: dict[str, list[float]] = {each.name: [] for each in contestants}
    for number in range(rounds):
        for each in contestants if number % 2 == 0 else reversed(contestants):
            count = repeats[each.name]
            times[each.name].append(_turn(each, count) / (count * each.calls))
    return times


def _repeats(contestant: Contestant, warm: int) -> int:
    """How often to run a contestant in a turn, after some runs that warm it up."""
    for _ in range(warm):
        _turn(contestant, 1)
    return max(1, round(ROUND_SECONDS / max(_turn(contestant, 1), 1e-6)))


def _turn(contestant: Contestant, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        contestant.run()
    contestant.wait()
    return time.perf_counter() - start


def summary(values: Sequence[float]) -> dict[str, float]:
    """The median, the least and the most."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
    }


def compared(
    times: dict[str, list[float]], ours: str
) -> dict[str, dict[str, dict[str, float]]]:
    """For each contestant its seconds and by which factor ours is faster."""
    return {
        name: {
            "seconds": summary(values),
            "ratio": summary([v / o for v, o in zip(values, times[ours], strict=True)]),
        }
        for name, values in times.items()
    }


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of ratios."""
    return statistics.geometric_mean(values)
