"""When a program is faster than another: a rule that noise does not fool.

Both run in the same rounds, one right after the other, so that what disturbs a round
disturbs both. Of the logarithms of the rounds' ratios the median m is taken, and its
standard error e, which for normal noise is 1.2533 times that of a mean; the spread is
1.4826 times the median absolute deviation, which outliers do not move. A candidate is
faster if ``m + 3 e`` is below ``log(1 - GAIN)``, and not if ``m - 3 e`` is above; between
the two, more rounds are run, and after the last the incumbent stays.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

GAIN = 0.03
"""How much faster a candidate must be; less is a tie, which the incumbent wins."""

ERRORS = 3.0
"""How many standard errors a decision keeps away from chance."""

LEAST_ROUNDS, MOST_ROUNDS = 10, 60

_RESOLUTION = 1e-3
"""Clocks and counters are no better than this part of what they measure."""

Times: TypeAlias = Sequence[float]
Measure: TypeAlias = Callable[[int], tuple[Times, Times]]
"""Runs so many rounds; returns the seconds of the candidate and of the incumbent."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the rounds of a candidate and an incumbent say.

    Attributes:
        ratio: The median ratio of the candidate's time to the incumbent's.
        error: The standard error of its logarithm.
        rounds: How many rounds were run.
        median: The median of the candidate's times, in seconds.
        spread: Their median absolute deviation, in seconds.
        baseline: The median of the incumbent's times.
    """

    ratio: float
    error: float
    rounds: int
    median: float
    spread: float
    baseline: float

    @property
    def faster(self) -> bool:
        """Whether the candidate is faster, beyond the noise."""
        return math.log(self.ratio) + ERRORS * self.error < math.log1p(-GAIN)

    @property
    def decided(self) -> bool:
        """Whether more rounds would hardly change the answer."""
        distance = abs(math.log(self.ratio) - math.log1p(-GAIN))
        return distance > ERRORS * self.error


def deviation(values: Times) -> float:
    """The median absolute deviation."""
    middle = statistics.median(values)
    return statistics.median(abs(value - middle) for value in values)


def comparison(candidate: Times, incumbent: Times) -> Comparison:
    """What the times of the same rounds say."""
    logs = [math.log(c / i) for c, i in zip(candidate, incumbent, strict=True)]
    spread = max(1.4826 * deviation(logs), _RESOLUTION)
    return Comparison(
        ratio=math.exp(statistics.median(logs)),
        error=1.2533 * spread / math.sqrt(len(logs)),
        rounds=len(logs),
        median=statistics.median(candidate),
        spread=deviation(candidate),
        baseline=statistics.median(incumbent),
    )


def compare(
    measure: Measure, least: int = LEAST_ROUNDS, most: int = MOST_ROUNDS
) -> Comparison:
    """Runs rounds until the rule decides, or `most` of them."""
    candidate: list[float] = []
    incumbent: list[float] = []
    while True:
        mine, theirs = measure(least)
        candidate += mine
        incumbent += theirs
        found = comparison(candidate, incumbent)
        if found.decided or found.rounds + least > most:
            return found
