"""Example calls of statistics, rarer arithmetic, windows and data-dependent functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.frontend.ops.examples import BATCH, Example

RNG = np.random.default_rng(11)


def floats(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    return RNG.uniform(low, high, shape).astype(np.float32)


def integers(*shape: int, low: int = -9, high: int = 9) -> np.ndarray:
    return RNG.integers(low, high, shape).astype(np.int32)


X = floats(BATCH, 3)
Y = floats(BATCH, 3)
CUBE = floats(BATCH, 2, 3)
GAPS = np.where(RNG.random((BATCH, 2, 5)) < 0.4, np.nan, floats(BATCH, 2, 5))
GAPS = GAPS.astype(np.float32)
ALL_GAPS = np.float32([[np.nan, np.nan], [1, np.nan]])
N = integers(BATCH, 3)
M = np.where(integers(BATCH, 3) == 0, 5, integers(BATCH, 3))
POSITIVE = floats(BATCH, 3, low=0.2, high=3.0)
SPECIAL = np.array([1.5, -0.0, np.inf, -np.inf, np.nan, -2.5], np.float32)
OTHER_SPECIAL = np.array([np.nan, 0.0, np.inf, np.inf, np.nan, 2.5], np.float32)

EXAMPLES: list[Example] = []


def add(name: str, *arguments: Any, **keywords: Any) -> None:
    EXAMPLES.append(Example(name, arguments, keywords))


def batched(name: str, *arguments: Any, **keywords: Any) -> None:
    EXAMPLES.append(Example(name, arguments, keywords, batched=True))


# -- arithmetic ------------------------------------------------------------------------

for _name in ("fmax", "fmin"):
    batched(_name, X, Y)
    add(_name, SPECIAL, OTHER_SPECIAL)
    add(_name, N, 2)
    add(_name, X > 0, Y > 0)
for _name in ("fmod", "gcd", "lcm"):
    batched(_name, N, M)
    add(_name, N, 4)
    add(_name, np.abs(N).astype(np.uint8), np.uint8(6))
batched("fmod", X * 9, Y)
add("fmod", X, 0.7)
add("gcd", np.int32([0, 0, -12]), np.int32([0, 7, 18]))
add("lcm", np.int32([0, 4]), np.int32([5, 6]))
batched("ldexp", X, N)
add("ldexp", np.float32([1.5, 1.0, 3.0]), np.int32([-120, 127, 0]))
add("ldexp", N, 3)
batched("nextafter", X, Y)
add("nextafter", SPECIAL, OTHER_SPECIAL)
add("nextafter", np.float32([1.0, -1.0, 3.5]), np.float32([2.0, 0.0, 3.5]))
for _name in ("real", "imag", "conj", "conjugate", "isreal", "angle"):
    batched(_name, X)
    add(_name, N)
add("angle", SPECIAL)
batched("i0", X)
add("i0", np.float32([-30.0, 0.0, 9.0]))
add("i0", N)
batched("sinc", X)
add("sinc", N)
add("sinc", np.float32([0.0, 1e-3, 0.5]))
for _name in ("sparse_plus", "sparse_sigmoid"):
    batched(_name, X)
    add(_name, N)
add("sparsemax", X * 9)  # where one element is left

# -- reductions ------------------------------------------------------------------------

for _name in ("nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"):
    batched(_name, GAPS, axis=2)
    add(_name, GAPS)
    add(_name, GAPS, axis=(0, 2), keepdims=True)
    add(_name, N, axis=0)
    add(_name, ALL_GAPS, axis=1)
for _name in ("nanargmax", "nanargmin"):
    batched(_name, GAPS, axis=1)
    add(_name, GAPS)
    add(_name, ALL_GAPS, axis=1, keepdims=True)
    add(_name, N, axis=1)
for _name in ("nancumsum", "nancumprod"):
    batched(_name, GAPS, axis=1)
    add(_name, GAPS)
    add(_name, N, axis=1, dtype="float32")
for _name in ("median", "nanmedian"):
    batched(_name, CUBE, axis=2)
    add(_name, CUBE)
    add(_name, CUBE, axis=(0, 2), keepdims=True)
    add(_name, N, axis=1)
    add(_name, GAPS, axis=2)
for _name, _scale in (
    *(("quantile", 1), ("nanquantile", 1), ("percentile", 100), ("nanpercentile", 100)),
):
    batched(_name, CUBE, np.float32(0.3) * _scale, axis=2)
    add(_name, CUBE, np.float32([0, 0.25, 0.9, 1]) * _scale, axis=1)
    add(_name, GAPS, np.float32([0.2, 0.5]) * _scale, axis=(0, 2), keepdims=True)
    add(_name, CUBE, np.float32([0.2, 0.5]) * _scale, keepdims=True)
    add(_name, N, 0.4 * _scale)
    for _method in ("lower", "higher", "midpoint", "nearest"):
        add(_name, X, 0.4 * _scale, axis=0, method=_method)

# -- statistics ------------------------------------------------------------------------

add("digitize", X, np.float32([-1.0, 0.0, 0.5, 1.5]))
add("digitize", N, np.int32([5, 0, -5]))
batched("digitize", X, np.float32([0.0, 1.0]))
add("histogram", CUBE.ravel())
add("histogram", N.ravel(), bins=4)
add("histogram", CUBE.ravel(), bins=5, range=(-1.0, 1.5))
add("histogram", np.float32([3, 3, 3]), bins=2)
add("corrcoef", X)
add("corrcoef", X[0])
for _mode in ("valid", "same", "full"):
    for _lengths in ((7, 3), (7, 4), (3, 7), (4, 7), (5, 5), (6, 6)):
        add("correlate", *(floats(n) for n in _lengths), mode=_mode)
add("correlate", np.int32([1, 2, 3]), np.int32([0, 1]), mode="full")
batched("cdist", CUBE, floats(BATCH, 4, 3))
add("cdist", X, Y)
add("cdist", N, M)
batched("trapezoid", X)
add("trapezoid", X, dx=0.5, axis=0)
add("trapezoid", CUBE, np.float32([0, 0.5, 2]))
add("trapezoid", X, np.float32([0, 1, 3, 4]), axis=0)
add("trapezoid", N)
batched("psnr", X, Y, 1.0)
add("psnr", X, Y, 255)

# -- arrangement and creation ----------------------------------------------------------

add("dsplit", CUBE, 3)
add("dsplit", CUBE, [1])
batched("extract_sequences", floats(BATCH, 9), 4, 2)
add("extract_sequences", floats(2, 3, 7), 3, 1)
add("argpartition", X, 2)
add("argpartition", N, -1, axis=0)
batched("cross", X, Y)
add("cross", floats(3, 2), floats(3, 2))
add("cross", floats(2), floats(4, 3))
add("cross", floats(3, 5), floats(3, 5), axis=0)
add("cross", floats(3, 5), floats(5, 3), axisa=0, axisc=0)
add("cross", N, M)
add("geomspace", 1.0, 1000.0, 4)
add("geomspace", 1, 256, 9, endpoint=False)
add("geomspace", POSITIVE, POSITIVE + 1, 3)
add("geomspace", -POSITIVE[0], -1.0, 3, axis=-1)
add("geomspace", 1.0, 8.0, 4, dtype="int32")
add("vander", X[0])
add("vander", N[0], 4, increasing=True)
add("vander", X[:, 0], 1)
add("unravel_index", np.int32([[0, 5], [23, 7]]), (2, 3, 4))
add("unravel_index", 11, (3, 4))
for _name in ("bartlett", "blackman", "hamming", "hanning"):
    for _size in (0, 1, 7, 8):
        add(_name, _size)
add("kaiser", 7, 2.5)
add("kaiser", 8, 14)

# -- matrices --------------------------------------------------------------------------

SQUARE = (floats(BATCH, 3, 3) + 3 * np.eye(3)).astype(np.float32)
DEFINITE = (SQUARE @ SQUARE.transpose(0, 2, 1)).astype(np.float32)
SIDES = floats(BATCH, 3, 2)
for _upper in (False, True):
    batched("cholesky", DEFINITE, upper=_upper)
    _factor = np.linalg.cholesky(DEFINITE[0]).astype(np.float32)
    add("cholesky_inverse", _factor.T if _upper else _factor, upper=_upper)
for _name in ("det", "inv", "slogdet", "logdet", "lu_factor", "matrix_rank", "pinv"):
    batched(_name, SQUARE)
    add(_name, SQUARE[0][::-1].copy())
add("det", integers(2, 2))
add("slogdet", np.float32([[1, 2], [2, 4]]))
for _name in ("solve", "solve_triangular"):
    batched(_name, SQUARE, SIDES)
    add(_name, SQUARE[0], SIDES[0, :, 0])
    add(_name, SQUARE[0], SIDES[0])
add("solve_triangular", SQUARE, SIDES, lower=True)
for _name in ("qr", "svd", "pinv", "matrix_rank", "lu_factor"):
    batched(_name, CUBE)
    add(_name, X)
add("qr", X, mode="complete")
add("svd", X, full_matrices=False)
add("svd", CUBE, compute_uv=False)
batched("eigh", DEFINITE)
add("matrix_rank", np.ones((3, 3), np.float32))
add("matrix_rank", X, tol=2.0)
add("pinv", np.ones((3, 2), np.float32))
add("lstsq", X, Y[:, :2])
add("lstsq", X.T.copy(), Y[:3, 0])
add("lstsq", np.ones((3, 2), np.float32), Y[:3, 0], rcond=0.1)
for _ord in (2, -2, "nuc"):
    batched("norm", CUBE, ord=_ord, axis=(1, 2))
    add("norm", CUBE, ord=_ord, axis=(2, 0), keepdims=True)

# -- signals ---------------------------------------------------------------------------

PARTS = (floats(BATCH, 5), floats(BATCH, 5))
PLANES = (floats(BATCH, 3, 4), floats(BATCH, 3, 4))
SIGNAL = floats(2, 20)
batched("fft", PARTS)
for _name in ("fft2", "ifft2"):
    batched(_name, PLANES)
batched("rfft", floats(BATCH, 7))
add("rfft", floats(6), 8)
add("rfft", floats(2, 9), fft_length=4)
batched("irfft", PARTS)
add("irfft", PARTS, 7)
add("irfft", PARTS, fft_length=12)
batched("stft", floats(BATCH, 20), 6, 3, 8)
add("stft", SIGNAL, 5, 2, 8, window="hamming", center=False)
add("stft", SIGNAL, 4, 4, 4, window=None)
add("stft", SIGNAL, 3, 2, 5, window=np.float32([0.5, 1, 0.25]))
_frames = tuple(floats(2, 6, 5) for _ in range(2))
batched("istft", tuple(floats(BATCH, 6, 5) for _ in range(2)), 6, 3, 8)
add("istft", _frames, 5, 2, 8, window="hamming", center=False)
add("istft", _frames, 8, 4, 8, length=20)

# -- sizes that depend on values -------------------------------------------------------

add("nonzero", N)
add("nonzero", X > 0)
add("nonzero", X[0] > 9)
add("bincount", np.int32([1, 3, 1]))
add("bincount", np.int32([1, 3, 1]), minlength=6)
add("bincount", np.int32([1, 3, 1]), weights=np.float32([0.5, 1.0, 2.0]))
add("bincount", np.int32([[1, 3], [3, 0]]))
add("unique", N)
add("unique", np.float32([2, np.nan, 1, np.nan, 2]))
add("unique", N, return_index=True, return_inverse=True, return_counts=True)
add("unique", N[0], size=5, return_counts=True)
add("unique", N[0], size=5, fill_value=99, return_index=True)
add("unique", N, size=2, return_counts=True)
