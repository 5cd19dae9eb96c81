"""Conversion to integers, and elements of 8 bits as bytes."""

from __future__ import annotations

SOURCE = '''
@triton.jit
def _to_integer(x, dtype: tl.constexpr, low: tl.constexpr, high: tl.constexpr):
    """Floats without their fractions; those out of range saturate, and nan gives 0."""
    whole = tl.where((x > low) & (x < high), x, 0.0).to(dtype)
    return tl.where(x >= high, high, tl.where(x <= low, low, whole))


@triton.jit
def _decode_f8e4m3fn(code):
    # As a float32 of these bits it is too small by the difference of the biases.
    bits = (code & 0x7F).to(tl.uint32) << 20
    size = bits.to(tl.float32, bitcast=True) * 2.0**120
    size = tl.where((code & 0x7F) == 0x7F, float("nan"), size)
    return size * tl.where(code < 0x80, 1.0, -1.0)


@triton.jit
def _decode_f8e5m2(code):
    # The upper half of a float16.
    return (code.to(tl.uint16) << 8).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def _encode_f8e4m3fn(x):
    bits = x.to(tl.uint32, bitcast=True)
    size = bits & 0x7FFFFFFF
    # To nearest even at 3 bits of fraction; above 464 comes nan.
    normal = ((size + 0x7FFFF + ((size >> 20) & 1)) >> 20) - (120 << 3)
    normal = tl.where(size > 0x43E80000, 0x7F, normal)
    # The last bit of a float32 near 2**14 is the unit of subnormal numbers, 2**-9.
    subnormal = (tl.abs(x) + 2.0**14).to(tl.uint32, bitcast=True) - 0x46800000
    code = tl.where(size < 0x3C800000, subnormal, normal)
    return (code | ((bits >> 24) & 0x80)).to(tl.uint8)


@triton.jit
def _encode_f8e5m2(x):
    bits = x.to(tl.uint32, bitcast=True)
    size = bits & 0x7FFFFFFF
    # To nearest even at 2 bits of fraction; above 57344 comes infinity.
    normal = ((size + 0xFFFFF + ((size >> 21) & 1)) >> 21) - (112 << 2)
    normal = tl.where(size >= 0x47800000, 0x7C, normal)
    # The last bit of a float32 near 2**7 is the unit of subnormal numbers, 2**-16.
    subnormal = (tl.abs(x) + 2.0**7).to(tl.uint32, bitcast=True) - 0x43000000
    code = tl.where(size < 0x38800000, subnormal, normal)
    code = tl.where(size > 0x7F800000, 0x7E, code)
    return (code | ((bits >> 24) & 0x80)).to(tl.uint8)
'''
