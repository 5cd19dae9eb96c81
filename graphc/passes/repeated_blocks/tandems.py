"""Tandems: stretches of a sequence that repeat one behind the other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator, Sequence
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
            costs: What it costs to cut before each place of the whole sequence.
        """
        places = np.arange(self.start, self.end)
        weight = np.zeros(self.period)
        number = np.zeros(self.period)
        np.add.at(weight, places % self.period, np.asarray(costs)[places])
        np.add.at(number, places % self.period, 1)
        # The earliest of the best: as many occurrences as there can be.
        offsets = (self.start + np.arange(self.period)) % self.period
        first = self.start + int(np.argmin((weight / number)[offsets]))
        count = (self.end - first) // self.period
        return [
            range(first + n * self.period, first + (n + 1) * self.period)
            for n in range(count)
        ]


def find_tandems(items: Sequence[Hashable], least: int) -> list[Tandem]:
    """Tandems that do not overlap, those first that repeat most.

    Args:
        items: The sequence.
        least: How long the part that repeats must be.
    """
    numbers: dict[Hashable, int] = {}
    sequence = np.array([numbers.setdefault(i, len(numbers)) for i in items], np.int64)
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
    known: dict[bytes, deque[int]] = {}
    distances = Counter[int]()
    for place in range(len(sequence) - GRAM + 1):
        gram = sequence[place : place + GRAM].tobytes()
        # A part may hold what occurs several times in it.
        before = known.setdefault(gram, deque(maxlen=MAX_INSIDE))
        distances.update(place - each for each in before)
        before.append(place)
    long = Counter({d: n for d, n in distances.items() if d >= least})
    return [distance for distance, _ in long.most_common(MAX_PERIODS)]


def _of_period(sequence: np.ndarray[Any, Any], period: int) -> Iterator[Tandem]:
    """The longest stretches that repeat with a period."""
    same = np.zeros(len(sequence) - period + 2, bool)
    same[1:-1] = sequence[:-period] == sequence[period:]
    changes = np.flatnonzero(same[1:] != same[:-1])
    for start, end in changes.reshape(-1, 2).tolist():
        if end - start >= period:
            yield Tandem(start, period, end + period)
