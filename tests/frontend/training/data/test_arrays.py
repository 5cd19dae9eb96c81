"""Arrays of any library as NumPy arrays of a model's dtypes."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from graphc.frontend.dtypes import set_floatx
from graphc.frontend.training.data.arrays import (
    is_array_like,
    model_dtype,
    to_array,
    to_model_array,
)


class Torch:
    """What torch tensors have, as far as conversion goes."""

    def __init__(self, array, dtype="torch.float32", on_host=False):
        self.array, self.dtype, self.on_host = array, dtype, on_host

    def detach(self):
        return self

    def cpu(self):
        return Torch(self.array, self.dtype, on_host=True)

    def float(self):
        return Torch(self.array.astype(np.float32), "torch.float32", self.on_host)

    def __array__(self, dtype=None, copy=None):
        if not self.on_host:
            raise TypeError("can't convert cuda device type tensor to numpy")
        if "bfloat16" in self.dtype:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


class Table:
    """What pandas and polars tables and series have."""

    def __init__(self, array):
        self.array = array

    def to_numpy(self):
        return self.array


class ArrowTable:
    """What Arrow tables have."""

    def __init__(self, *columns):
        self.columns = columns

    def itercolumns(self):
        return (Table(column) for column in self.columns)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("float64", "float32"),
        (np.longdouble, "float32"),
        (">f8", "float32"),
        ("float32", "float32"),
        ("float16", "float16"),
        (ml_dtypes.bfloat16, ml_dtypes.bfloat16),
        ("int64", "int32"),
        ("uint64", "uint32"),
        (">i8", "int32"),
        (">i4", "int32"),
        ("int32", "int32"),
        ("int8", "int8"),
        ("uint8", "uint8"),
        ("bool", "bool"),
    ],
)
def test_model_dtypes(given, taken):
    array = to_model_array(np.array([0, 1, 1]).astype(given))
    assert array.dtype == np.dtype(taken)
    assert array.dtype.isnative
    assert array.astype(np.float32).tolist() == [0, 1, 1]


def test_integers_stay_64_bits_long_when_they_need_them():
    assert model_dtype(np.array([0, 2**31 - 1])) == np.int32
    assert model_dtype(np.array([0, 2**31])) == np.int64
    assert model_dtype(np.array([-(2**31) - 1])) == np.int64
    assert model_dtype(np.array([2**32], np.uint64)) == np.uint64
    assert model_dtype(np.array([], np.int64)) == np.int32


def test_doubles_become_floatx():
    set_floatx("bfloat16")
    try:
        assert model_dtype(np.zeros(2)) == ml_dtypes.bfloat16
        assert model_dtype(np.zeros(2, np.float32)) == np.float32
    finally:
        set_floatx("float32")


def test_arrays_that_models_take_are_not_copied():
    array = np.zeros((3, 2), np.float32)
    assert to_model_array(array) is array


def test_other_libraries_arrays():
    numbers = np.arange(6, dtype=np.float32).reshape(3, 2)
    for other in (
        jnp.asarray(numbers),
        Torch(numbers),
        Torch(numbers, "torch.bfloat16"),
        Table(numbers),
        ArrowTable(numbers[:, 0], numbers[:, 1]),
    ):
        assert is_array_like(other) or isinstance(other, Torch)
        array = to_array(other)
        assert type(array) is np.ndarray
        assert array.dtype == np.float32
        assert array.tolist() == numbers.tolist()


def test_tables_of_mixed_columns():
    mixed = Table(np.array([[1, 2.5, True], [0, 3.5, False]], object))
    assert to_model_array(mixed).tolist() == [[1, 2.5, 1], [0, 3.5, 0]]


@pytest.mark.parametrize(
    ("x", "received"),
    [
        (["cat", "dog"], "dtype <U3 with shape (2,) that contains 'cat'"),
        (np.array([b"ab"]), "dtype |S2"),
        (Table(np.array([[1, "cat"]], object)), "that contains 'cat'"),
        (Table(np.array([[1.0, None]], object)), "shape (1, 2) that contains None"),
        (np.array(["2020-01-01"], "datetime64[D]"), "dtype datetime64[D]"),
        (np.zeros(2, complex), "dtype complex128"),
        ([[1, 2], [3]], "[[1, 2], [3]] (of type list)"),
    ],
)
def test_only_numbers_are_data(x, received):
    with pytest.raises(ValueError, match="Expected numeric data") as error:
        to_array(x)
    assert received in str(error.value)


def test_streams_are_no_arrays():
    assert not is_array_like(iter([1]))
    assert not is_array_like([1, 2])
    assert is_array_like(np.float32(1))
