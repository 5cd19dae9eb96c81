"""Cumulative ops of rows that no tile holds: tile after tile, with what came before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc.codegen.triton.module import emit_kernel
from graphc.ir import evaluate, parse
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.runtime.triton_device import Device
from tests.triton_kernels import run_kernel

pytestmark = pytest.mark.triton

SPECIAL = {4000: np.inf, 8500: np.nan}


@pytest.mark.parametrize("reverse", ["false", "true"])
@pytest.mark.parametrize(
    ("op", "dtype"),
    [
        ("cumulative_sum", "f32"),
        ("cumulative_sum", "i8"),
        ("cumulative_prod", "f32"),
        ("cumulative_max", "f32"),
    ],
)
def test_tiles_go_on_where_others_end(
    op: str, dtype: str, reverse: str, kernel_device: Device, rng: np.random.Generator
):
    graph = parse(f"""
        graph @f(%x: {dtype}[3,9001]) -> ({dtype}[3,9001]) {{
          %y = {op}(%x) {{axis=1, reverse={reverse}}} : {dtype}[3,9001]
          return %y
        }}""")
    kernel = emit_kernel(graph)
    assert kernel.constants["RBLOCK"] < 9001
    x: Any = rng.integers(-9, 9, (3, 9001)).astype("i1")
    if dtype == "f32":
        x = np.exp(rng.normal(size=(3, 9001)) / 100).astype("f4")
        x[0] *= np.where(np.arange(9001) % 3, -1, 1)
        x[1, list(SPECIAL)] = list(SPECIAL.values())
    ((found,), (wanted,)) = run_kernel(kernel_device, kernel, x), evaluate(graph, x)
    (exact,) = evaluate(graph, x, dtype="f64")
    assert not mismatch(found, wanted) or not inaccuracy(found, wanted, exact)


def test_scans_that_begin_at_both_ends_have_one_tile():
    graph = parse("""
        graph @f(%x: f32[2,9000]) -> (f32[2,9000]) {
          %0 = cumulative_sum(%x) {axis=1, reverse=true} : f32[2,9000]
          %1 = cumulative_sum(%x) {axis=1, reverse=false} : f32[2,9000]
          %2 = add(%0, %1) : f32[2,9000]
          return %2
        }""")
    assert emit_kernel(graph).constants["RBLOCK"] == 16384
