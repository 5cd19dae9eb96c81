"""Where random programs get their decisions from."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TypeVar, final

import numpy as np

T = TypeVar("T")


class Choices(abc.ABC):
    """A source of decisions.

    A generator that asks nothing else is driven by plain seeds (`SeededChoices`) and by
    a property-testing library alike. The smallest answers make the simplest programs.
    """

    @abc.abstractmethod
    def integer(self, low: int, high: int) -> int:
        """An integer within `low` and `high`, both included."""

    @final
    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.integer(0, len(items) - 1)]

    @final
    def recent(self, items: Sequence[T]) -> T:
        """One of the items, more often one of the last ones."""
        behind = min(self.integer(0, len(items) - 1), self.integer(0, len(items) - 1))
        return items[len(items) - 1 - behind]

    @final
    def chance(self, percent: int) -> bool:
        """True in so many cases out of a hundred."""
        return self.integer(0, 99) >= 100 - percent

    @final
    def subset(self, items: Sequence[T]) -> list[T]:
        """Some of the items, in their order."""
        return [item for item in items if self.chance(50)]

    @final
    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in any order."""
        rest = list(items)
        return [rest.pop(self.integer(0, len(rest) - 1)) for _ in items]


@final
class SeededChoices(Choices):
    """Decisions that follow from a seed, the same on every machine.

    Args:
        seed: Any non-negative integers.
    """

    def __init__(self, *seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def integer(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high, endpoint=True))
