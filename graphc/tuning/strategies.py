"""What is tried next: search strategies behind one interface."""

from __future__ import annotations

import abc
import itertools
import random
from collections.abc import Callable
from typing import ClassVar, final

from graphc.ir.errors import GraphcError
from graphc.tuning.bayesian import sampler
from graphc.tuning.space import Choice, Space

DRAWS = 32
"""How often a strategy draws before what it has not tried is looked for in order."""

MODEL_DRAWS = 4
"""The same where a draw takes a model milliseconds."""

LOOKED_AT = 10_000
"""How many choices are looked at in order."""

POPULATION = 8
"""How many choices a generation of the evolutionary search is bred from."""


class Strategy(abc.ABC):
    """Proposes choices, each once, and is told what they cost.

    The same seed and the same costs give the same proposals, so that an interrupted
    search goes on where it was when it is fed with what was measured.
    """

    draws: ClassVar[int] = DRAWS

    def __init__(self, space: Space, seed: int = 0) -> None:
        self.space = space
        self.random = random.Random(seed)
        self.costs: dict[Choice, float] = {}
        self._proposed: set[Choice] = {space.canonical}

    @final
    def propose(self) -> Choice | None:
        """A choice that was not proposed before; None when there is none left.

        The canonical choice is never proposed: it is what all are compared with.
        """
        if len(self._proposed) >= self.space.size:
            return None
        for _ in range(self.draws):
            choice = self._draw()
            if choice not in self._proposed:
                break
        else:
            every = itertools.islice(self.space.choices(), LOOKED_AT)
            choice = next((c for c in every if c not in self._proposed), None)
        if choice is not None:
            self._proposed.add(choice)
        return choice

    def tell(self, choice: Choice, cost: float) -> None:
        """What a choice costs, relative to the canonical one; infinite if it fails."""
        self.costs[choice] = cost

    @abc.abstractmethod
    def _draw(self) -> Choice:
        """A choice, which may have been proposed before."""


@final
class Exhaustive(Strategy):
    """All choices, nearest to the canonical one first."""

    def __init__(self, space: Space, seed: int = 0) -> None:
        super().__init__(space, seed)
        self._every = space.choices()

    def _draw(self) -> Choice:
        return next(self._every)


@final
class Random(Strategy):
    """Choices at random, each as likely as any other."""

    def _draw(self) -> Choice:
        return tuple(self.random.choice(axis.values) for axis in self.space.axes)


@final
class Evolutionary(Strategy):
    """Children of the cheapest choices: a mix of two, with a value or two changed."""

    def _draw(self) -> Choice:
        best = sorted(self.costs, key=lambda choice: self.costs[choice])[:POPULATION]
        parents = [self.random.choice(best or [self.space.canonical]) for _ in "ab"]
        child = [self.random.choice(pair) for pair in zip(*parents, strict=True)]
        for _ in range(self.random.choice((1, 1, 2))):
            place = self.random.randrange(len(child))
            child[place] = self.random.choice(self.space.axes[place].values)
        return tuple(child)


@final
class Bayesian(Strategy):
    """What a tree-structured Parzen estimator of Optuna expects most of.

    Raises:
        UnsupportedError: If Optuna is not installed.
    """

    draws = MODEL_DRAWS

    def __init__(self, space: Space, seed: int = 0) -> None:
        super().__init__(space, seed)
        self._sampler = sampler(space, seed)

    def tell(self, choice: Choice, cost: float) -> None:
        super().tell(choice, cost)
        self._sampler.tell(choice, cost)

    def _draw(self) -> Choice:
        return self._sampler.draw()


STRATEGIES: dict[str, Callable[[Space, int], Strategy]] = {
    "exhaustive": Exhaustive,
    "random": Random,
    "evolutionary": Evolutionary,
    "bayesian": Bayesian,
}
"""The strategies by name."""


def make_strategy(name: str, space: Space, seed: int = 0) -> Strategy:
    """The strategy called `name`.

    Raises:
        GraphcError: If there is none of that name.
        UnsupportedError: If a package that it needs is not installed.
    """
    if name not in STRATEGIES:
        raise GraphcError(
            "unknown search strategy",
            received=repr(name)[:80],
            hint=f"there is {', '.join(STRATEGIES)}",
        )
    return STRATEGIES[name](space, seed)
