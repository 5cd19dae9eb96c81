"""MLIR tensor types and constants as graphc's types and NumPy arrays."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from jax.extend.mlir import ir

from graphc.ir.errors import UnsupportedError
from graphc.ir.location import Location
from graphc.ir.types import BOOL, DTYPES, I4, DType, TensorType, checked_type

_MLIR_NAMES = {
    "bool": "i1",
    "u8": "ui8",
    "u16": "ui16",
    "u32": "ui32",
    "u64": "ui64",
    "f8e4m3fn": "f8E4M3FN",
    "f8e5m2": "f8E5M2",
}
"""Element types whose MLIR name differs from ours."""

_ELEMENTS = {_MLIR_NAMES.get(name, name): each for name, each in DTYPES.items()}
_BY_BUFFER = {d for d in DTYPES.values() if d.numpy.isbuiltin == 1}
"""Dtypes that NumPy has itself: MLIR hands their arrays out as buffers."""

_HEXADECIMAL = re.compile(r'dense<"0x([0-9A-F]*)">')
_NUMBER = re.compile(r"0x[0-9A-F]+|-?[0-9][0-9.e+-]*")


def read_type(type: ir.Type, location: Location | None = None) -> TensorType:
    """The graphc type of a tensor type.

    Raises:
        UnsupportedError: For what is no tensor, has a dynamic dimension or an element
            type that graphs have not.
    """
    if not isinstance(type, ir.RankedTensorType):
        raise UnsupportedError(
            "values must be tensors", received=str(type)[:200], location=location
        )
    if not type.has_static_shape:
        raise UnsupportedError(
            "dynamic dimensions are not supported",
            received=str(type)[:200],
            location=location,
            hint="lower the program for the sizes it runs with",
        )
    element = _ELEMENTS.get(str(type.element_type))
    if element is None:
        raise UnsupportedError(
            "unsupported element type", received=str(type)[:200], location=location
        )
    return checked_type(element, type.shape)


def read_elements(
    attribute: ir.Attribute, type: TensorType, location: Location | None
) -> tuple[np.ndarray[Any, Any], bool]:
    """The array of a constant of `type`, or its one element; and whether it is one.

    Raises:
        UnsupportedError: For an attribute that is no dense array.
    """
    if not isinstance(attribute, (ir.DenseFPElementsAttr, ir.DenseIntElementsAttr)):
        raise UnsupportedError(
            "constants must be dense",
            received=str(attribute)[:100],
            location=location,
        )
    shape = type.static_shape
    if 0 in shape:  # MLIR writes an element even where there is none
        return np.zeros(shape, type.dtype.numpy), False
    splat = attribute.is_splat
    if type.dtype in _BY_BUFFER:
        array = np.asarray(attribute)  # a splat is one element with strides of 0
        return np.array(array[(0,) * array.ndim] if splat else array), splat
    text = str(attribute)
    if splat:
        return _parse_numbers(text[: text.rindex(" : ")], type.dtype).reshape(()), True
    if found := _HEXADECIMAL.match(text):
        data = bytes.fromhex(found[1])
        array = np.frombuffer(data, type.dtype.numpy.newbyteorder("<"))
        return array.astype(type.dtype.numpy).reshape(shape), False
    return _parse_numbers(text[: text.rindex(" : ")], type.dtype).reshape(shape), False


def _parse_numbers(text: str, dtype: DType) -> np.ndarray[Any, Any]:
    """The numbers in a dense attribute's text; hexadecimal ones are bits of floats."""
    if dtype is BOOL:
        words = re.findall("true|false", text)
        return np.array([word == "true" for word in words])
    numbers = _NUMBER.findall(text.removeprefix("dense<"))
    if not dtype.is_float:
        wide = np.array([int(number, 0) for number in numbers], object)
        kept = np.int8 if dtype is I4 else dtype.numpy
        return wide.astype(kept).astype(dtype.numpy)
    bits = np.dtype(f"u{dtype.bits // 8}")
    found = np.zeros(len(numbers), dtype.numpy)
    for place, number in enumerate(numbers):
        if number.startswith("0x"):
            found[place] = np.array(int(number, 16), bits).view(dtype.numpy)
        else:
            found[place] = float(number)
    return found
