"""Products of narrow floats whose dimensions lie otherwise than backends like them."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir import evaluate, parse
from graphc.ir.tolerance import mismatch
from graphc.runtime.compile import compile_graph, emit

PRODUCT = """
    graph @f(%a: {0}[2,4,8,6], %b: {0}[2,8,4,5]) -> (f32[2,4,6,5]) {{
      %0 = dot_general(%a, %b) {{batch=[[0,1],[0,2]], contract=[[2],[1]], dtype="f32"}}
        : f32[2,4,6,5]
      return %0
    }}"""


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_batch_dimensions_of_narrow_operands_come_first(
    dtype: str, rng: np.random.Generator
):
    graph = parse(PRODUCT.format(dtype))
    arrays = [
        rng.normal(size=p.type.static_shape).astype(p.dtype.numpy)
        for p in graph.parameters
    ]
    # XLA fails to run it on a CPU as it stands, in bfloat16.
    (found,) = compile_graph(graph, "xla", "")(*arrays)
    (wanted,) = evaluate(graph, *arrays)
    assert mismatch(np.asarray(found), wanted) is None
    assert (
        f"stablehlo.transpose %b, dims = [0, 2, 1, 3] : (tensor<2x8x4x5x{dtype}>)"
        in (emit(graph, "xla", ""))
    )


def test_wide_operands_stay_as_they_are():
    assert "transpose" not in emit(parse(PRODUCT.format("f32")), "xla", "")
