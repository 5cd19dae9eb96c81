"""The process in which Triton's interpreter runs kernels for `InterpreterDevice`.

Triton decides when it is imported whether it compiles or interprets, and what it imported
for one cannot do the other, so interpretation needs a process of its own. Memory is shared
with the process that started it, which sends a file descriptor for each allocation.
"""

from __future__ import annotations

import itertools
import linecache
import mmap
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime.interpreter import TensorHandle

from graphc.runtime.triton_arithmetic import install
from graphc.runtime.triton_cache import import_kernel
from graphc.runtime.triton_memory import (
    AccessError,
    Buffer,
    LaunchMemory,
    Role,
    check_overlap,
    share_equal,
)
from graphc.runtime.worker_process import RequestError, receive_file, serve

POINTER_ALIGNMENT = 16
"""What kernels are compiled to rely on, in bytes."""


@dataclass(frozen=True, slots=True)
class _Pointer:
    """An argument that is a pointer: to elements of what type, in how many bytes."""

    name: str
    type: Any
    nbytes: int
    role: Role


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A kernel that is ready to be launched."""

    path: str
    function: Callable[..., None]
    pointers: Sequence[_Pointer]
    constants: dict[str, Any]
    grid: tuple[int, int, int]


class Worker:
    """The kernels and the memory that this process holds."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._builder = install()
        self._blocks: dict[int, np.ndarray[Any, Any]] = {}
        self._kernels: list[_Loaded] = []

    def allocate(self, address: int, nbytes: int) -> None:
        """Maps memory whose file descriptor follows the request."""
        descriptor = receive_file(self._connection)
        mapped = mmap.mmap(descriptor, nbytes)
        os.close(descriptor)
        self._blocks[address] = np.frombuffer(mapped, np.uint8)

    def free(self, address: int) -> None:
        """Forgets an allocation."""
        del self._blocks[address]

    def load(
        self,
        path: str,
        name: str,
        pointers: Sequence[tuple[str, str, int, str]],
        constants: dict[str, Any],
        grid: tuple[int, int, int],
    ) -> int:
        """Imports the file of a kernel and returns the kernel's number."""
        try:
            function = import_kernel(path, name).rewrite()
        except Exception as error:
            raise RequestError(_describe(error), _place(error, path)) from error
        arguments = [
            _Pointer(argument, tl.str_to_ty(type, None), nbytes, Role(role))
            for argument, type, nbytes, role in pointers
        ]
        self._kernels.append(_Loaded(path, function, arguments, constants, grid))
        return len(self._kernels) - 1

    def launch(self, number: int, addresses: Sequence[int]) -> None:
        """Runs all programs of a kernel, one after the other."""
        kernel = self._kernels[number]
        program = None
        try:
            memory, arguments = self._arguments(kernel, addresses)
            self._builder.memory = memory
            self._builder.set_grid_dim(*kernel.grid)
            for count, program in enumerate(
                itertools.product(*map(range, kernel.grid))
            ):
                memory.begin(count)
                self._builder.set_grid_idx(*program)
                kernel.function(**arguments, **kernel.constants)
            program = None
            memory.check_results()
        except Exception as error:
            place = _place(error, kernel.path)
            if program is not None:
                place = f"program {program}" + (f" {place}" if place else "")
            raise RequestError(_describe(error), place) from error

    def _arguments(
        self, kernel: _Loaded, addresses: Sequence[int]
    ) -> tuple[LaunchMemory, dict[str, Any]]:
        buffers = [
            self._buffer(pointer, address)
            for pointer, address in zip(kernel.pointers, addresses, strict=True)
        ]
        buffers = share_equal(buffers, addresses)
        check_overlap(buffers, addresses)
        memory = LaunchMemory(buffers)
        arguments = {}
        for index, pointer in enumerate(kernel.pointers):
            start = np.array([memory.pointer(index)], np.uint64)
            handle = TensorHandle(start, pointer.type)
            arguments[pointer.name] = tl.tensor(handle, pointer.type)
        return memory, arguments

    def _buffer(self, pointer: _Pointer, address: int) -> Buffer:
        if address % POINTER_ALIGNMENT:
            raise AccessError(f"{pointer.name} is not aligned to {POINTER_ALIGNMENT}")
        itemsize = max(1, pointer.type.element_ty.primitive_bitwidth // 8)
        memory = self._find(pointer, address)
        if pointer.role is Role.ACCUMULATED and memory.any():
            raise AccessError(f"{pointer.name} must be zero when the kernel starts")
        return Buffer(pointer.name, pointer.role, memory, itemsize)

    def _find(self, pointer: _Pointer, address: int) -> np.ndarray[Any, Any]:
        if pointer.nbytes == 0:
            return np.empty(0, np.uint8)
        for start, block in self._blocks.items():
            if start <= address and address + pointer.nbytes <= start + len(block):
                return block[address - start :][: pointer.nbytes]
        raise AccessError(
            f"{pointer.name} takes {pointer.nbytes} bytes at address {address}, "
            "which are not all in one allocation"
        )


def _describe(error: Exception) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines() or [repr(error)]
    if isinstance(error, AccessError):
        return lines[-1]
    return f"{type(error).__name__}: {lines[-1]}"


def _place(error: Exception, path: str) -> str | None:
    """Which line of the file of a kernel an error comes from, with its text."""
    if isinstance(error, SyntaxError):
        return f"at {path}:{error.lineno}: {(error.text or '').strip()}"
    traceback, number = error.__traceback__, None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == path:
            number = traceback.tb_lineno
        traceback = traceback.tb_next
    if number is None:
        return None
    return f"at {path}:{number}: {linecache.getline(path, number).strip()}"


def _calls(connection: Connection) -> Mapping[str, Callable[..., Any]]:
    worker = Worker(connection)
    return {
        "allocate": worker.allocate,
        "free": worker.free,
        "load": worker.load,
        "launch": worker.launch,
    }


if __name__ == "__main__":
    # Kernels divide by zero and overflow: that is theirs to handle.
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    serve(_calls)
