"""How far rounding may move the results of a program: what comparisons allow.

The program is evaluated several times, each time with small random errors in every node
that rounds at all, as large as its op's record allows an executor. How far the results
move says how well conditioned they are: an element that a floor or a comparison makes
jump is not compared, a sum that cancels is compared loosely, all else narrowly. So no
program needs a tolerance of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_dtypes import finfo

from graphc.ir.evaluate import Evaluator, evaluate
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.tolerance import node_ulp, tolerance
from graphc.ir.types import F64, DType, dtype
from graphc.ir.values import Literal, Operand, Value

Array = np.ndarray[Any, Any]

RUNS = 4
"""How often a program is evaluated with random errors."""

RUNS_WITHIN = 12
"""How often if all floats are rounded: equal ones, compared, must come to differ."""

FACTOR = 8
"""How much farther than in those runs an element may be off."""

BEYOND = 0.05
"""The part of the largest element whose rounding errors a small one may have, too."""


def spreads(
    graph: Graph,
    arrays: Sequence[Array],
    seed: int,
    ulp: float = 1.0,
    within: DType | None = None,
) -> list[Array]:
    """How far rounding moves each element of each result of a graph without symbols.

    Infinite where an integer or bool changes, or a float becomes or stops being finite.
    Errors are made in the nodes of the graph, and of those that it calls; inline what
    it calls and expand gradients before, or none are made within a gradient.

    Args:
        graph: The graph.
        arrays: One array for each parameter.
        seed: What the errors are drawn from.
        ulp: How many units in the last place every node may be off at least.
        within: A dtype that every float is rounded to at least as coarsely as to.
    """
    reference = evaluate(graph, *arrays)
    rng = np.random.default_rng(seed)
    count = RUNS if within is None else RUNS_WITHIN
    runs = [
        *(_WithErrors(rng, ulp, within).run(graph, *arrays) for _ in range(count)),
        # A step that one element just misses is surely taken in one of these.
        *(_WithErrors(sign, ulp, within).run(graph, *arrays) for sign in (-1, 1)),
        evaluate(graph, *arrays, dtype="f64"),
    ]
    with np.errstate(all="ignore"):
        return [
            np.max([_distance(results[i], want) for results in runs], axis=0)
            for i, want in enumerate(reference)
        ]


def disagreement(
    found: Any, reference: Any, spread: Array, within: DType | None = None
) -> str | None:
    """What is wrong with `found`, or None where rounding may explain it.

    Args:
        found: One result of an executor.
        reference: The same result of the reference evaluator.
        spread: How far rounding moves its elements; see `spreads`.
        within: A dtype whose tolerance floats have, if that is more than their own.
    """
    got, want = np.asarray(found), np.asarray(reference)
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        return f"{got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
    element, allowed = dtype(want.dtype), np.zeros(want.shape)
    if element.is_float:
        relative = max(
            tolerance(each).relative for each in (element, within or element)
        )
        size = np.abs(want.astype(np.float64))
        known = spread[np.isfinite(spread)]
        typical = float(np.median(known)) if known.size else 0.0
        # Executors may take subnormal numbers for zeros.
        floor = tolerance(element).absolute
        floor += float(finfo(element.numpy).smallest_normal)
        finite = np.where(np.isfinite(size), size, 0.0)
        allowed = floor + relative * finite
        allowed = allowed + FACTOR * np.maximum(spread, typical)
    wrong = (_distance(got, want) > allowed) & np.isfinite(spread)
    if not np.any(wrong):
        return None
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f" at {list(at)}" if at else ""
    return (
        f"{np.count_nonzero(wrong)} of {want.size} elements differ, the first{place}:"
        f" {got[at]}, not {want[at]}"
    )


def _distance(found: Array, want: Array) -> Array:
    """How far elements are apart; infinite for different integers."""
    got, wide = np.asarray(found), np.asarray(want)
    if not dtype(want.dtype).is_float:
        return np.where(got == wide, 0.0, np.inf)
    got, wide = got.astype(np.float64), wide.astype(np.float64)
    same = (got == wide) | (np.isnan(got) & np.isnan(wide))
    with np.errstate(invalid="ignore"):
        apart = np.abs(got - wide)
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


# -- evaluation with errors ------------------------------------------------------------


class _WithErrors:
    """Evaluates graphs with an error in each element that is rounded.

    Args:
        draw: What the errors are drawn from, or the sign of all: each is then as large
            as it may be.
        ulp: How many units in the last place every node may be off at least.
        within: A dtype that every float is rounded to at least as coarsely as to.
    """

    def __init__(
        self, draw: np.random.Generator | int, ulp: float, within: DType | None
    ) -> None:
        self.draw = draw
        self.ulp = ulp
        self.coarse = 0.0 if within is None else float(finfo(within.numpy).eps)

    def run(self, graph: Graph, *arrays: Array) -> list[Array]:
        values: dict[Value, Array] = dict(zip(graph.parameters, arrays, strict=True))
        with np.errstate(all="ignore"):
            for node in graph.nodes:
                operands = [_read(values, operand) for operand in node.operands]
                results = self._apply(node, operands)
                values.update(zip(node.results, results, strict=True))
        return [_read(values, result) for result in graph.results]

    def _apply(self, node: Node, operands: Sequence[Array]) -> Sequence[Array]:
        results = _NARROW.apply(node, operands)
        # A narrower float rounds what is moved, too.
        if Trait.MOVES_DATA in node.op.traits and not self.coarse:
            return results
        if Trait.FACTORIZES in node.op.traits:
            # No error of the results says how much those of a singular matrix move.
            results = _NARROW.apply(node, [self._nudged(a) for a in operands])
        return self._moved(node, operands, results)

    def _noise(self, shape: tuple[int, ...]) -> Array:
        """Errors, of the largest that there may be."""
        if isinstance(self.draw, int):
            return np.full(shape, float(self.draw))
        return self.draw.uniform(-1, 1, shape)

    def _nudged(self, array: Array) -> Array:
        """An array that is as near to another one as rounding is to its largest."""
        amplitude = float(finfo(array.dtype).eps) * _largest(array.astype(np.float64))
        noise = self._noise(array.shape) * amplitude
        return (array + noise).astype(array.dtype)

    def _moved(
        self, node: Node, operands: Sequence[Array], results: Sequence[Array]
    ) -> list[Array]:
        """The results with errors in those elements that are rounded."""
        if not any(result.dtype.is_float for result in node.results):
            return list(results)
        wide = [
            a.astype(np.float64) if dtype(a.dtype).is_float else a for a in operands
        ]
        exact = _WIDE.apply(node, wide)
        moves = Trait.MOVES_DATA in node.op.traits
        largest = 0.0
        if node.op.kind is not Kind.ELEMENTWISE and not moves:
            # Terms of a sum may be larger than the sum.
            largest = max(
                (_largest(a) for a in wide if a.dtype == np.float64), default=0.0
            )
        found: list[Array] = []
        for value, result, judge in zip(node.results, results, exact, strict=True):
            if not value.dtype.is_float:
                found.append(result)
                continue
            got = result.astype(np.float64)
            error = np.abs(got - judge)
            eps = float(finfo(result.dtype).eps)
            unit = max(max(1.0, self.ulp, node_ulp(node)) * eps, self.coarse)
            size = np.abs(got) + BEYOND * _largest(got) + largest
            amplitude = 2 * np.where(np.isfinite(error), error, 0.0) + unit * size
            rounds = (error > 0) | (node.op.ulp > 1) | (value.dtype is F64)
            rounds |= self.ulp > 1 or self.coarse > eps
            noise = self._noise(got.shape) * amplitude
            found.append(np.where(rounds & np.isfinite(got), got + noise, got))
            found[-1] = found[-1].astype(result.dtype)
        return found


_NARROW, _WIDE = Evaluator({}), Evaluator({}, wide=True)


def _read(values: Mapping[Value, Array], operand: Operand) -> Array:
    return operand.numpy() if isinstance(operand, Literal) else values[operand]


def _largest(array: Array) -> float:
    wide = np.abs(array)
    return float(np.max(wide, where=np.isfinite(wide), initial=0.0))
