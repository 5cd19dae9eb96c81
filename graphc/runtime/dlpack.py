"""DLPack: handing arrays in a GPU's memory to other libraries, and taking theirs."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.ir.types import DTYPES, TensorType
from graphc.runtime.triton_device import stored

CPU = 1
CUDA = 2
"""Kinds of devices in DLPack's numbering."""

_NAME = b"dltensor"
_USED_NAME = b"used_dltensor"
_KINDS = {"int": 0, "uint": 1, "float": 2, "bool": 6}
_CODES = {
    **{name: (_KINDS[d.kind], d.bits) for name, d in DTYPES.items()},
    "bf16": (4, 16),
    "f8e4m3fn": (10, 8),
    "f8e5m2": (12, 8),
    # One byte each, unlike in DLPack's own 4-bit integers.
    "i4": (0, 8),
}
"""DLPack's code and bits of each dtype."""


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _ManagedTensor(ctypes.Structure):
    _fields_ = (
        ("tensor", _Tensor),
        ("context", ctypes.c_void_p),
        ("deleter", _Deleter),
    )


_CapsuleDestructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new_capsule = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _CapsuleDestructor
)(("PyCapsule_New", ctypes.pythonapi))
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_set_name = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_SetName", ctypes.pythonapi)
)
# For destructors, which get the capsule as a bare pointer while it is taken apart.
_is_valid_raw = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_pointer_raw = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)

_EXPORTED: dict[int, tuple[_ManagedTensor, Any, Any]] = {}
"""What others hold: the structure, its sizes, and the array whose memory it is."""


@_Deleter
def _forget(managed: int) -> None:
    _EXPORTED.pop(managed, None)


@_CapsuleDestructor
def _drop(capsule: int) -> None:
    # A capsule that was consumed has another name; its consumer calls the deleter.
    if _is_valid_raw(capsule, _NAME):
        _EXPORTED.pop(_pointer_raw(capsule, _NAME), None)


def exported(
    owner: object, address: int, type: TensorType, device: tuple[int, int]
) -> Any:
    """A capsule for the tensor at an address, which keeps `owner` alive.

    Args:
        owner: What the memory belongs to.
        address: The address of the first element.
        type: What lies there, contiguous.
        device: DLPack's kind of the device and its number.
    """
    shape = type.static_shape
    sizes = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    code, bits = _CODES[type.dtype.name]
    tensor = _Tensor(address, *device, len(shape), code, bits, 1, sizes, None, 0)
    managed = _ManagedTensor(tensor, None, _forget)
    place = ctypes.addressof(managed)
    _EXPORTED[place] = managed, sizes, owner
    return _new_capsule(place, _NAME, _drop)


@dataclass(frozen=True, slots=True)
class Imported:
    """An array of another library.

    Attributes:
        address: The address of its first element.
        shape: Its shape.
        strides: How many elements lie from one to the next along each axis, or None
            where they lie in row-major order without gaps.
        element: DLPack's code and bits of its dtype, or the dtype as NumPy's.
        owner: Keeps the memory alive.
    """

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    element: tuple[int, int] | np.dtype[Any]
    owner: object

    def is_of(self, type: TensorType) -> bool:
        """Whether its shape and dtype are those of a type."""
        named = isinstance(self.element, tuple)
        element = _CODES[type.dtype.name] if named else stored(type)
        return self.shape == type.shape and self.element == element


class _Owner:
    """Calls the deleter of another library's tensor when nobody reads it any more."""

    def __init__(self, managed: _ManagedTensor) -> None:
        self._managed = managed

    def __del__(self) -> None:
        if self._managed.deleter:
            self._managed.deleter(ctypes.addressof(self._managed))


def imported(capsule: Any) -> Imported:
    """What a capsule holds, which can be imported once.

    Raises:
        ValueError: If it holds no tensor of ours to take.
    """
    if not _is_valid(capsule, _NAME):
        raise ValueError("the DLPack capsule holds no tensor, or was used before")
    managed = _ManagedTensor.from_address(_pointer(capsule, _NAME))
    _set_name(capsule, _USED_NAME)
    tensor = managed.tensor
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None
    return Imported(
        (tensor.data or 0) + tensor.byte_offset,
        shape,
        strides,
        (tensor.code, tensor.bits * tensor.lanes),
        _Owner(managed),
    )


def from_interface(interface: Mapping[str, Any], owner: object) -> Imported:
    """What a ``__cuda_array_interface__`` of an array says.

    Args:
        interface: Its value.
        owner: The array.
    """
    element = np.dtype(interface["typestr"])
    strides = interface.get("strides")
    if strides is not None:
        strides = tuple(stride // element.itemsize for stride in strides)
    shape = tuple(interface["shape"])
    return Imported(interface["data"][0], shape, strides, element, owner)


def is_contiguous(shape: Sequence[int], strides: Sequence[int] | None) -> bool:
    """Whether elements lie in row-major order; strides count elements."""
    if strides is None or 0 in shape:
        return True
    inner = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return all(
        size == 1 or stride == wanted
        for size, stride, wanted in zip(shape, strides, inner, strict=True)
    )
