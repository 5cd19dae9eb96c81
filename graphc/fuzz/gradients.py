"""Whether the gradient of a program is what differences of its results say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.fuzz.inputs import Array
from graphc.ir.build import building
from graphc.ir.differentiate import differentiate
from graphc.ir.errors import NoGradientError
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ir.opdef import FLOAT, Arg
from graphc.ir.ops import add, constant, convert, custom_gradient, multiply, reduce_sum
from graphc.ir.types import DTYPES, F64

STEP = 1e-6
RELATIVE, ABSOLUTE = 1e-3, 1e-5
"""What differences may be off by, as in the tests of single ops."""


def gradient_problem(graph: Graph, arrays: Sequence[Array], seed: int) -> str | None:
    """What is wrong with the gradient of the graph's results, if anything.

    The float results are weighted and summed; the slope of the sum along random
    directions is compared in float64. Where the slopes to both sides differ, as at a
    kink or a jump, there is nothing to compare.
    """
    rng = np.random.default_rng(seed)
    loss = _loss(graph, rng)
    wrt = [p.index for p in graph.parameters if p.dtype in FLOAT]
    if loss is None or not wrt or not _is_smooth(loss):
        return None
    gradient = gradient_of(loss, wrt)
    if gradient is None:
        return None
    gradient.verify()
    slopes = evaluate(gradient, *arrays, dtype="f64")[1:]
    directions = {i: rng.standard_normal(arrays[i].shape) for i in wrt}
    for along in ([*wrt], *([i] for i in wrt[:3])):
        actual = sum(float(np.sum(slopes[wrt.index(i)] * directions[i])) for i in along)
        expected = _slope(loss, arrays, {i: directions[i] for i in along})
        if expected is None:
            continue
        if not abs(actual - expected) <= ABSOLUTE + RELATIVE * abs(expected):
            return f"the slope is {expected}, the gradient says {actual}"
        if along == wrt:
            return None
    return None


def gradient_of(graph: Graph, wrt: Sequence[int]) -> Graph | None:
    """The derivative of `graph`; None if an op in it has none, or only stores floats."""
    nodes = [node for reached in graph.reachable() for node in reached.nodes]
    stored = {d for d in DTYPES.values() if d.is_float} - FLOAT
    if any(r.dtype in stored for node in nodes for r in node.results):
        return None
    try:
        return differentiate(graph, wrt)
    except NoGradientError:
        return None


def _loss(graph: Graph, rng: np.random.Generator) -> Graph | None:
    """A copy whose result is a weighted sum of the float results."""
    loss = graph.copy()
    total: Any = None
    with building(loss):
        for result in loss.results:
            if result.type.dtype not in FLOAT:
                continue
            wide = convert(result, dtype=F64)
            weights = rng.uniform(0.5, 1.5, result.type.static_shape)
            weight = constant(name=loss.module.add_constant(weights))
            axes = list(range(result.type.rank))
            term = reduce_sum(multiply(wide, weight), axes=axes)
            total = term if total is None else add(total, term)
    if total is None:
        return None
    loss.results = [total]
    return loss


def _is_smooth(graph: Graph) -> bool:
    """Whether differences tell the gradients of all ops in it, by their records."""
    nodes = [node for reached in graph.reachable() for node in reached.nodes]
    if any(node.op is custom_gradient for node in nodes):
        return False
    samples = [sample for node in nodes for sample in node.op.samples]
    # An op whose samples raise a diagonal has no gradient at singular matrices.
    regular = any(
        isinstance(o, Arg) and o.diagonal for sample in samples for o in sample.operands
    )
    return not regular and all(sample.smooth for sample in samples)


def _slope(
    loss: Graph, arrays: Sequence[Array], directions: dict[int, Array]
) -> float | None:
    """The slope along a direction; None where there is none that differences show."""

    def value(step: float) -> float:
        moved = list(arrays)
        for index, direction in directions.items():
            moved[index] = arrays[index].astype(np.float64) + step * direction
        return float(evaluate(loss, *moved, dtype="f64")[0])

    here, right, left = value(0.0), value(STEP), value(-STEP)
    central = (right - left) / (2 * STEP)
    noise = 1e-14 * max(abs(here), 1.0) / STEP
    slopes = (right - here) / STEP, (here - left) / STEP
    wider = (value(3 * STEP) - value(-3 * STEP)) / (6 * STEP)
    scale = 0.1 * (ABSOLUTE + RELATIVE * abs(central))
    if not np.isfinite(central) or noise > scale:
        return None
    if any(abs(slope - central) > scale for slope in (*slopes, wider)):
        return None
    return central
