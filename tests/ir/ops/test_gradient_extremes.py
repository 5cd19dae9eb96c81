"""Where results are finite, gradients are: far out, near zero, and where all is equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from ml_dtypes import finfo

from graphc.ir import Graph, Kind, OpDef, Sample, building, evaluate
from graphc.ir.differentiate import differentiate
from graphc.ir.ops import OPS
from graphc.ir.tolerance import Tolerance, mismatch, tolerance
from graphc.ir.types import F32
from graphc.ir.values import Literal
from graphc.testing.op_cases import Array
from graphc.testing.op_gradients import has_gradient, reshaped, weighted_sum
from graphc.testing.op_samples import (
    bound_graph,
    float_values,
    sample_arrays,
    sample_types,
)
from tests.closeness import Comparison, row

FAR = float(finfo(np.float32).max)
NEAR = float(finfo(np.float32).smallest_normal)
SIZES = (NEAR, 1e-20, 1e-8, 1e-3, 0.5, 1.0, 3.0, 20.0, 90.0, 1e4, 1e20, FAR)
POINTS = np.array([0.0, -0.0, *SIZES, *(-size for size in SIZES)], np.float32)
"""What elementwise ops are tried on, in all combinations."""

SCALES: dict[str, Callable[[Array], Array]] = {
    "zero": np.zeros_like,
    "equal": lambda array: np.full_like(array, 3),
    "huge": lambda array: array * np.float32(1e4),
    "vast": lambda array: array * np.float32(1e15),
    "small": lambda array: array * np.float32(1e-12),
    "tiny": lambda array: array * np.float32(1e-30),
}
"""What is made of the arrays of other ops."""

ACCURACY = row(F32, Comparison.EXTREMES).relative
"""How far float32 gradients may be from float64's, relative to the largest."""

UNDEFINED = {
    "atan2": "at the origin, and where the squares of both operands leave the dtype",
    "cholesky": "of matrices that are not positive definite",
    "eigh": "where eigenvalues are equal",
    "lu": "of singular matrices",
    "power": "by the exponent for a negative base",
    "qr": "where columns depend on one another",
    "svd": "where singular values are equal",
}
"""Ops whose gradient is not finite everywhere where the result is: where that is."""


def values_and_gradients(
    graph: Graph, arrays: Sequence[Array], wide: bool
) -> tuple[list[Array], list[Array]]:
    """The float results of a graph and the gradients of their sum."""
    results = float_values(graph.results)
    summed = graph.copy()
    with building(summed):
        kept = float_values(summed.results)
        ones = [Literal(1.0, result.dtype) for result in kept]
        summed.results = [weighted_sum(kept, ones), *kept]
    wrt = [p.index for p in float_values(summed.parameters)]
    gradient = differentiate(summed, wrt)
    found = evaluate(gradient, *arrays, dtype="f64" if wide else None)[1:]
    return list(found[: len(results)]), list(found[len(results) :])


def problems(graph: Graph, arrays: Sequence[Array], elementwise: bool) -> Iterator[str]:
    """What is wrong with the gradients in float32 where the results are finite."""
    values, found = values_and_gradients(graph, arrays, wide=False)
    _, exact = values_and_gradients(graph, arrays, wide=True)
    finite = [np.isfinite(value) for value in values]
    defined = np.all(finite, 0) if elementwise else all(f.all() for f in finite)
    for number, (got, want) in enumerate(zip(found, exact, strict=True)):
        kept = np.broadcast_to(defined, got.shape)
        got, want = got[kept], want[kept].astype(np.float32)
        size = np.abs(want[np.isfinite(want)])
        largest = 0 if elementwise else np.max(size, initial=0)
        absolute = tolerance(F32).absolute + ACCURACY * largest
        problem = mismatch(got, want, Tolerance(ACCURACY, absolute))
        if problem or np.isnan(got).any():
            yield f"operand {number}: {problem or 'nan'}"


def float32_samples(op: OpDef) -> Iterator[Sample]:
    """The samples whose gradient is tested, those whose floats are all float32."""
    for sample in op.samples:
        floats = {t.dtype for t in sample_types(sample) if t.dtype.is_float}
        if floats == {F32} and has_gradient(op, sample):
            yield sample


def elementwise_cases(op: OpDef) -> Iterator[tuple[Graph, list[Array]]]:
    """The op with each of its attributes on all combinations of `POINTS`."""
    seen: set[str] = set()
    for sample in float32_samples(op):
        types = sample_types(sample)
        if str(sample.attributes) in seen or any(t.dtype is not F32 for t in types):
            continue
        seen.add(str(sample.attributes))
        points = POINTS[:: max(1, 2 * len(types) - 3)]
        arrays = [grid.ravel() for grid in np.meshgrid(*[points] * len(types))]
        shape = arrays[0].shape
        operands = [reshaped(operand, shape) for operand in sample.operands]
        yield bound_graph(op, Sample(tuple(operands), sample.attributes)), arrays


def scaled_cases(
    op: OpDef, rng: np.random.Generator
) -> Iterator[tuple[Graph, list[Array]]]:
    """The samples of an op with floats of other magnitudes."""
    for sample in float32_samples(op):
        graph = bound_graph(op, sample)
        arrays = sample_arrays(sample, rng)
        for scale in SCALES.values():
            yield graph, [scale(a) if a.dtype == np.float32 else a for a in arrays]


DIFFERENTIABLE = [
    pytest.param(op, id=name)
    for name, op in sorted(OPS.items())
    if not isinstance(op.vjp, str) and not op.calls_graphs
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("op", DIFFERENTIABLE)
def test_gradients_are_finite_where_results_are(op: OpDef, rng: np.random.Generator):
    elementwise = op.kind is Kind.ELEMENTWISE
    cases = elementwise_cases(op) if elementwise else scaled_cases(op, rng)
    found = [
        f"{problem}\n{graph}"
        for graph, arrays in cases
        for problem in problems(graph, arrays, elementwise)
    ]
    if op.name in UNDEFINED:
        assert found, f"the gradient of {op.name} is finite now: delete its exception"
    else:
        assert not found, "\n".join(found)
