"""Signals: frames of a sequence, and Fourier transforms as real and imaginary parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.frontend.dispatch import op
from graphc.frontend.ops import arrangement, elementwise, logic, reduction
from graphc.frontend.ops.arrangement import cut_out
from graphc.frontend.ops.indexing import take
from graphc.frontend.ops.operands import (
    TensorLike,
    check_one_of,
    floats,
    promote,
    read,
    refuse,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Literal, Value
from graphc.ir import ops as ir_ops
from graphc.ir.ops.along_axes import widen
from graphc.ir.types import I32

__all__ = [
    "extract_sequences",
    "fft",
    "fft2",
    "ifft2",
    "irfft",
    "istft",
    "rfft",
    "stft",
]


@op
def extract_sequences(
    x: TensorLike, sequence_length: int, sequence_stride: int
) -> Tensor:
    """Pieces of equal length of a sequence, which may overlap.

    Args:
        x: A tensor [..., N].
        sequence_length: The length of a piece.
        sequence_stride: The distance of the starts of neighbouring pieces.

    Returns:
        A tensor [..., count, sequence_length] of all pieces that fit.

    Raises:
        GraphError: For lengths below 1 or above N.
    """
    operand = read(x)
    size = operand.shape[-1] if operand.shape else 0
    too_long = isinstance(size, int) and sequence_length > size
    if sequence_length < 1 or sequence_stride < 1 or too_long:
        refuse(
            f"Expected a length in 1..{size} and a stride of at least 1. "
            f"Received: {sequence_length=}, {sequence_stride=}"
        )
    count = (size - sequence_length) // sequence_stride + 1
    grid = (count, sequence_length)
    start = ir_ops.iota(shape=grid, axis=0, dtype=I32)
    offset = ir_ops.iota(shape=grid, axis=1, dtype=I32)
    places = ir_ops.add(ir_ops.multiply(start, sequence_stride), offset)
    return tensor(ir_ops.take(operand, places, axis=operand.type.rank - 1))


# -- Fourier transforms ----------------------------------------------------------------


def _parts(x: Any) -> list[Value]:
    """The real and the imaginary part of a pair of them, in one dtype and shape."""
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        refuse(
            "Expected a pair of tensors, the real and the imaginary part. "
            f"Received: {type(x).__name__}"
        )
    parts = [widen(floats(tensor(part))) for part in promote(*x)]
    if parts[0].shape != parts[1].shape or parts[0].type.rank == 0:
        refuse(
            "Expected parts of one shape, of rank 1 or more. "
            f"Received: {parts[0].type}, {parts[1].type}"
        )
    return parts


def _lengths(x: Value, count: int) -> list[int]:
    lengths = x.shape[x.type.rank - count :]
    if len(lengths) != count or not all(isinstance(n, int) for n in lengths):
        refuse(f"Expected {count} last dimensions of known sizes. Received: {x.type}")
    return [int(n) for n in lengths]  # pyright: ignore[reportArgumentType]


def _transformed(x: Any, kind: str, count: int) -> tuple[Tensor, Tensor]:
    parts = _parts(x)
    found = ir_ops.fft(*parts, kind=kind, lengths=_lengths(parts[0], count))
    return tensor(found[0]), tensor(found[1])


@op
def fft(x: Any) -> tuple[Tensor, Tensor]:
    """The discrete Fourier transform over the last dimension.

    Args:
        x: A pair of tensors [..., N]: the real and the imaginary part.

    Returns:
        The real and the imaginary part of the transform, [..., N].

    Raises:
        GraphError: If x is no pair of tensors of one shape, or N is not known.
    """
    return _transformed(x, "FFT", 1)


@op
def fft2(x: Any) -> tuple[Tensor, Tensor]:
    """The discrete Fourier transform over the last two dimensions; see `fft`."""
    return _transformed(x, "FFT", 2)


@op
def ifft2(x: Any) -> tuple[Tensor, Tensor]:
    """The inverse of `fft2`."""
    return _transformed(x, "IFFT", 2)


def _fitted(x: Value, size: int) -> Value:
    """`x` cut, or padded with zeros, to a size of the last dimension."""
    axis = x.type.rank - 1
    (given,) = _lengths(x, 1)
    if given >= size:
        return cut_out(x, axis, 0, size)
    high = [0] * axis + [size - given]
    return ir_ops.pad(x, Literal(0, x.dtype), low=[0] * (axis + 1), high=high)


@op
def rfft(x: TensorLike, fft_length: int | None = None) -> tuple[Tensor, Tensor]:
    """The discrete Fourier transform of real numbers over the last dimension.

    Args:
        x: A tensor [..., N].
        fft_length: To what N is cut, or filled up with zeros; N by default.

    Returns:
        The real and the imaginary part of the first ``N // 2 + 1`` elements; the others
        are their mirror image.

    Raises:
        GraphError: If N is not known.
    """
    operand = widen(floats(x))
    size = _lengths(operand, 1)[0] if fft_length is None else fft_length
    real, imaginary = ir_ops.fft(_fitted(operand, size), kind="RFFT", lengths=[size])
    return tensor(real), tensor(imaginary)


@op
def irfft(x: Any, fft_length: int | None = None) -> Tensor:
    """The inverse of `rfft`: real numbers.

    Args:
        x: A pair of tensors [..., K]: the real and the imaginary part.
        fft_length: The size of the result, N; 2 (K - 1) by default. K is cut, or filled
            up with zeros, to ``N // 2 + 1``.

    Returns:
        A tensor [..., N].
    """
    parts = _parts(x)
    size = 2 * (_lengths(parts[0], 1)[0] - 1) if fft_length is None else fft_length
    fitted = [_fitted(part, size // 2 + 1) for part in parts]
    return tensor(ir_ops.fft(*fitted, kind="IRFFT", lengths=[size]))


# -- short-time Fourier transforms -----------------------------------------------------

_WINDOWS = {"hann": np.hanning, "hamming": np.hamming}


def _window(window: Any, length: int, fft_length: int, dtype: str) -> Tensor:
    """The weights of a frame, in the middle of `fft_length` places."""
    if length > fft_length:
        refuse(
            "Expected frames of at most `fft_length`. "
            f"Received: sequence_length={length}, fft_length={fft_length}"
        )
    if isinstance(window, str):
        check_one_of("window", window, _WINDOWS)
        # Periodic: one more place, which is left out.
        window = _WINDOWS[window](length + 1)[:-1]
    weights = tensor(value(np.ones(fft_length) if window is None else window, dtype))
    if window is None:
        return weights
    if weights.shape != (length,):
        refuse(
            f"Expected a window of {length} weights. Received: shape {weights.shape}"
        )
    before = (fft_length - length) // 2
    return arrangement.pad(weights, (before, fft_length - length - before))


@op
def stft(
    x: TensorLike,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> tuple[Tensor, Tensor]:
    """The short-time Fourier transform: `rfft` of frames that overlap.

    Args:
        x: A tensor [..., N] of floats.
        sequence_length: The length of a frame.
        sequence_stride: The distance of the starts of neighbouring frames.
        fft_length: To what frames are filled up with zeros on both sides.
        window: Weights of a frame, ``"hann"``, ``"hamming"`` or None for none.
        center: Whether x is mirrored at both ends, so that frame i has its middle at
            ``i * sequence_stride``.

    Returns:
        The real and the imaginary part, [..., frames, fft_length // 2 + 1].

    Raises:
        GraphError: If arguments do not fit.
    """
    signal = tensor(floats(x))
    weights = _window(window, sequence_length, fft_length, signal.dtype)
    if center:
        edge = (fft_length // 2, fft_length // 2)
        widths = [(0, 0)] * (signal.ndim - 1) + [edge]
        signal = arrangement.pad(signal, widths, mode="reflect")
    return rfft(extract_sequences(signal, fft_length, sequence_stride) * weights)


@op
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Tensor:
    """The inverse of `stft`, where frames overlap enough for one.

    Args:
        x: A pair of tensors [..., frames, fft_length // 2 + 1]: the real and the
            imaginary part.
        sequence_length: The length of a frame.
        sequence_stride: The distance of the starts of neighbouring frames.
        fft_length: The length that frames were filled up to.
        length: The size of the result, if it is to be cut.
        window: The weights of a frame, as in `stft`.
        center: Whether the signal was mirrored at both ends.

    Returns:
        A tensor [..., N].

    Raises:
        GraphError: If arguments do not fit.
    """
    frames = irfft(x, fft_length)
    weights = _window(window, sequence_length, fft_length, frames.dtype)
    count = frames.shape[-2]
    if not isinstance(count, int):
        refuse(f"Expected a known number of frames. Received: {count}")
    total = _overlapped(frames * weights, sequence_stride)
    shape = (count, fft_length)
    squares = arrangement.broadcast_to(weights * weights, shape)
    share = _overlapped(squares, sequence_stride)
    reached = share > 1e-10
    found = logic.where(reached, total / logic.where(reached, share, 1.0), total)
    start = fft_length // 2 if center else 0
    stop = found.shape[-1] - start if length is None else start + length
    return found[..., start:stop]


def _overlapped(frames: Tensor, stride: int) -> Tensor:
    """The sum of frames [..., count, length], each `stride` behind the one before."""
    count, length = frames.shape[-2:]
    size = (count - 1) * stride + length
    # Where element p of the result lies in frame i, if it does: at p - i * stride.
    places = np.arange(size)[None, :] - stride * np.arange(count)[:, None]
    inside = (places >= 0) & (places < length)
    flat = arrangement.reshape(frames, (*frames.shape[:-2], count * length))
    rows = np.where(inside, places + length * np.arange(count)[:, None], 0)
    spread = take(flat, rows.astype(np.int32), axis=-1)
    return reduction.sum(elementwise.multiply(spread, inside), -2)
