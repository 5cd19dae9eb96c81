"""What a worker times: a graph compiled with variants of a pipeline, or one kernel.

A case lowers, compiles, checks and samples programs. Each is described by a dict of plain
values, and what it computes is compared before it is timed.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from graphc.ir.cost import graph_cost
from graphc.ir.errors import GraphcError
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ir.printer import program_digest
from graphc.ir.random_inputs import random_inputs
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.passes import run
from graphc.passes.cost_model import CostModel
from graphc.passes.precision import policy_text
from graphc.runtime.autotune import same_results
from graphc.runtime.calibration import wait_for
from graphc.runtime.compile import compile_graph
from graphc.runtime.executable import Executable
from graphc.tuning.trial import Facts, RejectedError

Array = np.ndarray[Any, Any]
Meaning = tuple[int, str]
"""Steps per dispatch and precision: what programs have in common that compute the same."""

Sample = Callable[[int], float]
"""Runs a program so many times; returns the seconds of one run."""

CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    "cpu": time.process_time,
}
"""What time is measured by. ``cpu`` counts what this process computes, on all cores: it
is steadier where others compute, but knows nothing of waiting."""

INPUTS = 3
"""How many sets of inputs take turns, so that caches hold less of the next one."""

MOST_INPUT_BYTES = 1 << 30
"""Beyond this there is one set of inputs: it is larger than caches anyway."""

EVALUATED = 5e9
"""Graphs of more operations are compared with the first program, not with the
evaluator, which would take minutes."""


class Case(Protocol):
    """Programs that compute the same."""

    def facts(self, program: Mapping[str, Any]) -> Facts:
        """What is known of a program before it is compiled."""
        ...

    def build(self, program: Mapping[str, Any]) -> Sample:
        """Compiles and checks a program; returns what times it.

        Raises:
            RejectedError: If it computes something else, or needs too much.
        """
        ...


@dataclass
class PipelineCase:
    """A graph on a target, compiled with variants of a pipeline.

    Attributes:
        graphs: The graph of each number of steps per dispatch.
        target: The target.
        clock: What times runs.
        memory: The bytes of temporaries that a program may need; None for any number.
        model: What predicts times, if anything does.
        reference: The pipeline whose results others must have where the graph is too
            large for the evaluator; the first that is built unless given.
    """

    graphs: Mapping[int, Graph]
    target: str
    clock: Callable[[], float] = time.perf_counter
    memory: int | None = None
    model: CostModel | None = None
    reference: str | None = None
    _first: dict[Meaning, list[Array]] = field(default_factory=dict, init=False)
    _known: dict[Meaning, tuple[list[Array], list[Array]]] = field(
        default_factory=dict, init=False
    )

    def facts(self, program: Mapping[str, Any]) -> Facts:
        graph = self.graphs[program["steps"]]
        try:
            lowered = run(graph, _text(program))
            predicted = None
            if self.model is not None:
                predicted = self.model.seconds(lowered) / program["steps"]
        except GraphcError as error:
            raise _refused(error) from error
        digest = program_digest(lowered)
        return Facts(digest, predicted, graph_features(lowered))

    def build(self, program: Mapping[str, Any]) -> Sample:
        steps, precision = program["steps"], program["precision"]
        made = self._compiled(program)
        used = made.memory()
        if self.memory is not None and used and used.temporaries > self.memory:
            raise RejectedError("memory", f"it needs {used.temporaries} bytes")
        found = self._results(made, steps)
        if (steps, precision) not in self._first and not self._evaluated(steps):
            self._first[steps, precision] = self._usual(program, found)
        self._check(found, steps, precision)
        placed = [
            [made.program.place(array) for array in each]
            for each in self._inputs(steps)
        ]
        return _sampler(made, placed, steps, self.clock)

    def _compiled(self, program: Mapping[str, Any]) -> Executable:
        graph, precision = self.graphs[program["steps"]], program["precision"]
        try:
            return compile_graph(
                graph, self.target, program["pipeline"], precision=precision
            )
        except GraphcError as error:
            raise _refused(error) from error

    def _usual(self, program: Mapping[str, Any], found: list[Array]) -> list[Array]:
        """What the reference computes, for a program that computes `found`."""
        if self.reference in (None, program["pipeline"]):
            return found
        usual = self._compiled({**program, "pipeline": self.reference})
        return self._results(usual, program["steps"])

    def _results(self, made: Executable, steps: int) -> list[Array]:
        return [np.asarray(result) for result in made(*self._inputs(steps)[0])]

    def _inputs(self, steps: int) -> list[list[Array]]:
        first = self._drawn(steps, 0)
        nbytes = sum(array.nbytes for array in first)
        count = INPUTS if nbytes * INPUTS <= MOST_INPUT_BYTES else 1
        return [first, *(self._drawn(steps, seed) for seed in range(1, count))]

    def _drawn(self, steps: int, seed: int) -> list[Array]:
        arrays = random_inputs(self.graphs[steps], seed)
        if steps > 1:  # a block takes the number of its steps first
            arrays[0][...] = steps
        return arrays

    def _check(self, found: list[Array], steps: int, precision: str) -> None:
        """Compares results with the evaluator's, or with those of the first program.

        Raises:
            RejectedError: If they are neither.
        """
        first = self._first.setdefault((steps, precision), found)
        pairs = zip(found, first, strict=True)
        equal = not any(mismatch(mine, other) for mine, other in pairs)
        if equal and (found is not first or not self._evaluated(steps)):
            return
        problem = self._problem(found, steps, precision)
        if problem is not None:
            if found is first:
                del self._first[steps, precision]
            raise RejectedError("wrong", problem)

    def _evaluated(self, steps: int) -> bool:
        flops = graph_cost(self.graphs[steps]).flops
        return isinstance(flops, int) and flops <= EVALUATED

    def _problem(self, found: list[Array], steps: int, precision: str) -> str | None:
        if not self._evaluated(steps):
            first = self._first[steps, precision]
            if all(map(same_results, found, first)):
                return None
            return "the results are not those of the canonical choice"
        references = self._references(steps, precision)
        for number, (mine, other, exact) in enumerate(
            zip(found, *references, strict=True)
        ):
            problem = inaccuracy(mine, other, exact)
            if problem is not None:
                return f"result {number}: {problem}"
        return None

    def _references(
        self, steps: int, precision: str
    ) -> tuple[list[Array], list[Array]]:
        """The evaluator's results, and those in float64."""
        key = steps, precision
        if key not in self._known:
            graph = self.graphs[steps]
            policy = policy_text(precision)
            meant = run(graph, policy) if policy else graph
            arrays = self._inputs(steps)[0]
            plain = [np.asarray(a) for a in evaluate(meant, *arrays)]
            exact = [np.asarray(a) for a in evaluate(meant, *arrays, dtype="f64")]
            self._known[key] = plain, exact
        return self._known[key]


