"""Quantiles, histograms, correlations and integrals of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.frontend.dispatch import op
from graphc.frontend.ops import arrangement, creation, elementwise, logic, reduction
from graphc.frontend.ops.arrangement import permuted, reshaped
from graphc.frontend.ops.indexing import segment_sum, take_along_axis
from graphc.frontend.ops.linalg import matmul
from graphc.frontend.ops.operands import (
    TensorLike,
    axes_of,
    axis_of,
    check_one_of,
    floats,
    matched,
    materialize,
    promote,
    read,
    refuse,
)
from graphc.frontend.ops.reduction import Axis
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Value
from graphc.ir import ops as ir_ops
from graphc.ir.ops.along_axes import widen
from graphc.ir.types import product

__all__ = [
    "cdist",
    "corrcoef",
    "correlate",
    "digitize",
    "histogram",
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "percentile",
    "psnr",
    "quantile",
    "trapezoid",
]


# -- quantiles -------------------------------------------------------------------------

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantiles(
    x: TensorLike, levels: Value, axis: Axis, method: str, keepdims: bool, skip: bool
) -> Tensor:
    """The quantiles of x at levels in 0..1; `skip` passes over nan."""
    check_one_of("method", method, _METHODS)
    if levels.type.rank > 1:
        refuse(f"Expected levels of rank 0 or 1. Received: q: {levels.type}")
    operand = floats(x)
    axes = axes_of(axis, operand.type.rank)
    rest = [d for d in range(operand.type.rank) if d not in axes]
    shape = [operand.shape[d] for d in rest]
    line = product(operand.shape[d] for d in axes)
    if line == 0:
        refuse("Expected at least one element along the axes.", str(operand.type))
    lined = tensor(reshaped(widen(permuted(operand, [*rest, *axes])), [*shape, line]))
    found = _between(lined, tensor(value(tensor(levels), lined.dtype)), method, skip)
    kept = [1 if d in axes else size for d, size in enumerate(operand.shape)]
    found = arrangement.moveaxis(found, -1, 0)
    found = arrangement.reshape(found, [*levels.shape, *(kept if keepdims else shape)])
    return tensor(value(found, operand.dtype.long_name))


def _between(x: Tensor, levels: Tensor, method: str, skip: bool) -> Tensor:
    """The quantiles [..., levels] of the rows of x [..., N]."""
    absent = logic.isnan(x)
    if skip:
        known = tensor(value(logic.logical_not(absent), x.dtype))
        count = reduction.sum(known, -1, keepdims=True)
    else:
        spoilt = reduction.any(absent, -1, keepdims=True)
        x = logic.where(spoilt, math.nan, x)
        count = tensor(value(x.shape[-1], x.dtype))
    place = arrangement.reshape(levels, (-1,)) * elementwise.maximum(count - 1.0, 0.0)
    place = arrangement.reshape(place, [1] * (x.ndim - place.ndim) + list(place.shape))
    below = elementwise.floor(place)
    ordered = reduction.sort(x, -1)
    low, high = (
        take_along_axis(ordered, tensor(value(at, "int32")), -1)
        for at in (below, elementwise.ceil(place))
    )
    share = place - below
    if method == "lower":
        return low
    if method == "higher":
        return high
    if method == "midpoint":
        return (low + high) * 0.5
    if method == "nearest":
        return logic.where(share <= 0.5, low, high)
    # Infinite neighbours do not spoil a level that falls on an element.
    return logic.where(share == 0.0, low, low * (1.0 - share) + high * share)


@op
def quantile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """The values below which given shares of the elements over axes lie.

    Args:
        x: A tensor; integers become floats.
        q: The shares in 0..1, a number or a tensor of rank 1.
        axis: An axis, several, or None for all.
        method: What is taken between two elements: ``"linear"``, ``"lower"``,
            ``"higher"``, ``"midpoint"`` or ``"nearest"``.
        keepdims: Whether reduced dimensions stay with size 1.

    Returns:
        A tensor with the dimensions of q in front of those that are left of x; nan
        where an element is nan.

    Raises:
        GraphError: For other methods, for q of higher ranks, or without elements.
    """
    return _quantiles(x, floats(q), axis, method, keepdims, skip=False)


@op
def percentile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """The `quantile` for shares in 0..100; arguments as there."""
    levels = ir_ops.divide(floats(q), 100.0)
    return _quantiles(x, levels, axis, method, keepdims, skip=False)


@op
def median(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The middle element over axes, or the mean of the two in the middle."""
    return _quantiles(x, floats(0.5), axis, "midpoint", keepdims, skip=False)


