"""Schedules of one Triton kernel on a device, with guards around its memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.codegen.triton.kernel import Kernel
from graphc.ir.errors import GraphcError
from graphc.ir.random_inputs import random_inputs
from graphc.ir.types import U8, TensorType
from graphc.runtime.autotune import (
    FLUSHED,
    KernelCompiler,
    TunedDevice,
    launch_results,
    same_results,
)
from graphc.runtime.triton_device import ALIGNMENT, Command, Device, stored_nbytes
from graphc.runtime.triton_schedules import AXIS
from graphc.tuning.cases import Sample
from graphc.tuning.kernels import KernelSpace
from graphc.tuning.trial import Facts, RejectedError

GUARD = 4 * ALIGNMENT
"""Bytes before and behind each buffer that no kernel may touch."""

GUARD_BYTE = 0xA5


@dataclass
class KernelCase:
    """One kernel on a device.

    Attributes:
        kernels: The kernel with all its schedules.
        device: The device.
        compiler: What makes machine code for it; None for a device that needs none.
        flushed: Bytes that are written before each launch, so that caches hold nothing
            of use.
    """

    kernels: KernelSpace
    device: Device
    compiler: KernelCompiler | None = None
    flushed: int = FLUSHED
    _spills: int | None = field(default=None, init=False)
    _wanted: list[np.ndarray[Any, Any]] | None = field(default=None, init=False)
    _places: list[int] = field(default_factory=list[int], init=False)
    _scratch: int = field(default=0, init=False)

    def facts(self, program: Mapping[str, Any]) -> Facts:
        kernel = self._kernel(program)
        launch = (dict(kernel.constants), kernel.num_warps, kernel.num_stages)
        digest = hashlib.sha256(f"{kernel.source}{launch}".encode()).hexdigest()[:16]
        features = {
            "flops": float(kernel.flops),
            "bytes": float(kernel.bytes),
            "warps": float(kernel.num_warps),
            "stages": float(kernel.num_stages),
            **{name: float(size) for name, size in kernel.constants.items()},
        }
        return Facts(digest, None, features)

    def build(self, program: Mapping[str, Any]) -> Sample:
        kernel = self._kernel(program)
        canonical = next(iter(self.kernels.schedules))
        if self._wanted is None and program[AXIS] != canonical:
            self.build({AXIS: canonical})  # which others are compared with
        try:
            self._compile(kernel)
            number = self.device.load(kernel)
        except RejectedError:
            raise
        except GraphcError as error:
            raise RejectedError("unsupported", error.message) from error
        command = self.device.bind(number, self._addresses(kernel))
        self._check(kernel, command)

        def sample(count: int) -> float:
            times: list[float] = []
            for _ in range(count):
                if self.flushed:
                    self.device.fill(self._scratch, self.flushed, 0)
                times.append(self.device.timed(command))
            return sum(times) / count

        return sample

    def _kernel(self, program: Mapping[str, Any]) -> Kernel:
        kernel = self.kernels.kernel_of(program[AXIS])
        if kernel is None:
            raise RejectedError("unsupported", "the template has no such schedule")
        return kernel

    def _compile(self, kernel: Kernel) -> None:
        """Compiles for the device; what spills more registers than the first is left out.

        Raises:
            RejectedError: If it does.
            GraphcError: If it does not compile.
        """
        if self.compiler is None or kernel.library is not None:
            return
        device: TunedDevice = self.device  # type: ignore[assignment]
        compiled = self.compiler.compile([kernel], device.architecture)[0]
        if self._spills is None:
            self._spills = compiled.spills
        if compiled.spills > self._spills:
            raise RejectedError(
                "pruned",
                f"it spills {compiled.spills} bytes of registers, the canonical"
                f" schedule {self._spills}",
            )
        device.add(kernel, compiled)

    def _addresses(self, kernel: Kernel) -> Sequence[int]:
        """Where the arrays of the kernel lie, the same for all schedules."""
        if not self._places:
            for type in kernel.pointers:
                start = self.device.allocate(_padded(type) + 2 * GUARD)
                self._places.append(start + GUARD)
            if self.flushed:
                self._scratch = self.device.allocate(self.flushed)
        return self._places

    def _check(self, kernel: Kernel, command: Command) -> None:
        """Runs a kernel once and looks at its results and at the bytes around them.

        Raises:
            RejectedError: If it computes something else, or writes where it must not.
        """
        guards = self._guards(kernel)
        for address, size in guards:
            self.device.fill(address, size, GUARD_BYTE)
        inputs = random_inputs(self.kernels.graph)
        try:
            found = launch_results(self.device, kernel, self._places, inputs, command)
        except GraphcError as error:
            raise RejectedError("wrong", error.message) from error
        for address, size in guards:
            held = self.device.read(address, TensorType((size,), U8))
            if np.any(held != GUARD_BYTE):
                raise RejectedError("wrong", "it writes outside of its arrays")
        if self._wanted is None:
            self._wanted = found
        elif not all(map(same_results, found, self._wanted)):
            raise RejectedError(
                "wrong", "the results are not those of the canonical choice"
            )

    def _guards(self, kernel: Kernel) -> list[tuple[int, int]]:
        """The addresses and sizes of the bytes around the arrays."""
        found: list[tuple[int, int]] = []
        for place, type in zip(self._places, kernel.pointers, strict=True):
            size = stored_nbytes(type)
            found.append((place - GUARD, GUARD))
            found.append((place + size, _padded(type) - size + GUARD))
        return found


def _padded(type: TensorType) -> int:
    """The bytes of a tensor, up to a multiple of the alignment."""
    return -(-stored_nbytes(type) // ALIGNMENT) * ALIGNMENT
