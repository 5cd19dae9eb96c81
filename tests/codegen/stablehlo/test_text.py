"""Types, constants and strings as MLIR text."""

import struct

import ml_dtypes
import numpy as np
import pytest

from graphc.codegen.stablehlo.text import (
    dense_text,
    function_type,
    int_array,
    literal_text,
    padding_matrix,
    string_text,
    type_text,
)
from graphc.ir import GraphError, Literal, tensor_type
from graphc.ir.types import BF16, BOOL, DTYPES, F8E4M3FN, F16, F64, I32, U64


@pytest.mark.parametrize(
    ("type", "text"),
    [
        ("f32[]", "tensor<f32>"),
        ("f32[3,4]", "tensor<3x4xf32>"),
        ("bool[0]", "tensor<0xi1>"),
        ("u8[2]", "tensor<2xui8>"),
        ("u64[2]", "tensor<2xui64>"),
        ("i4[2]", "tensor<2xi4>"),
        ("bf16[2]", "tensor<2xbf16>"),
        ("f8e4m3fn[2]", "tensor<2xf8E4M3FN>"),
        ("f8e5m2[2]", "tensor<2xf8E5M2>"),
    ],
)
def test_types(type: str, text: str):
    assert type_text(tensor_type(type)) == text


def test_function_type():
    f, i = tensor_type("f32[3]"), tensor_type("i32[]")
    assert function_type([f, i], [f]) == (
        "(tensor<3xf32>, tensor<i32>) -> tensor<3xf32>"
    )
    assert function_type([], [f, i]) == "() -> (tensor<3xf32>, tensor<i32>)"


def test_symbols_must_be_bound():
    with pytest.raises(GraphError, match="must be bound") as caught:
        type_text(tensor_type("f32[B,T+1]"))
    assert caught.value.received == "f32[B,T+1]"
    assert caught.value.hint == "graph.bind(B=..., T=...)"


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        (Literal(0.5), "0.5"),
        (Literal(-0.0), "-0.0"),
        (Literal(1e22, F64), "1.0e+22"),
        (Literal(0.1), "0.10000000149011612"),
        (Literal(0.1, F64), "0.1"),
        (Literal(1e-45), "1.401298464324817e-45"),
        (Literal(float("inf")), "0x7F800000"),
        (Literal(float("-inf"), BF16), "0xFF80"),
        (Literal(float("nan"), F16), "0x7E00"),
        (Literal(float("nan"), F8E4M3FN), "0x7F"),
        (Literal(-3, I32), "-3"),
        (Literal(2**64 - 1, U64), "18446744073709551615"),
        (Literal(True, BOOL), "true"),
    ],
)
def test_literals(literal: Literal, text: str):
    assert literal_text(literal) == text


def test_few_elements_are_spelled_out():
    array = np.array([[1.0, np.inf], [-0.0, 0.5]], np.float32)
    assert dense_text(array) == "[[1.0, 0x7F800000], [-0.0, 0.5]]"
    assert dense_text(np.array([True, False])) == "[true, false]"
    assert dense_text(np.array([-8, 7], ml_dtypes.int4)) == "[-8, 7]"


def test_equal_elements_are_written_once():
    assert dense_text(np.full((300, 2), 0.5, np.float32)) == "0.5"
    assert dense_text(np.array(7)) == "7"
    assert dense_text(np.zeros((0, 3), np.float32)) == ""


def test_zeros_of_either_sign_are_not_equal():
    assert dense_text(np.array([0.0, -0.0], np.float32)) == "[0.0, -0.0]"


def test_many_elements_are_bytes():
    array = np.arange(17, dtype=np.float32)
    assert dense_text(array) == f'"0x{struct.pack("<17f", *array).hex().upper()}"'
    rows = np.arange(18, dtype=np.uint8).reshape(2, 9)
    assert (
        dense_text(np.asfortranarray(rows)) == f'"0x{bytes(range(18)).hex().upper()}"'
    )


@pytest.mark.parametrize("name", [n for n, d in DTYPES.items() if d.is_float])
def test_a_spelled_out_number_is_exact(name: str):
    bits = DTYPES[name].bits
    array = np.arange(0, 2**bits, max(1, 2**bits // 1001), np.uint64)
    for number in array.astype(f"u{bits // 8}").view(DTYPES[name].numpy):
        text = dense_text(np.array(number))
        if not text.startswith("0x"):
            assert np.array(float(text)).astype(number.dtype) == number
            assert "." in text


def test_strings_cannot_be_left():
    assert string_text("encoder/block_3") == '"encoder/block_3"'
    assert string_text('a"b\\c\n\0é') == r'"a\22b\5Cc\0A\00\C3\A9"'
    assert string_text("\udce4.py") == '"?.py"'


def test_arrays_of_integers():
    assert int_array([]) == "array<i64>"
    assert int_array((1, 2)) == "array<i64: 1, 2>"
    assert padding_matrix([]) == "dense<> : tensor<0x2xi64>"
    assert padding_matrix([(0, 1)]) == "dense<[[0, 1]]> : tensor<1x2xi64>"
