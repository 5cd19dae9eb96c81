"""Transcendental ops where samples do not reach: gradients where a limit is meant."""

import numpy as np
import pytest

from graphc.ir import building, evaluate, tensor_type
from graphc.ir.differentiate import differentiate
from graphc.ir.graph import Graph
from graphc.ir.ops import power
from tests.closeness import assert_close


@pytest.mark.parametrize(
    ("base", "exponent", "slopes"),
    [
        (0.0, 2.0, (0.0, 0.0)),
        (0.0, 0.0, (0.0, 0.0)),
        (2.0, 0.0, (0.0, np.log(2.0))),
        (2.0, 3.0, (12.0, 8 * np.log(2.0))),
    ],
)
def test_slopes_of_powers_are_their_limits_at_zero(base, exponent, slopes):
    graph = Graph("f")
    operands = [graph.add_parameter(tensor_type("f64[]")) for _ in range(2)]
    with building(graph):
        graph.results = [power(*operands)]
    found = evaluate(
        differentiate(graph, [0, 1]), np.float64(base), np.float64(exponent)
    )
    assert_close(found[1:], slopes)