def _refused(error: GraphcError) -> RejectedError:
    """What an error of a compile means for a candidate."""
    if isinstance(error.__cause__, MemoryError):
        return RejectedError("memory", error.message)
    return RejectedError("unsupported", error.message)


def _sampler(
    made: Executable,
    inputs: Sequence[Sequence[Any]],
    steps: int,
    clock: Callable[[], float],
) -> Sample:
    """What times a program on inputs that take turns."""

    def sample(count: int) -> float:
        start = clock()
        for number in range(count):
            wait_for(made(*inputs[number % len(inputs)]))
        return (clock() - start) / count / steps

    return sample


def _text(program: Mapping[str, Any]) -> str:
    policy = policy_text(program["precision"])
    return ",".join(filter(None, [policy, program["pipeline"]]))


def graph_features(graph: Graph) -> dict[str, float]:
    """What a model may learn from about a lowered graph."""
    nodes = [node for each in graph.reachable() for node in each.nodes]
    features = {"nodes": float(len(nodes))}
    for name, amount in dataclasses.asdict(graph_cost(graph)).items():
        if isinstance(amount, int):
            features[name] = float(amount)
    for node in nodes:
        kind = f"kind_{node.op.kind.value}"
        features[kind] = features.get(kind, 0.0) + 1
    return features


def time_both(
    candidate: Sample,
    incumbent: Sample,
    rounds: int,
    least: float = 2e-3,
) -> tuple[list[float], list[float]]:
    """The seconds of two programs in rounds in which the order alternates.

    Args:
        candidate: Times the one.
        incumbent: Times the other.
        rounds: How many rounds.
        least: The seconds that a sample should take: clocks tick.
    """
    candidate(1)
    once = max(incumbent(1), 1e-9)
    count = max(1, min(1000, math.ceil(least / once)))
    mine: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        turns = [(candidate, mine), (incumbent, theirs)]
        for sample, times in turns if number % 2 else reversed(turns):
            times.append(max(sample(count), 1e-12))
    return mine, theirs
