"""Exponentials and logarithms."""

from __future__ import annotations

SOURCE = """
@triton.jit
def _tanh(x):
    # Below 0.6 a polynomial in x**2, fitted to 2**-23; elsewhere no bits cancel out.
    square = x * x
    series = tl.fma(square, 0.015640397, -0.05223105)
    series = tl.fma(square, series, 0.1331352)
    series = tl.fma(square, series, -0.33332622)
    near_zero = x * tl.fma(square, series, 1.0)
    elsewhere = 1.0 - 2.0 / (tl.exp2(2.88539008 * x) + 1.0)
    return tl.where(tl.abs(x) < 0.6, near_zero, elsewhere)


@triton.jit
def _tanh_f64(x):
    part = _expm1_f64(-2.0 * tl.abs(x))
    return _copysign(tl.abs(part) / (part + 2.0), x)


@triton.jit
def _expm1(x):
    # Below 0.5 a polynomial, fitted to 2**-27; elsewhere fewer than two bits cancel.
    series = tl.fma(x, 0.0001999043, 0.0013997486)
    series = tl.fma(x, series, 0.008333082)
    series = tl.fma(x, series, 0.041665316)
    series = tl.fma(x, series, 0.16666669)
    series = tl.fma(x, series, 0.5)
    return tl.where(tl.abs(x) < 0.5, x * tl.fma(x, series, 1.0), tl.exp(x) - 1.0)


@triton.jit
def _expm1_f64(x):
    # Kahan's formula: the error of the power cancels out with that of its logarithm.
    power = tl.exp(x)
    near_zero = (power - 1.0) * (x / tl.log(power))
    near_zero = tl.where(power == 1.0, x, near_zero)
    return tl.where(tl.abs(x) < 0.5, near_zero, power - 1.0)


@triton.jit
def _log1p(x):
    # Kahan's formula: x over y - 1 makes up for what the sum y has lost of x.
    y = 1.0 + x
    scaled = tl.log(y) * (x / (y - 1.0))
    return tl.where((y == 1.0) | (y == float("inf")), x, scaled)
"""
