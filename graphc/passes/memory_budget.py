"""Fitting a graph into a memory budget: which passes make its predicted peak fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from graphc.ir.errors import PassError, UnsupportedError
from graphc.ir.graph import Graph
from graphc.passes.fuse_linear_cross_entropy import FuseLinearCrossEntropy
from graphc.passes.graph_pass import Pass
from graphc.passes.liveness import Liveness
from graphc.passes.memory_bill import MemoryBill, format_bytes, memory_bill
from graphc.passes.pass_manager import PassManager
from graphc.passes.pipeline_parser import Fixpoint, Pipeline, parse_pipeline
from graphc.passes.rematerialize import Rematerialize

_UNITS = {
    "": 1,
    "B": 1,
    **{f"{prefix}B": 1000**i for i, prefix in enumerate("KMGT", 1)},
    **{f"{prefix}iB": 1024**i for i, prefix in enumerate("KMGT", 1)},
}

SEGMENTS = (2, 3, 4, 6, 8, 12, 16, 24)
"""Into how many parts the forward part is cut, the fewest recomputed first."""

Stages: TypeAlias = "tuple[Pass | Fixpoint, ...]"

MOST_PARTS = 64
"""Into how many micro-batches a batch is cut at most."""

OUTLINING = "fusion"
"""The pass after which graphs are kernels: what is stored is decided before it."""


def parse_bytes(budget: int | str) -> int:
    """A number of bytes from an int or from text such as ``"20GiB"`` or ``"512 MB"``.

    Raises:
        PassError: If it is neither, or not positive.
    """
    if isinstance(budget, int) and not isinstance(budget, bool):
        if budget > 0:
            return budget
    elif isinstance(budget, str):
        found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", budget)
        if found is not None and found[2] in _UNITS:
            size = int(float(found[1]) * _UNITS[found[2]])
            if size > 0:
                return size
    raise PassError(
        "a memory budget is a positive number of bytes",
        received=repr(budget)[:80],
        hint='give an int, or text such as "20GiB" or "512MB"',
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to run a graph that was considered.

    Attributes:
        description: What it does to save memory.
        peak: Its predicted peak in bytes; None if it is not possible.
        reason: Why it is not possible.
    """

    description: str
    peak: int | None
    reason: str | None = None

    def __str__(self) -> str:
        size = "-" if self.peak is None else format_bytes(self.peak)
        return (
            f"{size:>10}  {self.description}{f': {self.reason}' if self.reason else ''}"
        )


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How a graph is run within a budget.

    Attributes:
        bill: What is predicted to be held at the peak, and what for.
        budget: The budget in bytes, if there is one.
        pipeline: The passes to run; None if no budget changed them.
        micro_batches: How many parts of the batch are run one after the other.
        attempts: What was considered in turn; the last one is what is done.
    """

    bill: MemoryBill
    budget: int | None = None
    pipeline: str | None = None
    micro_batches: int = 1
    attempts: tuple[Attempt, ...] = ()

    @property
    def peak(self) -> int:
        """The predicted peak in bytes."""
        return self.bill.peak

    def __str__(self) -> str:
        lines = [str(self.bill)]
        if self.budget is not None:
            lines.append(f"budget {format_bytes(self.budget)}; considered in turn:")
            lines += map(str, self.attempts)
        return "\n".join(lines)


def plan_memory(
    graph: Graph,
    pipeline: str,
    budget: int | str,
    donated: Sequence[int] = (),
    in_parts: Callable[[int], Graph] | None = None,
) -> MemoryPlan:
    """The first way to run a graph whose predicted peak fits, the cheapest tried first.

    In turn: the graph as it is; with what is computed element by element, then
    reductions, computed again for the backward part; with losses of a linear layer
    computed in chunks of examples; with parts of the forward part computed again as a
    whole; and all of these for a batch in 2, 4, 8, ... parts. The order does not depend
    on the budget, so a smaller budget never has a larger predicted peak.

    Args:
        graph: The graph; its dims are integers. It stays as it is.
        pipeline: The passes that lower it.
        budget: The bytes, or text such as ``"20GiB"``.
        donated: The positions of parameters whose memory results may reuse.
        in_parts: From a number of micro-batches to the graph that runs so many one
            after the other, or an `UnsupportedError` that says why there is none.

    Raises:
        PassError: If no way fits; it names the smallest feasible budget.
    """
    limit = parse_bytes(budget)
    if symbols := sorted(graph.symbols):
        raise PassError(
            f"graph @{graph.name} has dimension symbols: its memory depends on them",
            received=", ".join(symbols),
            hint="bind them: graph.bind(B=32), or `graphc show FILE --graph --batch 32`",
        )
    attempts: list[Attempt] = []
    for candidate in _candidates(graph, pipeline, in_parts, attempts):
        bill = memory_bill(candidate.lowered, donated)
        attempts.append(Attempt(candidate.description, bill.peak))
        if bill.peak <= limit:
            text = str(candidate.pipeline)
            return MemoryPlan(bill, limit, text, candidate.parts, tuple(attempts))
    raise PassError(
        f"graph @{graph.name} does not fit into a memory budget of"
        f" {format_bytes(limit)}",
        received="\n    ".join(["ways that need the least:", *_improving(attempts)]),
        hint=f"the smallest feasible budget is {_least(attempts)} bytes",
    )


def _improving(attempts: Sequence[Attempt]) -> list[str]:
    """The attempts that need less than those before them, and those that failed."""
    least: int | None = None
    found: list[str] = []
    for attempt in attempts:
        if attempt.peak is None:
            found.append(str(attempt))
        elif least is None or attempt.peak < least:
            least = attempt.peak
            found.append(str(attempt))
    return found


def _least(attempts: Sequence[Attempt]) -> int:
    return min(attempt.peak for attempt in attempts if attempt.peak is not None)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A way to run a graph.

    Attributes:
        description: What it does to save memory.
        pipeline: All of its passes.
        lowered: The graph after them, but for those that make kernels.
        parts: The number of micro-batches.
    """

    description: str
    pipeline: Pipeline
    lowered: Graph
    parts: int


