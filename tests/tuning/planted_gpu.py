"""A GPU that is not there, for workers: its kernels fail in every way a candidate can.

Loaded into a worker, it takes the place of compiler and driver. What a kernel computes
the evaluator says, and how long it takes `SECONDS`, with noise.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import emit_kernel
from graphc.ir import CompileError, Graph
from graphc.runtime import triton_runtime
from graphc.runtime.cuda_device import CudaDevice
from graphc.runtime.cuda_driver import Driver
from graphc.runtime.triton_compile import CompiledKernel
from graphc.runtime.triton_device import stored_nbytes
from graphc.tuning import kernels
from tests.cuda_double import CudaDouble, compiled
from tests.evaluator_device import run_kernel

Tile = tuple[int, int, int]

CANONICAL, FASTEST, SLOWER = (16, 16, 1), (16, 64, 4), (64, 64, 8)
SPILLING, REFUSED = (64, 64, 4), (64, 32, 4)
CRASHING, LYING, STRAYING = (64, 16, 4), (32, 32, 4), (32, 64, 4)
"""Rows and columns of a tile, and warps: each fails in its way."""

SECONDS: Mapping[Tile, float] = {CANONICAL: 1e-5, SLOWER: 8e-6, FASTEST: 5e-6}
"""How long kernels take; the others would be faster still."""


def tile(kernel: Kernel) -> Tile:
    """What kernels are told apart by."""
    sizes = kernel.constants
    return sizes["BLOCK_M"], sizes["BLOCK_N"], kernel.num_warps


class PlantedGpu(CudaDouble):
    """A driver whose clock knows which kernel ran last."""

    def __init__(self) -> None:
        super().__init__(self._launched)
        self.graphs_of: dict[str, Graph] = {}
        self.kernels: dict[str, Kernel] = {}
        self.latest: Tile = CANONICAL
        self.noise = random.Random(0)

    def compile(
        self, kernels: Sequence[Kernel], architecture: str
    ) -> list[CompiledKernel]:
        """Machine code is a name."""
        (kernel,) = kernels
        if tile(kernel) == REFUSED:
            raise CompileError("planted: it needs too much shared memory")
        code = f"{kernel.name} {kernel.schedule}"
        self.kernels[code] = kernel
        self.pointers[code] = len(kernel.pointers)
        spills = 8 if tile(kernel) == SPILLING else 0
        return [compiled(kernel, entry=code, binary=code.encode(), spills=spills)]

    def emit(self, graph: Graph, *arguments: Any, **options: Any) -> Kernel:
        """Notes which graph a kernel computes."""
        kernel = emit_kernel(graph, *arguments, **options)
        self.graphs_of[kernel.name] = graph
        return kernel

    def _launched(
        self, double: CudaDouble, code: str, addresses: Sequence[int]
    ) -> None:
        kernel = self.kernels[code]
        self.latest = tile(kernel)
        if self.latest == CRASHING:
            os.kill(os.getpid(), signal.SIGSEGV)
        run_kernel(self, self.graphs_of[kernel.name], kernel, addresses)
        place, type = addresses[-1], kernel.pointers[-1]
        if self.latest == LYING:
            self.write(place, self.read(place, type) + 1)
        if self.latest == STRAYING:
            self.memory(place + stored_nbytes(type), 1)[:] = 0

    def do_cuMemsetD8Async(self, address: int, *arguments: int) -> None:  # noqa: N802
        _, size, _ = arguments
        if (
            size < 1 << 20
        ):  # what is larger only empties caches, of which there are none
            super().do_cuMemsetD8Async(address, *arguments)

    def do_cuEventElapsedTime(self, passed: Any, start: int, end: int) -> None:  # noqa: N802
        super().do_cuEventElapsedTime(passed, start, end)
        seconds = SECONDS.get(self.latest, 1e-6)
        passed.value = seconds * 1e3 * max(0.5, self.noise.gauss(1, 0.05))


GPU = PlantedGpu()


def install() -> None:
    """Makes it the compiler and the GPU of this process."""
    triton_runtime.Compiler = lambda cache: GPU  # type: ignore[assignment,misc]
    triton_runtime.CudaDevice = lambda: CudaDevice(opened=Driver(GPU))  # type: ignore[assignment,misc]
    kernels.emit_kernel = GPU.emit


if __name__ != "tests.tuning.planted_gpu":  # a worker loads it as a file
    install()
