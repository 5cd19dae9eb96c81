"""Kernels with schedules that were measured, where there are any."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from graphc.codegen.triton.contraction import contraction_body
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE, emit_kernel
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning.table import Table, signature_of
from graphc.ir.graph import Graph

CONTRACTED = "BLOCK_K"
"""The constant that only kernels of contractions have."""

ROW = "RBLOCK"
"""What constants begin with that decide how a row is walked: the text depends on it."""


def emit_tuned_kernels(
    graph: Graph, table: Table, architecture: str = DEFAULT_ARCHITECTURE
) -> dict[str, Kernel]:
    """The kernels of all kernel graphs that `graph` and its callees call, by name.

    Args:
        graph: A lowered graph.
        table: The schedules of the GPU. Where there is none, or it does not fit, the
            default stays.
        architecture: That GPU.

    Raises:
        UnsupportedError: If something in a kernel graph has no Triton form.
    """
    return {
        each.name: _tuned(each, table, architecture)
        for each in graph.reachable()
        if each.attributes.get("fused")
    }


def _tuned(graph: Graph, table: Table, architecture: str) -> Kernel:
    kernel = emit_kernel(graph, architecture=architecture)
    entry = table.get(signature_of(graph)) if table else None
    if entry is None:
        return kernel
    return scheduled_kernel(graph, kernel, entry.schedule) or kernel


def scheduled_kernel(graph: Graph, kernel: Kernel, schedule: Schedule) -> Kernel | None:
    """The kernel of a graph with another schedule than its own; None if it has no such.

    Args:
        graph: The kernel graph.
        kernel: Its kernel.
        schedule: The tile sizes and launch parameters.
    """
    own, other = kernel.constants, schedule.constants
    if own.keys() != other.keys():
        return None
    if CONTRACTED in own:
        return emit_kernel(graph, partial(contraction_body, schedule=schedule))
    if any(own[name] != other[name] for name in own if name.startswith(ROW)):
        return None
    return replace(
        kernel,
        constants={name: other[name] for name in own},
        num_warps=schedule.num_warps,
        num_stages=schedule.num_stages,
    )
