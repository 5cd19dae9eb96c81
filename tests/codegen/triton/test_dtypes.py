"""How kernels hold, store and write elements of each dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc.codegen.triton.dtypes import held, literal, plain, typed
from graphc.ir import Graph, Literal, TensorType, building
from graphc.ir.ops import OPS
from graphc.ir.types import (
    BF16,
    BOOL,
    DTYPES,
    F8E4M3FN,
    F8E5M2,
    F16,
    F32,
    F64,
    I4,
    I8,
    I32,
    I64,
    U32,
    DType,
)
from graphc.runtime.triton_device import Device
from graphc.testing.equivalence import assert_same_bits
from tests.codegen.triton.straight_line import straight_line
from tests.triton_kernels import run_kernel

pytestmark = pytest.mark.triton

LITERALS = [
    (Literal(0.5), "0.5"),
    (Literal(0.1), "0.1"),
    (Literal(0.0), "0.0"),
    (
        Literal(-0.0),
        "tl.full([], -(2**31), tl.int32).to(tl.float32, bitcast=True)",
    ),
    (Literal(3.4e38), "3.4e+38"),
    (Literal(float("nan")), 'float("nan")'),
    (Literal(float("-inf")), 'float("-inf")'),
    (Literal(1e-40), "tl.full([], 1e-40, tl.float32)"),
    (Literal(0.1, BF16), "0.100097656"),
    (Literal(0.1, F16), "0.099975586"),
    (Literal(0.1, F64), "tl.full([], 0.1, tl.float64)"),
    (Literal(float("inf"), F64), 'tl.full([], float("inf"), tl.float64)'),
    (Literal(True, BOOL), "True"),
    (Literal(-7, I32), "-7"),
    (Literal(-7, I4), "tl.full([], -7, tl.int8)"),
    (Literal(-7, I64), "tl.full([], -7, tl.int64)"),
    (Literal(4294967295, U32), "tl.full([], 4294967295, tl.uint32)"),
]


@pytest.mark.parametrize(("number", "text"), LITERALS, ids=[t for _, t in LITERALS])
def test_literals(number: Literal, text: str):
    assert literal(number) == text
    assert typed(text, number.dtype).startswith("tl.full([], ")
    assert typed(typed(text, number.dtype), number.dtype) == typed(text, number.dtype)
    assert plain(typed(text, number.dtype)) == plain(text)


def test_a_tile_is_read_as_it_is():
    assert typed("x", F32) == plain("x") == "x"


def test_every_dtype_is_held_and_narrow_floats_are_wide():
    assert {of.name: held(of) for of in DTYPES.values() if of.is_float} == {
        "f64": "tl.float64",
        **dict.fromkeys(["f32", "f16", "bf16", "f8e4m3fn", "f8e5m2"], "tl.float32"),
    }
    assert held(BOOL) == "tl.int1"
    assert held(I4) == held(I8) == "tl.int8"


def all_elements(dtype: DType) -> Any:
    """Every element of a dtype of at most 16 bits."""
    if dtype is BOOL:
        return np.array([False, True])
    if dtype is I4:
        return np.arange(-8, 8).astype(dtype.numpy)
    bits = np.arange(2**dtype.bits, dtype=f"u{dtype.bits // 8}")
    return bits.view(dtype.numpy)


@pytest.mark.parametrize(
    "dtype", [of for of in DTYPES.values() if of.bits <= 16], ids=str
)
def test_elements_are_stored_as_they_were_loaded(dtype: DType, kernel_device: Device):
    array = all_elements(dtype)
    graph = Graph("copy")
    graph.results = [graph.add_parameter(TensorType(array.shape, dtype))]
    (found,) = run_kernel(kernel_device, straight_line(graph), array)
    with np.errstate(all="ignore"):  # some of the elements are signalling
        assert_same_bits(found, array)


@pytest.mark.parametrize("dtype", [F8E4M3FN, F8E5M2, F16], ids=str)
def test_all_bfloat16_numbers_are_rounded_as_the_reference_rounds(
    dtype: DType, kernel_device: Device
):
    # They have all exponents of float32, and ties between narrower floats.
    array = all_elements(BF16)
    graph = Graph("round")
    x = graph.add_parameter(TensorType(array.shape, BF16))
    with building(graph):
        graph.results = [OPS["convert"](x, dtype=dtype)]
    (found,) = run_kernel(kernel_device, straight_line(graph), array)
    with np.errstate(all="ignore"):
        assert_same_bits(found, array.astype(np.float32).astype(dtype.numpy))
