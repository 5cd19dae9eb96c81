"""Tandems: stretches of a sequence that repeat one behind the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

GRAM = 4
"""How many neighbours must agree for two places to suggest a period."""
MAX_INSIDE = 4
"""How often the least frequent such neighbours may occur in a part that repeats."""
MAX_PERIODS = 64
"""How many periods are tried: the most frequent ones."""


@dataclass(frozen=True, slots=True)
class Tandem:
    """A stretch that repeats: from `start` on, every item is that a period later.

    Attributes:
        start: Its first place.
        period: How long the part is that repeats.
        end: The place behind it.
    """

    start: int
    period: int
    end: int

    @property
    def count(self) -> int:
        """How often the part occurs in full."""
        return (self.end - self.start) // self.period

    @property
    def saved(self) -> int:
        """How many items repeat earlier ones."""
        return (self.count - 1) * self.period

    def cut(self, costs: Sequence[float]) -> list[range]:
        """The places of each occurrence, cut where it costs least.

        Args:
            costs: What it costs to cut before each place of a period, the first one at
                `start`.
        """
        # The earliest of the best: as many occurrences as there can be.
        first = self.start + int(np.argmin(costs))
        count = (self.end - first) // self.period
        return [
            range(first + n * self.period, first + (n + 1) * self.period)
            for n in range(count)
        ]


def find_tandems(items: Sequence[int], least: int) -> list[Tandem]:
    """Tandems that do not overlap, those first that repeat most.

    Args:
        items: The sequence, equal numbers for what is equal.
        least: How long the part that repeats must be.
    """
    sequence = np.asarray(items, np.int64)
    found = [
        tandem
        for period in _periods(sequence, least)
        for tandem in _of_period(sequence, period)
    ]
    found.sort(key=lambda t: (-t.saved, t.period, t.start))
    taken = np.zeros(len(sequence), bool)
    kept: list[Tandem] = []
    for tandem in found:
        if not taken[tandem.start : tandem.end].any():
            taken[tandem.start : tandem.end] = True
            kept.append(tandem)
    return kept


def _periods(sequence: np.ndarray[Any, Any], least: int) -> list[int]:
    """How far places are from the next ones with the same neighbours, mostly."""
    length = len(sequence) - GRAM + 1
    if length < 1:
        return []
    gram = np.zeros(length, np.int64)
    for shift in range(GRAM):
        pair = gram * len(sequence) + _numbered(sequence[shift : shift + length])
        gram = _numbered(pair)
    places = np.argsort(gram, kind="stable")
    distances: list[np.ndarray[Any, Any]] = []
    # A part may hold what occurs several times in it.
    for nth in range(1, min(MAX_INSIDE, length - 1) + 1):
        earlier, later = places[:-nth], places[nth:]
        distances.append((later - earlier)[gram[earlier] == gram[later]])
    found, counts = np.unique(np.concatenate([[0], *distances]), return_counts=True)
    most = np.lexsort((found, -counts))
    return found[most][found[most] >= least][:MAX_PERIODS].tolist()


def _numbered(items: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Small numbers, equal for equal items."""
    return np.unique(items, return_inverse=True)[1]


def _of_period(sequence: np.ndarray[Any, Any], period: int) -> Iterator[Tandem]:
    """The longest stretches that repeat with a period."""
    same = np.zeros(len(sequence) - period + 2, bool)
    same[1:-1] = sequence[:-period] == sequence[period:]
    changes = np.flatnonzero(same[1:] != same[:-1])
    for start, end in changes.reshape(-1, 2).tolist():
        if end - start >= period:
            yield Tandem(start, period, end + period)
