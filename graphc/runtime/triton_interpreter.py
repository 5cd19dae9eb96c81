"""The device that is Triton's interpreter: it runs kernels on the CPU, to test them."""

from __future__ import annotations

import functools
import json
import mmap
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.codegen.triton.kernel import Kernel, signature
from graphc.ir.errors import CompileError, GraphcError, TargetError
from graphc.ir.types import TensorType
from graphc.runtime.triton_cache import Cache, temporary_cache
from graphc.runtime.triton_device import (
    ALIGNMENT,
    Command,
    Queue,
    from_bytes,
    stored_nbytes,
    to_bytes,
)
from graphc.runtime.triton_version import unavailable
from graphc.runtime.worker_process import RequestError, WorkerProcess

POISON = 0xFF
"""What each byte of new memory is. A float of such bytes is NaN, an integer -1."""

_THREAD_COUNTS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_GUARD = 1 << 20
"""The distance between allocations, so that an address past one is in no other."""


class InterpreterDevice:
    """Triton's interpreter in a process of its own; see `graphc.runtime.triton_device`.

    It is for testing: about 3 ms per program of a kernel, with every access checked. A
    launch fails with a `GraphcError` that names the kernel, the program and its line if
    the kernel

    * accesses memory outside of the buffers of its arguments, or not aligned,
    * writes to a parameter that it has not declared as overwritten,
    * reads elements of a result that it has not written, or leaves some unwritten
      (unless that result is declared as zero at first),
    * lets a program read or write what another program writes, which on a GPU happens
      in any order (atomic operations may, and what a program does after one may);

    or if the buffer of a result overlaps another or is not as zero as declared. New
    memory holds `POISON`, not zeros. Addresses are never used twice.

    Args:
        cache: Where the sources of kernels are kept, which errors point into; by
            default a directory that lasts as long as the device.

    Raises:
        TargetError: If Triton is not installed, or the process does not start.
    """

    def __init__(self, cache: Cache | None = None) -> None:
        if reason := unavailable():
            raise TargetError(reason, hint="pip install 'graphc[triton]'")
        self._cache = cache or temporary_cache(self)
        self._worker = WorkerProcess(
            "graphc.runtime.triton_worker",
            "Triton's interpreter",
            # Blocks are small: threads would only get in each other's way.
            {"TRITON_INTERPRET": "1"} | dict.fromkeys(_THREAD_COUNTS, "1"),
        )
        self._kernels: list[Kernel] = []
        self._numbers: dict[str, int] = {}
        self._blocks: dict[int, np.ndarray[Any, Any]] = {}
        self._next = _GUARD

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._worker.pid

    def allocate(self, nbytes: int) -> int:
        """The address of new memory that holds `POISON`."""
        address, size = self._next, max(nbytes, 1)
        # The system gives pages when they are first written, and by then it is too late.
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if size > memory:
            raise GraphcError(f"no memory for {nbytes} bytes: there are {memory}")
        descriptor = os.memfd_create("graphc")
        try:
            os.ftruncate(descriptor, size)
            block = np.frombuffer(mmap.mmap(descriptor, size), np.uint8)
            self._worker.request("allocate", descriptor, address=address, nbytes=size)
        finally:
            os.close(descriptor)
        block[:] = POISON
        self._blocks[address] = block
        self._next += -(-size // ALIGNMENT) * ALIGNMENT + _GUARD
        return address

    def free(self, address: int) -> None:
        """Gives an allocation back."""
        if self._blocks.pop(address, None) is None:
            raise GraphcError(f"nothing is allocated at address {address}")
        self._worker.request_later("free", address=address)

    def write(self, address: int, array: np.ndarray[Any, Any]) -> None:
        """Copies an array to memory."""
        content = to_bytes(array)
        self._memory(address, len(content))[:] = content

    def read(self, address: int, type: TensorType) -> np.ndarray[Any, Any]:
        """A copy of the tensor at an address."""
        return from_bytes(self._memory(address, stored_nbytes(type)), type)

    def fill(self, address: int, nbytes: int, byte: int) -> None:
        """Sets each of so many bytes."""
        self._memory(address, nbytes)[:] = byte

    def copy(self, destination: int, source: int, nbytes: int) -> None:
        """Copies memory to memory."""
        self._memory(destination, nbytes)[:] = self._memory(source, nbytes)

    def load(self, kernel: Kernel) -> int:
        """Makes a kernel ready and returns its number."""
        if kernel.library is not None:
            raise CompileError(
                f"kernel {kernel.name!r} is a call of a library, which needs a GPU",
                received=str(kernel.library),
            )
        path = self._cache.source(kernel)
        types = [t for t in signature(kernel).items() if t[1] != "constexpr"]
        pointers = [
            (name, type, stored_nbytes(tensor), role)
            for (name, type), tensor, role in zip(
                types, kernel.pointers, _roles(kernel), strict=True
            )
        ]
        request = {
            "path": str(path),
            "name": kernel.name,
            "pointers": pointers,
            "constants": dict(kernel.constants),
            "grid": kernel.programs,
        }
        key = json.dumps(request, sort_keys=True)
        if key not in self._numbers:
            try:
                self._numbers[key] = self._worker.request("load", **request)
            except RequestError as error:
                message = _describe(kernel, error)
                raise CompileError(message, received=error.details) from error
            self._kernels.append(kernel)
        return self._numbers[key]

    def launch(self, number: int, addresses: Sequence[int]) -> None:
        """Runs a kernel to its end."""
        try:
            self._worker.request("launch", number=number, addresses=list(addresses))
        except RequestError as error:
            message = _describe(self._kernels[number], error)
            raise GraphcError(message, received=error.details) from error

    def bind(self, number: int, addresses: Sequence[int]) -> Command:
        """A launch with its addresses."""
        return functools.partial(self.launch, number, addresses)

    def record(self, commands: Sequence[Command]) -> Command | None:
        """None: there is no faster way."""
        return None

    def timed(self, command: Command) -> float:
        """Runs a command, and how many seconds that took."""
        start = time.perf_counter()
        command()
        return time.perf_counter() - start

    def find(self, array: Any, type: TensorType) -> tuple[int, object] | None:
        """None: no other library has arrays here."""
        return None

    @property
    def queue(self) -> Queue | None:
        """None: this is no GPU."""
        return None

    def synchronize(self) -> None:
        """Nothing: launches have ended when `launch` returns."""

    def close(self) -> None:
        """Ends the process and frees all memory."""
        self._worker.close()
        self._blocks.clear()

    def _memory(self, address: int, nbytes: int) -> np.ndarray[Any, Any]:
        for start, block in self._blocks.items():
            if start <= address and address + nbytes <= start + len(block):
                return block[address - start :][:nbytes]
        raise GraphcError(
            f"{nbytes} bytes at address {address} are not all in one allocation"
        )


def _roles(kernel: Kernel) -> list[str]:
    """What the kernel may do with each of its pointers: a value of `Role`."""
    overwritten = set(kernel.in_place.values())
    parameters = [
        "updated" if number in overwritten else "parameter"
        for number in range(len(kernel.parameters))
    ]
    results = [
        "accumulated" if number in kernel.zeroed else "result"
        for number in range(len(kernel.results))
        if number not in kernel.in_place
    ]
    return parameters + results


def _describe(kernel: Kernel, error: RequestError) -> str:
    layers = f" of {', '.join(kernel.layers)}" if kernel.layers else ""
    return f"kernel {kernel.name!r}{layers} fails in Triton's interpreter: {error}"
