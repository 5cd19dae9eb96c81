"""What is wrong with a graph, or with what a target makes of it: the symptoms."""

from __future__ import annotations

import abc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from graphc.ir.cost import graph_cost
from graphc.ir.errors import GraphcError
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ir.ops.effects import discarded_lines
from graphc.ir.tolerance import RMSE_FACTOR, TOLERANCES, mismatch, rmse, tolerance
from graphc.ir.types import F64, dtype
from graphc.passes import run
from graphc.passes.replay import NO_LIMIT
from graphc.runtime.compile import compile_graph
from graphc.runtime.executable import Executable

Array = np.ndarray[Any, Any]

MOST_FLOPS = 5e9
"""The largest program that the evaluator judges: it takes some seconds for it."""

ROUNDS = 9
"""How often programs take turns where their time is measured."""

SHORTEST = 0.01
"""How many seconds of runs one time is measured from at least."""


# -- what results should be --------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """What a program should compute.

    Attributes:
        exact: Its results in float64.
        rounded: The same with rounding after each node: how far rounding moves them.
        absolute: How far any element may be off, whatever its size.
    """

    exact: tuple[Array, ...]
    rounded: tuple[Array, ...]
    absolute: float

    def problem(self, found: Sequence[Any]) -> str | None:
        """Where results are farther off than rounding explains.

        The rule is that of `graphc.ir.tolerance.inaccuracy`, with the tolerance of the
        dtype that was computed in: what float64 changes by more is no rounding.
        """
        triples = zip(found, self.rounded, self.exact, strict=True)
        for number, (got, rounded, exact) in enumerate(triples):
            problem = self._difference(np.asarray(got), rounded, exact)
            if problem is not None:
                return f"result {number}: {problem}"
        return None

    def _difference(self, got: Array, rounded: Array, exact: Array) -> str | None:
        element = dtype(rounded.dtype)
        if got.shape != exact.shape or not element.is_float:
            return mismatch(got, exact)
        wide, judge = got.astype(np.float64), exact.astype(np.float64)
        rounds = rounded.astype(np.float64)
        defined = np.isfinite(judge) & np.isfinite(rounds)
        if problem := mismatch(wide[~defined], rounds[~defined]):
            return f"{problem} (of what is not finite)"
        wide, judge, rounds = wide[defined], judge[defined], rounds[defined]
        size = rmse(judge, np.zeros_like(judge))
        relative = tolerance(dtype(got.dtype)).relative
        allowed = RMSE_FACTOR * rmse(rounds, judge) + relative * size
        error = rmse(wide, judge)
        if error <= allowed + self.absolute:
            return None
        return (
            f"the root mean square error is {error:.3g}, that of the results"
            f" {size:.3g}; at most {allowed + self.absolute:.3g} is allowed"
        )


def is_affordable(graph: Graph) -> bool:
    """Whether the evaluator runs `graph`, gradients included, in some seconds."""
    flops = graph_cost(run(graph, "autodiff", verify=False, bisect=NO_LIMIT)).flops
    return isinstance(flops, (int, float)) and flops <= MOST_FLOPS


def evaluated(graph: Graph, arrays: Sequence[Array]) -> Reference:
    """What the evaluator says that `graph` computes."""
    with discarded_lines():
        exact = evaluate(graph, *arrays, dtype="f64")
        return Reference(exact, evaluate(graph, *arrays), TOLERANCES[F64].absolute)


def non_finite(found: Sequence[Any]) -> str | None:
    """The first result that holds a NaN or an infinity."""
    for number, result in enumerate(found):
        array = np.asarray(result)
        if dtype(array.dtype).is_float:
            wrong = ~np.isfinite(array.astype(np.float64))
            if wrong.any():
                return f"result {number}: {wrong.sum()} of {wrong.size} are not finite"
    return None


# -- what graphs mean, without a target --------------------------------------------------


class GraphJudge(abc.ABC):
    """Says what is wrong with what a graph means, by the evaluator."""

    @abc.abstractmethod
    def problem(self, graph: Graph) -> str | None:
        """What is wrong with `graph`; None if nothing is."""


@final
class Meaning(GraphJudge):
    """Graphs must compute what one of them does.

    Both are computed in float64, so that what differs is no rounding.
    """

    def __init__(self, graph: Graph, arrays: Sequence[Array]) -> None:
        self._arrays = arrays
        self._reference = evaluated(graph, arrays)

    def problem(self, graph: Graph) -> str | None:
        try:
            with discarded_lines():
                found = evaluate(graph, *self._arrays, dtype="f64")
        except Exception as error:  # a wrong graph may fail in any way
            return f"it cannot be evaluated: {_described(error)}"
        return self._reference.problem(found)


@final
class Finiteness(GraphJudge):
    """Graphs must have finite results."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._arrays = arrays

    def problem(self, graph: Graph) -> str | None:
        try:
            with discarded_lines():
                return non_finite(evaluate(graph, *self._arrays))
        except Exception as error:
            return f"it cannot be evaluated: {_described(error)}"


