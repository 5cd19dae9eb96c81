"""Images read at computed places: affine, elastic and perspective transforms."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from graphc.frontend import random
from graphc.frontend.dispatch import op
from graphc.frontend.ops import arrangement, creation, elementwise, logic
from graphc.frontend.ops.decompositions import solve
from graphc.frontend.ops.image import gaussian_blur, image_axes
from graphc.frontend.ops.indexing import get_item
from graphc.frontend.ops.operands import TensorLike, check_one_of, floats, read, refuse
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import ops as ir_ops

__all__ = [
    "affine_transform",
    "elastic_transform",
    "map_coordinates",
    "perspective_transform",
]

_ORDERS = {"nearest": 0, "bilinear": 1}


def _mirrored(index: Tensor, size: Any) -> Tensor:
    last = size - 1 if size != 1 else 1
    return elementwise.absolute(elementwise.mod(index + last, 2 * last) - last)


def _reflected(index: Tensor, size: Any) -> Tensor:
    doubled = _mirrored(index * 2 + 1, 2 * size + 1)
    return elementwise.floor_divide(doubled - 1, 2)


def _limited(index: Tensor, size: Any) -> Tensor:
    return elementwise.clip(index, 0, size - 1)


_INSIDE: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "constant": _limited,
    "nearest": _limited,
    "wrap": elementwise.mod,
    "mirror": _mirrored,
    "reflect": _reflected,
}
"""Which element is read in the place of one that lies outside."""


def _neighbours(place: Tensor, order: int) -> list[tuple[Tensor, Tensor | float]]:
    """The elements around places along an axis, and how much each one counts."""
    if order == 0:
        near = tensor(ir_ops.round_nearest_afz(read(place)))
        return [(tensor(value(near, "int32")), 1.0)]
    lower = elementwise.floor(place)
    share = place - lower
    index = tensor(value(lower, "int32"))
    return [(index, 1.0 - share), (index + 1, share)]


def _sampled(
    x: Tensor,
    places: Sequence[Tensor],
    order: int,
    fill_mode: str,
    fill_value: Any,
    batch: Sequence[Tensor] = (),
) -> Tensor:
    """The elements of x at places along axes, those of `batch` by their numbers.

    Dimensions of x behind those that are read at places are kept.
    """
    check_one_of("fill_mode", fill_mode, _INSIDE)
    sizes = x.shape[len(batch) :]
    kept = x.ndim - len(batch) - len(places)
    total: Any = None
    for corner in itertools.product(*(_neighbours(p, order) for p in places)):
        pairs = list(zip(corner, sizes, strict=False))
        inside = [_INSIDE[fill_mode](index, size) for (index, _), size in pairs]
        part = get_item(x, (*batch, *inside))
        if fill_mode == "constant":
            valid = [
                logic.equal(i, c) for i, ((c, _), _) in zip(inside, pairs, strict=True)
            ]
            every = functools.reduce(logic.logical_and, valid)
            part = logic.where(_widened(every, kept), part, fill_value)
        weight: Any = math.prod(share for _, share in corner)
        if isinstance(weight, Tensor):
            weight = _widened(weight, kept)
        part = part * weight
        total = part if total is None else total + part
    return total


def _widened(x: Tensor, count: int) -> Tensor:
    return arrangement.reshape(x, (*x.shape, *[1] * count)) if count else x


def _in_dtype(found: Tensor, dtype: str) -> Tensor:
    """A result in the dtype of the images; integers are rounded, halves away from 0."""
    if found.dtype == dtype or "int" not in dtype:
        return tensor(value(found, dtype))
    return tensor(value(tensor(ir_ops.round_nearest_afz(read(found))), dtype))


@op
def map_coordinates(
    inputs: TensorLike,
    coordinates: TensorLike,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> Tensor:
    """The elements of a tensor at places that may lie between elements.

    Args:
        inputs: A tensor.
        coordinates: The places: a tensor [rank of inputs, ...].
        order: 0 for the nearest element, 1 for a mean of those around, by distance.
        fill_mode: What lies outside: ``"constant"``, ``"nearest"``, ``"wrap"``,
            ``"mirror"`` (without the edge) or ``"reflect"`` (with it).
        fill_value: What lies outside with ``"constant"``.

    Returns:
        A tensor [...] of the dtype of inputs.

    Raises:
        GraphError: For other orders and modes, and if ranks do not fit.
    """
    x, places = tensor(read(inputs)), tensor(floats(coordinates))
    if places.ndim < 2 or places.shape[0] != x.ndim or order not in (0, 1):
        refuse(
            f"Expected coordinates [{x.ndim}, ...] and order 0 or 1. "
            f"Received: coordinates of shape {places.shape}, order={order}"
        )
    rows = arrangement.unstack(places)
    found = _sampled(x, rows, order, fill_mode, fill_value)
    return _in_dtype(found, x.dtype)


# -- transforms of images --------------------------------------------------------------


def _channels_last(images: TensorLike, data_format: str | None) -> tuple[Tensor, Any]:
    """A batch of images with their channels last, and what brings results back."""
    operand = read(images)
    axis = image_axes(operand, data_format)[2]
    batch = tensor(operand)
    single = batch.ndim == 3
    if single:
        batch, axis = arrangement.expand_dims(batch, 0), axis + 1

    def back(found: Tensor) -> Tensor:
        moved = arrangement.moveaxis(_in_dtype(found, batch.dtype), -1, axis)
        return arrangement.squeeze(moved, 0) if single else moved

    return arrangement.moveaxis(batch, axis, -1), back


def _order(interpolation: str) -> int:
    check_one_of("interpolation", interpolation, _ORDERS)
    return _ORDERS[interpolation]


def _image_numbers(x: Tensor) -> Tensor:
    """The number of each image of a batch, [N, 1, 1]."""
    numbers = creation.arange(x.shape[0], dtype="int32")
    return arrangement.reshape(numbers, (x.shape[0], 1, 1))


def _pixels(x: Tensor) -> tuple[Tensor, Tensor]:
    """The row and the column of each pixel, [H, 1] and [1, W], as floats."""
    rows = creation.arange(x.shape[1], dtype="float32")
    columns = creation.arange(x.shape[2], dtype="float32")
    return arrangement.reshape(rows, (-1, 1)), arrangement.reshape(columns, (1, -1))


@op
def affine_transform(
    images: TensorLike,
    transform: TensorLike,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """Images moved, turned, stretched and sheared.

    Args:
        images: An image [H, W, C] or a batch [N, H, W, C]; [C, H, W] or [N, C, H, W]
            with ``"channels_first"``.
        transform: Eight numbers a0, a1, a2, b0, b1, b2, c0, c1 [8], or [N, 8]: the
            pixel (x, y) of the result is read at (a0 x + a1 y + a2, b0 x + b1 y + b2).
            c0 and c1 are 0.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        fill_mode: What lies outside, as in `map_coordinates`.
        fill_value: What lies outside with ``"constant"``.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Raises:
        GraphError: For other arguments.
    """
    order = _order(interpolation)
    x, back = _channels_last(images, data_format)
    numbers = tensor(floats(transform))
    if numbers.ndim not in (1, 2) or numbers.shape[-1] != 8:
        refuse(f"Expected transforms [8] or [N, 8]. Received: shape {numbers.shape}")
    parts = [arrangement.reshape(numbers[..., i], (-1, 1, 1)) for i in range(6)]
    a0, a1, a2, b0, b1, b2 = parts
    rows, columns = _pixels(x)
    places = [b0 * columns + b1 * rows + b2, a0 * columns + a1 * rows + a2]
    batch = [_image_numbers(x)]
    return back(_sampled(x, places, order, fill_mode, fill_value, batch))


def elastic_transform(
    images: TensorLike,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Tensor:
    """Images distorted at random, as if drawn on rubber.

    Args:
        images: An image or a batch of images, as in `affine_transform`.
        alpha: How strong the distortion is.
        sigma: Over how many pixels it is smooth.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        fill_mode: What lies outside, as in `map_coordinates`.
        fill_value: What lies outside with ``"constant"``.
        seed: An integer, a `SeedGenerator`, or None for the global seed.
        data_format: Where the channels are; `config.image_data_format()` by default.
    """
    source = random.seed_source(seed)
    return _elastic(
        source, images, alpha, sigma, interpolation, fill_mode, fill_value, data_format
    )


@op
def _elastic(
    source: Any,
    images: TensorLike,
    alpha: float,
    sigma: float,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    data_format: str | None,
) -> Tensor:
    order = _order(interpolation)
    x, back = _channels_last(images, data_format)
    noise = random.normal((*x.shape[:3], 2), stddev=sigma, seed=source)
    size = int(6 * sigma) | 1
    smooth = gaussian_blur(noise, (size, size), (sigma, sigma), "channels_last")
    rows, columns = _pixels(x)
    places = [rows + alpha * smooth[..., 0], columns + alpha * smooth[..., 1]]
    batch = [_image_numbers(x)]
    return back(_sampled(x, places, order, fill_mode, fill_value, batch))


@op
def perspective_transform(
    images: TensorLike,
    start_points: TensorLike,
    end_points: TensorLike,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """Images seen from another point of view.

    Args:
        images: An image or a batch of images, as in `affine_transform`.
        start_points: Four points (x, y) of the images: [4, 2], or [N, 4, 2].
        end_points: Where they lie in the result.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        fill_value: What lies outside.
        data_format: Where the channels are; `config.image_data_format()` by default.

    Raises:
        GraphError: For other arguments.
    """
    order = _order(interpolation)
    x, back = _channels_last(images, data_format)
    starts, ends = (tensor(value(p, "float32")) for p in (start_points, end_points))
    if starts.shape != ends.shape or starts.shape[-2:] != (4, 2) or starts.ndim > 3:
        refuse(
            "Expected points [4, 2] or [N, 4, 2]. "
            f"Received: shapes {starts.shape} and {ends.shape}"
        )
    starts, ends = (arrangement.reshape(p, (-1, 4, 2)) for p in (starts, ends))
    numbers = _homography(starts, ends)
    a, b, c, d, e, f, g, h = (
        arrangement.reshape(numbers[:, i], (-1, 1, 1)) for i in range(8)
    )
    rows, columns = _pixels(x)
    depth = g * columns + h * rows + 1.0
    places = [
        (d * columns + e * rows + f) / depth,
        (a * columns + b * rows + c) / depth,
    ]
    batch = [_image_numbers(x)]
    return back(_sampled(x, places, order, "constant", fill_value, batch))


def _homography(starts: Tensor, ends: Tensor) -> Tensor:
    """The numbers a to h of the maps from end points to start points, [N, 8].

    A point (x, y) goes to (a x + b y + c, d x + e y + f) / (g x + h y + 1).
    """
    x, y = ends[..., 0], ends[..., 1]
    zero, one = creation.zeros_like(x), creation.ones_like(x)
    across, down = starts[..., 0], starts[..., 1]
    first = [x, y, one, zero, zero, zero, -across * x, -across * y]
    second = [zero, zero, zero, x, y, one, -down * x, -down * y]
    matrix = arrangement.concatenate(
        [arrangement.stack(first, -1), arrangement.stack(second, -1)], 1
    )
    return solve(matrix, arrangement.concatenate([across, down], 1))
