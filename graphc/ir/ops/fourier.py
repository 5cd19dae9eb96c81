"""The discrete Fourier transform of pairs of real and imaginary parts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.opdef import IllTyped, Ints, Kind, Sample
from graphc.ir.ops.elementwise import compare, convert, multiply, select
from graphc.ir.ops.matrices import LIBRARY
from graphc.ir.ops.shape import iota, pad
from graphc.ir.register import primitive
from graphc.ir.typerules import require
from graphc.ir.types import I32, TensorType

MAX_DIMS = 3
"""The most dimensions that are transformed at once."""

_TRANSFORMS = {
    "FFT": np.fft.fftn,
    "IFFT": np.fft.ifftn,
    "RFFT": np.fft.rfftn,
    "IRFFT": np.fft.irfftn,
}


def _half(length: int) -> int:
    """How many of the transform's elements tell all of a real one's."""
    return length // 2 + 1


def _fft_reference(re: Any, im: Any | None = None, *, kind: str, lengths: Any) -> Any:
    shape = list(re.shape)
    shape[-1] = _half(lengths[-1]) if kind == "RFFT" else lengths[-1]
    if 0 in shape:
        found: Any = np.zeros(shape, re.dtype if kind == "IRFFT" else complex)
    else:
        axes = range(-len(lengths), 0)
        found = _TRANSFORMS[kind](re if im is None else re + 1j * im, lengths, axes)
    if kind == "IRFFT":
        return found.astype(re.dtype)
    return found.real.astype(re.dtype), found.imag.astype(re.dtype)


def _scaled(parts: Any, factor: float) -> tuple[Any, ...]:
    return tuple(multiply(x, factor) for x in parts)


def _fft_vjp(
    g: Any, y: Any, re: Any, im: Any = None, *, kind: str, lengths: Any
) -> Any:
    """The transform is linear: its gradient is the conjugate transpose of its matrix.

    Of FFT that is the unscaled inverse, and the other way round. RFFT and IRFFT are
    FFT and IFFT with half of the elements left out or made up from the others.
    """
    count, last = float(math.prod(lengths)), lengths[-1]
    if kind == "FFT":
        return _scaled(fft(*g, kind="IFFT", lengths=lengths), count)
    if kind == "IFFT":
        return _scaled(fft(*g, kind="FFT", lengths=lengths), 1 / count)
    if kind == "RFFT":
        none = [0] * re.type.rank
        missing = [*none[1:], last - _half(last)]
        whole = [pad(x, 0.0, low=none, high=missing) for x in g]
        return _scaled(fft(*whole, kind="IFFT", lengths=lengths)[:1], count)
    places = iota(shape=re.type.shape, axis=re.type.rank - 1, dtype=I32)
    # Elements that are their own mirror image count once, the others twice.
    weights = select(compare(places, 0, direction="EQ"), 1 / count, 2 / count)
    if last % 2 == 0:
        middle = compare(places, last // 2, direction="EQ")
        weights = select(middle, 1 / count, weights)
    weights = convert(weights, dtype=re.type.dtype)
    return tuple(multiply(x, weights) for x in fft(g, kind="RFFT", lengths=lengths))


_PLAIN = {"kind": "FFT", "lengths": [4]}
_REAL = {"kind": "RFFT", "lengths": [4]}


@primitive(
    Kind.OPAQUE,
    _fft_reference,
    vjp=_fft_vjp,
    dtypes=LIBRARY,
    samples=(
        Sample(("f32[3,5]", "f32[3,5]"), {"kind": "FFT", "lengths": [5]}),
        Sample(("f32[2,3,4]", "f32[2,3,4]"), {"kind": "FFT", "lengths": [3, 4]}),
        Sample(("f32[4]", "f32[4]"), {"kind": "IFFT", "lengths": [4]}),
        Sample(("f32[2,3,4]", "f32[2,3,4]"), {"kind": "IFFT", "lengths": [2, 3, 4]}),
        Sample(("f32[2,5]",), {"kind": "RFFT", "lengths": [5]}),
        Sample(("f32[3,6]",), {"kind": "RFFT", "lengths": [3, 6]}),
        Sample(("f32[2,3]", "f32[2,3]"), {"kind": "IRFFT", "lengths": [5]}),
        Sample(("f32[3,4]", "f32[3,4]"), {"kind": "IRFFT", "lengths": [3, 6]}),
        Sample(("f32[1]", "f32[1]"), {"kind": "IRFFT", "lengths": [1]}),
        Sample(("f32[0,4]", "f32[0,4]"), {"kind": "FFT", "lengths": [4]}),
        Sample(("f32[B,4]",), {"kind": "RFFT", "lengths": [4]}),
    ),
    errors=(
        IllTyped(("f32[4]", "f32[4]"), "kind must be", {**_PLAIN, "kind": "DCT"}),
        IllTyped(("f32[4]", "f32[4]"), "1 to 3 positive", {**_PLAIN, "lengths": []}),
        IllTyped(("f32[0]", "f32[0]"), "1 to 3 positive", {**_PLAIN, "lengths": [0]}),
        IllTyped(("f32[4]",), "takes real and imaginary parts", _PLAIN),
        IllTyped(("f32[4]", "f32[4]"), "takes real parts only", _REAL),
        IllTyped(("f32[4]", "f32[3]"), "must have one type", _PLAIN),
        IllTyped(("f32[5]", "f32[5]"), "must end in [4]", _PLAIN),
        IllTyped(("f32[4]", "f32[4]"), "must end in [3]", {**_PLAIN, "kind": "IRFFT"}),
        IllTyped(("f16[4]", "f16[4]"), "must be one of f32, f64", _PLAIN),
    ),
    ulp=4,
    numerics="IRFFT does not read the imaginary parts that a real result rules out",
    no_kernel="Fourier transforms are left to a library",
)
def fft(
    re: TensorType, im: TensorType | None = None, *, kind: str, lengths: Ints
) -> tuple[TensorType, ...]:
    """The discrete Fourier transform over the last dimensions, which have `lengths`.

    `kind` is FFT, IFFT (its inverse, divided by the number of elements), RFFT (of a
    real tensor: one operand, and the first half of the last dimension) or IRFFT (its
    inverse: a real result of these lengths). The results are real and imaginary parts.
    """
    if kind not in _TRANSFORMS:
        raise GraphError(
            f"fft: kind must be one of {', '.join(_TRANSFORMS)}",
            received=repr(kind)[:80],
        )
    if not 1 <= len(lengths) <= MAX_DIMS or min(lengths) < 1:
        raise GraphError(
            f"fft: there must be 1 to {MAX_DIMS} positive lengths",
            received=str(list(lengths)),
        )
    given = [re] if im is None else [re, im]
    if kind == "RFFT":
        require(im is None, "fft: RFFT takes real parts only", *given)
    else:
        require(im is not None, f"fft: {kind} takes real and imaginary parts", re)
        require(re == im, "fft: real and imaginary parts must have one type", *given)
    ends: list[Dim] = list(lengths)
    if kind == "IRFFT":
        ends[-1] = _half(lengths[-1])
    end = f"[{', '.join(map(str, ends))}]"
    require(list(re.shape[-len(ends) :]) == ends, f"fft: must end in {end}", *given)
    if kind == "IRFFT":
        return (re.with_shape((*re.shape[:-1], lengths[-1])),)
    last = _half(lengths[-1]) if kind == "RFFT" else lengths[-1]
    result = re.with_shape((*re.shape[:-1], last))
    return result, result
