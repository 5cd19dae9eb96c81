"""Reductions, statistics, scans along an axis, and sorting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.frontend.dispatch import op
from graphc.frontend.dtypes import standardize_dtype
from graphc.frontend.ops import elementwise
from graphc.frontend.ops.elementwise import differs, is_bool, zero_like
from graphc.frontend.ops.logic import truth
from graphc.frontend.ops.operands import (
    TensorLike,
    axes_of,
    axis_of,
    check_one_of,
    floats,
    materialize,
    promote,
    read,
    refuse,
    stretch,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Value
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim
from graphc.ir.ops import along_axes
from graphc.ir.ops.along_axes import in_dtype, widen
from graphc.ir.types import I32, product

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "argpartition",
    "argsort",
    "average",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "in_top_k",
    "logsumexp",
    "max",
    "mean",
    "min",
    "moments",
    "norm",
    "normalize",
    "prod",
    "ptp",
    "searchsorted",
    "sort",
    "std",
    "sum",
    "top_k",
    "var",
]

Axis = int | Sequence[int] | None


def keep_dims(x: Value, shape: Sequence[Dim], axes: Sequence[int]) -> Value:
    """`x`, from which `axes` of `shape` were reduced away, with size 1 in their place."""
    kept = [1 if d in axes else size for d, size in enumerate(shape)]
    return ir_ops.reshape(x, shape=kept)


def repeat_along(x: Value, shape: Sequence[Dim], axes: Sequence[int]) -> Value:
    """`x`, from which `axes` of `shape` were reduced away, repeated along them."""
    dims = [d for d in range(len(shape)) if d not in axes]
    return ir_ops.broadcast_in_dim(x, shape=shape, dims=dims)


def _reduce(
    op: Callable[..., Any], x: Value, axes: Sequence[int], keepdims: bool
) -> Tensor:
    reduced = op(x, axes=axes)
    return tensor(keep_dims(reduced, x.shape, axes) if keepdims else reduced)


# -- sums and products -----------------------------------------------------------------


def _accumulated(x: TensorLike, dtype: Any = None) -> Value:
    """`x` in the dtype that its elements are added up in: at least 32 bits for ints."""
    if dtype is not None:
        return materialize(value(x, standardize_dtype(dtype)))
    operand = read(x)
    kind = operand.dtype.kind
    if operand.dtype.is_float or operand.dtype.bits > 32:
        return operand
    return materialize(value(tensor(operand), "uint32" if kind == "uint" else "int32"))


@op
def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over axes.

    Args:
        x: A tensor; small integers and bool are added up in 32 bits.
        axis: An axis, several, or None for all.
        keepdims: Whether reduced dimensions stay with size 1.
    """
    operand = _accumulated(x)
    return _reduce(
        ir_ops.reduce_sum, operand, axes_of(axis, operand.type.rank), keepdims
    )


@op
def prod(
    x: TensorLike, axis: Axis = None, keepdims: bool = False, dtype: Any = None
) -> Tensor:
    """The product over axes; arguments as `sum`, in `dtype` if that is given."""
    operand = _accumulated(x, dtype)
    axes = axes_of(axis, operand.type.rank)
    return _reduce(ir_ops.reduce_prod, operand, axes, keepdims)


@op
def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over axes; arguments as `sum`. Integers become floats."""
    operand = floats(x)
    axes = axes_of(axis, operand.type.rank)
    return _reduce(_mean, operand, axes, keepdims)


def _mean(x: Value, *, axes: Sequence[int]) -> Value:
    return in_dtype(along_axes.mean(widen(x), axes), x.dtype)


@op
def average(x: TensorLike, axis: Axis = None, weights: TensorLike = None) -> Tensor:
    """The mean over axes, weighted.

    Args:
        x: A tensor.
        axis: An axis, several, or None for all.
        weights: Weights of the shape of x, or of one dimension along one `axis`; None
            weighs all alike.

    Raises:
        GraphError: If the shapes of x and the weights do not fit.
    """
    if weights is None:
        return mean(x, axis)
    operand, weight = map(materialize, promote(x, weights, also=[float]))
    axes = axes_of(axis, operand.type.rank)
    if weight.shape != operand.shape:
        if weight.type.rank != 1 or len(axes) != 1:
            refuse(
                "Expected weights of the shape of x, or of rank 1 with one `axis`.",
                received=f"x: {operand.type}, weights: {weight.type}, axis={axis}",
            )
        if weight.shape[0] != operand.shape[axes[0]]:
            refuse(
                f"Expected one weight for each of {operand.shape[axes[0]]} elements "
                f"along the axis. Received: {weight.shape[0]} weights"
            )
        weight = ir_ops.broadcast_in_dim(weight, shape=operand.shape, dims=axes)
    weighted = ir_ops.reduce_sum(ir_ops.multiply(operand, weight), axes=axes)
    return tensor(ir_ops.divide(weighted, ir_ops.reduce_sum(weight, axes=axes)))


@op
def var(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The variance over axes: the mean of squared distances from the mean."""
    operand = floats(x)
    axes = axes_of(axis, operand.type.rank)
    return _reduce(_variance, operand, axes, keepdims)


