"""The scaled Bessel functions against SciPy."""

import numpy as np
import pytest
from scipy import special

from graphc.ir.ops import OPS
from tests.closeness import ulp_error
from tests.op_results import body

SIZES = np.concatenate([np.geomspace(1e-20, 1, 200), np.linspace(0.1, 100, 2000)])
ARGUMENTS = np.concatenate([SIZES, -SIZES, np.geomspace(100, 1e20, 100)])


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("order", [0, 1])
def test_full_accuracy_everywhere(order: int, kind: str):
    x = ARGUMENTS.astype(kind)
    expected = (special.i0e, special.i1e)[order](x.astype(np.float64))
    name = f"bessel_i{order}e"
    assert ulp_error(body(name, x), expected) <= OPS[name].ulp


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_special_values(kind: str):
    x = np.array([-np.inf, -0.0, 0, np.inf, np.nan], kind)
    np.testing.assert_array_equal(body("bessel_i0e", x), [0, 1, 1, 0, np.nan])
    np.testing.assert_array_equal(body("bessel_i1e", x), [0, 0, 0, 0, np.nan])
