"""Powers and roots."""

from __future__ import annotations

SOURCE = '''
@triton.jit
def _cbrt(x):
    size = tl.abs(x)
    root = tl.exp2(tl.log2(size) / 3.0)
    root = root - (root - size / (root * root)) / 3.0  # a step of Newton's method
    regular = (size > 0.0) & (size < float("inf"))
    return tl.where(regular, _copysign(root, x), x)


@triton.jit
def _sum_in_two(a, b):
    """a + b as the sum of two floats, for an a that is 0 or not smaller than b."""
    total = a + b
    return total, (a - total) + b


@triton.jit
def _atanh_argument(x):
    """q = (x - 1) / (x + 1) in two floats; the logarithm of x is 2 atanh(q)."""
    above = x - 1.0
    below = x + 1.0
    lost = x - (below - 1.0)
    q = above / below
    return q, (tl.fma(-q, below, above) - q * lost) / below


@triton.jit
def _log_in_two(size):
    """The logarithm of a number that is not negative as the sum of two floats."""
    tiny = size < 2.0**-126
    bits = tl.where(tiny, size * 2.0**24, size).to(tl.int32, bitcast=True)
    # Such that a number between sqrt(1/2) and sqrt(2) is left.
    exponent = (bits - 0x3F3504F3) >> 23
    q, rest = _atanh_argument((bits - (exponent << 23)).to(tl.float32, bitcast=True))
    exponent = tl.where(tiny, exponent - 24, exponent).to(tl.float32)
    square = q * q
    series = tl.fma(square, 0.29871744, 0.39977542)
    series = tl.fma(square, series, 0.66666776)
    # The first part of log(2) has so few bits that its product is exact.
    high = exponent * 0.693145751953125
    log, low = _sum_in_two(high, 2.0 * q)
    low += exponent * 1.42860682e-06 + (2.0 * rest + q * (square * series))
    log, low = _sum_in_two(log, low)
    return _log_of_limits(size, log), low


@triton.jit
def _log_in_two_f64(size):
    """As _log_in_two. The series is that of Sun's fdlibm, e_log.c."""
    tiny = size < 2.0**-1022
    bits = tl.where(tiny, size * 2.0**54, size).to(tl.int64, bitcast=True)
    exponent = (bits - 0x3FE6A09E667F3BCD) >> 52
    q, rest = _atanh_argument((bits - (exponent << 52)).to(tl.float64, bitcast=True))
    exponent = tl.where(tiny, exponent - 54, exponent).to(tl.float64)
    square = q * q
    series = 0.15313837699209373 + square * 0.14798198605116586
    series = 0.22222198432149784 + square * (0.1818357216161805 + square * series)
    series = 0.3999999999940942 + square * (0.2857142874366239 + square * series)
    series = 0.6666666666666735 + square * series
    high = exponent * 0.6931471803691238
    log, low = _sum_in_two(high, 2.0 * q)
    low += exponent * 1.9082149292705877e-10 + (2.0 * rest + q * (square * series))
    log, low = _sum_in_two(log, low)
    return _log_of_limits(size, log), low


@triton.jit
def _log_of_limits(size, log):
    """`log`, but for the numbers that are no power of two times a fraction."""
    log = tl.where(size < float("inf"), log, size)
    return tl.where(size == 0.0, float("-inf"), log)


@triton.jit
def _power(a, b):
    # In two floats, because b multiplies the error of the logarithm.
    log, low = _log_in_two(tl.abs(a))
    product = log * b
    correction = tl.fma(log, b, -product) + low * b
    correction = tl.where(tl.abs(product) < 150.0, correction, 0.0)
    # The exponential is a power of two, in two factors, times one of a small number.
    product = tl.clamp(product, -150.0, 150.0, tl.PropagateNan.ALL)
    exponent = (product * 1.44269504 + 12582912.0) - 12582912.0  # a whole number
    rest = tl.fma(exponent, -0.693145751953125, product)
    rest = tl.fma(exponent, -1.42860682e-06, rest) + correction
    half = exponent.to(tl.int32) >> 1
    other_half = exponent.to(tl.int32) - half
    power = tl.exp(rest) * ((half + 127) << 23).to(tl.float32, bitcast=True)
    power = power * ((other_half + 127) << 23).to(tl.float32, bitcast=True)
    return _power_by_sign(a, b, power)


@triton.jit
def _power_f64(a, b):
    log, low = _log_in_two_f64(tl.abs(a))
    product = log * b
    correction = tl.fma(log, b, -product) + low * b
    correction = tl.where(tl.abs(product) < 1000.0, correction, 0.0)
    return _power_by_sign(a, b, tl.exp(product) * (1.0 + correction))


@triton.jit
def _power_by_sign(a, b, power):
    """a**b from |a|**b, with the special cases of C's pow."""
    whole = tl.floor(b) == b
    odd = whole & (tl.floor(b * 0.5) != b * 0.5)
    power = tl.where(odd & _is_negative(a), power * -1.0, power)
    undefined = (a < 0.0) & (a > float("-inf")) & ~whole
    power = tl.where(undefined, float("nan"), power)
    unbounded = tl.abs(b) == float("inf")
    one = (b == 0.0) | (a == 1.0) | ((a == -1.0) & unbounded)
    return tl.where(one, 1.0, power)
'''
