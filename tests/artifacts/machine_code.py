"""Machine code that a driver in Python runs: artifacts for a GPU that is not there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.tuning import ChosenKernel, choose_kernels
from graphc.ir import Graph
from graphc.runtime import triton_runtime
from graphc.runtime.cuda_device import CudaDevice
from graphc.runtime.cuda_driver import Driver
from graphc.runtime.triton_compile import CompiledKernel
from tests.cuda_double import CudaDouble, compiled
from tests.evaluator_device import Memory, run_kernel


class MachineCode:
    """A compiler whose machine code is a name, and a GPU that knows what it means.

    Attributes:
        double: The GPU's driver.
        device: The GPU.
    """

    def __init__(self) -> None:
        self._kernels: dict[str, tuple[Graph, Kernel]] = {}
        self.double = CudaDouble(self.run)
        self.device = CudaDevice(opened=Driver(self.double))

    def install(self, monkeypatch: Any) -> None:
        """Makes it the compiler and the GPU of this process."""
        monkeypatch.setattr(triton_runtime, "choose_kernels", self._emit)
        monkeypatch.setattr(triton_runtime, "compiler", lambda store: self)
        monkeypatch.setattr(triton_runtime, "cuda", lambda: self.device)
        monkeypatch.setattr(triton_runtime.cuda_driver, "unavailable", lambda: None)

    def compile(
        self, kernels: Sequence[Kernel], architecture: str
    ) -> list[CompiledKernel]:
        return [
            compiled(kernel, entry=_code(kernel), binary=_code(kernel).encode())
            for kernel in kernels
        ]

    def _emit(self, graph: Graph, *arguments: Any) -> dict[str, ChosenKernel]:
        found = choose_kernels(graph, *arguments)
        for name, chosen in found.items():
            kernel = chosen.kernel
            code = _code(kernel)
            self._kernels[code] = graph.module.graphs[name], kernel
            self.double.pointers[code] = len(kernel.pointers)
        return found

    def run(self, memory: Memory, code: str, addresses: Sequence[int]) -> None:
        """Does what a kernel does."""
        run_kernel(memory, *self._kernels[code], addresses)


def _code(kernel: Kernel) -> str:
    """What stands for a kernel's machine code; its end says how many pointers it takes."""
    digest = hashlib.sha256(kernel.source.encode()).hexdigest()[:24]
    return f"code_{digest}_{len(kernel.pointers)}"