def _variance(x: Value, *, axes: Sequence[int]) -> Value:
    wide = widen(x)
    centre = repeat_along(_mean(wide, axes=axes), x.shape, axes)
    apart = ir_ops.subtract(wide, centre)
    return in_dtype(_mean(ir_ops.multiply(apart, apart), axes=axes), x.dtype)


@op
def std(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The standard deviation over axes: the square root of `var`."""
    return elementwise.sqrt(var(x, axis, keepdims))


@op
def moments(
    x: TensorLike, axes: Axis, keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    """The mean and the variance over axes.

    Args:
        x: A tensor.
        axes: An axis, several, or None for all.
        keepdims: Whether reduced dimensions stay with size 1.
        synchronized: Accepted as in Keras: a graph always sees the whole batch.
    """
    return mean(x, axes, keepdims), var(x, axes, keepdims)


@op
def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The logarithm of the sum of exp(x) over axes, without overflow."""
    operand = floats(x)
    axes = axes_of(axis, operand.type.rank)
    return _reduce(ir_ops.logsumexp, operand, axes, keepdims)


@op
def count_nonzero(x: TensorLike, axis: Axis = None) -> Tensor:
    """How many elements over axes differ from 0, as int32."""
    operand = truth(x)
    axes = axes_of(axis, operand.type.rank)
    return tensor(ir_ops.reduce_sum(ir_ops.convert(operand, dtype=I32), axes=axes))


# -- extremes --------------------------------------------------------------------------


def _extreme(
    x: TensorLike, axis: Axis, keepdims: bool, initial: Any, largest: bool
) -> Tensor:
    operand = read(x)
    axes = axes_of(axis, operand.type.rank)
    if initial is None and 0 in [operand.shape[a] for a in axes]:
        refuse(
            "Expected at least one element along the axes, or `initial`.",
            received=f"x: {operand.type}, axis={axis}",
        )
    if is_bool(operand):
        reduce = ir_ops.reduce_or if largest else ir_ops.reduce_and
    else:
        reduce = ir_ops.reduce_max if largest else ir_ops.reduce_min
    found = _reduce(reduce, operand, axes, keepdims)
    if initial is None:
        return found
    pick = elementwise.maximum if largest else elementwise.minimum
    return pick(found, initial)


@op
def max(
    x: TensorLike, axis: Axis = None, keepdims: bool = False, initial: Any = None
) -> Tensor:
    """The largest element over axes.

    Args:
        x: A tensor.
        axis: An axis, several, or None for all.
        keepdims: Whether reduced dimensions stay with size 1.
        initial: A number that takes part; needed if there may be no elements.

    Raises:
        GraphError: If there are no elements and no `initial`.
    """
    return _extreme(x, axis, keepdims, initial, largest=True)


@op
def min(
    x: TensorLike, axis: Axis = None, keepdims: bool = False, initial: Any = None
) -> Tensor:
    """The smallest element over axes; arguments as `max`."""
    return _extreme(x, axis, keepdims, initial, largest=False)


@op
def amax(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes; the same as `max`."""
    return max(x, axis, keepdims)


@op
def amin(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axes; the same as `min`."""
    return min(x, axis, keepdims)


@op
def ptp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The distance from the smallest to the largest element over axes."""
    return elementwise.subtract(max(x, axis, keepdims), min(x, axis, keepdims))


@op
def all(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over axes hold, as bool; numbers hold unless 0."""
    operand = materialize(truth(x))
    axes = axes_of(axis, operand.type.rank)
    return _reduce(ir_ops.reduce_and, operand, axes, keepdims)


@op
def any(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any element over axes holds, as bool; numbers hold unless 0."""
    operand = materialize(truth(x))
    axes = axes_of(axis, operand.type.rank)
    return _reduce(ir_ops.reduce_or, operand, axes, keepdims)


def _position(
    op: Callable[..., Any], x: TensorLike, axis: int | None, keepdims: bool
) -> Tensor:
    operand = read(x)
    rank, shape = operand.type.rank, operand.shape
    if axis is None:
        flat = ir_ops.reshape(operand, shape=[product(shape)])
        found = op(flat, axis=0)
        return tensor(keep_dims(found, shape, range(rank)) if keepdims else found)
    position = axis_of(axis, rank)
    found = op(operand, axis=position)
    return tensor(keep_dims(found, shape, [position]) if keepdims else found)


@op
def argmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the largest element lies along an axis, as int32; the first one of equals.

    Args:
        x: A tensor.
        axis: The axis, or None for the position among all elements.
        keepdims: Whether the reduced dimension stays with size 1.
    """
    return _position(ir_ops.argmax, x, axis, keepdims)


@op
def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the smallest element lies along an axis; arguments as `argmax`."""
    return _position(ir_ops.argmin, x, axis, keepdims)


# -- norms -----------------------------------------------------------------------------


@op
def norm(
    x: TensorLike, ord: Any = None, axis: Axis = None, keepdims: bool = False
) -> Tensor:
    """The norm of vectors or matrices.

    Args:
        x: A tensor.
        ord: Which norm. Over one axis: a number p, ``inf``, ``-inf``, or None for 2.
            Over two: 1, -1, 2, -2, ``inf``, ``-inf``, ``"nuc"``, ``"fro"`` or None for
            ``"fro"``; 2 and -2 are the largest and the smallest singular value, the
            sum of all is ``"nuc"``.
            Without an axis None takes all elements as one vector.
        axis: The axis of vectors, two axes of matrices, or None for all.
        keepdims: Whether reduced dimensions stay with size 1.

    Raises:
        GraphError: For other norms, and for norms of tensors of other ranks.
    """
    operand = floats(x)
    axes = axes_of(axis, operand.type.rank)
    if ord is None or (len(axes) == 2 and ord == "fro"):
        return _vector_norm(operand, 2, axes, keepdims)
    if len(axes) == 1 and not isinstance(ord, str):
        return _vector_norm(operand, ord, axes, keepdims)
    if len(axes) == 2 and ord in (1, -1, float("inf"), -float("inf")):
        return _matrix_norm(operand, ord, axes, keepdims)
    if len(axes) == 2 and ord in _SINGULAR:
        return _singular_norm(operand, ord, axes, keepdims)
    return refuse(
        "Expected a norm of vectors (a number) over one axis, or of matrices (1, -1, 2, "
        f"-2, inf, -inf, 'nuc' or 'fro') over two. Received: ord={ord!r}, axis={axis}"
    )


_SINGULAR: dict[Any, Callable[..., Any]] = {
    2: ir_ops.reduce_max,
    -2: ir_ops.reduce_min,
    "nuc": ir_ops.reduce_sum,
}


def _singular_norm(x: Value, ord: Any, axes: Sequence[int], keepdims: bool) -> Tensor:
    rest = [d for d in range(x.type.rank) if d not in axes]
    moved = widen(ir_ops.transpose(x, permutation=[*rest, *axes]))
    values = ir_ops.svd(moved, full_matrices=False)[1]
    found = in_dtype(_SINGULAR[ord](values, axes=[len(rest)]), x.dtype)
    return tensor(keep_dims(found, x.shape, axes) if keepdims else found)


def _vector_norm(x: Value, ord: Any, axes: Sequence[int], keepdims: bool) -> Tensor:
    size = ir_ops.abs_(x)
    if ord == 0:
        nonzero = ir_ops.convert(differs(x, zero_like(x)), dtype=x.dtype)
        return _reduce(ir_ops.reduce_sum, nonzero, axes, keepdims)
    if ord in (float("inf"), -float("inf")):
        reduce = ir_ops.reduce_max if ord > 0 else ir_ops.reduce_min
        return _reduce(reduce, size, axes, keepdims)
    if ord == 1:
        return _reduce(ir_ops.reduce_sum, size, axes, keepdims)
    if ord == 2:
        total = _reduce(ir_ops.reduce_sum, ir_ops.multiply(x, x), axes, keepdims)
        return elementwise.sqrt(total)
    total = _reduce(ir_ops.reduce_sum, ir_ops.power(size, float(ord)), axes, keepdims)
    return elementwise.power(total, 1.0 / ord)


def _matrix_norm(x: Value, ord: float, axes: Sequence[int], keepdims: bool) -> Tensor:
    summed, picked = axes if ord in (1, -1) else (axes[1], axes[0])
    size = keep_dims(
        ir_ops.reduce_sum(ir_ops.abs_(x), axes=[summed]), x.shape, [summed]
    )
    reduce = ir_ops.reduce_max if ord > 0 else ir_ops.reduce_min
    found = reduce(size, axes=sorted((summed, picked)))
    return tensor(keep_dims(found, x.shape, axes) if keepdims else found)


@op
def normalize(
    x: TensorLike, axis: Axis = -1, order: Any = 2, epsilon: float | None = None
) -> Tensor:
    """Divides x by its norm along an axis.

    Args:
        x: A tensor.
        axis: The axis of the vectors.
        order: Which norm; see `norm`.
        epsilon: A lower limit of the norm; 1e-12 by default, as in Keras.
    """
    operand = floats(x)
    least = 1e-12 if epsilon is None else epsilon
    axes = axes_of(axis, operand.type.rank)
    if order == 2:
        # One reciprocal root, whose gradient is finite at 0.
        squared = ir_ops.reduce_sum(ir_ops.multiply(operand, operand), axes=axes)
        limited = ir_ops.maximum(squared, least * least)
        factor = repeat_along(ir_ops.rsqrt(limited), operand.shape, axes)
        return tensor(ir_ops.multiply(operand, factor))
    found = value(norm(tensor(operand), order, axis, keepdims=True))
    limited = stretch(ir_ops.maximum(found, least), operand.shape)
    return tensor(ir_ops.divide(operand, limited))


# -- scans -----------------------------------------------------------------------------


def _scan(
    op: Callable[..., Any], x: TensorLike, axis: int | None, dtype: Any
) -> Tensor:
    if dtype is not None:
        operand = materialize(value(x, standardize_dtype(dtype)))
    else:
        operand = materialize(promote(x, also=[int])[0])
    if axis is None:
        flat = ir_ops.reshape(operand, shape=[product(operand.shape)])
        return tensor(op(flat, axis=0))
    return tensor(op(operand, axis=axis_of(axis, operand.type.rank)))


@op
def cumsum(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The sums of the elements up to each one along an axis.

    Args:
        x: A tensor; bool becomes int32.
        axis: The axis, or None for all elements in one row.
        dtype: The dtype to add up in; that of x by default.
    """
    return _scan(ir_ops.cumulative_sum, x, axis, dtype)


@op
def cumprod(x: TensorLike, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The products of the elements up to each one along an axis; see `cumsum`."""
    return _scan(ir_ops.cumulative_prod, x, axis, dtype)


# -- sorting ---------------------------------------------------------------------------


def _lined(x: TensorLike, axis: int | None) -> tuple[Value, int]:
    """`x` and the axis to sort along; all elements in one row for None."""
    operand = read(x)
    if axis is None:
        return ir_ops.reshape(operand, shape=[product(operand.shape)]), 0
    return operand, axis_of(axis, operand.type.rank)


@op
def sort(x: TensorLike, axis: int | None = -1) -> Tensor:
    """The elements in ascending order along an axis, nan last.

    Args:
        x: A tensor.
        axis: The axis, or None for all elements in one row.
    """
    operand, along = _lined(x, axis)
    return tensor(ir_ops.sort(operand, axis=along))


def sorted_places(x: Value, axis: int) -> tuple[Value, Value]:
    """`x` sorted along an axis, and where each element came from, as int32."""
    places = ir_ops.iota(shape=x.shape, axis=axis, dtype=I32)
    return ir_ops.sort(x, places, axis=axis)


@op
def argsort(x: TensorLike, axis: int | None = -1) -> Tensor:
    """The positions, int32, that put the elements in ascending order; stable.

    Args:
        x: A tensor.
        axis: The axis, or None for all elements in one row, as those of a scalar.
    """
    x = tensor(read(x))
    lined = _lined(x, axis if x.ndim else None)
    return tensor(sorted_places(*lined)[1])


@op
def argpartition(x: TensorLike, kth: int, axis: int | None = -1) -> Tensor:
    """Positions, int32, that put smaller elements before the kth and larger behind.

    Args:
        x: A tensor.
        kth: A position along the axis. The element there is the one of the sorted
            tensor; here all others are sorted too.
        axis: The axis, or None for all elements in one row.

    Raises:
        GraphError: If `kth` is not a position along the axis.
    """
    lined, along = _lined(x, axis)
    size = lined.shape[along]
    if isinstance(size, int) and not -size <= kth < size:
        refuse(f"Expected `kth` in {-size}..{size - 1}. Received: kth={kth}")
    return tensor(sorted_places(lined, along)[1])


@op
def top_k(x: TensorLike, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest elements along the last axis, and their positions.

    Args:
        x: A tensor [..., N].
        k: How many, at most N.
        sorted: Accepted as in Keras: the elements always come largest first.

    Returns:
        Two tensors [..., k]: the elements, and their positions as int32.

    Raises:
        GraphError: If the last dimension has less than k elements.
    """
    operand = read(x)
    axis = axis_of(-1, operand.type.rank)
    size = operand.shape[axis]
    if k < 0 or (isinstance(size, int) and k > size):
        refuse(f"Expected `k` in 0..{size}. Received: k={k}")
    found, places = ir_ops.top_k(operand, k=k)
    return tensor(found), tensor(places)


@op
def in_top_k(targets: TensorLike, predictions: TensorLike, k: int) -> Tensor:
    """Whether the prediction for each target is among the k largest, as bool.

    Args:
        targets: Class indices [N].
        predictions: Scores [N, classes].
        k: How many count.

    Returns:
        bool [N]; False where the target's score is not finite or not a class.
    """
    scores = floats(predictions)
    labels = value(targets, "int32")
    column = ir_ops.reshape(labels, shape=[*labels.type.shape, 1])
    own = ir_ops.take_along(scores, column, axis=1)
    higher = ir_ops.compare(scores, stretch(own, scores.shape), direction="GT")
    ahead = ir_ops.reduce_sum(ir_ops.convert(higher, dtype=I32), axes=[1])
    hit = ir_ops.compare(ahead, k, direction="LT")
    finite = ir_ops.reshape(ir_ops.is_finite(own), shape=labels.type.shape)
    size = ir_ops.dimension_size(scores, axis=1)
    inside = ir_ops.and_(
        ir_ops.compare(labels, 0, direction="GE"),
        ir_ops.compare(labels, size, direction="LT"),
    )
    return tensor(ir_ops.and_(hit, ir_ops.and_(finite, inside)))


@op
def searchsorted(
    sorted_sequence: TensorLike, values: TensorLike, side: str = "left"
) -> Tensor:
    """Where to insert values so that a sorted sequence stays sorted, as int32.

    Args:
        sorted_sequence: A tensor [N] in ascending order.
        values: A tensor of any shape.
        side: ``"left"`` for the first place that fits, ``"right"`` for the last.

    Returns:
        Positions in 0..N of the shape of `values`.

    Raises:
        GraphError: If the sequence is not of rank 1 or `side` is neither.
    """
    check_one_of("side", side, ("left", "right"))
    sequence, found = map(materialize, promote(sorted_sequence, values))
    if sequence.type.rank != 1:
        refuse(f"Expected a sequence of rank 1. Received: {sequence.type}")
    shape = (*found.shape, sequence.shape[0])
    rank = found.type.rank
    rows = ir_ops.broadcast_in_dim(sequence, shape=shape, dims=[rank])
    column = ir_ops.broadcast_in_dim(found, shape=shape, dims=range(rank))
    before = ir_ops.compare(rows, column, direction="LT" if side == "left" else "LE")
    if found.dtype.is_float:  # nan is behind all numbers
        behind = ir_ops.compare(column, column, direction="NE")
        if side == "left":
            is_number = ir_ops.compare(rows, rows, direction="EQ")
            behind = ir_ops.and_(behind, is_number)
        before = ir_ops.or_(before, behind)
    return tensor(ir_ops.reduce_sum(ir_ops.convert(before, dtype=I32), axes=[rank]))
