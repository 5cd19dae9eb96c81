"""Element types and tensor types: spelling, limits and sizes."""

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest

from graphc.ir import GraphError, SymbolicDim, TensorType, dtype, tensor_type
from graphc.ir.types import DTYPES, MAX_RANK, checked_type

F32 = dtype("f32")


@pytest.mark.parametrize("element", DTYPES.values(), ids=str)
def test_every_dtype_is_found_by_its_names(element):
    assert dtype(element.name) is element
    assert dtype(element.long_name) is element
    assert dtype(element.numpy) is element
    assert dtype(element.numpy.type) is element
    assert dtype(element) is element
    assert pickle.loads(pickle.dumps(element)) is element
    assert copy.deepcopy(element) is element
    assert element.bits == 4 or element.bits == 8 * element.numpy.itemsize
    assert element.is_float or element.is_integer or element.name == "bool"


@pytest.mark.parametrize(
    "name",
    [
        "f33",
        "",
        "float",
        "F32",
        "complex64",
        {},
        str,
        "f" * 10000,
        object(),
        [],
        "O",
        None,
    ],
)
def test_unknown_dtypes(name):
    with pytest.raises(GraphError, match="unknown dtype") as raised:
        dtype(name)
    assert "bfloat16" in raised.value.hint
    assert len(raised.value.received) <= 100


def test_dtypes_numpy_lacks_come_from_ml_dtypes():
    assert dtype("bf16").numpy == ml_dtypes.bfloat16
    assert dtype(np.dtype(ml_dtypes.float8_e5m2)).name == "f8e5m2"


@pytest.mark.parametrize(
    "text",
    [
        *("f32[]", "f32[3]", "bf16[B,784]", "i4[0]", "bool[2,0,3]"),
        *("f8e4m3fn[(H-1)//2+1,B*T]", f"u8[{','.join(['1'] * MAX_RANK)}]"),
    ],
)
def test_text_round_trip(text: str):
    assert str(tensor_type(text)) == repr(tensor_type(text)) == text
    assert tensor_type(text) == tensor_type(text)
    assert hash(tensor_type(text)) == hash(tensor_type(text))


def test_text_is_made_canonical():
    assert str(tensor_type(" float32[ B * 2 + B , (3+1) ] ")) == "f32[3*B,4]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f32", "is not a tensor type"),
        ("f32[3", "is not a tensor type"),
        ("[3]", "unknown dtype"),
        ("f31[3]", "unknown dtype"),
        ("f32[3,]", "is not a dimension expression"),
        ("f32[,]", "is not a dimension expression"),
        ("f32[[3]]", "is not a dimension expression"),
        ("f32[3]]", "is not a dimension expression"),
        ("f32[-1]", "negative"),
        ("f32[2-B+B-3]", "negative"),
        (f"f32[{','.join(['1'] * 65)}]", "rank 65 is above the limit of 64"),
        (f"f32[{','.join(['1'] * 100000)}]", "rank 100000 is above"),
        ("f32[4611686018427387904]", "too large to address"),
        ("f32[4294967296,4294967296,B]", "too large to address"),
        (f"f32[0,{10**40}]", "too large to address"),
        (f"f32[{'9' * 5000}]", "is not a dimension expression"),
    ],
)
def test_ill_formed_types(text: str, message: str):
    with pytest.raises(GraphError, match=message):
        tensor_type(text)


def test_the_largest_tensors_are_accepted():
    assert tensor_type("u8[1152921504606846975]").nbytes == 2**60 - 1
    assert tensor_type("f32[0,1073741824]").nbytes == 0


def test_sizes():
    B = SymbolicDim.symbol("B")
    assert tensor_type("f32[2,3]").size == 6
    assert tensor_type("f32[2,3]").nbytes == 24
    assert tensor_type("i4[3]").nbytes == 2
    assert tensor_type("bf16[]").nbytes == 2
    assert tensor_type("f32[B,3,B]").size == 3 * B * B
    assert tensor_type("f32[B,T//2]").symbols == {"B", "T"}
    assert tensor_type("f32[2,3]").static_shape == (2, 3)
    assert tensor_type("f32[2,3]").rank == 2
    with pytest.raises(GraphError, match="not known while tracing"):
        _ = tensor_type("f32[B]").nbytes


def test_derived_types():
    assert tensor_type("f32[2]").with_dtype(dtype("i32")) == tensor_type("i32[2]")
    assert tensor_type("f32[2]").with_shape([3, 4]) == tensor_type("f32[3,4]")
    assert checked_type(F32, [3]) == TensorType((3,), F32)
    assert tensor_type("f32[2]") != tensor_type("f16[2]")
    assert tensor_type("f32[2]") != tensor_type("f32[2,1]")
