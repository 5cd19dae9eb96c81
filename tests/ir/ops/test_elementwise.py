"""Elementwise ops where samples do not reach: the edges of conversions."""

import numpy as np
import pytest

from graphc.ir import building, evaluate, tensor_type
from graphc.ir.differentiate import differentiate
from graphc.ir.evaluate import evaluate_op
from graphc.ir.graph import Graph
from graphc.ir.ops import maximum, minimum
from graphc.ir.types import DTYPES

INTEGERS = [d for d in DTYPES.values() if d.is_integer and 8 <= d.bits <= 32]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_conversion_of_floats_saturates_at_both_limits(dtype):
    low, high = (int(v) for v in (np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max))
    whole = [low - 1, low, low + 1, -1, 0, 1, high - 1, high, high + 1]
    floats = np.array([*whole, low + 0.75, high - 0.75, np.inf, -np.inf, np.nan])
    wanted = [min(max(w, low), high) for w in whole]
    wanted += [low + (low < 0), high - 1, high, low, 0]
    found = evaluate_op("convert", floats, dtype=dtype)
    np.testing.assert_array_equal(found, np.array(wanted, dtype.numpy))


@pytest.mark.parametrize("op", [maximum, minimum], ids=["maximum", "minimum"])
def test_operands_that_tie_share_the_gradient(op):
    graph = Graph("f")
    operands = [graph.add_parameter(tensor_type("f64[]")) for _ in range(2)]
    with building(graph):
        graph.results = [op(*operands)]
    gradient = differentiate(graph, [0, 1])
    for a, b, slopes in ((1, 1, (0.5, 0.5)), (1, 2, (0, 1)), (2, 1, (1, 0))):
        wanted = slopes if op is maximum or a == b else slopes[::-1]
        found = evaluate(gradient, np.float64(a), np.float64(b))[1:]
        np.testing.assert_array_equal(found, wanted)
