"""A device that is not there: costs are drawn, times are noisy, some choices fail."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from graphc.tuning.space import Axis, Choice, Space
from graphc.tuning.statistics import Times
from graphc.tuning.trial import Facts, RejectedError, Status


def space_of(*counts: int) -> Space:
    """A space with axes of so many values."""
    return Space(
        tuple(
            Axis(f"axis{place}", tuple(f"v{i}" for i in range(count)))
            for place, count in enumerate(counts)
        )
    )


@dataclass
class SimulatedRunner:
    """Measures what a function says, with noise that all rounds share and their own.

    Attributes:
        seconds: The true time of a choice.
        seed: What noise is drawn from.
        noise: The standard deviation of each sample, relative to its time.
        failing: What becomes of choices that fail.
        misplaced: How often a program lies badly in the memory of a process.
    """

    seconds: Callable[[Choice], float]
    seed: int = 0
    noise: float = 0.05
    failing: dict[Choice, Status] = field(default_factory=dict[Choice, Status])
    misplaced: float = 0.0
    prepared: list[Choice] = field(default_factory=list[Choice])
    measured: list[tuple[Choice, Choice]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._placed: dict[Choice, float] = {}

    def facts(self, choice: Choice) -> Facts:
        return Facts(" ".join(choice))

    def prepare(self, choice: Choice) -> None:
        self.prepared.append(choice)
        if choice in self.failing:
            raise RejectedError(self.failing[choice], "planted")

    def measure(
        self, candidate: Choice, incumbent: Choice, rounds: int
    ) -> tuple[Times, Times]:
        self.measured.append((candidate, incumbent))
        times: tuple[list[float], list[float]] = [], []
        for _ in range(rounds):
            slow = self._random.choice((1.0, 1.0, 1.0, 1.6))  # others compute, too
            for choice, own in zip((candidate, incumbent), times, strict=True):
                sample = self.seconds(choice) * slow * self._placement(choice)
                sample *= max(0.2, self._random.gauss(1.0, self.noise))
                if self._random.random() < 0.05:
                    sample *= self._random.uniform(1.5, 10)  # an interrupt
                own.append(sample)
        return times

    def renew(self) -> None:
        self._placed.clear()

    def _placement(self, choice: Choice) -> float:
        """How much slower a choice is for as long as the process lives."""
        if choice not in self._placed:
            badly = self.misplaced > 0 and self._random.random() < self.misplaced
            self._placed[choice] = 1.25 if badly else 1.0
        return self._placed[choice]


def drawn_costs(space: Space, seed: int) -> Callable[[Choice], float]:
    """True times: a factor for each value, most of them without effect."""
    draw = random.Random(seed)
    factors = {
        (axis.name, value): draw.choice((1.0, 1.0, 1.0, 1.005, 0.8, 1.3))
        for axis in space.axes
        for value in axis.values[1:]
    }

    def seconds(choice: Choice) -> float:
        total = 1e-3
        for axis, value in zip(space.axes, choice, strict=True):
            total *= factors.get((axis.name, value), 1.0)
        return total

    return seconds
