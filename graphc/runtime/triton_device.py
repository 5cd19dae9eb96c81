"""What a device offers to whoever runs a launch plan: memory by address, and kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from graphc.codegen.triton.kernel import Kernel
from graphc.ir.types import I4, TensorType

ALIGNMENT = 256
"""What the addresses of allocations are a multiple of, in bytes."""

Command: TypeAlias = Callable[[], object]
"""A launch, copy or fill with its addresses."""


class Queue(Protocol):
    """A CUDA stream on which a device does its work in order."""

    @property
    def stream(self) -> int:
        """The stream's handle."""
        ...

    @property
    def ordinal(self) -> int:
        """The number of the GPU."""
        ...

    @property
    def name(self) -> str:
        """What the GPU is called."""
        ...

    def let_wait(self, stream: int | None) -> None:
        """Lets another stream wait for all work so far; None is the default stream."""
        ...


class Device(Protocol):
    """A GPU, or Triton's interpreter in another process.

    An address is an integer, and address plus offset is the address of what lies inside
    an allocation, as on a GPU. All calls take effect in order; those that return nothing
    may return before that, and then `synchronize` and `read` wait for them. The memory
    of a new allocation holds anything.

    Elements lie in memory as in NumPy's arrays, but for ``i4``, which is one ``i8`` each
    (see `stored`).
    """

    def allocate(self, nbytes: int) -> int:
        """The address of new memory, a multiple of `ALIGNMENT`.

        Raises:
            GraphcError: If there is not that much memory.
        """
        ...

    def free(self, address: int) -> None:
        """Gives an allocation back; `address` is what `allocate` returned."""
        ...

    def write(self, address: int, array: np.ndarray[Any, Any]) -> None:
        """Copies an array of the host to memory. It may be changed afterwards."""
        ...

    def read(self, address: int, type: TensorType) -> np.ndarray[Any, Any]:
        """A copy of the tensor at an address, once all work before has ended.

        Raises:
            GraphcError: If a launch before failed.
        """
        ...

    def fill(self, address: int, nbytes: int, byte: int) -> None:
        """Sets each of so many bytes. 0xFF makes NaN of every float."""
        ...

    def copy(self, destination: int, source: int, nbytes: int) -> None:
        """Copies memory to memory that it does not overlap with."""
        ...

    def load(self, kernel: Kernel) -> int:
        """Makes a kernel ready and returns the number by which it is launched.

        Raises:
            CompileError: If the device cannot run it; names the kernel and its layers.
        """
        ...

    def launch(self, number: int, addresses: Sequence[int]) -> None:
        """Runs a loaded kernel; the addresses are those of ``kernel.pointers``."""
        ...

    def bind(self, number: int, addresses: Sequence[int]) -> Command:
        """A launch made ready: each call runs the kernel at these addresses."""
        ...

    def record(self, commands: Sequence[Command]) -> Command | None:
        """What does at once all that some launches, copies and fills do.

        None if the device has no faster way than one after the other.
        """
        ...

    def timed(self, command: Command) -> float:
        """Runs a command, and how many seconds the device took."""
        ...

    def find(self, array: Any, type: TensorType) -> tuple[int, object] | None:
        """Where an array of another library lies, and what keeps its memory alive.

        None unless it lies in this device's memory, contiguous and aligned as kernels
        need it.

        Raises:
            ValueError: If it does, but is not of the type.
        """
        ...

    @property
    def queue(self) -> Queue | None:
        """The stream that work is queued on; None for what is no GPU."""
        ...

    def synchronize(self) -> None:
        """Returns once all work has ended.

        Raises:
            GraphcError: If a launch failed.
        """
        ...

    def close(self) -> None:
        """Frees everything. The device must not be used afterwards."""
        ...


def stored(type: TensorType) -> np.dtype[Any]:
    """The NumPy dtype whose elements lie in memory for a tensor of a type."""
    return np.dtype(np.int8) if type.dtype is I4 else type.dtype.numpy


def stored_nbytes(type: TensorType) -> int:
    """How many bytes a tensor of a static type takes in memory."""
    return math.prod(type.static_shape) * stored(type).itemsize


def to_bytes(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bytes of an array as they lie in memory, flat and contiguous."""
    if array.dtype == I4.numpy:
        array = array.astype(np.int8)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def from_bytes(memory: np.ndarray[Any, Any], type: TensorType) -> np.ndarray[Any, Any]:
    """The tensor that the flat bytes of some memory hold, as an array of its own."""
    array = memory.view(stored(type)).reshape(type.static_shape)
    return array.astype(type.dtype.numpy)  # always a copy
