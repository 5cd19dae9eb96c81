"""Arrays in XLA's own memory on the host."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np

from graphc.ir.types import TensorType

ALIGNMENT = 64
"""Where XLA uses the memory of NumPy arrays and copies none."""


@dataclass(frozen=True, slots=True)
class ArrayForm:
    """What arrays of a type are, looked up once: runs are short.

    Attributes:
        shape: Their shape.
        dtype: Their dtype.
        nbytes: The bytes of their elements.
        weak_type: What jaxlib asks, too.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int
    weak_type: bool = False

    @classmethod
    def of(cls, type: TensorType) -> Self:
        """The form of arrays of a type."""
        return cls(type.static_shape, np.dtype(type.dtype.numpy), type.nbytes)


@final
class HostArray:
    """A result, or an argument that stays where it is from call to call.

    `np.asarray` copies it: a later run may overwrite its memory.

    Attributes:
        array: What jaxlib knows it as.
        form: Its shape and dtype.
        source: The NumPy array whose memory it is, if it is no result.
    """

    __slots__ = ("__weakref__", "array", "form", "source")

    def __init__(
        self, array: Any, form: ArrayForm, source: np.ndarray[Any, Any] | None = None
    ) -> None:
        self.array = array
        self.form = form
        self.source = source

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.form.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype of its elements."""
        return self.form.dtype

    def view(self) -> np.ndarray[Any, Any]:
        """Its elements where they are, to be read while no run may overwrite them."""
        if self.source is not None:
            return self.source
        form = self.form
        if not form.nbytes:
            return np.empty(form.shape, form.dtype)
        if form.dtype.isbuiltin == 1:  # jaxlib's arrays are buffers of these
            return np.asarray(memoryview(self.array))
        place = self.array.unsafe_buffer_pointer()
        memory: Any = (ctypes.c_char * form.nbytes).from_address(place)
        memory.owner = self.array  # which lives as long as the NumPy array
        found = np.ndarray(form.shape, form.dtype, memory)
        found.flags.writeable = False
        return found

    def __array__(
        self, dtype: Any = None, copy: bool | None = None
    ) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("the memory of the array may be overwritten: it is copied")
        return np.array(self.view(), dtype)

    def __repr__(self) -> str:
        return f"HostArray({self.dtype}{list(self.shape)})"


def aligned(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array, or else a copy of it, whose memory XLA can use."""
    if is_aligned(array):
        return array
    found = aligned_memory(array.shape, array.dtype)
    np.copyto(found, array)
    return found


def is_aligned(array: np.ndarray[Any, Any]) -> bool:
    """Whether XLA can use the memory of an array as it is."""
    return array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0


def aligned_memory(
    shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray[Any, Any]:
    """An array of any content, whose memory XLA can use."""
    nbytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes].view(dtype).reshape(shape)
