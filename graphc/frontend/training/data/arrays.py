"""Anything that holds numbers, as a NumPy array of a dtype that models take."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.frontend.dtypes import floatx
from graphc.ir.types import DTYPES, dtype

__all__ = ["is_array_like", "model_dtype", "to_array", "to_model_array"]

Array = np.ndarray[Any, Any]

_ARRAY_METHODS = ("__array__", "to_numpy", "itercolumns")
_SUPPORTED = {d.numpy for d in DTYPES.values()}
# What models take as it is, whatever `floatx` and the values are.
_FINAL = {d.numpy for d in DTYPES.values() if d.bits < 64}
_NARROW = {"i": np.dtype(np.int32), "u": np.dtype(np.uint32)}


def is_array_like(x: Any) -> bool:
    """Whether `x` is an array, tensor, series or table rather than a stream.

    Covers NumPy, JAX, torch, TensorFlow, pandas, polars and Arrow by their methods,
    so that none of them needs to be imported.
    """
    return any(hasattr(x, method) for method in _ARRAY_METHODS)


def to_array(x: Any) -> Array:
    """`x` as a NumPy array of numbers, without a copy where its library allows.

    Args:
        x: An array, tensor, series, table, number, or nested list of numbers.

    Raises:
        ValueError: If it holds anything but integers, floats and booleans.
    """
    array = x if isinstance(x, np.ndarray) else _import_array(x)
    if array.dtype in _SUPPORTED:
        return array
    if array.dtype.kind == "O":
        array = _numbers_of_objects(array)
    # Also floats longer than doubles and numbers in the other byte order, which
    # `model_dtype` replaces.
    if array.dtype.kind not in "fiu":
        raise _not_numeric(array, array.item(0) if array.size else None)
    return array


def model_dtype(array: Array) -> np.dtype[Any]:
    """The dtype in which a model takes `array`.

    Doubles become `floatx`; 64-bit integers become 32-bit ones if all values fit, which
    is what compiled programs are fast at; everything else stays.
    """
    given = array.dtype
    if given in _FINAL:
        return given
    given = given.newbyteorder("=")
    if given.kind == "f" and given.itemsize >= 8:
        return dtype(floatx()).numpy
    narrow = _NARROW.get(given.kind)
    if narrow is None or given.itemsize < 8:
        return given
    if array.size == 0:
        return narrow
    limits = np.iinfo(narrow)
    fits = limits.min <= array.min() and array.max() <= limits.max
    return narrow if fits else given


def to_model_array(x: Any) -> Array:
    """`x` as a NumPy array of the dtype in which a model takes it.

    Raises:
        ValueError: If it holds anything but integers, floats and booleans.
    """
    array = to_array(x)
    return np.asarray(array, dtype=model_dtype(array))


def _import_array(x: Any) -> Array:
    if hasattr(x, "detach"):  # torch, whose arrays may be elsewhere or need gradients
        x = x.detach().cpu()
        # NumPy has no bfloat16 of its own for torch to convert to.
        return np.asarray(x.float() if "bfloat16" in str(x.dtype) else x)
    if hasattr(x, "to_numpy"):
        return np.asarray(x.to_numpy())
    if hasattr(x, "itercolumns"):  # an Arrow table
        return np.stack([to_array(column) for column in x.itercolumns()], axis=1)
    try:
        return np.asarray(x)
    except ValueError:  # lists of unequal lengths
        raise ValueError(
            "Expected numeric data of one shape per sample, such as a NumPy array; "
            "utils.pad_sequences makes one of lists of different lengths. "
            f"Received: {_abbreviate(x)} (of type {type(x).__name__})"
        ) from None


def _numbers_of_objects(array: Array) -> Array:
    """The numbers in an object array, which tables of mixed columns give."""
    for item in array.flat:
        if not isinstance(item, (bool, int, float, np.number, np.bool_)):
            raise _not_numeric(array, item)
    return array.astype(np.float64)


def _not_numeric(array: Array, example: Any) -> ValueError:
    return ValueError(
        f"Expected numeric data. Received: an array of dtype {array.dtype} with shape "
        f"{array.shape} that contains {_abbreviate(example)}"
    )


def _abbreviate(x: Any) -> str:
    text = repr(x)
    return text if len(text) <= 80 else f"{text[:77]}..."