def _candidates(
    graph: Graph,
    pipeline: str,
    in_parts: Callable[[int], Graph] | None,
    attempts: list[Attempt],
) -> Iterator[_Candidate]:
    """All ways to run a graph, the cheapest first; those that fail go to `attempts`."""
    yield from _of_one_batch(graph, pipeline, 1)
    parts = 2
    while in_parts is not None and parts <= MOST_PARTS:
        try:
            cut = in_parts(parts)
        except UnsupportedError as error:
            attempts.append(Attempt(f"{parts} micro-batches", None, error.message))
            return
        yield from _of_one_batch(cut, pipeline, parts)
        parts *= 2


def _of_one_batch(graph: Graph, pipeline: str, parts: int) -> Iterator[_Candidate]:
    """The ways to run a graph that leave its batch as it is."""
    prefix = f"{parts} micro-batches, " if parts > 1 else ""
    whole = parse_pipeline(pipeline)
    lowered = _lowered(graph, whole)
    cheap = (None, Rematerialize("elementwise"), Rematerialize("reductions"))
    yield from _rematerialized(lowered, whole, cheap, parts, prefix)
    chunked = Pipeline((FuseLinearCrossEntropy(least_mib=0.0), *whole.stages))
    in_chunks = _lowered(graph, chunked)
    if Liveness(in_chunks).peak < Liveness(lowered).peak:
        whole, lowered = chunked, in_chunks
        prefix += "losses in chunks, "
        yield from _rematerialized(lowered, whole, cheap, parts, prefix)
    again = [Rematerialize("contractions", segments) for segments in SEGMENTS]
    yield from _rematerialized(lowered, whole, again, parts, prefix)


def _rematerialized(
    lowered: Graph,
    pipeline: Pipeline,
    passes: Sequence[Pass | None],
    parts: int,
    prefix: str,
) -> Iterator[_Candidate]:
    """A lowered graph with each of the passes at the end."""
    for each in passes:
        if each is None:
            description = f"{prefix}nothing computed again"
            yield _Candidate(description, pipeline, lowered, parts)
            continue
        copy = lowered.copy()
        PassManager(Pipeline((each,))).run(copy)
        before, after = _at_kernels(pipeline)
        stages = (*before, each, *after)
        yield _Candidate(f"{prefix}{each}", Pipeline(stages), copy, parts)


def _lowered(graph: Graph, pipeline: Pipeline) -> Graph:
    """A copy of a graph after the passes that come before kernels are made."""
    copy = graph.copy()
    PassManager(Pipeline(_at_kernels(pipeline)[0])).run(copy)
    return copy


def _at_kernels(pipeline: Pipeline) -> tuple[Stages, Stages]:
    """The stages before kernels are made, and the others."""
    stages = pipeline.stages
    names = [getattr(stage, "name", "") for stage in stages]
    place = names.index(OUTLINING) if OUTLINING in names else len(stages)
    return stages[:place], stages[place:]
