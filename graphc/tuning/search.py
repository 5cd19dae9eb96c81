"""The search: a strategy proposes, a runner measures, the best is kept.

Each candidate is measured against the incumbent in interleaved rounds and replaces it only
if it is faster beyond the noise. In the end the best are measured once more, nearest to
the canonical choice first, so that what is chosen does not depend on the order in which
they were found: of choices that are equally fast the one nearest to the canonical wins.
Where a program and its arrays lie in memory can make it a fifth slower for as long as its
process lives, so a finalist has to win in new processes, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from graphc.tuning.space import Choice, Space
from graphc.tuning.statistics import GAIN, Comparison, Times, compare, comparison
from graphc.tuning.strategies import Strategy
from graphc.tuning.trial import Facts, RejectedError, Trial

SLOWER = 4.0
"""How many times slower than the incumbent a candidate is predicted that is not run."""

FINALISTS = 6
"""How many of the best are measured once more."""

PLACEMENTS = 2
"""In how many further processes a finalist has to win."""

CLOSE = 1.05
"""How much slower than the best in the search a finalist may have been."""


class Runner(Protocol):
    """What compiles, checks and times choices."""

    def facts(self, choice: Choice) -> Facts:
        """What is known of a choice before it is compiled.

        Raises:
            RejectedError: If it cannot be lowered.
        """
        ...

    def prepare(self, choice: Choice) -> None:
        """Compiles a choice and compares what it computes with the reference.

        Raises:
            RejectedError: If it fails or computes something else.
        """
        ...

    def measure(
        self, candidate: Choice, incumbent: Choice, rounds: int
    ) -> tuple[Times, Times]:
        """The seconds of both in interleaved rounds.

        Raises:
            RejectedError: If the candidate fails.
        """
        ...

    def renew(self) -> None:
        """Forgets what is compiled, and where it lies in memory."""
        ...


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search ends; with neither, when nothing is left to try.

    Attributes:
        trials: After so many choices.
        seconds: After so much time.
    """

    trials: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found.

    Attributes:
        choice: The choice.
        ratio: Its time relative to the canonical choice's.
        median: Its median time, in seconds.
        spread: The median absolute deviation of its times.
        trials: How many choices were tried, the canonical one among them.
        tried: They.
    """

    choice: Choice
    ratio: float
    median: float
    spread: float
    trials: int
    tried: tuple[Trial, ...]


def _nothing() -> Mapping[str, Any]:
    return {}


@dataclass
class Search:
    """One search.

    Attributes:
        space: What to choose from.
        runner: What measures.
        strategy: What proposes.
        budget: When it ends.
        history: What was tried before: it is not measured again.
        record: Called with each new trial, before the next begins.
        show: Called with each trial and the best so far.
        conditions: The state of the machine now.
    """

    space: Space
    runner: Runner
    strategy: Strategy
    budget: Budget = field(default_factory=Budget)
    history: Mapping[Choice, Trial] = field(default_factory=dict[Choice, Trial])
    record: Callable[[Trial], object] = lambda trial: None
    show: Callable[[Trial, Trial], object] = lambda trial, best: None
    conditions: Callable[[], Mapping[str, Any]] = _nothing

    def run(self) -> Outcome:
        """Tries choices until the budget is spent, then chooses.

        Raises:
            RejectedError: If the canonical choice itself fails.
        """
        self._programs: dict[str, Trial] = {}
        self._tried: list[Trial] = []
        self._best = self._canonical()
        self._kept(self._best)
        for choice in self._proposals():
            known = self.history.get(choice)
            trial = known or self._attempt(choice)
            if known is None:
                self.record(trial)
            if trial.accepted:
                self._best = trial
            self._kept(trial)
            self.strategy.tell(choice, trial.ratio)
        return self._final()

    def _proposals(self) -> Iterator[Choice]:
        end = self.budget.seconds
        start = time.monotonic()
        while self.budget.trials is None or len(self._tried) < self.budget.trials:
            if end is not None and time.monotonic() - start >= end:
                return
            choice = self.strategy.propose()
            if choice is None:
                return
            yield choice

    def _kept(self, trial: Trial) -> None:
        self._tried.append(trial)
        if trial.status == "measured" and trial.facts is not None:
            self._programs.setdefault(trial.facts.digest, trial)
        self.show(trial, self._best)

    def _canonical(self) -> Trial:
        """The canonical choice, which all others are compared with."""
        choice = self.space.canonical
        known = self.history.get(choice)
        if known is not None and known.status == "measured":
            return known
        facts = self.runner.facts(choice)
        self.runner.prepare(choice)
        times, _ = self.runner.measure(choice, choice, 10)
        found = comparison(times, times)
        trial = self._measured(choice, found, facts, 1.0, accepted=True)
        self.record(trial)
        return trial

    def _attempt(self, choice: Choice) -> Trial:
        facts = None
        try:
            facts = self.runner.facts(choice)
            twin = self._programs.get(facts.digest)
            if twin is not None:
                text = self.space.text(twin.choice)
                return replace(
                    twin,
                    choice=choice,
                    status="same",
                    accepted=False,
                    reason=f"the program of: {text}",
                )
            self._check_predicted(facts)
            self.runner.prepare(choice)
            found = compare(self._against(choice, self._best.choice))
        except RejectedError as error:
            return Trial(choice, error.status, reason=error.message, facts=facts)
        ratio = found.ratio * self._best.ratio
        return self._measured(choice, found, facts, ratio, accepted=found.faster)

    def _check_predicted(self, facts: Facts) -> None:
        best = None if self._best.facts is None else self._best.facts.predicted
        if best and facts.predicted and facts.predicted > SLOWER * best:
            raise RejectedError(
                "pruned",
                f"the cost model expects {facts.predicted / best:.1f} times the best's",
            )

    def _measured(
        self,
        choice: Choice,
        found: Comparison,
        facts: Facts,
        ratio: float,
        accepted: bool,
    ) -> Trial:
        return Trial(
            choice=choice,
            status="measured",
            ratio=ratio,
            median=found.median,
            spread=found.spread,
            rounds=found.rounds,
            accepted=accepted,
            facts=facts,
            conditions=self.conditions(),
        )

    def _against(
        self, choice: Choice, incumbent: Choice
    ) -> Callable[[int], tuple[Times, Times]]:
        return lambda rounds: self.runner.measure(choice, incumbent, rounds)

    def _final(self) -> Outcome:
        """Chooses among the best, ties going to what is nearest to canonical."""
        chosen = self._tried[0]
        for trial in self._finalists():
            found = self._wins(trial.choice, chosen.choice)
            if found is not None:
                chosen = _replaced(trial, found, chosen.ratio)
        chosen = self._simplified(chosen)
        return Outcome(
            chosen.choice,
            chosen.ratio,
            chosen.median or 0.0,
            chosen.spread or 0.0,
            len(self._tried),
            tuple(self._tried),
        )

    def _simplified(self, chosen: Trial) -> Trial:
        """The choice with the canonical value on each axis where that is as fast."""
        for place, usual in enumerate(self.space.canonical):
            if chosen.choice[place] == usual:
                continue
            before, after = chosen.choice[:place], chosen.choice[place + 1 :]
            simpler = (*before, usual, *after)
            if simpler == self.space.canonical:
                continue  # which the choice was found to beat
            found = self._beats(chosen.choice, simpler)
            if found is not None and not found.faster:
                chosen = replace(
                    chosen,
                    choice=simpler,
                    ratio=chosen.ratio / found.ratio,
                    median=found.baseline,
                )
        return chosen

    def _wins(self, choice: Choice, other: Choice) -> Comparison | None:
        """How one compares with another if it is faster wherever they lie in memory."""
        found = self._beats(choice, other)
        for _ in range(PLACEMENTS):
            if found is None or not found.faster:
                return None
            self.runner.renew()
            found = self._beats(choice, other)
        return found if found is not None and found.faster else None

    def _beats(self, choice: Choice, other: Choice) -> Comparison | None:
        """How one compares with another; None if either fails."""
        try:
            self.runner.prepare(other)
            self.runner.prepare(choice)
            return compare(self._against(choice, other))
        except RejectedError:
            return None

    def _finalists(self) -> list[Trial]:
        measured = [t for t in self._tried[1:] if t.status == "measured"]
        measured.sort(key=lambda trial: trial.ratio)
        limit = min(measured[0].ratio * CLOSE, 1 - GAIN / 2) if measured else 0
        best = [trial for trial in measured if trial.ratio <= limit][:FINALISTS]
        return sorted(best, key=lambda trial: self.space.rank(trial.choice))


def _replaced(trial: Trial, found: Comparison, incumbent: float) -> Trial:
    """A trial with what a later comparison said, relative to the canonical choice."""
    return replace(
        trial,
        ratio=incumbent * found.ratio,
        median=found.median,
        spread=found.spread,
        rounds=found.rounds,
    )
