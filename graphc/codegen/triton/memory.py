"""Packing blocks that live at known times into one piece of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ALIGNMENT = 256
"""What every offset is a multiple of: a whole number of cache lines and sectors."""


@dataclass(frozen=True, slots=True)
class Block:
    """Memory that is needed from one time to another, both included."""

    bytes: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where blocks lie.

    Attributes:
        offsets: The offset of each block, in the order of the blocks.
        bytes: The size of the whole.
        bound: The most bytes that are alive at one time: no layout is smaller.
    """

    offsets: tuple[int, ...]
    bytes: int
    bound: int


def aligned(bytes: int, alignment: int = ALIGNMENT) -> int:
    """The next multiple of `alignment`; the first one for nothing at all."""
    return max(1, -(-bytes // alignment)) * alignment


def pack(blocks: Sequence[Block]) -> Layout:
    """A layout in which blocks that are alive at one time do not overlap.

    Several orders of placing the blocks are tried, of which one or the other is
    better; each block goes into the smallest gap that takes it [1].

    [1] Pisarchyk, Lee: Efficient memory management for deep neural net inference,
        2020, arXiv:2001.03288 (greedy by size).
    """
    bound = _most_alive(blocks)
    best: Layout | None = None
    for key in _ORDERS:
        order = sorted(range(len(blocks)), key=lambda i: key(blocks[i]))
        offsets, size = _placed(blocks, order)
        if best is None or size < best.bytes:
            best = Layout(offsets, size, bound)
        if best.bytes == bound:
            break
    assert best is not None
    return best


_ORDERS: tuple[Callable[[Block], tuple[int, ...]], ...] = (
    lambda block: (-block.bytes, block.start),
    lambda block: (block.start, -block.bytes),
    lambda block: (-block.bytes * (block.end - block.start + 1), block.start),
    lambda block: (block.start - block.end, -block.bytes),
)
"""Largest first, first come first, most memory over time first, longest first."""


def _placed(
    blocks: Sequence[Block], order: Iterable[int]
) -> tuple[tuple[int, ...], int]:
    """Offsets and size when blocks are placed in `order`."""
    starts = np.array([block.start for block in blocks], np.int64)
    ends = np.array([block.end for block in blocks], np.int64)
    lows = np.full(len(blocks), -1, np.int64)  # not placed yet
    highs = np.zeros(len(blocks), np.int64)
    for index in order:
        block, needed = blocks[index], aligned(blocks[index].bytes)
        beside = (starts <= block.end) & (ends >= block.start) & (lows >= 0)
        offset = _best_gap(lows[beside], highs[beside], needed)
        lows[index], highs[index] = offset, offset + needed
    return tuple(lows.tolist()), int(highs.max(initial=0))


def _best_gap(
    lows: np.ndarray[tuple[int], np.dtype[np.int64]],
    highs: np.ndarray[tuple[int], np.dtype[np.int64]],
    needed: int,
) -> int:
    """The start of the smallest gap between ranges that takes `needed` bytes."""
    if not lows.size:
        return 0
    order = np.argsort(lows)
    # A gap ends where a range starts, and starts where those before it have ended.
    gap_starts = np.concatenate(([0], np.maximum.accumulate(highs[order])))
    gaps = lows[order] - gap_starts[:-1]
    fits = np.flatnonzero(gaps >= needed)
    if not fits.size:
        return int(gap_starts[-1])
    return int(gap_starts[fits[np.argmin(gaps[fits])]])


def _most_alive(blocks: Sequence[Block]) -> int:
    """The most bytes, each block aligned, that are alive at one time."""
    changes = sorted(
        [(block.start, aligned(block.bytes)) for block in blocks]
        + [(block.end + 1, -aligned(block.bytes)) for block in blocks]
    )
    alive = most = 0
    for _, change in changes:  # at one time, what ends comes before what starts
        alive += change
        most = max(most, alive)
    return most
