"""Tile sizes and launch parameters of kernels whose loops the generator writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphc.passes.fusion.parallelism import PROCESSORS

WIDE_BLOCK = 1024
"""Elements of a pointwise tile: 8 for each thread of 4 warps, loads of 16 bytes."""

LEAST_BLOCK = 128
"""Elements of a pointwise tile where there are few: four for each thread of a warp."""

MAX_ROW = 8192
"""The longest row that one program keeps in registers, in elements."""

LEAST_BESIDE = 8
"""How many columns are read at least: GPUs read memory by 32 bytes."""

TILE = 4096
"""Elements of a tile of a reduction."""

ELEMENTS = 16
"""How many of them a thread has."""

MOST_SUMS = 96
"""How many registers of a thread the tiles may take that loops add to."""


CUBLAS = "cublasLt"
"""NVIDIA's library for products of matrices."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a kernel is cut into tiles and launched.

    Attributes:
        constants: Tile sizes by the names that the text has for them.
        num_warps: How many warps run a program.
        num_stages: How many iterations of a loop are in flight.
        descriptors: Whether tiles of matrices are read by tensor descriptors, for which
            GPUs from sm_90 on have hardware.
        warp_specialize: Whether some warps read and others multiply, where Triton can
            divide the loop so.
        library: The library that computes the results in place of a kernel, or None.
    """

    constants: Mapping[str, int] = field(default_factory=dict[str, int])
    num_warps: int = 4
    num_stages: int = 2
    descriptors: bool = False
    warp_specialize: bool = False
    library: str | None = None

    def __str__(self) -> str:
        """Its tile sizes, warps and stages, as lock files spell them."""
        if self.library is not None:
            return f"library={self.library}"
        parts = [f"{name}={size}" for name, size in sorted(self.constants.items())]
        parts += [f"warps={self.num_warps}", f"stages={self.num_stages}"]
        parts += ["descriptors"] * self.descriptors
        return ",".join([*parts, *(["warp_specialize"] * self.warp_specialize)])


def power_of_two(size: int) -> int:
    """The least power of two that is not less than `size`."""
    return 1 << max(0, size - 1).bit_length()


def pointwise_schedule(elements: int) -> Schedule:
    """A schedule for as many independent elements."""
    block = WIDE_BLOCK
    while block > LEAST_BLOCK and elements < PROCESSORS * block:
        block //= 2  # More, smaller programs keep more of a GPU busy.
    block = min(block, power_of_two(elements))
    return Schedule({"XBLOCK": block}, num_warps=max(1, min(4, block // 256)))


def tiled_schedule(rows: int, columns: int) -> Schedule:
    """A schedule for elements that are stored in one order and read in another."""
    sides = [min(64, power_of_two(size)) for size in (rows, columns)]
    while (
        math.prod(sides) > LEAST_BLOCK
        and -(-rows // sides[0]) * -(-columns // sides[1]) < PROCESSORS
    ):
        sides[sides.index(max(sides))] //= 2  # As above.
    y, x = sides
    warps = max(1, y * x // (32 * ELEMENTS))
    return Schedule({"YBLOCK": y, "XBLOCK": x}, num_warps=warps)


def reduction_schedule(
    kept: int, reduced: int, rows: bool, ordered: bool, sums: int = 1
) -> Schedule:
    """A schedule for reductions.

    Args:
        kept: How many elements are left.
        reduced: How many elements become one.
        rows: Whether these are next to each other in memory.
        ordered: Whether one tile must hold all of them.
        sums: How many reductions there are, each of which keeps a tile through a loop.
    """
    whole = power_of_two(reduced)
    each = of_one = ELEMENTS
    while of_one > 1 and sums * of_one > MOST_SUMS:
        of_one //= 2
    if rows:
        is_whole = whole <= MAX_ROW or ordered
        each = each if is_whole else of_one
        r_block = whole if is_whole else 2048 * each // ELEMENTS
        x_block = max(1, min(TILE // 4 // r_block, 32, power_of_two(kept)))
        while x_block > 1 and kept < PROCESSORS * x_block:
            x_block //= 2  # As above.
    else:
        x_block = min(64, power_of_two(kept))
        while x_block > LEAST_BESIDE and kept < PROCESSORS * x_block:
            # As above; then each program has more of its columns at once.
            x_block //= 2
        if ordered or whole <= TILE // x_block:
            r_block = whole
        else:
            each = of_one
            r_block = max(1, TILE * each // ELEMENTS // x_block)
        if ordered:
            x_block = max(1, min(x_block, TILE // r_block))
    warps = min(16, max(1, power_of_two(math.ceil(x_block * r_block / (32 * each)))))
    return Schedule({"XBLOCK": x_block, "RBLOCK": r_block}, num_warps=warps)
