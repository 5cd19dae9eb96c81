"""The target that tests of Triton kernels run on; ``--triton-target`` says which."""

from __future__ import annotations

from typing import Any

from graphc.codegen.triton.kernel import Kernel
from graphc.runtime.cuda_device import CudaDevice
from graphc.runtime.triton_compile import Compiler
from graphc.runtime.triton_program import POISON

INTERPRETER = "triton:interpreter"
GPU = "triton"

TARGET = INTERPRETER
"""Set before tests are collected."""


class CompilingDevice:
    """A GPU that compiles kernels when they are loaded, and whose memory is poisoned."""

    def __init__(self, device: CudaDevice, compiler: Compiler) -> None:
        self._device = device
        self._compiler = compiler

    def load(self, kernel: Kernel) -> int:
        architecture = self._device.architecture
        (compiled,) = self._compiler.compile([kernel], architecture)
        self._device.add(kernel, compiled)
        return self._device.load(kernel)

    def allocate(self, nbytes: int) -> int:
        address = self._device.allocate(nbytes)
        self._device.fill(address, nbytes, POISON)
        return address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)
