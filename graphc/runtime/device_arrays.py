"""Arrays in the memory of a device."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, final

import numpy as np

from graphc.ir.errors import GraphcError, GraphError
from graphc.ir.types import TensorType
from graphc.runtime import dlpack
from graphc.runtime.triton_device import Device, stored, stored_nbytes


@final
class DeviceArray:
    """A tensor in a device's memory, contiguous, in row-major order.

    NumPy reads it (``numpy.asarray``), and so do other libraries without a copy, by
    DLPack or the CUDA array interface, if the device is a GPU. What is done with it
    waits for the program that computes it.
    """

    __slots__ = ("__weakref__", "_address", "_device", "_owner", "type")

    def __init__(
        self, device: Device, address: int, type: TensorType, owner: object = None
    ) -> None:
        """An array of memory that exists.

        Args:
            device: Where the memory is.
            address: Its address.
            type: What lies there.
            owner: What frees the memory, or None if the array does.
        """
        self.type = type
        self._device = device
        self._address: int | None = address
        self._owner = owner

    @classmethod
    def new(cls, device: Device, type: TensorType) -> DeviceArray:
        """An array of new memory, which holds anything."""
        return cls(device, device.allocate(stored_nbytes(type)), type)

    def __del__(self) -> None:
        if self._address is not None and self._owner is None:
            with suppress(GraphcError):  # the device may be closed
                self._device.free(self._address)

    @property
    def device(self) -> Device:
        """Where the memory is."""
        return self._device

    @property
    def address(self) -> int:
        """The address of the first element.

        Raises:
            GraphError: If the array was donated.
        """
        if self._address is None:
            raise GraphError(
                f"an array of type {self.type} was donated to a program",
                hint="use the program's results instead, or do not donate it",
            )
        return self._address

    def donated(self) -> DeviceArray:
        """The same memory as a new array; this one can no longer be used."""
        address = self.address
        self._address = None
        return DeviceArray(self._device, address, self.type, self._owner)

    # -- as an array -------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.type.static_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type, as NumPy's."""
        return self.type.dtype.numpy

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.type.rank

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self.type.size)

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy in the host's memory."""
        return self._device.read(self.address, self.type)

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> np.ndarray[Any, Any]:
        """A copy in the host's memory, for NumPy."""
        found = self.numpy()
        return found if dtype is None else found.astype(dtype, copy=False)

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self.numpy().item()

    def __float__(self) -> float:
        return float(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __len__(self) -> int:
        return len(self.numpy())

    def __repr__(self) -> str:
        where = "donated" if self._address is None else f"at {self._address:#x}"
        return f"<DeviceArray {self.type} {where}>"

    # -- for other libraries -----------------------------------------------------------

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        queue = self._device.queue
        if queue is None:
            raise AttributeError("the array is not in the memory of a GPU")
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": stored(self.type).str,
            "data": (self.address, False),
            "strides": None,
            "stream": queue.stream,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        queue = self._device.queue
        return (dlpack.CPU, 0) if queue is None else (dlpack.CUDA, queue.ordinal)

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        queue = self._device.queue
        if queue is None:
            return self.numpy().__dlpack__()
        own = self.__dlpack_device__()
        if copy or dl_device not in (None, own):
            raise BufferError("the array is only given where it lies")
        if stream != -1:  # DLPack's number for a consumer that waits by itself
            queue.let_wait(stream)
        return dlpack.exported(self, self.address, self.type, own)


def placed(array: Any, type: TensorType, device: Device) -> DeviceArray | None:
    """`array` where it lies, if that is a place on the device that kernels can read.

    Args:
        array: An array of any library.
        type: What it must hold.
        device: Where it must lie, contiguous and aligned.

    Returns:
        None if it must be copied.

    Raises:
        ValueError: If the array is on the device, but of another type.
    """
    if isinstance(array, DeviceArray):
        if array.device is not device:
            return None
        if array.type != type:
            raise ValueError(f"expected {type}, received {array.type}")
        return array
    found = device.find(array, type)
    if found is None:
        return None
    address, owner = found
    return DeviceArray(device, address, type, owner)
