"""Inverse and hyperbolic functions: accurate everywhere, right at the edges."""

import numpy as np
import pytest

from graphc.ir.ops import OPS
from tests.closeness import assert_close, ulp_error
from tests.op_results import body

NEAR_ONE = 1 - np.geomspace(1e-7, 1, 300)
INSIDE = np.concatenate([np.geomspace(1e-30, 1, 500), NEAR_ONE])
INSIDE = np.concatenate([-INSIDE, INSIDE])
WIDE = np.concatenate([np.linspace(-9, 9, 1000), np.geomspace(1e-30, 1e30, 1000)])
CASES = {
    "acos": (np.arccos, INSIDE),
    "acosh": (np.arccosh, 1 + np.geomspace(1e-7, 1e30, 1000)),
    "asin": (np.arcsin, INSIDE),
    "asinh": (np.arcsinh, WIDE),
    "atan": (np.arctan, WIDE),
    "atanh": (np.arctanh, INSIDE[np.abs(INSIDE) < 1]),
    "cosh": (np.cosh, np.linspace(-88.5, 88.5, 2000)),
    "sinh": (np.sinh, np.linspace(-88.5, 88.5, 2000)),
}
EDGES = np.array([-np.inf, -2, -1, -0.0, 0, 1, 2, np.inf, np.nan])


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_full_accuracy_everywhere(name: str, kind: str):
    function, points = CASES[name]
    x = points.astype(kind)
    x = x[np.isfinite(function(x.astype(np.longdouble)).astype(kind))]
    exact = function(x.astype(np.longdouble))
    assert ulp_error(body(name, x), exact) <= OPS[name].ulp


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_edges(name: str, kind: str):
    x = EDGES.astype(kind)
    with np.errstate(all="ignore"):
        expected = CASES[name][0](x)
    found = body(name, x)
    assert_close(found, expected)
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(expected[zero]))
