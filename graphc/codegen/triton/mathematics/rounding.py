"""Whole numbers near a number, and exact remainders."""

from __future__ import annotations

SOURCE = '''
@triton.jit
def _copysign(magnitude, sign):
    """`magnitude`, which is not negative, with the sign of `sign`; -0.0 has one."""
    if sign.dtype == tl.float64:
        sign_bit = sign.to(tl.uint64, bitcast=True) & 0x8000000000000000
        bits = magnitude.to(tl.uint64, bitcast=True) | sign_bit
    else:
        sign_bit = sign.to(tl.uint32, bitcast=True) & 0x80000000
        bits = magnitude.to(tl.uint32, bitcast=True) | sign_bit
    return bits.to(sign.dtype, bitcast=True)


@triton.jit
def _is_negative(x):
    """Whether the sign bit is set; that of -0.0 is."""
    if x.dtype == tl.float64:
        bits = x.to(tl.int64, bitcast=True)
    else:
        bits = x.to(tl.int32, bitcast=True)
    return bits < 0


@triton.jit
def _floor(x):
    # On NVIDIA GPUs tl.floor takes subnormal numbers for zero.
    whole = tl.floor(x)
    return tl.where(x < whole, whole - 1.0, whole)


@triton.jit
def _ceil(x):
    # On NVIDIA GPUs tl.ceil takes subnormal numbers for zero.
    whole = tl.ceil(x)
    return tl.where(x > whole, whole + 1.0, whole)


@triton.jit
def _round_nearest_even(x):
    # Floats of this size have no fraction, so the sum is rounded to a whole number.
    size = tl.abs(x)
    if x.dtype == tl.float64:
        whole = tl.where(size < 2.0**52, (size + 2.0**52) - 2.0**52, size)
    else:
        whole = tl.where(size < 2.0**23, (size + 2.0**23) - 2.0**23, size)
    return _copysign(whole, x)


@triton.jit
def _round_nearest_afz(x):
    # Not floor(x + 0.5): the sum rounds up what lies just below a half.
    size = tl.abs(x)
    whole = tl.floor(size)
    return _copysign(tl.where(size - whole >= 0.5, whole + 1.0, whole), x)


@triton.jit
def _divide_with_rest(rest, divisor, scale, steps: tl.constexpr, bits: tl.constexpr):
    """What is left of `rest`: multiples of `divisor * scale` and smaller ones go."""
    for _ in range(steps):
        part = divisor * scale
        # The quotient is below 2**bits and off by at most one; its rest is exact.
        left = tl.fma(-tl.floor(rest / part), part, rest)
        left = tl.where(left < 0.0, left + part, left)
        left = tl.where(left >= part, left - part, left)
        rest = tl.where(part > rest, rest, left)
        scale *= 0.5**bits
    return rest


@triton.jit
def _remainder(a, b):
    """The exact remainder of floats, by long division in float64."""
    rest, divisor = tl.broadcast(tl.abs(a).to(tl.float64), tl.abs(b).to(tl.float64))
    scale = tl.full([], 2.0**280, tl.float64)
    rest = _divide_with_rest(rest, divisor, scale, 11, 28)
    return _copysign(rest.to(tl.float32), a)


@triton.jit
def _remainder_f64(a, b):
    """The exact remainder of floats, by long division."""
    rest, divisor = tl.broadcast(tl.abs(a), tl.abs(b))
    scale = tl.full([], 2.0**1000, tl.float64)
    # No power of two that float64 holds leads from the smallest to the largest number.
    far = divisor * 2.0**525 * 2.0**525
    rest = _divide_with_rest(rest, far, scale, 21, 50)
    rest = _divide_with_rest(rest, divisor, scale, 21, 50)
    return _copysign(rest, a)
'''
