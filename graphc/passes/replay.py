"""Replaying a pipeline: the graph after each rewrite, those of required passes too."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from graphc.ir.errors import PassError
from graphc.ir.graph import Graph
from graphc.passes.graph_pass import Pass
from graphc.passes.ledger import Ledger, Rewrite
from graphc.passes.pass_manager import PassManager, PassRun, apply_pass
from graphc.passes.pipeline_parser import Pipeline

NO_LIMIT = sys.maxsize
"""The limit of a ledger for runs that the environment must not stop."""


@dataclass(frozen=True)
class Stretch:
    """One run of a pass that rewrote something, or failed.

    Attributes:
        each: The pass.
        before: The graph before it; it stays as it is.
        first: How many rewrites the passes before it made.
        made: How many it made.
    """

    each: Pass
    before: Graph
    first: int
    made: int

    def after(self, count: int) -> tuple[Graph, list[Rewrite]]:
        """The graph after `count` of the rewrites, and these rewrites."""
        graph, ledger = self.before.copy(), Ledger(count)
        apply_pass(self.each, graph, ledger, limited=True)
        made = [r._replace(number=self.first + r.number) for r in ledger.rewrites]
        return graph, made


class Replay:
    """A pipeline's run over a copy of a graph.

    Attributes:
        stretches: The runs of passes that rewrote something, in order. If the pipeline
            failed, the last one is the run that did.
        result: The graph after all passes; None if one of them failed.
        error: How it failed.

    Args:
        graph: The graph; it stays as it is.
        pipeline: The pipeline, by name or as text.
        verify: Whether to verify the graph after each pass.
    """

    def __init__(
        self, graph: Graph, pipeline: Pipeline | str, verify: bool = False
    ) -> None:
        self.stretches: list[Stretch] = []
        self.result: Graph | None = None
        self.error: PassError | None = None
        self._latest = graph
        manager = PassManager(
            pipeline, verify=verify, bisect=NO_LIMIT, check=False, watch=self._watch
        )
        self._pipeline = manager.pipeline
        working = graph.copy()
        try:
            manager.run(working)
        except PassError as error:
            self.error = error
            self._note_failure(error)
        else:
            self.result = working

    @property
    def count(self) -> int:
        """How many rewrites were made."""
        return (
            self.stretches[-1].first + self.stretches[-1].made if self.stretches else 0
        )

    def _watch(self, run: PassRun | None, graph: Graph) -> None:
        if run is None:
            self._latest = graph.copy()
        elif run.rewrites:
            each = next(p for p in self._pipeline.passes() if str(p) == run.name)
            stretch = Stretch(each, self._latest, self.count, run.rewrites)
            self.stretches.append(stretch)
            self._latest = _copy(graph)

    def _note_failure(self, error: PassError) -> None:
        """Makes the run that failed the last stretch."""
        passes = self._pipeline.passes()
        failed = next((p for p in passes if error.message.startswith(f"{p} ")), None)
        if failed is None:
            raise error
        last = self.stretches[-1] if self.stretches else None
        broke_the_graph = error.message.startswith(f"{failed} broke the graph")
        if last is None or last.each != failed or not broke_the_graph:
            self.stretches.append(Stretch(failed, self._latest, self.count, 0))


def _copy(graph: Graph) -> Graph:
    """A copy of `graph`, or itself where it is too broken to be copied."""
    try:
        return graph.copy()
    except Exception:  # the pass manager says what is wrong with it
        return graph
