"""Sorting through XLA where samples do not reach."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir import Graph, TensorType, building, dtype, evaluate
from graphc.ir.ops import OPS
from graphc.ir.types import BF16, F32, DType
from graphc.runtime.compile import compile_graph


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("element", [F32, BF16])
def test_nan_sorts_as_the_largest_element(element: DType, descending: bool):
    nan, inf = np.nan, np.inf
    values = np.array([nan, 1, -inf, nan, inf, -0.0, 2]).astype(element.numpy)
    graph = Graph("f")
    places = np.arange(7, dtype=np.int32)
    with building(graph):
        operands = [
            graph.add_parameter(TensorType((7,), dtype(array.dtype)))
            for array in (values, places)
        ]
        graph.results = OPS["sort"](*operands, axis=0, descending=descending)
    _, order = compile_graph(graph)(values, places)
    wanted = [0, 3, 4, 6, 1, 5, 2] if descending else [2, 5, 1, 6, 4, 0, 3]
    np.testing.assert_array_equal(order, wanted)
    np.testing.assert_array_equal(evaluate(graph, values, places)[1], wanted)
