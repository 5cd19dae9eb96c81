"""Convolutions, patches, and pooling over spatial dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.frontend.config import standardize_data_format
from graphc.frontend.dispatch import op
from graphc.frontend.ops.arrangement import cut_out, permuted
from graphc.frontend.ops.operands import (
    TensorLike,
    check_one_of,
    floats,
    materialize,
    promote,
    read,
    refuse,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Literal, Value
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim
from graphc.ir.types import product

__all__ = [
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "conv",
    "conv_transpose",
    "depthwise_conv",
    "fold",
    "max_pool",
    "separable_conv",
    "unfold",
]

Pair = tuple[Dim, Dim]


# -- arguments -------------------------------------------------------------------------


def per_dimension(given: Any, rank: int, name: str) -> tuple[int, ...]:
    """A number for each spatial dimension.

    Raises:
        GraphError: If there is neither one number nor one for each.
    """
    numbers = (given,) * rank if isinstance(given, int) else tuple(given)
    if len(numbers) != rank or any(
        not isinstance(n, (int, np.integer)) or n < 1 for n in numbers
    ):
        refuse(
            f"Expected a positive integer, or {rank} of them. Received: {name}={given}"
        )
    return tuple(int(n) for n in numbers)


def is_channels_first(data_format: str | None) -> bool:
    """Whether channels come before the spatial dimensions; checks the argument."""
    return standardize_data_format(data_format) == "channels_first"


def _spatial(x: Value, channels_first: bool) -> tuple[Dim, ...]:
    return x.shape[2:] if channels_first else x.shape[1:-1]


def paddings(
    padding: str,
    sizes: Sequence[Dim],
    windows: Sequence[int],
    strides: Sequence[int],
) -> list[Pair]:
    """How much each spatial dimension is padded before and behind.

    With ``"same"`` there is a window for every `stride` elements; what is missing for
    the last one is added on both sides, the odd element behind.
    """
    padding = padding.lower()
    check_one_of("padding", padding, ("valid", "same"))
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    pairs: list[Pair] = []
    for size, window, stride in zip(sizes, windows, strides, strict=True):
        if isinstance(size, int):
            count = (size + stride - 1) // stride
            total: Dim = max((count - 1) * stride + window - size, 0)
        elif window >= stride:
            total = ((size + stride - 1) // stride - 1) * stride + window - size
        elif window == 1:
            total = 0
        else:
            refuse(
                "Expected a window of at least the stride for padding 'same' along a "
                f"dimension of unknown size. Received: window={window}, stride={stride}"
            )
        pairs.append((total // 2, total - total // 2))
    return pairs


def padded(
    x: Value, pairs: Sequence[Pair], channels_first: bool, fill: float
) -> tuple[Value, list[tuple[int, int]]]:
    """`x` padded where the amount is not known yet, and the padding that is left."""
    left: list[tuple[int, int]] = []
    low: list[Dim] = []
    high: list[Dim] = []
    for before, behind in pairs:
        if isinstance(before, int) and isinstance(behind, int):
            left.append((before, behind))
            before = behind = 0
        else:
            left.append((0, 0))
        low.append(before)
        high.append(behind)
    if all(amount == 0 for amount in (*low, *high)):
        return x, left
    ends = ([0, 0], []) if channels_first else ([0], [0])
    low, high = [*ends[0], *low, *ends[1]], [*ends[0], *high, *ends[1]]
    return ir_ops.pad(x, Literal(fill, x.dtype), low=low, high=high), left


# -- convolution -----------------------------------------------------------------------


def _labels(rank: int, channels_first: bool, kernel: str) -> str:
    digits = "".join(map(str, range(rank)))
    data = f"bf{digits}" if channels_first else f"b{digits}f"
    return f"{data}_{digits}{kernel}->{data}"


def _operands(inputs: TensorLike, kernel: TensorLike) -> tuple[Value, Value]:
    x, weights = (materialize(v) for v in promote(inputs, kernel))
    if x.type.rank < 3 or weights.type.rank != x.type.rank:
        refuse(
            "Expected inputs of rank 3 or more and a kernel of the same rank. "
            f"Received: inputs {x.type}, kernel {weights.type}"
        )
    return x, weights


@op
def conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    """A convolution over any number of spatial dimensions.

    Args:
        inputs: A tensor [N, ..., C], or [N, C, ...] with ``"channels_first"``.
        kernel: A tensor [..., C / groups, F]: its sizes say how many groups of
            channels are convolved apart.
        strides: The distance of neighbouring windows, one number or one per dimension.
        padding: ``"valid"`` for none, ``"same"`` for as many windows as there are
            strides in the input.
        data_format: Where the channels are; `config.image_data_format()` by default.
        dilation_rate: The distance of neighbouring elements of a window.

    Returns:
        A tensor [N, ..., F], or [N, F, ...].

    Raises:
        GraphError: If ranks, sizes or arguments do not fit.
    """
    x, weights = _operands(inputs, kernel)
    first = is_channels_first(data_format)
    channels = x.shape[1 if first else -1]
    depth = weights.shape[-2]
    groups = 0
    if isinstance(channels, int) and isinstance(depth, int) and depth > 0:
        groups = channels // depth
    if groups * depth != channels:
        refuse(
            "Expected input channels that are a multiple of the kernel's. "
            f"Received: inputs {x.type}, kernel {weights.type}"
        )
    return tensor(
        _convolved(x, weights, strides, padding, first, dilation_rate, groups)
    )


def _convolved(
    x: Value,
    kernel: Value,
    strides: Any,
    padding: str,
    channels_first: bool,
    dilation_rate: Any,
    groups: int,
) -> Value:
    rank = x.type.rank - 2
    steps = per_dimension(strides, rank, "strides")
    dilation = per_dimension(dilation_rate, rank, "dilation_rate")
    windows = [
        (int(size) - 1) * holes + 1
        for size, holes in zip(kernel.shape, dilation, strict=False)
    ]
    pairs = paddings(padding, _spatial(x, channels_first), windows, steps)
    x, left = padded(x, pairs, channels_first, 0)
    return ir_ops.convolution(
        x,
        kernel,
        labels=_labels(rank, channels_first, "io"),
        strides=steps,
        padding=left,
        input_dilation=[1] * rank,
        kernel_dilation=dilation,
        groups=groups,
    )


@op
def depthwise_conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    """A convolution of each channel by itself.

    Args:
        inputs: A tensor [N, ..., C], or [N, C, ...] with ``"channels_first"``.
        kernel: A tensor [..., C, M] for M results per channel.
        strides: As in `conv`.
        padding: As in `conv`.
        data_format: As in `conv`.
        dilation_rate: As in `conv`.

    Returns:
        A tensor [N, ..., C * M], or [N, C * M, ...].
    """
    x, weights = _operands(inputs, kernel)
    first = is_channels_first(data_format)
    channels = x.shape[1 if first else -1]
    *window, depth, multiplier = weights.shape
    if depth != channels:
        refuse(
            "Expected a kernel [..., channels, multiplier]. "
            f"Received: inputs {x.type}, kernel {weights.type}"
        )
    apart = ir_ops.reshape(weights, shape=[*window, 1, depth * multiplier])
    return tensor(
        _convolved(x, apart, strides, padding, first, dilation_rate, int(depth))
    )


@op
def separable_conv(
    inputs: TensorLike,
    depthwise_kernel: TensorLike,
    pointwise_kernel: TensorLike,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    """A depthwise convolution, then one that mixes the channels of each point.

    Args:
        inputs: A tensor [N, ..., C], or [N, C, ...] with ``"channels_first"``.
        depthwise_kernel: A tensor [..., C, M]; see `depthwise_conv`.
        pointwise_kernel: A tensor [1, ..., C * M, F].
        strides: Of the depthwise convolution, as in `conv`.
        padding: As in `conv`.
        data_format: As in `conv`.
        dilation_rate: Of the depthwise convolution.

    Returns:
        A tensor [N, ..., F], or [N, F, ...].
    """
    apart = depthwise_conv(
        inputs, depthwise_kernel, strides, padding, data_format, dilation_rate
    )
    return conv(apart, pointwise_kernel, 1, "valid", data_format)


@op
def conv_transpose(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    """A transposed convolution: each input element adds a kernel to the result.

    Args:
        inputs: A tensor [N, ..., C], or [N, C, ...] with ``"channels_first"``.
        kernel: A tensor [..., F, C].
        strides: The distance in the result between neighbouring input elements.
        padding: ``"valid"`` keeps everything, ``"same"`` cuts the result to the size
            of the input times the stride.
        output_padding: How much the result is longer, one number or one per dimension,
            below the stride; None infers it.
        data_format: As in `conv`.
        dilation_rate: The distance of neighbouring elements of the kernel.

    Returns:
        A tensor [N, ..., F], or [N, F, ...].
    """
    x, weights = _operands(inputs, kernel)
    first = is_channels_first(data_format)
    if x.shape[1 if first else -1] != weights.shape[-1]:
        refuse(
            "Expected a kernel [..., filters, channels]. "
            f"Received: inputs {x.type}, kernel {weights.type}"
        )
    rank = x.type.rank - 2
    steps = per_dimension(strides, rank, "strides")
    dilation = per_dimension(dilation_rate, rank, "dilation_rate")
    extra: Sequence[int | None] = [None] * rank
    if output_padding is not None:
        extra = (
            [output_padding] * rank
            if isinstance(output_padding, int)
            else (list(output_padding))
        )
    pairs = [
        _transpose_padding((int(size) - 1) * holes + 1, stride, more, padding)
        for size, holes, stride, more in zip(
            weights.shape[:rank], dilation, steps, extra, strict=True
        )
    ]
    return tensor(
        ir_ops.convolution(
            x,
            ir_ops.reverse(weights, axes=range(rank)),
            labels=_labels(rank, first, "oi"),
            strides=[1] * rank,
            padding=pairs,
            input_dilation=steps,
            kernel_dilation=dilation,
        )
    )


def _transpose_padding(
    window: int, stride: int, extra: int | None, padding: str
) -> tuple[int, int]:
    """The padding of the dilated input, which makes the result as long as Keras says.

    A result of full length has ``window - 1`` elements added on both sides.
    """
    padding = padding.lower()
    check_one_of("padding", padding, ("valid", "same"))
    if padding == "valid":
        more = max(stride - window, 0) if extra is None else extra
        return window - 1, window - 1 + more
    room = stride - 2 if extra is None else window % 2 - 2 + extra
    total = window + room
    low = min((total + 1) // 2, window - 1)
    return low, total - low


# -- pooling ---------------------------------------------------------------------------


def _channels_last(x: Value, channels_first: bool) -> Value:
    if not channels_first:
        return x
    return permuted(x, [0, *range(2, x.type.rank), 1])


def _restored(x: Value, channels_first: bool) -> Tensor:
    if not channels_first:
        return tensor(x)
    rank = x.type.rank
    return tensor(permuted(x, [0, rank - 1, *range(1, rank - 1)]))


def _windows(
    x: Value, pool_size: Any, strides: Any, padding: str
) -> tuple[dict[str, Any], list[Pair]]:
    if x.type.rank < 3:
        refuse(f"Expected inputs of rank 3 or more. Received: inputs {x.type}")
    rank = x.type.rank - 2
    window = per_dimension(pool_size, rank, "pool_size")
    steps = window if strides is None else per_dimension(strides, rank, "strides")
    pairs = paddings(padding, x.shape[1:-1], window, steps)
    return {"window": window, "strides": steps}, pairs


@op
def max_pool(
    inputs: TensorLike,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """The largest element under each window over the spatial dimensions.

    Args:
        inputs: A tensor [N, ..., C], or [N, C, ...] with ``"channels_first"``.
        pool_size: The size of the windows, one number or one per dimension.
        strides: The distance of neighbouring windows; `pool_size` by default.
        padding: ``"valid"`` or ``"same"``, as in `conv`; padding never wins.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Returns:
        A tensor of the same rank.
    """
    first = is_channels_first(data_format)
    x = _channels_last(read(inputs), first)
    windows, pairs = _windows(x, pool_size, strides, padding)
    lowest = -np.inf if x.dtype.is_float else np.iinfo(x.dtype.numpy).min
    x, left = padded(x, pairs, False, lowest)
    return _restored(ir_ops.max_pool(x, **windows, padding=left), first)


@op
def average_pool(
    inputs: TensorLike,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """The mean of the elements under each window; padding does not count.

    Args:
        inputs: A tensor [N, ..., C], or [N, C, ...] with ``"channels_first"``.
        pool_size: The size of the windows, one number or one per dimension.
        strides: The distance of neighbouring windows; `pool_size` by default.
        padding: ``"valid"`` or ``"same"``, as in `conv`.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Returns:
        A tensor of the same rank.
    """
    first = is_channels_first(data_format)
    x = _channels_last(floats(inputs), first)
    windows, pairs = _windows(x, pool_size, strides, padding)
    wide, left = padded(x, pairs, False, 0)
    if wide is x:
        return _restored(ir_ops.average_pool(x, **windows, padding=left), first)
    # Padding whose size is not known yet: count what is not padding under a window.
    one = Literal(1.0, x.dtype)
    ones = ir_ops.broadcast_in_dim(one, shape=x.shape, dims=[])
    ones, _ = padded(ones, pairs, False, 0)
    mean, share = (
        ir_ops.average_pool(v, **windows, padding=left, count_padding=True)
        for v in (wide, ones)
    )
    return _restored(ir_ops.divide(mean, share), first)


def _segments(size: Dim, count: int) -> list[tuple[int, int]]:
    """Where each of `count` windows that cover `size` elements starts and ends."""
    if not isinstance(size, int):
        refuse(f"Expected inputs of known spatial sizes. Received: {size}")
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


@op
def adaptive_average_pool(
    inputs: TensorLike, output_size: Any, data_format: str | None = None
) -> Tensor:
    """The means of windows that are chosen to give a result of a wanted size.

    Args:
        inputs: A tensor [N, ..., C], or [N, C, ...] with ``"channels_first"``; its
            spatial sizes must be known.
        output_size: The spatial sizes of the result, one number or one per dimension.
        data_format: Where the channels are; `config.image_data_format()` by default.
    """
    first = is_channels_first(data_format)
    x = _channels_last(floats(inputs), first)
    counts = per_dimension(output_size, x.type.rank - 2, "output_size")
    for axis, count in enumerate(counts, 1):
        segments = _segments(x.shape[axis], count)
        weights = np.zeros((count, int(x.shape[axis])), np.float32)
        for row, (start, end) in zip(weights, segments, strict=True):
            row[start:end] = 1 / (end - start)
        matrix = value(weights, x.dtype.long_name)
        found = ir_ops.dot_general(x, matrix, contract=[[axis], [1]])
        last = x.type.rank - 1
        x = permuted(found, [*range(axis), last, *range(axis, last)])
    return _restored(x, first)


@op
def adaptive_max_pool(
    inputs: TensorLike, output_size: Any, data_format: str | None = None
) -> Tensor:
    """The largest elements of windows that give a result of a wanted size.

    Arguments as `adaptive_average_pool`.
    """
    first = is_channels_first(data_format)
    x = _channels_last(read(inputs), first)
    counts = per_dimension(output_size, x.type.rank - 2, "output_size")
    for axis, count in enumerate(counts, 1):
        shape = list(x.shape)
        shape[axis] = 1
        parts = [
            ir_ops.reshape(
                ir_ops.reduce_max(cut_out(x, axis, start, end), axes=[axis]),
                shape=shape,
            )
            for start, end in _segments(x.shape[axis], count)
        ]
        x = ir_ops.concatenate(*parts, axis=axis)
    return _restored(x, first)


# -- patches ---------------------------------------------------------------------------


def _pair(given: Any, name: str) -> tuple[int, int]:
    if isinstance(given, int):
        return given, given
    if len(given) != 2:
        refuse(f"Expected an integer, or two. Received: {name}={given}")
    return int(given[0]), int(given[1])


def _corners(
    sizes: Sequence[Dim], kernel: Sequence[int], dilation: Any, stride: Any
) -> tuple[list[Dim], list[tuple[int, int]], tuple[int, int]]:
    """How many patches fit, where the elements of a patch lie, and the strides."""
    spread, steps = _pair(dilation, "dilation"), _pair(stride, "stride")
    counts = [
        (size - (width - 1) * holes - 1) // step + 1
        for size, width, holes, step in zip(sizes, kernel, spread, steps, strict=True)
    ]
    places = itertools.product(*(range(width) for width in kernel))
    return counts, [(i * spread[0], j * spread[1]) for i, j in places], steps


@op
def unfold(
    x: TensorLike,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """The patches under a sliding window, as columns.

    Args:
        x: Images [N, C, H, W].
        kernel_size: The height and width of a patch.
        dilation: The distance of neighbouring elements of a patch.
        padding: How many zeros are added on all sides.
        stride: The distance of neighbouring patches.

    Returns:
        A tensor [N, C * height * width, number of patches].
    """
    operand = read(x)
    if operand.type.rank != 4:
        refuse(f"Expected images [N, C, H, W]. Received: {operand.type}")
    kernel = _pair(kernel_size, "kernel_size")
    around = [0, 0, *_pair(padding, "padding")]
    if any(around):
        fill = Literal(0, operand.dtype)
        operand = ir_ops.pad(operand, fill, low=around, high=around)
    n, c, *sizes = operand.shape
    counts, places, steps = _corners(sizes, kernel, dilation, stride)
    parts = []
    for place in places:
        limits = [
            p + (count - 1) * step + 1
            for p, count, step in zip(place, counts, steps, strict=True)
        ]
        part = ir_ops.slice_(
            operand,
            start=[0, 0, *place],
            limit=[n, c, *limits],
            strides=[1, 1, *steps],
        )
        parts.append(ir_ops.reshape(part, shape=[n, c, 1, product(counts)]))
    joined = ir_ops.concatenate(*parts, axis=2)
    return tensor(ir_ops.reshape(joined, shape=[n, c * len(parts), product(counts)]))


@op
def fold(
    x: TensorLike,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """The sum of patches put back into an image: the transpose of `unfold`.

    Args:
        x: A tensor [N, C * height * width, number of patches].
        output_size: The height and width of the images.
        kernel_size: The height and width of a patch.
        dilation: The distance of neighbouring elements of a patch.
        padding: How many elements are cut off on all sides.
        stride: The distance of neighbouring patches.

    Returns:
        Images [N, C, H, W].
    """
    operand = read(x)
    kernel = _pair(kernel_size, "kernel_size")
    around = _pair(padding, "padding")
    sizes = [
        s + 2 * p
        for s, p in zip(_pair(output_size, "output_size"), around, strict=True)
    ]
    counts, places, steps = _corners(sizes, kernel, dilation, stride)
    if operand.type.rank != 3 or operand.shape[2] != product(counts):
        refuse(
            f"Expected a tensor [N, C * {kernel[0]} * {kernel[1]}, {product(counts)}]. "
            f"Received: {operand.type}"
        )
    n, rows, _ = operand.shape
    c = rows // len(places)
    apart = ir_ops.reshape(operand, shape=[n, c, len(places), *counts])
    total: Any = None
    for index, place in enumerate(places):
        part = ir_ops.reshape(
            cut_out(apart, 2, index, index + 1), shape=[n, c, *counts]
        )
        high = [
            size - p - (count - 1) * step - 1 - edge
            for size, p, count, step, edge in zip(
                sizes, place, counts, steps, around, strict=True
            )
        ]
        low = [p - edge for p, edge in zip(place, around, strict=True)]
        spread = ir_ops.pad(
            part,
            Literal(0, operand.dtype),
            low=[0, 0, *low],
            high=[0, 0, *high],
            interior=[0, 0, *(step - 1 for step in steps)],
        )
        total = spread if total is None else ir_ops.add(total, spread)
    return tensor(total)
