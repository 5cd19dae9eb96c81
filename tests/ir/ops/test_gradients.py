"""First and second derivatives of every op against differences in float64."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir import OpDef
from graphc.ir.ops import OPS
from graphc.testing.op_gradients import (
    check_derivatives,
    gradient_samples,
    varied_samples,
)

DIFFERENTIABLE = [
    pytest.param(op, id=name)
    for name, op in sorted(OPS.items())
    if not isinstance(op.vjp, str)
]
each_differentiable = pytest.mark.parametrize("op", DIFFERENTIABLE)


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
