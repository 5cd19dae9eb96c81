"""Emitted scatters: what they sum in."""

import numpy as np
import pytest

from graphc.ir import evaluate, parse
from graphc.runtime.compile import compile_graph


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_scatters_of_narrow_floats_sum_in_float32(dtype):
    graph = parse(f"""
graph @f(%x: {dtype}[2], %at: i32[4096], %y: {dtype}[4096]) -> ({dtype}[2]) {{
  %0 = scatter(%x, %at, %y) {{index_axis=1, index_map=[0], inserted_dims=[0], mode="add", update_window_dims=[]}} : {dtype}[2]
  return %0
}}
""")  # noqa: E501
    element = graph.parameters[0].dtype.numpy
    x, y = np.zeros(2, element), np.ones(4096, element)
    at = np.zeros(4096, np.int32)  # in 8 bits of mantissa the sum would stop at 256
    for results in (compile_graph(graph)(x, at, y), evaluate(graph, x, at, y)):
        np.testing.assert_array_equal(np.asarray(results[0], np.float32), [4096, 0])
