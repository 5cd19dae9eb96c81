"""Images: resizing, cropping, padding, patches, colours and filters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.frontend.dispatch import op
from graphc.frontend.dtypes import is_float, is_int
from graphc.frontend.ops import arrangement, elementwise, logic, reduction
from graphc.frontend.ops.arrangement import cut_out, permuted, reshaped
from graphc.frontend.ops.convolution import (
    depthwise_conv,
    is_channels_first,
    paddings,
    per_dimension,
)
from graphc.frontend.ops.core import saturate_cast
from graphc.frontend.ops.operands import (
    TensorLike,
    check_one_of,
    floats,
    matched,
    read,
    refuse,
    with_static,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Literal, Value
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim
from graphc.ir.ops.along_axes import in_dtype, widen

__all__ = [
    "crop_images",
    "extract_patches",
    "extract_patches_3d",
    "gaussian_blur",
    "hsv_to_rgb",
    "pad_images",
    "resize",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "scale_and_translate",
    "sobel_edges",
    "ssim",
]


def image_axes(images: Value, data_format: str | None) -> tuple[int, int, int]:
    """The axes of height, width and channels of an image or a batch of images.

    Raises:
        GraphError: If the rank is neither 3 nor 4.
    """
    rank = images.type.rank
    if rank not in (3, 4):
        refuse(
            "Expected an image of rank 3 or a batch of images of rank 4. "
            f"Received: images {images.type}"
        )
    if is_channels_first(data_format):
        return rank - 2, rank - 1, rank - 3
    return rank - 3, rank - 2, rank - 1


# -- resizing --------------------------------------------------------------------------


def _triangle(x: Any) -> Any:
    return np.maximum(0, 1 - x)


def _keys_cubic(x: Any) -> Any:
    near = ((1.5 * x - 2.5) * x) * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x >= 2, 0, np.where(x >= 1, far, near))


def _lanczos(radius: int) -> Callable[[Any], Any]:
    def kernel(x: Any) -> Any:
        return np.where(x > radius, 0, np.sinc(x) * np.sinc(x / radius))

    return kernel


_KERNELS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("linear", "bilinear", "trilinear"), _triangle),
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), _keys_cubic),
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}
_RESIZE = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")


def _weights(
    old: int, new: int, scale: float, shift: float, method: str, antialias: bool
) -> np.ndarray[Any, Any]:
    """What each old element [old] contributes to each new one [new] along an axis."""
    places = (np.arange(new) + 0.5 - shift) / scale - 0.5
    width = max(1 / scale, 1.0) if antialias else 1.0
    apart = np.abs(places[None, :] - np.arange(old)[:, None]) / width
    weights = _KERNELS[method](apart)
    total = weights.sum(axis=0)
    known = np.abs(total) > 1000 * np.finfo(np.float32).eps
    weights = np.where(known, weights / np.where(known, total, 1), 0)
    inside = (places >= -0.5) & (places <= old - 0.5)
    return np.where(inside, weights, 0)


def _mixed(x: Value, weights: np.ndarray[Any, Any], axis: int) -> Value:
    """Sums of the elements of `x` along an axis, with weights [old, new]."""
    matrix = value(weights, x.dtype.long_name)
    found = ir_ops.dot_general(x, matrix, contract=[[axis], [0]])
    last = x.type.rank - 1
    return permuted(found, [*range(axis), last, *range(axis, last)])


def _known(size: Dim, x: Value) -> int:
    if not isinstance(size, int):
        refuse(f"Expected images of known height and width. Received: images {x.type}")
    return size


@op
def resize(
    images: TensorLike,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Tensor:
    """Images in another height and width.

    Args:
        images: An image [H, W, C] or a batch [N, H, W, C]; [C, H, W] or [N, C, H, W]
            with ``"channels_first"``.
        size: The new height and width.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"lanczos3"`` or
            ``"lanczos5"``.
        antialias: Whether to average over more pixels where the image shrinks.
        crop_to_aspect_ratio: Whether to cut off what would distort the image.
        pad_to_aspect_ratio: Whether to add to the image what would distort it.
        fill_mode: ``"constant"``.
        fill_value: What is added.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Returns:
        Images of the dtype they had; integers are rounded.

    Raises:
        GraphError: If arguments do not fit.
    """
    operand = read(images)
    rows, columns, _ = image_axes(operand, data_format)
    _check_resize(interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio, fill_mode)
    new = per_dimension(size, 2, "size")
    old = [_known(operand.shape[a], operand) for a in (rows, columns)]
    if crop_to_aspect_ratio or pad_to_aspect_ratio:
        change = _cropped if crop_to_aspect_ratio else _surrounded
        fitting = (int(old[1] * new[0] / new[1]), int(old[0] * new[1] / new[0]))
        for axis, length, wanted in zip((rows, columns), old, fitting, strict=True):
            operand = change(operand, axis, length, wanted, fill_value)
        old = [_known(operand.shape[a], operand) for a in (rows, columns)]
    if interpolation == "nearest":
        for axis, before, after in zip((rows, columns), old, new, strict=True):
            places = np.floor((np.arange(after) + 0.5) * before / after)
            taken = value(places.astype(np.int32))
            operand = ir_ops.take(operand, taken, axis=axis)
        return tensor(operand)
    found = floats(tensor(operand))
    for axis, before, after in zip((rows, columns), old, new, strict=True):
        if before != after:
            weights = _weights(
                before, after, after / before, 0.0, interpolation, antialias
            )
            found = _mixed(found, weights, axis)
    name = operand.dtype.long_name
    resized = tensor(found)
    if is_int(name):
        resized = elementwise.round(resized)
    return resized if is_float(name) else saturate_cast(resized, name)


def _check_resize(interpolation: str, crop: bool, pad: bool, fill_mode: str) -> None:
    check_one_of("interpolation", interpolation, _RESIZE)
    check_one_of("fill_mode", fill_mode, ("constant",))
    if crop and pad:
        refuse(
            "Expected one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio`. "
            "Received: both"
        )


def _cropped(x: Value, axis: int, size: int, wanted: int, fill: float) -> Value:
    """The middle `wanted` elements along an axis, at least 1, if there are more."""
    wanted = max(min(size, wanted), 1)
    start = (size - wanted) // 2
    return cut_out(x, axis, start, start + wanted)


def _surrounded(x: Value, axis: int, size: int, wanted: int, fill: float) -> Value:
    """As much of `fill` on both sides along an axis as makes `wanted` elements."""
    edge = max(wanted - size, 0) // 2
    width = [edge if d == axis else 0 for d in range(x.type.rank)]
    return ir_ops.pad(x, Literal(fill, x.dtype), low=width, high=width)


@with_static("scale", "translation")
@op
def scale_and_translate(
    images: TensorLike,
    output_shape: Sequence[int],
    scale: Any,
    translation: Any,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Tensor:
    """Images stretched and moved along some axes.

    Args:
        images: A tensor.
        output_shape: The shape of the result.
        scale: By how much each spatial axis is stretched; the values must be known.
        translation: By how many elements of the result it is then moved.
        spatial_dims: The axes.
        method: ``"linear"``, ``"cubic"``, ``"lanczos3"`` or ``"lanczos5"``; the first
            two may have ``bi`` or ``tri`` in front.
        antialias: Whether to average over more elements where it shrinks.

    Returns:
        A tensor of a float dtype, 0 where there is no image.

    Raises:
        GraphError: For another method, or sizes that do not fit.
    """
    check_one_of("method", method, _KERNELS)
    found = floats(images)
    if len(output_shape) != found.type.rank:
        refuse(f"Expected {found.type.rank} sizes. Received: {output_shape=}")
    for position, axis in enumerate(spatial_dims):
        along = axis % found.type.rank
        old, new = _known(found.shape[along], found), int(output_shape[along])
        factor, shift = float(scale[position]), float(translation[position])
        weights = _weights(old, new, factor, shift, method, antialias)
        found = _mixed(found, weights, along)
    return tensor(found)


# -- cropping and padding --------------------------------------------------------------


def _edges(
    size: Dim, before: Any, behind: Any, target: Any, outwards: int, names: str
) -> tuple[Dim, Dim]:
    """What is added (`outwards` 1) or cut off (-1) before and behind along an axis."""
    if [before, behind, target].count(None) != 1:
        refuse(
            f"Expected exactly two of {names}. Received: {before}, {behind}, {target}"
        )
    change = None if target is None else (target - size) * outwards
    if before is None:
        before = change - behind
    elif behind is None:
        behind = change - before
    if any(isinstance(n, int) and n < 0 for n in (before, behind)):
        refuse(
            f"Expected {names} that fit the size {size}. "
            f"Received: {before} before and {behind} behind"
        )
    return before, behind


@op
def pad_images(
    images: TensorLike,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Images with zeros around them.

    Args:
        images: An image or a batch of images, as in `resize`.
        top_padding: How many rows are added above. Of this, `bottom_padding` and
            `target_height` two are given.
        left_padding: How many columns are added on the left. Of this, `right_padding`
            and `target_width` two are given.
        bottom_padding: How many rows are added below.
        right_padding: How many columns are added on the right.
        target_height: The height of the result.
        target_width: The width of the result.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Raises:
        GraphError: If not exactly two are given, or an amount is negative.
    """
    operand = read(images)
    rows, columns, _ = image_axes(operand, data_format)
    low: list[Dim] = [0] * operand.type.rank
    high = list(low)
    for axis, given, names in (
        (
            rows,
            (top_padding, bottom_padding, target_height),
            "top_padding, bottom_padding, target_height",
        ),
        (
            columns,
            (left_padding, right_padding, target_width),
            "left_padding, right_padding, target_width",
        ),
    ):
        low[axis], high[axis] = _edges(operand.shape[axis], *given, 1, names)
    return tensor(ir_ops.pad(operand, Literal(0, operand.dtype), low=low, high=high))