@final
class Validity(GraphJudge):
    """Graphs must verify."""

    def problem(self, graph: Graph) -> str | None:
        try:
            graph.verify()
        except GraphcError as error:
            return error.message
        return None


# -- what a target makes of graphs -------------------------------------------------------


class TargetJudge(abc.ABC):
    """Says what is wrong with a graph's program on a target.

    Attributes:
        target: The name of the target.
        pipeline: The passes.
    """

    def __init__(self, target: str, pipeline: str) -> None:
        self.target = target
        self.pipeline = pipeline

    @abc.abstractmethod
    def problem(self, graph: Graph, limit: int) -> str | None:
        """What is wrong if optional passes stop after `limit` rewrites."""

    def compiled(self, graph: Graph, limit: int) -> Executable:
        """The program after so many rewrites."""
        lowered = run(graph, self.pipeline, bisect=limit)
        return compile_graph(lowered, self.target, pipeline="")


@final
class TargetResults(TargetJudge):
    """Programs must compute what they should.

    Args:
        target: The name of the target.
        pipeline: The passes.
        arrays: The inputs.
        reference: What they should compute; None if finite numbers will do.
    """

    def __init__(
        self,
        target: str,
        pipeline: str,
        arrays: Sequence[Array],
        reference: Reference | None,
    ) -> None:
        super().__init__(target, pipeline)
        self._arrays = arrays
        self._reference = reference

    def problem(self, graph: Graph, limit: int) -> str | None:
        found = self.compiled(graph, limit)(*self._arrays)
        if self._reference is None:
            return non_finite(found)
        return self._reference.problem(found)


@final
class TargetErrors(TargetJudge):
    """Programs must compile and run."""

    def __init__(self, target: str, pipeline: str, arrays: Sequence[Array]) -> None:
        super().__init__(target, pipeline)
        self._arrays = arrays

    def problem(self, graph: Graph, limit: int) -> str | None:
        try:
            for result in self.compiled(graph, limit)(*self._arrays):
                np.asarray(result)
        except Exception as error:  # whatever the target's compiler raises
            return _described(error)
        return None


@final
class Temporaries(TargetJudge):
    """Programs must not need more memory than with fewer rewrites.

    What is too much lies in the middle between no rewrites and all of them.
    """

    def __init__(self, target: str, pipeline: str) -> None:
        super().__init__(target, pipeline)
        self._graph: Graph | None = None
        self._known: dict[int, int] = {}

    def problem(self, graph: Graph, limit: int) -> str | None:
        if self._graph is not graph:
            self._graph, self._known = graph, {}
        least, most, found = (self._bytes(graph, n) for n in (0, NO_LIMIT, limit))
        if most <= least or 2 * found <= least + most:
            return None
        return f"{found:,} bytes of temporaries, {least:,} without rewrites"

    def _bytes(self, graph: Graph, limit: int) -> int:
        if limit not in self._known:
            memory = self.compiled(graph, limit).memory()
            if memory is None:
                raise GraphcError(f"target {self.target!r} does not know its memory")
            self._known[limit] = memory.temporaries
        return self._known[limit]


@final
class Seconds(TargetJudge):
    """Programs must not be slower than with fewer rewrites.

    The times of no rewrites, of all, and of those in question are measured in turns.
    """

    def __init__(self, target: str, pipeline: str, arrays: Sequence[Array]) -> None:
        super().__init__(target, pipeline)
        self._arrays = arrays

    def problem(self, graph: Graph, limit: int) -> str | None:
        limits = dict.fromkeys((0, NO_LIMIT, limit))
        programs = [self.compiled(graph, at) for at in limits]
        times = dict(zip(limits, measured(programs, self._arrays), strict=True))
        fast, slow, found = (times[at] for at in (0, NO_LIMIT, limit))
        (_, middle, high), (low, slowest, _) = quartiles(fast), quartiles(slow)
        here = statistics.median(found)
        if low <= high or here * here <= middle * slowest:
            return None
        return f"{here * 1e6:.0f} us, {middle * 1e6:.0f} us without rewrites"


def measured(
    programs: Sequence[Executable], arrays: Sequence[Array]
) -> list[list[float]]:
    """How many seconds a run of each program takes, several times, taking turns."""
    times: list[list[float]] = [[] for _ in programs]
    counts = [1 + int(SHORTEST / _seconds(p, arrays, 2)) for p in programs]
    for _ in range(ROUNDS):
        for program, found, count in zip(programs, times, counts, strict=True):
            found.append(_seconds(program, arrays, count))
    return times


def quartiles(times: Sequence[float]) -> tuple[float, float, float]:
    """The quartiles of some times."""
    low, middle, high = statistics.quantiles(times, n=4)
    return low, middle, high


def _seconds(program: Executable, arrays: Sequence[Array], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        results = program(*arrays)
        for result in results:
            np.asarray(result)
    return max(1e-9, (time.perf_counter() - start) / count)


def _described(error: Exception) -> str:
    """An error in one line."""
    text = error.message if isinstance(error, GraphcError) else str(error)
    line = next(iter(text.splitlines()), "")[:200]
    return f"{type(error).__name__}: {line}"
