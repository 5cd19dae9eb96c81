"""What a check of a pipeline compares before and after each pass, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.ir.errors import UnsupportedError
from graphc.ir.graph import Graph
from graphc.passes.graph_pass import Pass
from graphc.passes.ledger import Ledger, Rewrite
from graphc.passes.meaning import Meaning
from graphc.passes.numerics import Inexact
from graphc.passes.samples import KINDS, Samples

NUMERICS = "numerics"
"""The check that runs samples as well."""


@dataclass(frozen=True)
class PassCheck:
    """How one run of a pass was checked.

    Attributes:
        name: The pass as the pipeline spells it.
        rewrites: How many rewrites it made.
        exact: How it was compared over finite fields: ``"equal"``, or ``"rounds"`` if
            it was compared in float64 because it rounds, or None.
        sampled: How many of its rewrites are not exact by their class, if it was run
            on samples; None if not.
        gaps: Why something was not compared.
    """

    name: str
    rewrites: int
    exact: str | None
    sampled: int | None
    gaps: tuple[str, ...]

    def __str__(self) -> str:
        parts: list[str] = []
        if self.exact is not None:
            over = {"equal": "equal over finite fields", "rounds": "equal in float64"}
            parts.append(over[self.exact])
        if self.sampled is not None:
            bits = "the same bits" if not self.sampled else "within rounding"
            parts.append(f"{bits} on {len(KINDS)} samples")
        parts += [f"not compared: {gap}" for gap in self.gaps]
        return f"{self.name}, {self.rewrites} rewrites: {'; '.join(parts)}"


@dataclass(frozen=True)
class Problem:
    """What a pass has changed.

    Attributes:
        text: Which result, and where.
        rounds: Whether the pass may round, so that a graph that amplifies rounding
            errors may be at fault and not the pass.
    """

    text: str
    rounds: bool


class Checker:
    """What a graph means, to compare with what passes make of it.

    Args:
        graph: The graph before the first pass.
        sampled: Whether to run it on samples as well as over finite fields.

    Attributes:
        gaps: Why something cannot be compared, for each way of comparing.
    """

    def __init__(self, graph: Graph, sampled: bool) -> None:
        self.gaps: dict[str, str] = {}
        self._meaning: Meaning | None = None
        self._samples: Samples | None = None
        self._learn(graph)
        if sampled:
            try:
                self._samples = Samples(graph)
            except UnsupportedError as error:
                self.gaps["samples"] = error.message

    @property
    def is_blind(self) -> bool:
        """Whether nothing can be compared."""
        return self._meaning is None and self._samples is None

    def compare(
        self, each: Pass, before: Graph, after: Graph, ledger: Ledger, first: int
    ) -> PassCheck | Problem:
        """Compares a graph before and after a pass.

        Args:
            each: The pass.
            before: The graph before it.
            after: The graph after it.
            ledger: Where its rewrites are.
            first: How many rewrites there were before.

        Returns:
            How it was compared, or what is wrong.
        """
        made = ledger.rewrites[first:]
        inexact = [entry for entry in ledger.inexact if entry.number > first]
        exact = moved = None
        if self._meaning is not None:
            try:
                moved = self._meaning.difference(after)
                exact = "rounds" if moved else "equal"
            except UnsupportedError as error:
                self._meaning, self.gaps["exact"] = None, error.message
        if problem := self._problem(each, before, after, made, inexact, moved):
            return problem
        if exact == "rounds":
            self._learn(after)
        if self._samples is not None:
            self._samples.learn()
        sampled = len(inexact) if self._samples is not None else None
        gaps = tuple(self.gaps.values())
        return PassCheck(str(each), len(made), exact, sampled, gaps)

    def problem(
        self,
        each: Pass,
        before: Graph,
        after: Graph,
        made: Sequence[Rewrite],
        inexact: Sequence[Inexact],
    ) -> Problem | None:
        """What is wrong with the graph after these rewrites; None if nothing is."""
        moved = None if self._meaning is None else self._meaning.difference(after)
        return self._problem(each, before, after, made, inexact, moved)

    def _problem(
        self,
        each: Pass,
        before: Graph,
        after: Graph,
        made: Sequence[Rewrite],
        inexact: Sequence[Inexact],
        moved: str | None,
    ) -> Problem | None:
        """As `problem`, given the difference over finite fields."""
        rounds = any(rewrite.rule in each.rounding for rewrite in made)
        if self._meaning is not None:
            if moved and rounds:
                moved = self._meaning.rounding_difference(before, after)
            if moved:
                return Problem(moved, rounds)
        if self._samples is not None:
            text = self._samples.difference(before, after, inexact)
            if text:
                return Problem(text, bool(inexact))
        return None

    def _learn(self, graph: Graph) -> None:
        self._meaning = None
        try:
            self._meaning = Meaning(graph)
        except UnsupportedError as error:
            self.gaps["exact"] = error.message