@op
def nanquantile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """The `quantile` of what is not nan; nan where there is nothing else."""
    return _quantiles(x, floats(q), axis, method, keepdims, skip=True)


@op
def nanpercentile(
    x: TensorLike,
    q: TensorLike,
    axis: Axis = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """The `percentile` of what is not nan; nan where there is nothing else."""
    levels = ir_ops.divide(floats(q), 100.0)
    return _quantiles(x, levels, axis, method, keepdims, skip=True)


@op
def nanmedian(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The `median` of what is not nan; nan where there is nothing else."""
    return _quantiles(x, floats(0.5), axis, "midpoint", keepdims, skip=True)


# -- histograms ------------------------------------------------------------------------


@op
def digitize(x: TensorLike, bins: TensorLike) -> Tensor:
    """The number of the bin that each element of x falls into, as int32.

    Args:
        x: A tensor.
        bins: Edges [N], ascending or descending. Bin i holds what is at least edge
            i - 1 and below edge i; for descending edges, the other way around.

    Returns:
        Numbers in 0..N of the shape of x.
    """
    edges = tensor(read(bins))
    if edges.ndim != 1 or edges.shape[0] == 0:
        refuse(f"Expected at least one edge, in rank 1. Received: {read(bins).type}")
    rising = reduction.searchsorted(edges, x, side="right")
    falling = reduction.searchsorted(arrangement.flip(edges), x, side="right")
    size = tensor(value(edges.shape[0], "int32"))
    return logic.where(edges[-1] >= edges[0], rising, size - falling)


@op
def histogram(
    x: TensorLike, bins: int = 10, range: Sequence[float] | None = None
) -> tuple[Tensor, Tensor]:
    """How many elements of x fall into each bin.

    Args:
        x: A tensor.
        bins: The number of bins, N, of equal width.
        range: The outer edges; the smallest and the largest element by default.
            Elements outside are not counted.

    Returns:
        The counts [N] and the edges [N + 1], both floats. The last bin includes its
        upper edge.

    Raises:
        GraphError: For less than one bin, or a range that does not ascend.
    """
    given = arrangement.ravel(x)
    edges = _edges(given, bins, range)
    found = reduction.searchsorted(edges, given, side="right") - 1
    last = edges.shape[0] - 1
    found = logic.where(logic.equal(given, edges[-1]), last - 1, found)
    counted = creation.ones_like(given, edges.dtype)
    outside = logic.logical_or(given < edges[0], given > edges[-1])
    return segment_sum(counted, logic.where(outside, last, found), last), edges


def _edges(x: Tensor, bins: int, range: Sequence[float] | None) -> Tensor:
    wide = tensor(floats(x))
    if not isinstance(bins, int) or bins < 1:
        refuse(f"Expected a number of bins of at least 1. Received: bins={bins}")
    if range is not None:
        low, high = map(float, range)
        if low > high:
            refuse(f"Expected a range that ascends. Received: range={range}")
        if low == high:
            low, high = low - 0.5, high + 0.5
        return creation.linspace(low, high, bins + 1, dtype=wide.dtype)
    low, high = reduction.min(wide), reduction.max(wide)
    equal = tensor(value(logic.equal(low, high), wide.dtype)) * 0.5
    return creation.linspace(low - equal, high + equal, bins + 1)


# -- correlations ----------------------------------------------------------------------


@op
def corrcoef(x: TensorLike) -> Tensor:
    """The correlation coefficients of variables.

    Args:
        x: Variables in rows, observations in columns: [N, M]; or one variable [M].

    Returns:
        A tensor [N, N] of numbers in -1..1; of rank 0 for one variable.
    """
    given = tensor(floats(x))
    if given.ndim not in (1, 2):
        refuse(f"Expected a tensor of rank 1 or 2. Received: {floats(x).type}")
    rows = given if given.ndim == 2 else arrangement.expand_dims(given, 0)
    apart = rows - reduction.mean(rows, 1, keepdims=True)
    norms = elementwise.sqrt(reduction.sum(apart * apart, 1, keepdims=True))
    found = matmul(apart, arrangement.transpose(apart))
    found = elementwise.clip(found / norms / arrangement.transpose(norms), -1.0, 1.0)
    return found if given.ndim == 2 else arrangement.reshape(found, ())


@op
def correlate(x1: TensorLike, x2: TensorLike, mode: str = "valid") -> Tensor:
    """The sums of products of x1 and x2 shifted against each other.

    Args:
        x1: A tensor [N].
        x2: A tensor [M].
        mode: ``"valid"`` for shifts where the shorter lies within the longer,
            ``"same"`` for max(N, M) shifts, ``"full"`` for all N + M - 1.

    Returns:
        A tensor of rank 1 of a float dtype.

    Raises:
        GraphError: For other ranks and modes.
    """
    a, b = (materialize(v) for v in promote(x1, x2, also=[float]))
    check_one_of("mode", mode, ("valid", "same", "full"))
    if a.type.rank != 1 or b.type.rank != 1:
        refuse(f"Expected tensors of rank 1. Received: {a.type}, {b.type}")
    longer, shorter = a.shape[0], b.shape[0]
    if not isinstance(longer, int) or not isinstance(shorter, int):
        refuse(f"Expected tensors of known sizes. Received: {a.type}, {b.type}")
    # Exchanging the two reverses the result.
    swapped = longer < shorter
    if swapped:
        a, b, shorter = b, a, longer
    pad = {"valid": (0, 0), "full": (shorter - 1, shorter - 1)}.get(
        mode, (shorter // 2, (shorter - 1) // 2)
    )
    found = ir_ops.convolution(
        ir_ops.reshape(a, shape=[1, a.shape[0], 1]),
        ir_ops.reshape(b, shape=[b.shape[0], 1, 1]),
        labels="b0f_0io->b0f",
        strides=[1],
        padding=[pad],
        input_dilation=[1],
        kernel_dilation=[1],
    )
    row = reshaped(found, [found.shape[1]])
    return tensor(ir_ops.reverse(row, axes=[0]) if swapped else row)


# -- distances and integrals -----------------------------------------------------------


@op
def cdist(x: TensorLike, y: TensorLike) -> Tensor:
    """The Euclidean distances of all pairs of rows.

    Args:
        x: A tensor [..., N, D].
        y: A tensor [..., M, D].

    Returns:
        A tensor [..., N, M]. Where rows are equal the gradient is 0.

    Raises:
        GraphError: If a rank is below 2 or the last sizes differ.
    """
    a, b = (tensor(materialize(v)) for v in promote(x, y, also=[float]))
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        refuse(
            "Expected rows of one size in tensors of rank 2 or more. Received: shapes "
            f"{a.shape} and {b.shape}"
        )
    apart = arrangement.expand_dims(a, -2) - arrangement.expand_dims(b, -3)
    squared = reduction.sum(apart * apart, -1)
    equal = logic.equal(squared, 0.0)
    return logic.where(equal, 0.0, elementwise.sqrt(logic.where(equal, 1.0, squared)))


@op
def trapezoid(
    y: TensorLike, x: TensorLike = None, dx: TensorLike = 1.0, axis: int = -1
) -> Tensor:
    """The integral of samples along an axis, by straight lines between them.

    Args:
        y: The samples.
        x: Where they were taken, of the shape of y or [N] along the axis; None for
            equal distances.
        dx: The distance of neighbours, without x.
        axis: The axis.
    """
    samples = tensor(floats(y))
    along = axis_of(axis, samples.ndim)
    moved = arrangement.moveaxis(samples, along, -1)
    if x is None:
        step = tensor(value(dx, samples.dtype))
    else:
        places = tensor(floats(x))
        if places.ndim > 1:
            places = arrangement.moveaxis(places, along, -1)
        step = arrangement.diff(places)
    means = (moved[..., 1:] + moved[..., :-1]) * 0.5
    return reduction.sum(elementwise.multiply(means, step), -1)


@op
def psnr(x1: TensorLike, x2: TensorLike, max_val: float) -> Tensor:
    """The peak signal-to-noise ratio of two images, in decibel.

    Args:
        x1: A tensor.
        x2: A tensor of the same shape.
        max_val: The largest value that a pixel can have.

    Returns:
        ``20 log10(max_val) - 10 log10(mean((x1 - x2)**2))``, a tensor of rank 0.

    Raises:
        GraphError: If the shapes differ.
    """
    if read(x1).shape != read(x2).shape:
        refuse(
            f"Expected tensors of one shape. Received: {read(x1).type}, {read(x2).type}"
        )
    a, b = matched(x1, x2, also=[float])
    apart = tensor(ir_ops.subtract(a, b))
    peak = 20.0 * math.log10(max_val)
    return peak - 10.0 * elementwise.log10(reduction.mean(apart * apart))
