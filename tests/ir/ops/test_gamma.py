"""The gamma function's logarithm and derivatives against SciPy."""

import math

import numpy as np
import pytest
from scipy import special

from graphc.ir import GraphError
from graphc.ir.ops import OPS
from tests.closeness import assert_close, ulp_error
from tests.op_results import body, gradients

POSITIVE = np.concatenate([np.linspace(0.01, 50, 2000), np.geomspace(1e-30, 1, 200)])
NEGATIVE = np.add.outer(-np.arange(1, 10), np.linspace(0.03, 0.97, 50)).ravel()
ARGUMENTS = np.concatenate([POSITIVE, NEGATIVE])


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_lgamma(kind: str):
    x = ARGUMENTS.astype(kind)
    expected = special.gammaln(x.astype(np.float64))
    assert ulp_error(body("lgamma", x), expected, least=1) <= OPS["lgamma"].ulp
    poles = np.array([-2, -1, -0.0, 0, np.inf, -np.inf], kind)
    np.testing.assert_array_equal(body("lgamma", poles), np.inf)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_digamma(kind: str):
    x = ARGUMENTS.astype(kind)
    expected = special.digamma(x.astype(np.float64))
    assert ulp_error(body("digamma", x), expected, least=1) <= OPS["digamma"].ulp
    assert np.isnan(body("digamma", np.array([-2, -1, 0], kind))).all()


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_polygamma(order: int, kind: str):
    x = np.linspace(0.1, 50, 1000).astype(kind)
    expected = special.polygamma(order, x.astype(np.float64))
    found = body("polygamma", x, order=order)
    assert ulp_error(found, expected) <= OPS["polygamma"].ulp


def test_trigamma_of_negative_numbers():
    at_half = math.pi**2 / 2
    found = body("polygamma", np.array([0.5, -0.5, -1.5, -1]), order=1)
    expected = [at_half, at_half + 4, at_half + 4 + 4 / 9, math.inf]
    assert_close(found, expected)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_polygamma_of_negative_numbers(order: int):
    expected = special.polygamma(order, NEGATIVE)
    assert_close(body("polygamma", NEGATIVE, order=order), expected)
    (pole,) = body("polygamma", np.array([-2.0]), order=order)
    assert math.isinf(pole) if order % 2 else math.isnan(pole)


def test_the_gradient_of_trigamma_left_of_zero():
    (slope,) = gradients("polygamma", [NEGATIVE], order=1)
    assert_close(slope, special.polygamma(2, NEGATIVE))


def test_derivatives_end():
    x = np.array([1.0, 2.5])
    (slope,) = gradients("polygamma", [x], order=15)
    assert_close(slope, special.polygamma(16, x))
    with pytest.raises(GraphError, match="derivatives end at order 16"):
        gradients("polygamma", [x], order=16)
