"""Integer division, shifts and counts of bits for every operand."""

from __future__ import annotations

SOURCE = '''
@triton.jit
def _divide_signed(a, b):
    # The smallest number over -1 wraps around; a number over 0 is -1.
    special = (b == 0) | (b == -1)
    quotient = a // tl.where(special, 1, b)
    return tl.where(b == 0, -1, tl.where(b == -1, -a, quotient))


@triton.jit
def _divide_unsigned(a, b):
    # A number over 0 has all bits set.
    return tl.where(b == 0, ~b, a // tl.where(b == 0, 1, b))


@triton.jit
def _remainder_signed(a, b):
    # The remainder by 0 is the number itself, that by -1 is 0.
    rest = a % tl.where((b == 0) | (b == -1), 1, b)
    return tl.where(b == 0, a, rest)


@triton.jit
def _remainder_unsigned(a, b):
    # The remainder by 0 is the number itself.
    return tl.where(b == 0, a, a % tl.where(b == 0, 1, b))


@triton.jit
def _shift_left(a, b, width: tl.constexpr):
    inside = (b >= 0) & (b < width)
    return tl.where(inside, a << tl.where(inside, b, 0), 0)


@triton.jit
def _shift_right(a, b, width: tl.constexpr):
    """`a`, which is unsigned, shifted right, zeros moving in."""
    inside = b < width
    return tl.where(inside, a >> tl.where(inside, b, 0), 0)


@triton.jit
def _shift_right_arithmetic(a, b, width: tl.constexpr):
    """`a`, which is signed, shifted right, copies of the sign moving in."""
    return a >> tl.where((b >= 0) & (b < width), b, width - 1)


@triton.jit
def _population_count(x):
    """How many bits of 32 are set. After Warren, Hacker's Delight, figure 5-2."""
    x = x - ((x >> 1) & 0x55555555)
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    return (x * 0x01010101) >> 24


@triton.jit
def _population_count_64(x):
    low = _population_count((x & 0xFFFFFFFF).to(tl.uint32))
    return low + _population_count((x >> 32).to(tl.uint32))


@triton.jit
def _leading_zeros(x):
    """How many of 32 bits stand above the highest one that is set."""
    x = x | (x >> 1)
    x = x | (x >> 2)
    x = x | (x >> 4)
    x = x | (x >> 8)
    x = x | (x >> 16)
    return 32 - _population_count(x)


@triton.jit
def _leading_zeros_64(x):
    high = (x >> 32).to(tl.uint32)
    low = _leading_zeros((x & 0xFFFFFFFF).to(tl.uint32))
    return tl.where(high == 0, low + 32, _leading_zeros(high))
'''
