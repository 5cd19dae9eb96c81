"""The space of schedules of one Triton kernel: what its template offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE, emit_kernel
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning import scheduled_kernel, schedules
from graphc.ir.graph import Graph
from graphc.runtime.triton_schedules import AXIS
from graphc.tuning.space import Axis, Choice, Space


@dataclass(frozen=True, slots=True)
class KernelSpace:
    """The schedules that a kernel may be launched with.

    Attributes:
        graph: The kernel graph.
        schedules: The schedules by name, its own first.
        architecture: The GPU.
    """

    graph: Graph
    schedules: dict[str, Schedule]
    architecture: str = DEFAULT_ARCHITECTURE

    @property
    def space(self) -> Space:
        """The choices."""
        return Space((Axis(AXIS, tuple(self.schedules)),))

    def program_of(self, choice: Choice) -> dict[str, Any]:
        """What a worker needs to know of a choice."""
        return {AXIS: choice[0]}

    def kernel_of(self, name: str) -> Kernel | None:
        """The kernel with the schedule of a name; None if it has no such."""
        default = emit_kernel(self.graph, architecture=self.architecture)
        return scheduled_kernel(self.graph, default, self.schedules[name])


def kernel_space(graph: Graph, architecture: str = DEFAULT_ARCHITECTURE) -> KernelSpace:
    """The schedules of the kernel of a kernel graph."""
    return KernelSpace(graph, schedules(graph, architecture), architecture)
