"""The space of schedules of one Triton kernel: what its template offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import emit_kernel
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning import candidates, scheduled_kernel
from graphc.ir.graph import Graph
from graphc.tuning.space import Axis, Choice, Space

SCHEDULE = "schedule"
"""The name of the only axis."""


@dataclass(frozen=True, slots=True)
class KernelSpace:
    """The schedules that a kernel may be launched with.

    Attributes:
        graph: The kernel graph.
        schedules: The schedules by name, its own first.
    """

    graph: Graph
    schedules: dict[str, Schedule]

    @property
    def space(self) -> Space:
        """The choices."""
        return Space((Axis(SCHEDULE, tuple(self.schedules)),))

    def program_of(self, choice: Choice) -> dict[str, Any]:
        """What a worker needs to know of a choice."""
        return {"schedule": choice[0]}

    def kernel_of(self, name: str) -> Kernel | None:
        """The kernel with the schedule of a name; None if it has no such."""
        default = emit_kernel(self.graph)
        schedule = self.schedules[name]
        if schedule == own_schedule(default):
            return default
        return scheduled_kernel(self.graph, default, schedule)


def kernel_space(graph: Graph) -> KernelSpace:
    """The schedules of the kernel of a kernel graph."""
    default = emit_kernel(graph)
    every = [own_schedule(default), *candidates(graph, default)]
    return KernelSpace(graph, {schedule_name(each): each for each in every})


def own_schedule(kernel: Kernel) -> Schedule:
    """The schedule that a kernel was made with."""
    return Schedule(dict(kernel.constants), kernel.num_warps, kernel.num_stages)


def schedule_name(schedule: Schedule) -> str:
    """How a schedule is spelled: its tile sizes, warps and stages."""
    sizes = [f"{name}={size}" for name, size in sorted(schedule.constants.items())]
    sizes += [f"warps={schedule.num_warps}", f"stages={schedule.num_stages}"]
    if schedule.descriptors:
        sizes.append("descriptors")
    return ",".join(sizes)


def kernel_graphs(lowered: Graph) -> list[Graph]:
    """The kernel graphs that a graph lowered for Triton calls."""
    return [each for each in lowered.reachable() if each.attributes.get("fused")]
