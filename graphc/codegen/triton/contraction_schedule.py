"""Tile sizes of kernels that multiply matrices, from shapes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from graphc.codegen.triton.schedule import Schedule, power_of_two
from graphc.passes.fusion.parallelism import PROCESSORS

SHARED_MEMORY = 227 * 1024
"""Bytes of shared memory that one program may take on sm_90."""

BYTES_PER_CYCLE = 48
"""What a multiprocessor reads from the L2 cache."""

LATENCY = 700
"""Cycles until what is asked for is there."""

LEAST_SIDE = 16
"""The least side of the tiles that are multiplied."""

MOST_ACCUMULATED = 128
"""Registers of one thread that sums may take, so that addresses and what is computed
from the sums have as many."""

MOST_WITH_EPILOGUE = 64
"""The same where much is computed from the sums."""

MOST_SCALAR, MOST_SCALAR_WITH_EPILOGUE = 64, 32
"""The same without tensor cores, where threads hold parts of the operands as well."""

LONG_EPILOGUE = 4
"""From how many ops on that is much."""

PROGRAMS = "PROGRAMS"
"""The constant that says how many programs there are, if these take tiles in turn."""

DESCRIBED = 4
"""How many tile sizes are worth measuring with tensor descriptors."""

GROUP_M = 8
"""Tiles along m that come before the next tile along n."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Products of matrices ``[m, k]`` and ``[k, n]``.

    Attributes:
        m, n, k: The sizes of the matrices.
        batch: How many products there are.
        bits: The size of the elements that are multiplied.
        tensor_cores: Whether there are instructions that multiply whole tiles of them.
        aligned: What the tiles' size along k is to divide, if it can.
        products: How many products are accumulated at the same time.
        epilogue: How many ops are computed from an element.
        rows: What the tiles' size along m must be a multiple of: a power of two.
    """

    m: int
    n: int
    k: int
    batch: int = 1
    bits: int = 16
    tensor_cores: bool = True
    aligned: int = 0
    products: int = 1
    epilogue: int = 0
    rows: int = 1


# BLOCK_M, BLOCK_N, bytes along k, stages and warps; the fastest for large shapes first.
_TENSOR_CORES = (
    (128, 256, 128, 3, 8),
    (128, 256, 128, 4, 8),
    (256, 128, 128, 3, 8),
    (128, 128, 128, 4, 8),
    (128, 128, 128, 3, 8),
    (128, 128, 128, 4, 4),
    (64, 256, 128, 4, 4),
    (64, 128, 128, 5, 4),
    (128, 64, 128, 5, 4),
    (64, 64, 128, 6, 4),
    (64, 64, 256, 4, 4),
    (64, 32, 256, 4, 4),
    (32, 64, 256, 4, 4),
    (16, 64, 256, 4, 4),
    (64, 16, 256, 4, 4),
    (32, 32, 256, 4, 2),
    (16, 16, 256, 4, 1),
)
_SCALAR = (
    (64, 64, 64, 3, 4),
    (128, 64, 64, 3, 4),
    (64, 128, 64, 3, 4),
    (128, 64, 64, 3, 8),
    (64, 128, 64, 3, 8),
    (64, 32, 128, 3, 4),
    (32, 64, 128, 3, 4),
    (32, 32, 128, 3, 4),
    (16, 64, 128, 3, 4),
    (64, 16, 128, 3, 4),
    (16, 16, 256, 3, 2),
)


def default_schedule(problem: Problem) -> Schedule:
    """The schedule that is used where nothing was measured."""
    return candidates(problem)[0]


def candidates(
    problem: Problem, *, descriptors: bool = False, warp_specialize: bool = False
) -> list[Schedule]:
    """Schedules worth measuring, those that should be fastest first.

    Args:
        problem: The sizes.
        descriptors: Whether the GPU has hardware that reads tiles, as from sm_90 on.
            Then there are also schedules that use it: with a program for each tile, and
            (not for batches) with one for each multiprocessor, which takes one tile
            after the other.
        warp_specialize: Whether Triton gives warps parts of their own on the GPU, as
            from sm_100 on. Then there are schedules with descriptors that let it.
    """
    table = _TENSOR_CORES if problem.tensor_cores else _SCALAR
    fitting = [clamped for row in table if (clamped := _clamped(problem, row))]
    distinct = list(dict.fromkeys(fitting))
    distinct.sort(key=lambda row: _rank(problem, row))
    plain = [_schedule(row) for row in distinct]
    if not descriptors or not problem.tensor_cores:
        return plain
    described = [replace(schedule, descriptors=True) for schedule in plain[:DESCRIBED]]
    if problem.batch == 1:
        described = [*map(_persistent, described), *described]
    divided = [replace(each, warp_specialize=True) for each in described]
    return [*(divided if warp_specialize else []), *described, *plain]


def _persistent(schedule: Schedule) -> Schedule:
    constants = {**schedule.constants, PROGRAMS: PROCESSORS}
    return replace(schedule, constants=constants)


Row = tuple[int, int, int, int, int]
"""BLOCK_M, BLOCK_N, BLOCK_K, stages and warps."""


def _rank(problem: Problem, row: Row) -> tuple[int, int]:
    """Of those that the estimate does not tell apart, fewer and larger tiles come first."""
    return int(math.log(estimate(problem, row), 1.2)), _tiles(problem, row)


def _tiles(problem: Problem, row: Row) -> int:
    return -(-problem.m // row[0]) * -(-problem.n // row[1]) * problem.batch


def estimate(problem: Problem, row: Row) -> float:
    """The cycles that a multiprocessor needs: a measure to order schedules by.

    A step along k takes as long as the slowest of multiplying, reading the operands
    from L2, and waiting for what was asked for some stages before. Programs that run on
    the same multiprocessor wait at the same time, also for their starts and ends.
    """
    block_m, block_n, block_k, stages, _ = row
    own = -(-_tiles(problem, row) // PROCESSORS)
    together = min(own, _resident(problem, row))
    area = block_m * block_n * problem.products
    multiplying = area * block_k / _products_per_cycle(problem, row)
    reading = shared_memory(problem, row) / stages / BYTES_PER_CYCLE
    waiting = LATENCY / (stages - 1) / together
    steps = -(-problem.k // block_k)
    ends = (2 * LATENCY + area * (2 + problem.epilogue) / 32) / together
    return own * (steps * max(multiplying, reading, waiting) + ends)


def _products_per_cycle(problem: Problem, row: Row) -> float:
    """How many pairs of elements a multiprocessor multiplies and adds."""
    block_m, block_n, _, _, warps = row
    if problem.tensor_cores:
        # Of sm_90's own instructions each takes four warps and 64 rows.
        whole = warps >= 4 and block_m >= 64
        return (2048 if whole else 1024) * 16 / problem.bits
    accumulated = block_m * block_n / (32 * warps)
    # Each thread reads the sides of its part for the products of its area.
    return 128 * 32 / problem.bits * min(1.0, accumulated**0.5 / 8)


def _resident(problem: Problem, row: Row) -> int:
    """How many programs run on a multiprocessor at the same time."""
    threads = 32 * row[4]
    registers = _accumulated(problem, row) + 64
    by_registers = 65_536 // (threads * min(255, registers))
    return max(1, min(SHARED_MEMORY // shared_memory(problem, row), by_registers))


def _accumulated(problem: Problem, row: Row) -> int:
    """The registers of a thread that hold its sums."""
    words = 2 if problem.bits == 64 else 1
    return problem.products * words * row[0] * row[1] // (32 * row[4])


def shared_memory(problem: Problem, row: Row) -> int:
    """The bytes of operands that are in flight."""
    block_m, block_n, block_k, stages, _ = row
    of_one = (block_m + block_n * problem.products) * block_k
    return stages * of_one * problem.bits // 8


def _clamped(problem: Problem, row: Row) -> Row | None:
    """A row of the table for the sizes of a problem; None if it does not fit at all."""
    block_m = _side(row[0], problem.m)
    if block_m % problem.rows:
        return None
    block_n = _side(row[1], problem.n)
    block_k = _depth(problem, row[2] * 8 // problem.bits)
    most = block_m * block_n // (512 if problem.tensor_cores else 256)
    warps = max(1, min(row[4], most))
    stages = max(2, min(row[3], -(-problem.k // block_k)))
    while stages > 2 and not _fits(problem, (block_m, block_n, block_k, stages, warps)):
        stages -= 1
    found = (block_m, block_n, block_k, stages, warps)
    if problem.tensor_cores:
        # Sums of rows hold a second tile beside the one that is stored.
        long = problem.epilogue >= LONG_EPILOGUE or problem.rows > 1
        most = MOST_WITH_EPILOGUE if long else MOST_ACCUMULATED
    else:
        most = MOST_SCALAR_WITH_EPILOGUE if problem.epilogue else MOST_SCALAR
    if _accumulated(problem, found) > most or not _fits(problem, found):
        return None
    return found


def _fits(problem: Problem, row: Row) -> bool:
    return shared_memory(problem, row) <= SHARED_MEMORY


def _side(block: int, extent: int) -> int:
    return max(LEAST_SIDE, min(block, power_of_two(extent)))


def _depth(problem: Problem, block: int) -> int:
    """The tiles' size along k: one that divides what it should, if a large one does."""
    least = 32 if problem.bits == 8 else LEAST_SIDE
    if problem.aligned * problem.bits % 128:
        # Elements are read one by one, with an address each, which takes registers.
        block = min(block, 2 * LEAST_SIDE)
    block = max(least, min(block, power_of_two(problem.k)))
    divisor = problem.aligned & -problem.aligned
    return min(block, divisor) if 2 * divisor >= block else block


def _schedule(row: Row) -> Schedule:
    names = ("BLOCK_M", "BLOCK_N", "BLOCK_K")
    sizes = dict(zip(names, row, strict=False))
    return Schedule({**sizes, "GROUP_M": GROUP_M}, num_warps=row[4], num_stages=row[3])
