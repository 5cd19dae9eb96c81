"""Schedules that are worth measuring for a kernel."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from graphc.codegen.triton import contraction_schedule
from graphc.codegen.triton.contraction_space import contraction_space
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning.kernels import CONTRACTED, ROW
from graphc.ir.graph import Graph

MOST = 12
"""How many candidates a kernel has at most, beside its own schedule."""

LEAST_TILE, MOST_TILE = 32, 1 << 15
"""Elements of the tile that a program holds."""


def candidates(graph: Graph, kernel: Kernel) -> list[Schedule]:
    """Schedules for the kernel of a graph, the likeliest first, without its own.

    Args:
        graph: The kernel graph.
        kernel: Its kernel with the default schedule.
    """
    own = Schedule(dict(kernel.constants), kernel.num_warps, kernel.num_stages)
    found = _of_contraction(graph) if CONTRACTED in own.constants else _nearby(own)
    return [each for each in found if each != own][:MOST]


def _of_contraction(graph: Graph) -> list[Schedule]:
    space = contraction_space(graph, always=True)
    if space is None:
        return []
    problem = space.problem(bool(graph.attributes.get("tf32")))
    return contraction_schedule.candidates(problem)


def _nearby(own: Schedule) -> list[Schedule]:
    """Half, once and twice each tile size, with as many warps and stages; nearest first."""
    sizes = [
        (size,) if name.startswith(ROW) else (size // 2, size, size * 2)
        for name, size in own.constants.items()
    ]
    warps = (own.num_warps // 2, own.num_warps, own.num_warps * 2)
    stages = {own.num_stages, max(1, own.num_stages - 1), own.num_stages + 1}
    found: list[tuple[int, Schedule]] = []
    every = itertools.product(itertools.product(*sizes), warps, sorted(stages))
    for chosen, count, depth in every:
        constants = dict(zip(own.constants, chosen, strict=True))
        if not _fits(constants, count):
            continue
        schedule = Schedule(constants, count, depth)
        found.append((_distance(own, schedule), schedule))
    found.sort(key=lambda pair: pair[0])
    return [schedule for _, schedule in found]


def _fits(constants: Mapping[str, int], warps: int) -> bool:
    tile = _product(constants.values())
    within = LEAST_TILE <= tile <= MOST_TILE
    return within and min(constants.values()) >= 1 and 1 <= warps <= 16


def _distance(own: Schedule, other: Schedule) -> int:
    """How many settings differ."""
    changed = sum(own.constants[n] != size for n, size in other.constants.items())
    changed += own.num_warps != other.num_warps
    # Loops that are in flight matter only where there are loops.
    return changed + 2 * (own.num_stages != other.num_stages)


def _product(sizes: Iterable[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total
