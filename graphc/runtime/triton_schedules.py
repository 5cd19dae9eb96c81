"""The schedules that a lock file has for the kernels of a graph."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning import kernel_key, kernel_shape, schedules
from graphc.files.lock import CANONICAL, STATIC, Key, Line, Locked
from graphc.ir.errors import LoadError
from graphc.ir.graph import Graph
from graphc.passes.inline import FUSED

INTERPRETER = "interpreter"
"""What stands for Triton's interpreter where a device is named."""

AXIS = "schedule"
"""What lines call the only decision about a kernel."""


def kernel_graphs(lowered: Graph) -> list[Graph]:
    """The kernel graphs that a graph lowered for Triton calls."""
    return [each for each in lowered.reachable() if each.attributes.get(FUSED)]


def kernel_subject(graph: Graph, device: str) -> Key:
    """What the line about a kernel is about.

    Args:
        graph: The kernel graph.
        device: What it runs on: ``triton:sm_90``, or ``triton:interpreter``.
    """
    return kernel_key(graph), kernel_shape(graph) or STATIC, device


def locked_schedules(
    lowered: Graph, lock: Locked, device: str, architecture: str
) -> dict[str, Schedule]:
    """The schedules that a lock has for kernels, by the names of their graphs.

    Args:
        lowered: A graph lowered for Triton.
        lock: The lock.
        device: The device, as in `kernel_subject`.
        architecture: The GPU that kernels are made for.

    Raises:
        CompileError: If a line is required and there is none about a kernel that has
            several schedules.
        LoadError: If a line chooses what tuning could not have chosen.
    """
    lines = lock.lock
    found: dict[str, Schedule] = {}
    for graph in kernel_graphs(lowered):
        about = kernel_subject(graph, device)
        line = lines.get(about)
        if line is None and not lock.required:
            continue
        offered = schedules(graph, architecture)
        if line is not None:
            found[graph.name] = _schedule(line, offered)
        elif len(offered) > 1:
            raise lock.missing(about)
    return found


def _schedule(line: Line, offered: Mapping[str, Schedule]) -> Schedule:
    """The schedule of a line, which is one of those that the kernel may have."""
    if line.choice == CANONICAL:
        return next(iter(offered.values()))
    axis, _, name = line.choice.partition("=")
    if axis != AXIS or name not in offered:
        raise LoadError(
            f"{line.key}: the choice is no schedule of this kernel",
            received=line.choice[:200],
            hint="tune again: its template may have changed",
        )
    return offered[name]
