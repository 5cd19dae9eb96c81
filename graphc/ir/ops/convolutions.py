"""The convolution, its label notation, its meaning and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from graphc.ir.differentiate import zeros
from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.opdef import NUMBER, IllTyped, IntLists, Ints, Kind, Sample, Trait
from graphc.ir.ops.shape import pad, pad_array, reshape, reverse, transpose
from graphc.ir.ops.window import (
    dilated_size,
    padded_length,
    require_window,
    window_count,
)
from graphc.ir.register import primitive
from graphc.ir.typerules import require, shaped
from graphc.ir.types import TensorType, product


@dataclass(frozen=True, slots=True)
class DimensionOrder:
    """Where the dimensions of one tensor of a convolution lie.

    Attributes:
        outer: The batch dimension; for a kernel that of the output features.
        inner: The feature dimension; for a kernel that of the input features.
        spatial: The spatial dimensions.
    """

    outer: int
    inner: int
    spatial: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """The dimensions with the outer one first, then the inner, then space."""
        return (self.outer, self.inner, *self.spatial)


@lru_cache(maxsize=1024)
def parse_labels(
    labels: str, *ranks: int
) -> tuple[DimensionOrder, DimensionOrder, DimensionOrder]:
    """The dimensions of operand, kernel and result by labels as ``b01f_01io->b01f``.

    Args:
        labels: The labels of the three tensors: b and f for batch and feature, i and
            o for a kernel's input and output features, digits for space.
        *ranks: The ranks that operand and kernel must have, if known.

    Raises:
        GraphError: If the labels are ill-formed or do not fit the ranks.
    """
    texts = split_labels(labels)
    wanted = [*ranks, None, None, None]
    found: list[DimensionOrder] = []
    for text, (outer, inner), rank in zip(
        texts, ("bf", "oi", "bf"), wanted, strict=False
    ):
        digits = "".join(map(str, range(len(texts[0]) - 2)))
        if sorted(text) != sorted(outer + inner + digits):
            raise GraphError(
                "convolution: labels must name each dimension once, as b01f_01io->b01f",
                received=repr(labels)[:80],
            )
        if rank is not None and rank != len(text):
            raise GraphError(
                f"convolution: labels {labels} do not fit a tensor of rank {rank}"
            )
        spatial = tuple(map(text.index, digits))
        found.append(DimensionOrder(text.index(outer), text.index(inner), spatial))
    return found[0], found[1], found[2]


def split_labels(labels: str) -> tuple[str, str, str]:
    """The labels of operand, kernel and result."""
    operands, _, result = labels.partition("->")
    x, _, kernel = operands.partition("_")
    return x, kernel, result


def _with_groups_first(
    x: Any, kernel: Any, groups: int, batch_groups: int
) -> tuple[Any, Any]:
    """Canonical operands with a leading group dimension."""
    batch, features, *space = x.shape
    out, inner, *kernel_space = kernel.shape
    count = groups * batch_groups
    if batch_groups > 1:
        x = x.reshape(count, batch // count, features, *space)
    else:
        x = x.reshape(batch, count, features // count, *space).swapaxes(0, 1)
    return x, kernel.reshape(count, out // count, inner, *kernel_space)


def _convolution_reference(
    x: Any,
    kernel: Any,
    labels: Any,
    strides: Any,
    padding: Any,
    input_dilation: Any,
    kernel_dilation: Any,
    groups: Any,
    batch_groups: Any,
) -> Any:
    of_x, of_kernel, of_result = parse_labels(labels)
    low = (0, 0, *(pair[0] for pair in padding))
    high = (0, 0, *(pair[1] for pair in padding))
    interior = (0, 0, *(d - 1 for d in input_dilation))
    x = pad_array(np.transpose(x, of_x.order), 0, low, high, interior)
    kernel = np.transpose(kernel, of_kernel.order)
    x, kernel = _with_groups_first(x, kernel, groups, batch_groups)
    size = tuple(
        window_count(n, dilated_size(k, d), s)
        for n, k, d, s in zip(
            x.shape[3:], kernel.shape[3:], kernel_dilation, strides, strict=True
        )
    )
    found = _correlate(x, kernel, size, strides, kernel_dilation)
    group, batch, out = found.shape[:3]
    found = found.swapaxes(0, 1).reshape(batch, group * out, *size)
    return np.transpose(found, np.argsort(of_result.order))


def _correlate(x: Any, kernel: Any, size: Any, strides: Any, dilation: Any) -> Any:
    """Windows of x [group,batch,in,...] times kernel [group,out,in,...]."""
    group, batch, inner = x.shape[:3]
    out, window = kernel.shape[1], kernel.shape[3:]
    result = np.zeros((group, batch, out, *size), x.dtype)
    if result.size == 0:
        return result
    if product(window) <= product(size):  # a matrix product per place in the kernel
        for place in np.ndindex(*window):
            taken = tuple(
                slice(p * d, p * d + (n - 1) * s + 1, s)
                for p, d, n, s in zip(place, dilation, size, strides, strict=True)
            )
            part = x[(..., *taken)].reshape(group, batch, inner, product(size))
            weights = kernel[(..., *place)][:, None]
            result += np.matmul(weights, part).reshape(result.shape)
        return result
    terms = inner * product(window)
    columns = kernel.reshape(group, out, terms).swapaxes(1, 2)
    for place in np.ndindex(*size):  # a matrix product per place in the result
        taken = tuple(
            slice(p * s, p * s + (k - 1) * d + 1, d)
            for p, s, k, d in zip(place, strides, window, dilation, strict=True)
        )
        part = x[(..., *taken)].reshape(group, batch, terms)
        result[(..., *place)] = np.matmul(part, columns)
    return result


def _padded_convolution(
    x: Any,
    kernel: Any,
    labels: str,
    strides: Sequence[int],
    padding: Sequence[tuple[Dim, Dim]],
    input_dilation: Sequence[int],
    kernel_dilation: Sequence[int],
    groups: int = 1,
    batch_groups: int = 1,
) -> Any:
    """A convolution whose padding may be symbolic: then a node of its own pads."""
    if not all(isinstance(side, int) for pair in padding for side in pair):
        rank = x.type.rank
        low: list[Dim] = [0] * rank
        high: list[Dim] = [0] * rank
        interior = [0] * rank
        spatial = parse_labels(labels)[0].spatial
        for d, pair, dilation in zip(spatial, padding, input_dilation, strict=True):
            low[d], high[d] = pair
            interior[d] = dilation - 1
        x = pad(x, 0.0, low=low, high=high, interior=interior)
        padding = [(0, 0)] * len(spatial)
        input_dilation = [1] * len(spatial)
    return convolution(
        x,
        kernel,
        labels=labels,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        groups=groups,
        batch_groups=batch_groups,
    )


def _move_groups(x: Any, source: int, target: int, groups: int) -> Any:
    """Splits `groups` off the dimension `source` and joins them to `target`, first."""
    if groups == 1:
        return x
    shape = list(x.type.shape)
    split = [*shape[:source], groups, shape[source] // groups, *shape[source + 1 :]]
    order = [d for d in range(len(split)) if d != source]
    order.insert(order.index(target + (target > source)), source)
    moved = transpose(reshape(x, shape=split), permutation=order)
    shape[source] = shape[source] // groups
    shape[target] = shape[target] * groups
    return reshape(moved, shape=shape)


def _convolution_vjp(g: Any, y: Any, x: Any, kernel: Any, **attributes: Any) -> Any:
    if any(size == 0 for size in y.type.shape):
        return zeros(x.type), zeros(kernel.type)
    return (
        _input_gradient(g, x.type, kernel, **attributes),
        _kernel_gradient(g, x, kernel.type, **attributes),
    )


def _spatial_sizes(
    x: TensorType, kernel: TensorType, g: TensorType, attributes: dict[str, Any]
) -> list[tuple[Dim, Dim, Dim]]:
    """The dilated sizes of operand, kernel and result in each spatial dimension."""
    orders = parse_labels(attributes["labels"])
    return [
        (
            dilated_size(x.shape[a], attributes["input_dilation"][i]),
            dilated_size(kernel.shape[b], attributes["kernel_dilation"][i]),
            dilated_size(g.shape[c], attributes["strides"][i]),
        )
        for i, (a, b, c) in enumerate(zip(*(o.spatial for o in orders), strict=True))
    ]


def _input_gradient(g: Any, x: TensorType, kernel: Any, **attributes: Any) -> Any:
    """A convolution of the cotangent with the kernel flipped in space."""
    of_x, of_kernel, _ = parse_labels(attributes["labels"])
    labels = split_labels(attributes["labels"])
    groups, batch_groups = attributes["groups"], attributes["batch_groups"]
    padding: list[tuple[Dim, Dim]] = []
    sizes = _spatial_sizes(x, kernel.type, g.type, attributes)
    for (low, _), (n, k, m) in zip(attributes["padding"], sizes, strict=True):
        padding.append((k - low - 1, n + low - m))
    swapped = labels[1].translate(str.maketrans("io", "oi"))
    weights = _move_groups(
        kernel, of_kernel.outer, of_kernel.inner, groups * batch_groups
    )
    found = _padded_convolution(
        g,
        reverse(weights, axes=of_kernel.spatial) if of_kernel.spatial else weights,
        f"{labels[2]}_{swapped}->{labels[0]}",
        attributes["input_dilation"],
        padding,
        attributes["strides"],
        attributes["kernel_dilation"],
        groups * batch_groups,
    )
    return _move_groups(found, of_x.inner, of_x.outer, batch_groups)


def _kernel_gradient(g: Any, x: Any, kernel: TensorType, **attributes: Any) -> Any:
    """A convolution of x with the cotangent, which sums over the batch."""
    labels = split_labels(attributes["labels"])
    padding: list[tuple[Dim, Dim]] = []
    sizes = _spatial_sizes(x.type, kernel, g.type, attributes)
    for (low, _), (n, k, m) in zip(attributes["padding"], sizes, strict=True):
        padding.append((low, m + k - n - 1 - low))
    of_x = labels[0].translate(str.maketrans("bf", "fb"))
    of_g = labels[2].translate(str.maketrans("bf", "io"))
    result = labels[1].translate(str.maketrans("io", "bf"))
    return _padded_convolution(
        x,
        g,
        f"{of_x}_{of_g}->{result}",
        attributes["kernel_dilation"],
        padding,
        attributes["input_dilation"],
        attributes["strides"],
        groups=attributes["batch_groups"],
        batch_groups=attributes["groups"],
    )


def _convolution_flops(
    operands: Sequence[TensorType],
    results: Sequence[TensorType],
    labels: str,
    input_dilation: Ints,
    **others: Any,
) -> Dim:
    # Products with the zeros between dilated elements do not count, so a gradient has
    # the count of its convolution; those with padding do.
    _, of_kernel, _ = parse_labels(labels)
    window = product(operands[1].shape[d] for d in of_kernel.spatial)
    terms = operands[1].shape[of_kernel.inner] * window
    return 2 * results[0].size * terms // product(input_dilation)


def _plain(rank: int, labels: str, **changes: Any) -> dict[str, Any]:
    return {
        "labels": labels,
        "strides": [1] * rank,
        "padding": [[0, 0]] * rank,
        "input_dilation": [1] * rank,
        "kernel_dilation": [1] * rank,
        **changes,
    }


_IMAGE = "b01f_01io->b01f"
_SERIES = "b0f_0io->b0f"


@primitive(
    Kind.CONTRACTION,
    _convolution_reference,
    vjp=_convolution_vjp,
    dtypes=NUMBER,
    traits=[Trait.ACCUMULATES],
    samples=(
        Sample(("f32[2,5,4,3]", "f32[3,2,3,2]"), _plain(2, _IMAGE)),
        Sample(
            ("f32[2,5,6,2]", "f32[3,2,2,3]"),
            _plain(2, _IMAGE, strides=[2, 3], padding=[[1, 1], [0, 2]]),
        ),
        Sample(
            ("f32[1,4,3,2]", "f32[2,3,2,2]"),
            _plain(
                2,
                _IMAGE,
                strides=[1, 2],
                padding=[[1, -1], [2, 3]],
                input_dilation=[2, 1],
                kernel_dilation=[1, 2],
            ),
        ),
        Sample(("f32[2,2,4]", "f32[3,2,2]"), _plain(1, "bf0_oi0->bf0")),
        Sample(("f32[5,2,3]", "f32[2,3,2]"), _plain(1, "0fb_i0o->f0b")),
        Sample(("f32[2,5,4]", "f32[3,2,6]"), _plain(1, _SERIES, groups=2)),
        Sample(("f32[2,5,3]", "f32[3,1,6]"), _plain(1, _SERIES, groups=3, strides=[2])),
        Sample(("f32[4,5,2]", "f32[3,2,6]"), _plain(1, _SERIES, batch_groups=2)),
        Sample(("f32[2,3]", "f32[3,4]"), _plain(0, "bf_io->bf")),
        Sample(
            ("f32[1,2,3,2,1]", "f32[2,2,1,1,2]"),
            _plain(3, "b012f_012io->b012f", padding=[[0, 1], [0, 0], [1, 0]]),
        ),
        Sample(("f32[2,2,1]", "f32[3,1,1]"), _plain(1, _SERIES)),
        Sample(("i32[1,4,1]", "i32[2,1,1]"), _plain(1, _SERIES)),
        Sample(
            ("f32[B,5,5,2]", "f32[3,3,2,2]"),
            _plain(2, _IMAGE, strides=[2, 2], padding=[[1, 1], [1, 1]]),
        ),
        Sample(("f32[2,H,2]", "f32[3,2,2]"), _plain(1, _SERIES, padding=[[1, 1]])),
        Sample(
            ("f32[2,H,2]", "f32[3,2,2]"),
            _plain(1, _SERIES, strides=[2], padding=[[1, 0]], kernel_dilation=[2]),
        ),
    ),
    errors=(
        IllTyped(
            ("f32[1,4,2]", "f32[3,3,2]"),
            "input features times groups",
            _plain(1, _SERIES),
        ),
        IllTyped(("f32[1,4,2]", "f64[3,2,2]"), "the same dtype", _plain(1, _SERIES)),
        IllTyped(("f32[1,4,2]", "f32[3,2,2]"), "do not fit", _plain(2, _IMAGE)),
        IllTyped(
            ("f32[1,4,2]", "f32[3,2,2]"),
            "crops more than there is",
            _plain(1, _SERIES) | {"padding": [[-2, -3]]},
        ),
        IllTyped(
            ("f32[1,4,2]", "f32[3,2,2]"),
            "name each dimension",
            _plain(1, "b0f_0ii->b0f"),
        ),
        IllTyped(("f32[1,4,2]", "f32[3,2,2]"), "name each dimension", _plain(1, "b0f")),
        IllTyped(
            ("f32[1,4,2]", "f32[3,2,2]"),
            "strides must be positive",
            _plain(1, _SERIES, strides=[0]),
        ),
        IllTyped(
            ("f32[1,4,2]", "f32[3,2,2]"),
            "padding must have 1 entries",
            _plain(1, _SERIES, padding=[]),
        ),
        IllTyped(
            ("f32[1,4,4]", "f32[3,2,3]"),
            "multiples of the groups",
            _plain(1, _SERIES, groups=2),
        ),
        IllTyped(
            ("f32[3,4,2]", "f32[3,2,4]"),
            "multiples of the groups",
            _plain(1, _SERIES, batch_groups=2),
        ),
        IllTyped(
            ("f32[4,4,4]", "f32[3,2,4]"),
            "one of groups and batch_groups",
            _plain(1, _SERIES, groups=2, batch_groups=2),
        ),
        IllTyped(
            ("f32[1,4,2]", "f32[0,2,2]"),
            "kernel must not be empty",
            _plain(1, _SERIES),
        ),
        IllTyped(
            ("f32[1,4,2]", "f32[3,2,2]"),
            "too large to address",
            _plain(1, _SERIES, padding=[[2**62, 2**62]]),
        ),
    ),
    ulp=1,
    numerics="accumulates at least in float32",
    flops=_convolution_flops,
)
def convolution(
    x: TensorType,
    kernel: TensorType,
    *,
    labels: str,
    strides: Ints,
    padding: IntLists,
    input_dilation: Ints,
    kernel_dilation: Ints,
    groups: int = 1,
    batch_groups: int = 1,
) -> TensorType:
    """The kernel applied to each window of x (a cross-correlation).

    `labels` name the dimensions, as in ``b01f_01io->b01f``; the lists name spatial
    dimensions in the order of their digits. Feature groups are convolved apart; with
    batch groups, each part of the batch with its part of the kernel's outputs.
    """
    require(
        x.dtype is kernel.dtype,
        "convolution: operands must have the same dtype",
        x,
        kernel,
    )
    of_x, of_kernel, of_result = parse_labels(labels, x.rank, kernel.rank)
    require_window(
        "convolution",
        len(of_x.spatial),
        padding,
        strides=strides,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
    )
    batch = _checked_groups(x, kernel, of_x, of_kernel, groups, batch_groups)
    shape: list[Dim] = [0] * x.rank
    shape[of_result.outer] = batch
    shape[of_result.inner] = kernel.shape[of_kernel.outer]
    for i, d in enumerate(of_result.spatial):
        width = kernel.shape[of_kernel.spatial[i]]
        require(width != 0, "convolution: the kernel must not be empty", x, kernel)
        size = dilated_size(x.shape[of_x.spatial[i]], input_dilation[i])
        shape[d] = window_count(
            padded_length("convolution", size, padding[i]),
            dilated_size(width, kernel_dilation[i]),
            strides[i],
        )
    return shaped(x, shape)


def _checked_groups(
    x: TensorType,
    kernel: TensorType,
    of_x: DimensionOrder,
    of_kernel: DimensionOrder,
    groups: int,
    batch_groups: int,
) -> Dim:
    """The batch size of the result, after checking that the groups come out even."""
    require(
        groups >= 1 and batch_groups >= 1 and 1 in (groups, batch_groups),
        "convolution: groups must be positive and one of groups and batch_groups be 1",
        x,
        kernel,
    )
    inner, out = kernel.shape[of_kernel.inner], kernel.shape[of_kernel.outer]
    require(
        inner * groups == x.shape[of_x.inner],
        "convolution: the kernel's input features times groups must be the features",
        x,
        kernel,
    )
    count = groups * batch_groups
    batch = x.shape[of_x.outer] // batch_groups
    require(
        batch * batch_groups == x.shape[of_x.outer] and out // count * count == out,
        "convolution: batch and output features must be multiples of the groups",
        x,
        kernel,
    )
    return batch
