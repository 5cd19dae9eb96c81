"""Schedules that are worth measuring for a kernel."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace

from graphc.codegen.triton import contraction_schedule
from graphc.codegen.triton.contraction_space import contraction_space
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.library import library_call
from graphc.codegen.triton.module import DEFAULT_ARCHITECTURE
from graphc.codegen.triton.schedule import CUBLAS, Schedule
from graphc.codegen.triton.tuning.kernels import CONTRACTED, ROW
from graphc.ir.graph import Graph

MOST = 20
"""How many schedules a kernel is offered at most, beside its own and a library."""

DESCRIPTORS_FROM, SPECIALIZED_FROM = 90, 100
"""The first GPUs with hardware for tensor descriptors, and with warps of several kinds.

Triton 3.6 and 3.9 take ``warp_specialize`` for sm_90, too, and do nothing then.
"""

SIDES = ("BLOCK_M", "BLOCK_N")
"""The constants that are the sides of a tile of a product."""

LEAST_SIDE = 16
"""The least side that ``tl.dot`` takes."""

MOST_MULTIPLYING = 8
"""How many warps a program of such tiles has: more have too few registers each."""

COLUMN = "XBLOCK"
"""What constants begin with that say how many results a program makes side by side."""

MOST_WARPS = 16
"""How many warps a program has at most."""

LEAST_TILE, MOST_TILE = 32, 1 << 15
"""Elements of the tile that a program holds."""


def candidates(
    graph: Graph, kernel: Kernel, architecture: str = DEFAULT_ARCHITECTURE
) -> list[Schedule]:
    """Schedules for the kernel of a graph, the likeliest first, without its own.

    Args:
        graph: The kernel graph.
        kernel: Its kernel with the default schedule.
        architecture: The GPU, such as ``sm_90``.

    Returns:
        The schedules. Last comes the call of a library, if one computes the same.
    """
    own = kernel.schedule
    is_product = CONTRACTED in own.constants
    found = _of_contraction(graph, architecture) if is_product else _nearby(kernel)
    others = [each for each in found if each != own][:MOST]
    called = architecture.startswith("sm_") and library_call(graph) is not None
    return [*others, *([Schedule(library=CUBLAS)] if called else [])]


def lighter(
    graph: Graph, kernel: Kernel, architecture: str = DEFAULT_ARCHITECTURE
) -> list[Schedule]:
    """Schedules with which each thread holds less of a tile, the nearest first.

    Where no tile of a product is smaller, there are fewer terms at a time.

    Args:
        graph: The kernel graph.
        kernel: Its kernel.
        architecture: The GPU, such as ``sm_90``.
    """
    own = kernel.schedule
    if CONTRACTED in own.constants:
        found = [
            each
            for each in _of_contraction(graph, architecture)
            if each.descriptors == own.descriptors and _sums(each) < _sums(own)
        ]
        return sorted(found, key=_sums, reverse=True) or _with_fewer_terms(own)
    found, schedule = list[Schedule](), own
    while (schedule := _halved(schedule)) != (found or [own])[-1]:
        found.append(schedule)
    return found


def _with_fewer_terms(schedule: Schedule) -> list[Schedule]:
    """With fewer columns of the one tile and rows of the other in each step."""
    found: list[Schedule] = []
    terms = schedule.constants[CONTRACTED] // 2
    while terms >= LEAST_SIDE:
        constants = {**schedule.constants, CONTRACTED: terms}
        found.append(replace(schedule, constants=constants))
        terms //= 2
    return found


def _halved(schedule: Schedule) -> Schedule:
    """With twice the warps, or where these are too many with half as many columns.

    Sides of tiles that are multiplied, as attention has them, keep what a product needs.
    """
    multiplies = any(name in SIDES for name in schedule.constants)
    if 2 * schedule.num_warps <= (MOST_MULTIPLYING if multiplies else MOST_WARPS):
        return replace(schedule, num_warps=2 * schedule.num_warps)
    sizes = {
        n: s for n, s in schedule.constants.items() if n.startswith((COLUMN, *SIDES))
    }
    largest = max(sizes, key=sizes.__getitem__, default=None)
    if largest is None or sizes[largest] <= (LEAST_SIDE if multiplies else 1):
        return schedule
    half = {largest: sizes[largest] // 2}
    return replace(schedule, constants={**schedule.constants, **half})


def _sums(schedule: Schedule) -> int:
    """How many sums each warp holds."""
    sides = (schedule.constants[name] for name in ("BLOCK_M", "BLOCK_N"))
    return _product(sides) // schedule.num_warps


def _of_contraction(graph: Graph, architecture: str) -> list[Schedule]:
    space = contraction_space(graph, always=True)
    if space is None:
        return []
    problem = space.problem(bool(graph.attributes.get("tf32")))
    number = architecture.removeprefix("sm_")
    generation = int(number) if number.isdecimal() else 0
    return contraction_schedule.candidates(
        problem,
        descriptors=generation >= DESCRIPTORS_FROM,
        warp_specialize=generation >= SPECIALIZED_FROM,
    )


def _nearby(kernel: Kernel) -> list[Schedule]:
    """Half, once and twice each tile size, with as many warps and stages; nearest first."""
    own = kernel.schedule
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
        if not _fits(constants, count) or not kernel.takes(constants):
            continue
        schedule = Schedule(constants, count, depth)
        found.append((_distance(own, schedule), schedule))
    found.sort(key=lambda pair: pair[0])
    return [schedule for _, schedule in found]


def _fits(constants: Mapping[str, int], warps: int) -> bool:
    tile = _product(constants.values())
    within = LEAST_TILE <= tile <= MOST_TILE
    return within and min(constants.values()) >= 1 and 1 <= warps <= MOST_WARPS


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