@op
def crop_images(
    images: TensorLike,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Images without their edges.

    Args:
        images: An image or a batch of images, as in `resize`.
        top_cropping: How many rows are cut off above. Of this, `bottom_cropping` and
            `target_height` two are given.
        left_cropping: How many columns are cut off on the left. Of this,
            `right_cropping` and `target_width` two are given.
        bottom_cropping: How many rows are cut off below.
        right_cropping: How many columns are cut off on the right.
        target_height: The height of the result.
        target_width: The width of the result.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Raises:
        GraphError: If not exactly two are given, or they do not fit.
    """
    operand = read(images)
    rows, columns, _ = image_axes(operand, data_format)
    for axis, given, names in (
        (
            rows,
            (top_cropping, bottom_cropping, target_height),
            "top_cropping, bottom_cropping, target_height",
        ),
        (
            columns,
            (left_cropping, right_cropping, target_width),
            "left_cropping, right_cropping, target_width",
        ),
    ):
        size = operand.shape[axis]
        before, behind = _edges(size, *given, -1, names)
        operand = cut_out(operand, axis, before, size - behind)
    return tensor(operand)


# -- patches ---------------------------------------------------------------------------


def _patches(
    x: TensorLike,
    size: Any,
    strides: Any,
    dilation: Any,
    padding: str,
    data_format: str | None,
    rank: int,
) -> Tensor:
    """Patches over `rank` spatial dimensions, their elements in the channels."""
    operand = read(x)
    if operand.type.rank not in (rank + 1, rank + 2):
        refuse(
            f"Expected a tensor of rank {rank + 1} or {rank + 2}. "
            f"Received: {operand.type}"
        )
    single = operand.type.rank == rank + 1
    if single:
        operand = reshaped(operand, [1, *operand.shape])
    first = is_channels_first(data_format)
    if first:
        operand = permuted(operand, [0, *range(2, rank + 2), 1])
    window = per_dimension(size, rank, "size")
    steps = per_dimension(strides or size, rank, "strides")
    holes = per_dimension(dilation, rank, "dilation_rate")
    spans = [(w - 1) * h + 1 for w, h in zip(window, holes, strict=True)]
    pairs = paddings(padding, operand.shape[1:-1], spans, steps)
    low, high = ([0, *(p[end] for p in pairs), 0] for end in (0, 1))
    operand = ir_ops.pad(operand, Literal(0, operand.dtype), low=low, high=high)
    parts = []
    for place in itertools.product(*map(range, window)):
        start = [p * h for p, h in zip(place, holes, strict=True)]
        limit = [
            full - span + 1 + offset
            for full, span, offset in zip(
                operand.shape[1:-1], spans, start, strict=True
            )
        ]
        parts.append(
            ir_ops.slice_(
                operand,
                start=[0, *start, 0],
                limit=[operand.shape[0], *limit, operand.shape[-1]],
                strides=[1, *steps, 1],
            )
        )
    found = ir_ops.concatenate(*parts, axis=rank + 1)
    if first:
        found = permuted(found, [0, rank + 1, *range(1, rank + 1)])
    return tensor(reshaped(found, found.shape[1:]) if single else found)


@op
def extract_patches(
    images: TensorLike,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """The patches under a sliding window, each as one pixel of many channels.

    Args:
        images: An image [H, W, C] or a batch [N, H, W, C]; volumes [D, H, W, C] or
            [N, D, H, W, C] for a `size` of three. Channels come first with
            ``"channels_first"``.
        size: The size of a patch, one number, two, or three for volumes.
        strides: The distance of neighbouring patches; `size` by default.
        dilation_rate: The distance of neighbouring elements of a patch.
        padding: ``"valid"``, or ``"same"`` with zeros around the images.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Returns:
        A tensor [N, rows, columns, height * width * C].
    """
    rank = 2 if isinstance(size, int) else len(size)
    if rank not in (2, 3):
        refuse(f"Expected an integer, or two or three. Received: size={size}")
    return _patches(images, size, strides, dilation_rate, padding, data_format, rank)


@op
def extract_patches_3d(
    volumes: TensorLike,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """The patches of volumes [D, H, W, C] or [N, D, H, W, C]; see `extract_patches`."""
    return _patches(volumes, size, strides, dilation_rate, padding, data_format, 3)


# -- colours ---------------------------------------------------------------------------


@op
def rgb_to_grayscale(images: TensorLike, data_format: str | None = None) -> Tensor:
    """The brightness of coloured images, as one channel.

    Args:
        images: An image or a batch of images, as in `resize`, of 3 channels; those of
            one channel stay as they are.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Returns:
        Images of one channel, in the dtype they had.

    Raises:
        GraphError: For other numbers of channels.
    """
    operand = read(images)
    channels = image_axes(operand, data_format)[2]
    if operand.shape[channels] == 1:
        return tensor(operand)
    if operand.shape[channels] != 3:
        refuse(f"Expected 1 or 3 channels. Received: images {operand.type}")
    shares = np.array([[0.2989], [0.5870], [0.1140]], np.float32)
    found = _mixed(widen(floats(tensor(operand))), shares, channels)
    return tensor(in_dtype(found, operand.dtype))


def _channels(images: TensorLike, data_format: str | None) -> tuple[list[Tensor], int]:
    """The three channels of float images, without their axis, and that axis."""
    operand = read(images)
    axis = image_axes(operand, data_format)[2]
    if not operand.dtype.is_float or operand.shape[axis] != 3:
        refuse(f"Expected 3 channels of floats. Received: images {operand.type}")
    return arrangement.unstack(tensor(operand), axis=axis), axis


@op
def rgb_to_hsv(images: TensorLike, data_format: str | None = None) -> Tensor:
    """Hue, saturation and value of images of red, green and blue, all in 0..1.

    Args:
        images: An image or a batch of images, as in `resize`, of 3 channels of floats.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Raises:
        GraphError: For other dtypes and numbers of channels.
    """
    (red, green, blue), axis = _channels(images, data_format)
    high = elementwise.maximum(elementwise.maximum(red, green), blue)
    low = elementwise.minimum(elementwise.minimum(red, green), blue)
    span = high - low
    coloured, lit = span > 0.0, high > 0.0
    saturation = logic.where(lit, span / logic.where(lit, high, 1.0), 0.0)
    sixth = 1.0 / (logic.where(coloured, span, 1.0) * 6.0)
    hue = logic.where(
        logic.equal(high, green),
        sixth * (blue - red) + 2 / 6,
        sixth * (red - green) + 4 / 6,
    )
    hue = logic.where(logic.equal(high, red), sixth * (green - blue), hue)
    hue = logic.where(coloured, hue, 0.0)
    hue = logic.where(hue < 0.0, hue + 1.0, hue)
    return arrangement.stack([hue, saturation, high], axis)


@op
def hsv_to_rgb(images: TensorLike, data_format: str | None = None) -> Tensor:
    """Red, green and blue of images of hue, saturation and value; see `rgb_to_hsv`."""
    (hue, saturation, high), axis = _channels(images, data_format)
    place = elementwise.mod(hue, 1.0) * 6.0
    distances = (
        elementwise.absolute(place - 3.0) - 1.0,
        2.0 - elementwise.absolute(place - 2.0),
        2.0 - elementwise.absolute(place - 4.0),
    )
    colours = [
        high * (1.0 - saturation + saturation * elementwise.clip(d, 0.0, 1.0))
        for d in distances
    ]
    return arrangement.stack(colours, axis)


# -- filters ---------------------------------------------------------------------------


def _bell(size: int, sigma: float) -> np.ndarray[Any, Any]:
    """The weights of a normal distribution at `size` places around its middle."""
    places = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (places / sigma) ** 2)
    return weights / weights.sum()


def _filtered(
    x: Tensor, kernels: np.ndarray[Any, Any], padding: str, first: bool
) -> Tensor:
    """Each channel of a batch under kernels [height, width, results]."""
    channels = x.shape[1 if first else -1]
    shape = (*kernels.shape[:2], channels, kernels.shape[2])
    weights = np.broadcast_to(kernels[:, :, None], shape)
    layout = "channels_first" if first else "channels_last"
    kernel = tensor(value(weights, x.dtype))
    return depthwise_conv(x, kernel, 1, padding, layout)


@with_static("sigma")
@op
def gaussian_blur(
    images: TensorLike,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Any = (1.0, 1.0),
    data_format: str | None = None,
) -> Tensor:
    """Images whose pixels are mixed with those around them.

    Args:
        images: An image or a batch of images, as in `resize`, of floats.
        kernel_size: Over how many columns and rows, as in Keras in this order.
        sigma: The standard deviations of the weights, in columns and in rows.
        data_format: Where the channels are; `config.image_data_format()` by default.
    """
    operand = read(images)
    image_axes(operand, data_format)
    across, down = (
        _bell(size, float(spread))
        for size, spread in zip(kernel_size, sigma, strict=True)
    )
    batch = (
        operand if operand.type.rank == 4 else reshaped(operand, [1, *operand.shape])
    )
    found = tensor(batch)
    for kernel in (down[:, None, None], across[None, :, None]):
        found = _filtered(found, kernel, "same", is_channels_first(data_format))
    return arrangement.reshape(found, operand.shape)


@op
def sobel_edges(images: TensorLike, data_format: str | None = None) -> Tensor:
    """How much the brightness of images changes downwards and to the right.

    Args:
        images: A batch of images [N, H, W, C], or [N, C, H, W] with
            ``"channels_first"``.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Returns:
        A tensor with a last dimension of 2 more: downwards, then to the right. Outside
        of the images is 0.

    Raises:
        GraphError: For other ranks.
    """
    operand = read(images)
    if operand.type.rank != 4:
        refuse(f"Expected a batch of images of rank 4. Received: images {operand.type}")
    right = np.outer([1, 2, 1], [-1, 0, 1])
    kernels = np.stack([right.T, right], axis=-1)
    first = is_channels_first(data_format)
    found = _filtered(tensor(operand), kernels, "same", first)
    if not first:
        return arrangement.reshape(found, (*operand.shape, 2))
    batch, channels, *sizes = operand.shape
    apart = arrangement.reshape(found, (batch, channels, 2, *sizes))
    return arrangement.moveaxis(apart, 2, -1)


@op
def ssim(
    image1: TensorLike,
    image2: TensorLike,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Tensor:
    """The structural similarity of images, 1 for equal ones.

    After Wang et al., "Image quality assessment: from error visibility to structural
    similarity", 2004.

    Args:
        image1: An image or a batch of images, as in `resize`.
        image2: Images of the same shape.
        max_val: The largest value that a pixel can have.
        filter_size: Over how many pixels means are taken, in both directions.
        filter_sigma: The standard deviation of their weights.
        k1: How much the brightness is stabilized.
        k2: How much the contrast is stabilized.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Returns:
        A number for each image.
    """
    dtype = read(image1).dtype.long_name
    operand, other = (tensor(v) for v in matched(image1, image2, also=[float]))
    axes = image_axes(read(operand), data_format)
    single = operand.ndim == 3
    if single:
        operand, other = (arrangement.expand_dims(x, 0) for x in (operand, other))
    weights = _bell(filter_size, filter_sigma)
    kernel = np.outer(weights, weights)[:, :, None]

    def local(x: Tensor) -> Tensor:
        return _filtered(x, kernel, "valid", is_channels_first(data_format))

    mean1, mean2 = local(operand), local(other)
    both = mean1 * mean2
    squares = mean1 * mean1 + mean2 * mean2
    variances = local(operand * operand) + local(other * other) - squares
    shared = local(operand * other) - both
    c1, c2 = math.pow(k1 * max_val, 2), math.pow(k2 * max_val, 2)
    likeness = ((2.0 * both + c1) * (2.0 * shared + c2)) / (
        (squares + c1) * (variances + c2)
    )
    found = reduction.mean(likeness, [a + single for a in axes])
    found = arrangement.reshape(found, ()) if single else found
    return tensor(value(found, dtype))
