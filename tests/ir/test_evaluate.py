"""The reference evaluator: dtypes it computes in, symbols and refusals."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphc.ir import Graph, GraphError, building, evaluate, parse, tensor_type
from graphc.ir.evaluate import bind_shapes, evaluate_op
from graphc.ir.ops import add, bitcast_convert, multiply

SCALED = """
    graph @f(%x: f32[B,2*B]) -> (f32[B,2*B]) where B in 1..4 {
      %0 = multiply(%x, 0.1) : f32[B,2*B]
      return %0
    }"""


def test_narrow_floats_are_rounded_after_each_node():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("bf16[1]"))
    with building(graph):
        graph.results = [multiply(add(x, 1.0), 3.0)]
    array = np.array([1 / 256], ml_dtypes.bfloat16)
    (found,) = evaluate(graph, array)
    assert found.dtype == ml_dtypes.bfloat16
    assert found == 3.0  # 1 + 1/256 is 1 in bfloat16
    (exact,) = evaluate(graph, array, dtype="f64")
    assert exact.dtype == np.float64
    assert exact == 3 * (1 + 1 / 256)


@pytest.mark.parametrize("wide", [None, "f64"])
@pytest.mark.parametrize(
    ("number", "dtype", "bits", "integer"),
    [
        (1.5, "f16", 0x3E00, "u16"),
        (1.5, "bf16", 0x3FC0, "i16"),
        (1.5, "f32", 0x3FC00000, "u32"),
        (1.5, "f64", 0x3FF8000000000000, "i64"),
    ],
)
def test_bits_are_those_of_the_declared_dtype(
    number: float, dtype: str, bits: int, integer: str, wide: Any
):
    graph = Graph("f")
    x = graph.add_parameter(tensor_type(f"{dtype}[2]"))
    with building(graph):
        y = bitcast_convert(x, dtype=integer)
        graph.results = [y, bitcast_convert(y, dtype=dtype)]
    array = np.array([number, -0.0]).astype(x.dtype.numpy)
    found, back = evaluate(graph, array, dtype=wide)
    width = 8 * array.dtype.itemsize
    assert found.dtype == y.dtype.numpy
    assert [int(v) % 2**width for v in found] == [bits, 2 ** (width - 1)]
    assert back.dtype == (np.float64 if wide else array.dtype)
    assert back.tolist() == [number, 0.0]
    assert np.signbit(back[1].astype(np.float64))


def test_one_op_on_arrays():
    found = evaluate_op("bitcast_convert", np.array([1.0], np.float16), dtype="bf16")
    assert found.view(np.uint16) == 0x3C00
    assert evaluate_op("add", [1, 2], [3, 4]).tolist() == [4, 6]


def test_symbols_are_bound_by_the_arrays():
    graph = parse(SCALED)
    (found,) = evaluate(graph, np.ones((2, 4), np.float32))
    assert found.shape == (2, 4)
    assert bind_shapes(graph, [(3, 6)]) == {"B": 3}


@pytest.mark.parametrize(
    ("arrays", "dtype", "message"),
    [
        ([], None, "takes 1 arrays"),
        ([np.ones((2, 3), np.float32)], None, r"an array of shape \(2, 3\) with"),
        ([np.ones((5, 10), np.float32)], None, r"B must be in 1\.\.4"),
        ([np.ones((2, 4), np.float16)], None, "an array of dtype float16"),
        ([np.ones((2, 4), np.int32)], None, "an array of dtype int32"),
        ([np.ones((2, 4))], "f32", "dtype must be 'f64' or None"),
    ],
)
def test_arrays_that_do_not_fit(arrays: list[Any], dtype: Any, message: str):
    with pytest.raises(GraphError, match=message):
        evaluate(parse(SCALED), *arrays, dtype=dtype)


def test_lists_and_default_dtypes_become_what_the_parameter_is():
    graph = parse(
        "graph @f(%x: f32[2], %n: i32[2]) -> (f32[2], i32[2]) {\n  return %x, %n\n}\n"
    )
    for given in ([[1, 2], [3, 4]], [np.ones(2), np.ones(2, int)]):
        x, n = evaluate(graph, *given)
        assert (x.dtype, n.dtype) == (np.float32, np.int32)
    with pytest.raises(GraphError, match=r"parameter %n is i32\[2\]"):
        evaluate(graph, [1, 2], [1.5, 2.5])
