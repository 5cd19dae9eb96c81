"""Kernels with schedules that were measured, where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from graphc.codegen.triton.contraction import contraction_body
from graphc.codegen.triton.contraction_schedule import PROGRAMS
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.library import library_kernel
from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE, emit_kernel
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning.table import Table, signature_of
from graphc.ir.graph import Graph
from graphc.passes.inline import kernel_graphs

CONTRACTED = "BLOCK_K"
"""The constant that only kernels of contractions have."""

ROW = "RBLOCK"
"""What constants begin with that decide how a row is walked: the text depends on it."""


LOCK, TABLE, COST_MODEL = "lock", "table", "cost model"
"""Where schedules are from: a lock file, the table of the GPU, or sizes alone."""


@dataclass(frozen=True, slots=True)
class ChosenKernel:
    """A kernel with the schedule that was chosen for it.

    Attributes:
        kernel: The kernel.
        origin: Where the choice is from: ``lock``, ``table`` or ``cost model``.
    """

    kernel: Kernel
    origin: str


def emit_tuned_kernels(
    graph: Graph, table: Table, architecture: str = DEFAULT_ARCHITECTURE
) -> dict[str, Kernel]:
    """The kernels of all kernel graphs that `graph` and its callees call, by name.

    As `choose_kernels`, where nothing is locked.
    """
    chosen = choose_kernels(graph, table, architecture)
    return {name: each.kernel for name, each in chosen.items()}


def choose_kernels(
    graph: Graph,
    table: Table,
    architecture: str = DEFAULT_ARCHITECTURE,
    locked: Mapping[str, Schedule] | None = None,
    libraries: bool = False,
) -> dict[str, ChosenKernel]:
    """The kernels of all kernel graphs that `graph` and its callees call, by name.

    Args:
        graph: A lowered graph.
        table: The schedules of the GPU. Where there is none, or it does not fit, the
            default stays.
        architecture: That GPU.
        locked: Schedules that come before those, by the names of kernel graphs.
        libraries: Whether calls of libraries can be made where it will run; otherwise
            a schedule that is one does not fit.

    Raises:
        UnsupportedError: If something in a kernel graph has no Triton form.
    """
    return {
        each.name: _chosen(
            each, table, architecture, (locked or {}).get(each.name), libraries
        )
        for each in kernel_graphs(graph)
    }


def _chosen(
    graph: Graph,
    table: Table,
    architecture: str,
    locked: Schedule | None,
    libraries: bool,
) -> ChosenKernel:
    kernel = emit_kernel(graph, architecture=architecture)
    entry = table.get(signature_of(graph)) if table else None
    measured = None if entry is None else entry.schedule
    for schedule, origin in ((locked, LOCK), (measured, TABLE)):
        made = schedule and scheduled_kernel(graph, kernel, schedule)
        if made is not None and (libraries or made.library is None):
            return ChosenKernel(made, origin)
    return ChosenKernel(kernel, COST_MODEL)


def scheduled_kernel(graph: Graph, kernel: Kernel, schedule: Schedule) -> Kernel | None:
    """The kernel of a graph with another schedule than its own; None if it has no such.

    Args:
        graph: The kernel graph.
        kernel: Its kernel.
        schedule: The tile sizes and launch parameters.
    """
    if schedule == kernel.schedule:
        return kernel
    if schedule.library is not None:
        return library_kernel(graph, kernel)
    own, other = kernel.constants, schedule.constants
    if set(own) != set(other) - {PROGRAMS}:
        return None
    if CONTRACTED in own:
        return emit_kernel(graph, partial(contraction_body, schedule=schedule))
    if any(own[name] != other[name] for name in own if name.startswith(ROW)):
        return None
    if not kernel.takes(other):
        return None
    return replace(
        kernel,
        constants={name: other[name] for name in own},
        num_warps=schedule.num_warps,
        num_stages=schedule.num_stages,
    )
