"""Gradients of kernels that are no products of matrices: sums for each place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from graphc.ir.graph import Node
from graphc.ir.ops import (
    broadcast_in_dim,
    multiply,
    pad,
    reduce_sum,
    reshape,
    slice_,
    transpose,
)
from graphc.ir.ops.along_axes import in_dtype, widen
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.ops.shape import concatenated
from graphc.passes.rewrite import Proposal

MOST_PLACES = 81
"""Larger windows are not summed place by place."""

LEAST_TERMS = 4096
"""From how many products on one thread would be busy with a sum for long."""


def sums_by_place(node: Node) -> Proposal | None:
    """A convolution that is the gradient of a depthwise kernel, or of one feature.

    Such a convolution has no matrices to multiply, and long sums for few elements: of
    the products of all images, shifted, and the cotangent. Each place of the window is
    a reduction of them, and all of these read the same elements.
    """
    x, cotangent = node.operands
    how = node.op.decode(node.attributes, None)
    of_x, of_kernel, of_result = parse_labels(how["labels"])
    shape, window = x.type.static_shape, cotangent.type.static_shape
    result = node.results[0].type
    places = [result.static_shape[d] for d in of_result.spatial]
    channels, images = shape[of_x.outer], shape[of_x.inner]
    features, groups = window[of_kernel.outer], how["batch_groups"]
    terms = images * math.prod(window[d] for d in of_kernel.spatial)
    fits = (
        result.dtype.is_float
        and how["groups"] == 1
        and (groups == channels > 1 or features == groups == 1)
        and (of_x.inner, of_x.outer, of_x.spatial)
        == (of_kernel.inner, of_kernel.outer, of_kernel.spatial)
        and of_x.outer == len(shape) - 1
        and all(dilation == 1 for dilation in how["input_dilation"])
        and math.prod(places) <= MOST_PLACES
        and terms >= LEAST_TERMS
    )
    if not fits:
        return None
    images_padded = _padded(widen(x), of_x.spatial, how["padding"])
    factor: Any = widen(cotangent)
    if features < channels:
        *rest, _ = window
        factor = reshape(factor, shape=rest)
        dims = list(range(len(rest)))
        factor = broadcast_in_dim(factor, shape=[*rest, channels], dims=dims)
    sums: list[Any] = []
    for place in itertools.product(*map(range, places)):
        starts = [at * stride for at, stride in zip(place, how["strides"], strict=True)]
        sizes = [window[d] for d in of_x.spatial]
        shifted = _shifted(
            images_padded, of_x.spatial, starts, sizes, how["kernel_dilation"]
        )
        products = multiply(_repeated(shifted, max(1, features // channels)), factor)
        found = reduce_sum(products, axes=[of_x.inner, *of_x.spatial])
        sums.append(reshape(found, shape=[1, found.type.size]))
    # In the order of the places, then the channels of a group, then the features.
    sizes = [*places, channels // groups, features]
    found = reshape(concatenated(sums, axis=0), shape=sizes)
    order = [*of_result.spatial, of_result.outer, of_result.inner]
    back = [order.index(d) for d in range(len(order))]
    if back != sorted(back):
        found = transpose(found, permutation=back)
    return "sum_places", [in_dtype(found, result.dtype)]


def _padded(x: Any, spatial: Sequence[int], padding: Any) -> Any:
    low, high = [0] * x.type.rank, [0] * x.type.rank
    for d, (before, after) in zip(spatial, padding, strict=True):
        low[d], high[d] = before, after
    return pad(x, 0.0, low=low, high=high) if any([*low, *high]) else x


def _shifted(
    x: Any,
    spatial: Sequence[int],
    starts: Sequence[int],
    sizes: Sequence[int],
    steps: Sequence[int],
) -> Any:
    """So many elements of `x` along each spatial dimension, from one on, in steps."""
    shape = x.type.static_shape
    start, limit, stride = [0] * len(shape), list(shape), [1] * len(shape)
    for d, first, size, step in zip(spatial, starts, sizes, steps, strict=True):
        start[d], limit[d], stride[d] = first, first + (size - 1) * step + 1, step
    return slice_(x, start=start, limit=limit, strides=stride)


def _repeated(x: Any, times: int) -> Any:
    """`x` with each channel, the last dimension, as often as it has kernels."""
    if times == 1:
        return x
    *outer, channels = x.type.static_shape
    dims = list(range(len(outer) + 1))
    wide = broadcast_in_dim(x, shape=[*outer, channels, times], dims=dims)
    return reshape(wide, shape=[*outer, channels * times])
