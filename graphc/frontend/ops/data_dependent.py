"""Functions whose results are as large as the values of a tensor say."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.frontend.dispatch import op
from graphc.frontend.keras_tensor import KerasTensor
from graphc.frontend.ops import arrangement, creation, logic, reduction
from graphc.frontend.ops.core import convert_to_tensor
from graphc.frontend.ops.indexing import segment_min, segment_sum, take
from graphc.frontend.ops.operands import TensorLike, holds_tensor, refuse
from graphc.frontend.tensor import Tensor, TracedTensor
from graphc.frontend.variables import Variable

__all__ = ["bincount", "nonzero", "unique"]


def _values(name: str, x: TensorLike, hint: str) -> np.ndarray[Any, Any]:
    """The elements of a concrete x; refuses one whose values are not known."""
    found = x.value if isinstance(x, Variable) else x
    if isinstance(found, (TracedTensor, KerasTensor)) or holds_tensor(found):
        refuse(
            f"{name}: the size of the result depends on the values of a tensor, which "
            "are not known while tracing",
            received=repr(found),
            hint=hint,
        )
    return np.asarray(found)


def nonzero(x: TensorLike) -> tuple[Tensor, ...]:
    """Where x differs from 0: the positions along each axis.

    Args:
        x: A tensor whose values are known.

    Returns:
        One tensor int32 [count] for each axis.

    Raises:
        GraphError: For a scalar, or while tracing, where the count is not known.

    Example:
        >>> import graphc
        >>> graphc.ops.nonzero([0, 3, 0, 4])[0].tolist()
        [1, 3]
    """
    values = _values(
        "nonzero",
        x,
        "keep the shape and mask with ops.where(condition, x, 0), or count with"
        " ops.count_nonzero",
    )
    if not values.ndim:
        refuse(f"Expected a tensor of rank 1 or more. Received: x={values}")
    return tuple(convert_to_tensor(row.astype(np.int32)) for row in values.nonzero())


def bincount(
    x: TensorLike,
    weights: TensorLike | None = None,
    minlength: int = 0,
    sparse: bool = False,
) -> Tensor:
    """How often each integer from 0 on occurs.

    Args:
        x: Integers of at least 0 [N], or a batch of them [B, N], whose values are
            known.
        weights: What each occurrence counts, of the shape of x; 1 by default.
        minlength: The least size of the result.
        sparse: Accepted as in Keras; True is refused, as graphs have dense tensors.

    Returns:
        A tensor [count] or [B, count] for the largest integer plus 1, or `minlength`
        if that is more: int32, or of the dtype of the weights.

    Raises:
        GraphError: For other ranks, negative integers, and while tracing, where the
            largest integer is not known.
    """
    values = _values(
        "bincount",
        x,
        "give the number of bins: ops.segment_sum(ops.ones_like(x), x, num_segments)",
    )
    if values.ndim not in (1, 2) or values.dtype.kind not in "iu" or sparse:
        refuse(
            "Expected integers of rank 1 or 2, not sparse. Received: "
            f"{values.dtype} of shape {values.shape}, sparse={sparse}"
        )
    if values.size and values.min() < 0:
        refuse(f"Expected integers of at least 0. Received: {values.min()}")
    count = max(minlength, int(values.max()) + 1 if values.size else 0)
    return _counted(values.astype(np.int32), weights, count)


@op
def _counted(x: Any, weights: TensorLike | None, count: int) -> Tensor:
    ids = convert_to_tensor(x)
    each = creation.ones_like(ids) if weights is None else convert_to_tensor(weights)
    if ids.ndim == 1:
        return segment_sum(each, ids, count)
    rows = ids.shape[0]
    first = arrangement.reshape(creation.arange(rows) * count, (rows, 1))
    total = segment_sum(
        arrangement.ravel(each), arrangement.ravel(ids + first), rows * count
    )
    return arrangement.reshape(total, (rows, count))


def unique(
    x: TensorLike,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: TensorLike | None = None,
) -> Any:
    """The different elements of x in ascending order; each nan is one of its own.

    Args:
        x: A tensor.
        sorted: Accepted as in Keras: they are always sorted.
        return_index: Whether to return where each one occurs first.
        return_inverse: Whether to return which one each element of x is.
        return_counts: Whether to return how often each one occurs.
        axis: None; slices along an axis are not compared.
        size: How many to return. Needed while tracing, where the number is not known.
        fill_value: What fills up the result if there are less than `size`; the
            smallest element by default.

    Returns:
        A tensor [size], or a tuple of it and what else was asked for.

    Raises:
        GraphError: For an `axis`, and while tracing without `size`.

    Example:
        >>> import graphc
        >>> values, counts = graphc.ops.unique([3, 1, 3], return_counts=True)
        >>> values.tolist(), counts.tolist()
        ([1, 3], [1, 2])
    """
    if axis is not None:
        refuse(f"Expected axis=None. Received: axis={axis}")
    if size is None:
        hint = "give the largest number of different elements as `size`"
        values = _values("unique", x, hint)
        size = len(np.unique(values, equal_nan=False))
    extra = return_index, return_inverse, return_counts
    return _distinct(x, size, fill_value, extra)


@op
def _distinct(x: TensorLike, size: int, fill: Any, extra: tuple[bool, ...]) -> Any:
    given = convert_to_tensor(x)
    flat = arrangement.ravel(given)
    order = reduction.argsort(flat)
    ordered = take(flat, order)
    first = logic.not_equal(ordered[1:], ordered[:-1])
    first = arrangement.concatenate([creation.ones((1,), "bool"), first])
    slot = reduction.cumsum(first) - 1
    counts = segment_sum(creation.ones_like(slot), slot, size)
    filled = counts > 0
    start = segment_min(creation.arange(slot.shape[0]), slot, size)
    start = logic.where(filled, start, 0)
    values = take(ordered, start)
    if fill is not None:
        values = logic.where(filled, values, convert_to_tensor(fill, given.dtype))
    if not any(extra):
        return values
    found = [values]
    index, inverse, count = extra
    if index:
        found.append(take(order, start))
    if inverse:
        found.append(
            arrangement.reshape(take(slot, reduction.argsort(order)), given.shape)
        )
    if count:
        found.append(counts)
    return tuple(found)
