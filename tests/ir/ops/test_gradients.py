"""First and second derivatives of every op against differences in float64."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from graphc.ir import OpDef, Sample
from graphc.ir.ops import OPS
from tests.op_gradients import (
    check_gradient,
    gradient_graph,
    gradient_samples,
    loss_graph,
    varied_samples,
)
from tests.op_samples import float_values, sample_arrays, sample_graph

DIFFERENTIABLE = [
    pytest.param(op, id=name)
    for name, op in sorted(OPS.items())
    if not isinstance(op.vjp, str)
]
each_differentiable = pytest.mark.parametrize("op", DIFFERENTIABLE)


def check_derivatives(
    op: OpDef, samples: Iterable[Sample], rng: np.random.Generator
) -> None:
    """Checks the first and the second derivative of each sample."""
    for sample in samples:
        arrays = sample_arrays(sample, rng)
        graph = sample_graph(op, sample)
        wrt = [p.index for p in float_values(graph.parameters)]
        if check_gradient(loss_graph(graph), wrt, arrays, rng):
            check_gradient(gradient_graph(graph, wrt), wrt, arrays, rng)


@each_differentiable
def test_derivatives_are_those_of_differences(op: OpDef, rng: np.random.Generator):
    check_derivatives(op, gradient_samples(op), rng)


@each_differentiable
def test_derivatives_in_other_shapes(op: OpDef, rng: np.random.Generator):
    one_of_each_kind = dict(reversed(varied_samples(op)))
    check_derivatives(op, one_of_each_kind.values(), rng)


@pytest.mark.slow
@each_differentiable
def test_derivatives_in_all_other_shapes(op: OpDef, rng: np.random.Generator):
    check_derivatives(op, [sample for _, sample in varied_samples(op)], rng)
