"""Packing blocks: none overlap that live together, and little is wasted."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.codegen.triton.memory import ALIGNMENT, Block, aligned, pack

BLOCKS = st.lists(
    st.builds(
        lambda bytes, start, length: Block(bytes, start, start + length),
        st.integers(0, 5000),
        st.integers(0, 40),
        st.integers(0, 12),
    ),
    max_size=30,
)


@settings(max_examples=40)
@given(BLOCKS)
def test_blocks_that_live_together_do_not_overlap(blocks: list[Block]):
    layout = pack(blocks)
    placed = list(zip(blocks, layout.offsets, strict=True))
    for block, offset in placed:
        assert offset % ALIGNMENT == 0
        assert 0 <= offset <= layout.bytes - aligned(block.bytes)
    for (a, i), (b, j) in itertools.combinations(placed, 2):
        if a.start <= b.end and b.start <= a.end:
            assert i + a.bytes <= j or j + b.bytes <= i


@settings(max_examples=40)
@given(BLOCKS)
def test_the_bound_is_what_lives_at_one_time(blocks: list[Block]):
    layout = pack(blocks)
    alive = (
        sum(aligned(b.bytes) for b in blocks if b.start <= time <= b.end)
        for time in range(60)
    )
    assert layout.bound == max(alive)
    assert layout.bound <= layout.bytes


def test_what_ends_makes_room():
    chain = [Block(1000, time, time + 1) for time in range(20)]
    layout = pack(chain)
    assert layout.bytes == layout.bound == 2 * aligned(1000)


def test_a_block_goes_into_the_smallest_gap_that_takes_it():
    kept = [Block(256, 0, 9), Block(256, 0, 9), Block(256, 0, 9)]
    gaps = [Block(1024, 0, 1), Block(512, 0, 1)]
    late = [Block(512, 3, 9), Block(1024, 3, 9)]
    layout = pack([*kept, *gaps, *late])
    assert layout.bytes == layout.bound


def test_nothing_takes_no_room():
    assert pack([]).bytes == 0
    assert aligned(0) == ALIGNMENT
