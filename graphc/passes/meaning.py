"""Whether a pass keeps what a graph means: it is run before and after, exactly.

The exact evaluator (`graphc.ir.exact`) makes programs that are equal by the laws of
arithmetic equal to the last bit, whatever a pass reorders, and those that are not differ
almost everywhere. Rules that hold up to rounding alone are compared in float64 with the
tolerances of `graphc.ir.tolerance`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.dims import substitute
from graphc.ir.errors import UnsupportedError
from graphc.ir.evaluate import evaluate
from graphc.ir.exact import MOST_WORK, evaluate_exact
from graphc.ir.graph import Graph
from graphc.ir.payload import opaque
from graphc.ir.random_inputs import HIGH, LOW, random_array
from graphc.ir.tolerance import TOLERANCES, Tolerance, mismatch
from graphc.ir.types import DType, TensorType, product

Array = np.ndarray[Any, Any]

SIZE = 3
"""What dimension symbols are bound to, within their ranges."""

MARGIN = 16.0
"""How many times the tolerance of a dtype a whole graph is given."""


class Meaning:
    """What a graph computes for arguments drawn once, over finite fields.

    Args:
        graph: The graph.
        most_work: How much one evaluation may compute; see `evaluate_exact`.

    Raises:
        UnsupportedError: If the graph cannot be evaluated exactly.
    """

    def __init__(self, graph: Graph, most_work: int = MOST_WORK) -> None:
        self._most_work = most_work
        self._types = bound_types(graph)
        if sum(product(type.static_shape) for type in self._types) > most_work:
            raise UnsupportedError("the graph is too large for an exact evaluation")
        self._arguments = [
            _payloads(type, seed) for seed, type in enumerate(self._types)
        ]
        self._expected = self._run(graph)

    def difference(self, graph: Graph) -> str | None:
        """Where `graph` computes something else than the first graph; None if not.

        Raises:
            UnsupportedError: If `graph` cannot be evaluated exactly.
        """
        for number, (got, want) in enumerate(
            zip(self._run(graph), self._expected, strict=True)
        ):
            differs = np.asarray(got != want) & ~((got != got) & (want != want))
            if got.shape != want.shape:
                return f"result {number} has the shape {got.shape}, not {want.shape}"
            if differs.any():
                first = [int(axis[0]) for axis in np.nonzero(np.atleast_1d(differs))]
                place = f" at {first[: got.ndim]}" if got.ndim else ""
                return (
                    f"result {number} is another{place} and in {differs.sum()} of"
                    f" {differs.size} elements"
                )
        return None

    def rounding_difference(self, before: Graph, after: Graph) -> str | None:
        """Where two graphs differ by more than rounding, in float64; None if not.

        The yardsticks are the tolerances of the narrowest dtype, and what rounding
        after each node does to the first graph.
        """
        allowed = _tolerance(before).relative
        arguments = [_numbers(type, seed) for seed, type in enumerate(self._types)]
        results = [evaluate(each, *arguments, dtype="f64") for each in (before, after)]
        rounded = evaluate(before, *arguments)
        for number, (want, got, narrow) in enumerate(
            zip(*results, rounded, strict=True)
        ):
            bound = None
            if want.dtype.kind == "f":
                scale = np.abs(want[np.isfinite(want)]).max(initial=1.0)
                # Where rounding each node changes much, so may rounding once.
                finite = np.isfinite(narrow) & np.isfinite(want)
                moved = narrow[finite].astype(np.float64) - want[finite]
                moved = np.abs(moved).max(initial=0.0)
                absolute = allowed * float(scale) + MARGIN * float(moved)
                bound = Tolerance(allowed, absolute)
            problem = mismatch(got, want, bound)
            if problem is not None:
                return f"result {number}: {problem}"
        return None

    def _run(self, graph: Graph) -> tuple[Array, ...]:
        return evaluate_exact(graph, *self._arguments, most_work=self._most_work)


def bound_types(graph: Graph) -> list[TensorType]:
    """The types of the parameters with sizes put for their symbols."""
    sizes = {s: min(max(SIZE, low), high) for s, (low, high) in graph.ranges.items()}
    for symbol in set[str]().union(*(p.type.symbols for p in graph.parameters)):
        sizes.setdefault(symbol, SIZE)
    return [
        p.type.with_shape(substitute(d, sizes) for d in p.type.shape)
        for p in graph.parameters
    ]


def _payloads(type: TensorType, seed: int) -> Array:
    if not type.dtype.is_float:
        return _numbers(type, seed)
    shape = type.static_shape
    places = np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)
    return opaque(f"argument {seed}", places)


def _numbers(type: TensorType, seed: int) -> Array:
    low, high = (LOW, HIGH) if type.dtype.is_float else (-SIZE, 2 * SIZE)
    return random_array(type, np.random.default_rng(seed), low, high)


def _tolerance(graph: Graph) -> Tolerance:
    """What rounding in the narrowest dtype of `graph` and its callees may change."""
    found: set[DType] = {p.dtype for p in graph.parameters}
    for reached in graph.reachable():
        found |= {result.dtype for node in reached.nodes for result in node.results}
    relative = max((TOLERANCES[d].relative for d in found if d.is_float), default=0.0)
    return Tolerance(MARGIN * relative, 0.0)
