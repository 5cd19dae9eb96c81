"""Interleaved timing with medians of per-round ratios."""

import statistics

from graphc.runtime.timing import interleaved, ratios

__all__ = ["interleaved", "ratios", "table"]


def table(times: dict[str, list[float]], baseline: str) -> str:
    """Medians in microseconds and ratios to the baseline."""
    found = ratios(times, baseline)
    lines = [f"{'':28} {'us/call':>10} {'ratio':>8}"]
    for name, ts in times.items():
        micro = statistics.median(ts) * 1e6
        lines.append(f"{name:28} {micro:10.1f} {found[name]:8.2f}")
    return "\n".join(lines)
