"""Angles."""

from __future__ import annotations

SOURCE = '''
@triton.jit
def _atan2(a, b):
    # The angle of the smaller of |a| and |b| over the larger, below the diagonal.
    x, y = tl.abs(b), tl.abs(a)
    small = tl.minimum(x, y, tl.PropagateNan.ALL)
    large = tl.maximum(x, y, tl.PropagateNan.ALL)
    slope = tl.where(small == large, 1.0, small / large)
    slope = tl.where(large == 0.0, 0.0, slope)
    # From 22.5 degrees on as the difference to 45 degrees.
    steep = slope > 0.4142135623730951
    slope = tl.where(steep, (slope - 1.0) / (slope + 1.0), slope)
    square = slope * slope
    if slope.dtype == tl.float64:
        series = _atan_series_f64(square)
    else:
        series = -0.13879836 + square * 0.08060267
        series = -0.33332956 + square * (0.19977924 + square * series)
    angle = slope + slope * (square * series)
    angle = tl.where(steep, angle + 0.7853981633974483, angle)
    angle = tl.where(y > x, 1.5707963267948966 - angle, angle)
    angle = tl.where(_is_negative(b), 3.141592653589793 - angle, angle)
    return _copysign(angle, a)


@triton.jit
def _atan_series_f64(square):
    """(atan(x) / x - 1) / x**2 of x**2 below 0.66**2. After Moshier, Cephes, atan.c."""
    above = -16.157537187333652 + square * -0.8750608600031904
    above = -122.88666844901361 + square * (-75.00855792314705 + square * above)
    above = -64.85021904942025 + square * above
    below = 165.02700983169885 + square * (24.858464901423062 + square)
    below = 485.3903996359137 + square * (432.88106049129027 + square * below)
    below = 194.5506571482614 + square * below
    return above / below
'''
