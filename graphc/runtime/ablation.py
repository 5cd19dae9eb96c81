"""What each pass of a pipeline is worth: a graph compiled without it, and with it alone.

Programs that come out equal are compiled and timed once; the others take turns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.ir.errors import GraphcError, PassError
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ir.printer import program_text
from graphc.ir.tolerance import rmse
from graphc.passes import Pass, Pipeline, parse_pipeline, run_with_report
from graphc.passes.pipeline_parser import Fixpoint
from graphc.runtime.compile import compile_graph
from graphc.runtime.executable import Executable
from graphc.runtime.timing import interleaved

Array = np.ndarray[Any, Any]

ALL, NONE = "all passes", "required only"
"""The variants that others are compared with."""

SHORTEST = 0.01
"""How many seconds of runs of all passes one time is measured from at least."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A graph compiled with some of the passes.

    Attributes:
        name: ``all passes``, ``required only``, ``without cse`` or ``cse alone``.
        pipeline: The passes that ran.
        nodes: The nodes of the lowered graph and what it calls; None if it failed.
        pass_seconds: How long the passes took.
        compile_seconds: How long emission and the target's compiler took.
        seconds: The median time of a run.
        ratio: The median over the rounds of its time over that of all passes.
        spread: Half of the interquartile range of these ratios: how much is noise.
        temporaries: The bytes held only while it runs; None if the target does not say.
        error: The largest error of a result against float64, relative to the root mean
            square of that result.
        same_as: The variant before it that is the same program, if there is one.
        failure: Why there is no such program, if there is none.
    """

    name: str
    pipeline: str
    nodes: int | None = None
    pass_seconds: float = 0.0
    compile_seconds: float = 0.0
    seconds: float | None = None
    ratio: float | None = None
    spread: float | None = None
    temporaries: int | None = None
    error: float | None = None
    same_as: str | None = None
    failure: str | None = None


def ablate(
    graph: Graph,
    arrays: Sequence[Array],
    pipeline: str,
    *,
    passes: Collection[str] | None = None,
    target: str = "xla",
    rounds: int = 12,
) -> list[Variant]:
    """Compiles and times `graph` without each pass, and with each pass alone.

    Args:
        graph: A graph without dimension symbols.
        arrays: One array per parameter.
        pipeline: The passes.
        passes: The names of the optional passes to look at; all unless given.
        target: What to compile for.
        rounds: How often each program is timed.

    Returns:
        All passes, the required ones only, and two variants for each pass.

    Raises:
        PassError: If the pipeline has no such pass, or needs it.
        GraphcError: If the graph cannot be compiled with all passes.
    """
    whole = parse_pipeline(pipeline)
    found = _Ablation(graph, arrays, target)
    found.add(ALL, whole)
    if found.failures:
        raise found.failures[ALL]
    found.add(NONE, restricted(whole, lambda each: each.required))
    for name in _chosen(whole, passes):
        found.add(f"without {name}", restricted(whole, lambda p, n=name: p.name != n))
        only = restricted(whole, lambda p, n=name: p.required or p.name == n)
        found.add(f"{name} alone", only)
    return found.results(rounds)


def optional_passes(pipeline: Pipeline) -> list[str]:
    """The names of the passes that a pipeline could do without."""
    return list(dict.fromkeys(p.name for p in pipeline.passes() if not p.required))


def restricted(pipeline: Pipeline, kept: Callable[[Pass], bool]) -> Pipeline:
    """The pipeline with those of its passes that are `kept`."""
    stages: list[Pass | Fixpoint] = []
    for stage in pipeline.stages:
        if isinstance(stage, Fixpoint):
            body = restricted(stage.body, kept)
            if body.stages:
                stages.append(Fixpoint(body))
        elif kept(stage):
            stages.append(stage)
    return Pipeline(tuple(stages))


def _chosen(pipeline: Pipeline, wanted: Collection[str] | None) -> list[str]:
    known = optional_passes(pipeline)
    for name in wanted or ():
        if name not in known:
            raise PassError(
                f"{name[:80]!r} is no optional pass of {pipeline}",
                hint=f"there is {', '.join(known)}",
            )
    return [name for name in known if wanted is None or name in wanted]


@dataclass
class _Ablation:
    """The programs of one graph."""

    graph: Graph
    arrays: Sequence[Array]
    target: str
    pipelines: dict[str, str] = field(default_factory=dict[str, str])
    lowered: dict[str, Graph] = field(default_factory=dict[str, Graph])
    pass_seconds: dict[str, float] = field(default_factory=dict[str, float])
    programs: dict[str, Executable] = field(default_factory=dict[str, Executable])
    compile_seconds: dict[str, float] = field(default_factory=dict[str, float])
    same: dict[str, str] = field(default_factory=dict[str, str])
    failures: dict[str, GraphcError] = field(default_factory=dict[str, GraphcError])
    _texts: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, name: str, pipeline: Pipeline) -> None:
        """Lowers and compiles a variant, unless its program is there already."""
        self.pipelines[name] = str(pipeline)
        try:
            lowered, report = run_with_report(self.graph, pipeline)
            self.lowered[name] = lowered
            self.pass_seconds[name] = report.seconds
            self.same[name] = self._texts.setdefault(program_text(lowered), name)
            if self.same[name] == name:
                start = time.perf_counter()
                with _uncached():
                    self.programs[name] = compile_graph(lowered, self.target, "")
                self.compile_seconds[name] = time.perf_counter() - start
        except GraphcError as error:
            self.failures[name] = error

    def results(self, rounds: int) -> list[Variant]:
        """All variants, their programs timed in turns."""
        outputs = {
            name: _run(each, self.arrays) for name, each in self.programs.items()
        }
        exact = evaluate(self.graph, *self.arrays, dtype="f64")
        errors = {name: relative_error(got, exact) for name, got in outputs.items()}
        contestants = {
            name: lambda each=each: _run(each, self.arrays)
            for name, each in self.programs.items()
        }
        start = time.perf_counter()
        contestants[ALL]()  # not for the first time
        inner = 1 + int(SHORTEST / (time.perf_counter() - start))
        times = interleaved(contestants, rounds, inner)
        return [self._variant(name, times, errors) for name in self.pipelines]

    def _variant(
        self,
        name: str,
        times: dict[str, list[float]],
        errors: dict[str, float],
    ) -> Variant:
        pipeline = self.pipelines[name]
        if name in self.failures:
            return Variant(name, pipeline, failure=self.failures[name].message)
        same = self.same[name]
        if same not in self.programs:  # which failed
            return Variant(name, pipeline, failure=self.failures[same].message)
        memory = self.programs[same].memory()
        pairs = zip(times[same], times[ALL], strict=True)
        low, middle, high = np.quantile([t / b for t, b in pairs], (0.25, 0.5, 0.75))
        return Variant(
            name,
            pipeline,
            nodes=sum(len(each) for each in self.lowered[name].reachable()),
            pass_seconds=self.pass_seconds[name],
            compile_seconds=self.compile_seconds[same],
            seconds=float(np.median(times[same])),
            ratio=float(middle),
            spread=float(high - low) / 2,
            temporaries=None if memory is None else memory.temporaries,
            error=errors[same],
            same_as=None if same == name else same,
        )


@contextmanager
def _uncached() -> Iterator[None]:
    """While open, nothing that was compiled before is taken from the cache on disk."""
    before = os.environ.get("GRAPHC_CACHE")
    os.environ["GRAPHC_CACHE"] = "off"
    try:
        yield
    finally:
        if before is None:
            del os.environ["GRAPHC_CACHE"]
        else:
            os.environ["GRAPHC_CACHE"] = before


def relative_error(found: Sequence[Any], exact: Sequence[Array]) -> float:
    """The largest error of a floating-point result, relative to its root mean square."""
    largest = 0.0
    for got, want in zip(found, exact, strict=True):
        if want.dtype.kind == "f":
            size = rmse(want, np.zeros_like(want))
            error = rmse(np.asarray(got), want)
            largest = max(largest, error / size if size else error)
    return largest


def _run(program: Executable, arrays: Sequence[Array]) -> list[Array]:
    """The results on the host, which waits for the program to end."""
    return [np.asarray(result) for result in program(*arrays)]
