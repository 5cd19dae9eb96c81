"""The schedules that a lock file has for the kernels of a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning import kernel_key, kernel_shape, schedules
from graphc.files.lock import (
    CANONICAL,
    STATIC,
    Key,
    Line,
    Locked,
    hardware_of,
    target_of,
)
from graphc.ir.errors import CompileError, LoadError
from graphc.ir.graph import Graph
from graphc.passes.inline import kernel_graphs

INTERPRETER = "interpreter"
"""What stands for Triton's interpreter where a device is named."""

AXIS = "schedule"
"""What lines call the only decision about a kernel."""


def kernel_subject(graph: Graph, device: str) -> Key:
    """What the line about a kernel is about.

    Args:
        graph: The kernel graph.
        device: What it runs on: ``triton:sm_90 on NVIDIA H100``, ``triton:sm_90`` for
            any GPU of that architecture, or ``triton:interpreter``.
    """
    return kernel_key(graph), kernel_shape(graph) or STATIC, device


@dataclass(frozen=True, slots=True)
class LockedSchedule:
    """What a lock has for a kernel.

    Attributes:
        schedule: The schedule, or None if what it chooses cannot be had.
        origin: What a report says of where the kernel's schedule is from, behind the
            word for the lock, or else for what takes its place.
        lines: The lines about the kernel, of all GPUs of its architecture.
    """

    schedule: Schedule | None
    origin: str
    lines: tuple[Line, ...]


def locked_schedules(
    lowered: Graph,
    lock: Locked,
    device: str,
    architecture: str,
    no_library: Callable[[], str | None],
) -> dict[str, LockedSchedule]:
    """What a lock has for kernels, by the names of their graphs.

    A line that was measured on the same GPU comes first, then one that names none, then
    the first of another GPU of that architecture.

    Args:
        lowered: A graph lowered for Triton.
        lock: The lock.
        device: The device, as in `kernel_subject`.
        architecture: The GPU that kernels are made for.
        no_library: Why no library can be called, or None if one can.

    Raises:
        CompileError: If a line is required and there is none about a kernel that has
            several schedules, or none that can be had.
        LoadError: If a line chooses what tuning could not have chosen.
    """
    target = target_of(device)
    lines: dict[Key, list[Line]] = {}
    for line in sorted(lock.lines, key=str):
        if target_of(line.device) == target:
            lines.setdefault((line.key, line.shape, target), []).append(line)
    found: dict[str, LockedSchedule] = {}
    for graph in kernel_graphs(lowered):
        about = kernel_subject(graph, target)
        known = lines.get(about)
        if known is None and not lock.required:
            continue
        offered = schedules(graph, architecture)
        if known is not None:
            chosen = _nearest(known, device)
            schedule, origin = _schedule(chosen, offered), _origin(chosen, device)
            if schedule.library is not None and (reason := no_library()):
                if lock.required:
                    raise _without_library(chosen, reason)
                schedule, origin = None, f", not {chosen.choice} by lock: {reason}"
            found[graph.name] = LockedSchedule(schedule, origin, tuple(known))
        elif len(offered) > 1:
            raise lock.missing((*about[:2], device))
    return found


def _nearest(lines: Sequence[Line], device: str) -> Line:
    """Of the lines about a kernel, sorted, the one to go by on a device."""
    same = [line for line in lines if line.device == device]
    anywhere = [line for line in lines if not hardware_of(line.device)]
    return [*same, *anywhere, *lines][0]


def _origin(line: Line, device: str) -> str:
    hardware = hardware_of(line.device)
    return f" of {hardware}" if hardware and line.device != device else ""


def _without_library(line: Line, reason: str) -> CompileError:
    return CompileError(
        f"{line.key}: the lock chooses {line.choice}, which cannot be had: {reason}",
        received=str(line)[:200],
        hint="do not require lines: then the kernel has graphc's own schedule; or tune"
        " it again and keep that line out",
    )


def _schedule(line: Line, offered: Mapping[str, Schedule]) -> Schedule:
    """The schedule of a line, which is one of those that the kernel may have."""
    if line.choice == CANONICAL:
        return next(iter(offered.values()))
    axis, _, name = line.choice.partition("=")
    if axis != AXIS or name not in offered:
        raise unoffered(line)
    return offered[name]


def unoffered(line: Line) -> LoadError:
    """The error that a line chooses what its kernel cannot have."""
    return LoadError(
        f"{line.key}: the choice is no schedule of this kernel",
        received=line.choice[:200],
        hint="tune again: its template may have changed",
    )
