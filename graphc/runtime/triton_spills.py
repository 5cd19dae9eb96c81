"""Kernels for which a thread has too few registers, with another schedule.

Whether registers suffice is known when a kernel is compiled, and only then. What spills
is compiled again with tiles of which a thread holds less. The result depends on the
kernel, the architecture and Triton alone: no clock is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.tuning import lighter, scheduled_kernel
from graphc.ir.graph import Module
from graphc.runtime.triton_compile import CompiledKernel

ATTEMPTS = 3
"""How many other schedules a kernel is compiled with."""


class KernelCompiler(Protocol):
    """What compiles kernels and says how many bytes each spills."""

    def compile(
        self, kernels: Sequence[Kernel], architecture: str
    ) -> list[CompiledKernel]:
        """The machine code of each kernel, in order."""
        ...


def without_spills(
    kernels: Mapping[str, Kernel],
    module: Module,
    compiler: KernelCompiler,
    architecture: str,
) -> dict[str, Kernel]:
    """Kernels instead of those of `kernels` whose registers spill, by the same names.

    Args:
        kernels: Kernels by the names of their graphs. What was measured to be fast
            should not be among them.
        module: Where the graphs are.
        compiler: What compiles them.
        architecture: What for.

    Returns:
        For each kernel that spills the first that does not, or spills least.
    """
    written = {name: each for name, each in kernels.items() if each.library is None}
    compiled = compiler.compile(list(written.values()), architecture)
    spills = dict(zip(written, (each.spills for each in compiled), strict=True))
    best = {name: written[name] for name, spilled in spills.items() if spilled}
    others = {
        name: lighter(module.graphs[name], kernel, architecture)[:ATTEMPTS]
        for name, kernel in best.items()
    }
    for attempt in range(ATTEMPTS):
        tried: dict[str, Kernel] = {}
        for name in best:
            if spills[name] and attempt < len(others[name]):
                schedule = others[name][attempt]
                made = scheduled_kernel(module.graphs[name], written[name], schedule)
                tried |= {name: made} if made is not None else {}
        compiled = compiler.compile(list(tried.values()), architecture)
        for (name, kernel), each in zip(tried.items(), compiled, strict=True):
            if each.spills < spills[name]:
                best[name], spills[name] = kernel, each.spills
    return {
        name: kernel for name, kernel in best.items() if kernel is not written[name]
    }
