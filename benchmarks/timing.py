"""Interleaved timing with medians of per-round ratios."""

import statistics
import time
from collections.abc import Callable


def interleaved(
    contestants: dict[str, Callable[[], object]], rounds: int = 30, inner: int = 20
) -> dict[str, list[float]]:
    """Seconds per call of each contestant in each round, all taking turns."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for number in range(rounds):
        names = list(contestants)
        if number % 2:
            names.reverse()
        for name in names:
            run = contestants[name]
            start = time.perf_counter()
            for _ in range(inner):
                run()
            times[name].append((time.perf_counter() - start) / inner)
    return times


def ratios(times: dict[str, list[float]], baseline: str) -> dict[str, float]:
    """The median over rounds of each contestant's time over the baseline's."""
    return {
        name: statistics.median(t / b for t, b in zip(ts, times[baseline], strict=True))
        for name, ts in times.items()
    }


def table(times: dict[str, list[float]], baseline: str) -> str:
    """Medians in microseconds and ratios to the baseline."""
    found = ratios(times, baseline)
    lines = [f"{'':28} {'us/call':>10} {'ratio':>8}"]
    for name, ts in times.items():
        micro = statistics.median(ts) * 1e6
        lines.append(f"{name:28} {micro:10.1f} {found[name]:8.2f}")
    return "\n".join(lines)
