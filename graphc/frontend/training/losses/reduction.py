"""Shapes and weights of per-example values: ranks, masks, sample weights, reduction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.frontend import config, ops
from graphc.frontend.dtypes import is_float

REDUCTIONS = (
    "sum_over_batch_size",
    "sum",
    "mean",
    "mean_with_sample_weight",
    "none",
    None,
)
"""How per-example losses become the loss."""

MEANS = ("sum_over_batch_size", "mean")


def mask_of(x: Any) -> Any:
    """The mask that a layer attached to its output, or None."""
    return getattr(x, "_keras_mask", None)


def with_mask(x: Any, mask: Any) -> Any:
    """`x` after attaching a mask to it."""
    x._keras_mask = mask
    return x


def match_ranks(x: Any, y: Any) -> tuple[Any, Any]:
    """`x` and `y` with a trailing dimension of size 1 added or removed to agree.

    Vectors become columns; of two tensors of higher rank, the one with an additional
    trailing 1 loses it.
    """
    difference = len(x.shape) - len(y.shape)
    if difference == 1:
        return _match(x, y)
    if difference == -1:
        y, x = _match(y, x)
    return x, y


def _match(long: Any, short: Any) -> tuple[Any, Any]:
    if not _is_one(long.shape[-1]):
        return long, short
    if len(short.shape) == 1:
        return long, ops.expand_dims(short, -1)
    return ops.squeeze(long, -1), short


def _is_one(size: Any) -> bool:
    return isinstance(size, int) and size == 1


def check_shapes(y_true: Any, y_pred: Any, name: str) -> None:
    """Refuses targets that do not fit the predictions.

    Args:
        y_true: The targets.
        y_pred: The predictions, of the same rank or not.
        name: The loss or metric, for the message.

    Raises:
        ValueError: If they do not broadcast: two sizes of one dimension differ, neither
            being 1. Two that are not known count as equal, one that is not known and
            one that is only in shapes of one rank.
    """
    sizes = list(zip(reversed(y_true.shape), reversed(y_pred.shape), strict=False))
    kept = [pair for pair in sizes if not any(_is_one(size) for size in pair)]
    known = [[isinstance(size, int) for size in pair] for pair in kept]
    shifted = len(y_true.shape) != len(y_pred.shape)
    misfit = shifted and any(a != b for a, b in known)
    if misfit or differ([a for a, _ in kept], [b for _, b in kept]):
        raise ValueError(
            f"{name}: `y_true` and `y_pred` must have the same shape. "
            f"Received: y_true.shape={shown(y_true)}, y_pred.shape={shown(y_pred)}"
        )


def differ(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two shapes have known sizes that differ at the same place."""
    return any(
        isinstance(x, int) and isinstance(y, int) and x != y
        for x, y in zip(a, b, strict=False)
    )


def shown(x: Any) -> str:
    """The shape of `x` as messages give it; None where it is not known."""
    shape = getattr(x, "shape", None) or np.shape(x)
    return str(tuple(size if isinstance(size, int) else None for size in shape))


def align_weight(weight: Any, values: Any) -> Any:
    """`weight` reshaped so that it multiplies `values` from the first dimension on.

    Args:
        weight: A scalar, or a tensor whose dimensions are the first ones of `values`,
            with or without trailing dimensions of size 1.
        values: What it weighs. A scalar is the value of each example, as Keras has it
            for losses of a whole batch (`Dice`, `Tversky`).

    Raises:
        ValueError: If the shapes do not fit.
    """
    if not values.shape:
        return weight
    shape = tuple(weight.shape)
    while len(shape) > len(values.shape) and _is_one(shape[-1]):
        weight = ops.squeeze(weight, -1)
        shape = shape[:-1]
    pairs = [
        pair
        for pair in zip(shape, values.shape, strict=False)
        if not any(_is_one(size) for size in pair)
    ]
    fits = len(shape) <= len(values.shape)
    fits = fits and not differ([a for a, _ in pairs], [b for _, b in pairs])
    if not fits:
        raise ValueError(
            "`sample_weight` (or the mask) must have the first dimensions of the "
            f"values that it weighs. Received: sample_weight.shape={shown(weight)} "
            f"for values of shape {shown(values)}"
        )
    for _ in range(len(values.shape) - len(shape) if shape else 0):
        weight = ops.expand_dims(weight, -1)
    return weight


def apply_mask(sample_weight: Any, mask: Any, dtype: str, reduction: str | None) -> Any:
    """The weights that leave masked-out values out.

    Args:
        sample_weight: Weights to combine with the mask, or None.
        mask: True where a value counts.
        dtype: The dtype of the result.
        reduction: For a mean, valid values weigh more so that it is over them only.

    Returns:
        A float tensor of the shape of `mask`.
    """
    weight = ops.cast(mask, dtype)
    if reduction in MEANS:
        total = ops.sum(ops.ones_like(weight))
        weight = weight * (total / (ops.sum(weight) + config.epsilon()))
    if sample_weight is None:
        return weight
    given = ops.convert_to_tensor(sample_weight, dtype=dtype)
    return weight * align_weight(given, weight)


def reduce_weighted(
    values: Any, sample_weight: Any, mask: Any, reduction: str | None, dtype: str
) -> Any:
    """The loss from per-example values.

    Args:
        values: A float tensor, one value per example (and position).
        sample_weight: Weights, or None; see `align_weight`.
        mask: True where a value counts, or None.
        reduction: One of `REDUCTIONS`.
        dtype: The dtype to reduce in.

    Returns:
        A scalar; the weighted values themselves if the reduction is None or "none".
    """
    values = ops.convert_to_tensor(values, dtype=dtype)
    if mask is not None:
        sample_weight = apply_mask(sample_weight, mask, dtype, reduction)
    if sample_weight is not None:
        weight = ops.convert_to_tensor(sample_weight, dtype=dtype)
        weight = align_weight(weight, values)
        values = values * weight
        if reduction == "mean_with_sample_weight":
            total = ops.sum(weight + ops.zeros_like(values))
            return ops.divide_no_nan(ops.sum(values), total)
    if reduction == "sum":
        return ops.sum(values)
    if reduction in (*MEANS, "mean_with_sample_weight"):
        return ops.mean(values)
    return values


def paired(
    y_true: Any, y_pred: Any, name: str, one_hot: bool = False
) -> tuple[Any, Any]:
    """Targets and predictions as tensors of the predictions' dtype and equal rank.

    Args:
        y_true: The targets.
        y_pred: The predictions.
        name: The loss or metric, for the message.
        one_hot: Whether the shapes must be equal, so that nothing is broadcast.

    Raises:
        ValueError: If their shapes do not fit.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, dtype=y_pred.dtype)
    if one_hot:
        _check_one_hot(y_true, y_pred, name)
    y_true, y_pred = match_ranks(y_true, y_pred)
    check_shapes(y_true, y_pred, name)
    return y_true, y_pred


def _check_one_hot(y_true: Any, y_pred: Any, name: str) -> None:
    if len(y_true.shape) != len(y_pred.shape) or differ(y_true.shape, y_pred.shape):
        raise ValueError(
            f"{name}: `y_true` must be one-hot, of the shape of `y_pred`. Use "
            f"sparse_{name} for class numbers. "
            f"Received: y_true.shape={shown(y_true)}, y_pred.shape={shown(y_pred)}"
        )


def class_numbers(y_true: Any, y_pred: Any, name: str, axis: int = -1) -> Any:
    """Targets as integers of the shape of the predictions without their classes.

    Args:
        y_true: Class numbers, with or without a trailing dimension of size 1.
        y_pred: Predictions.
        name: The loss or metric, for the message.
        axis: The axis of the classes.

    Raises:
        ValueError: If the shapes do not fit.
    """
    labels = ops.convert_to_tensor(y_true)
    if len(labels.shape) == len(y_pred.shape) and _is_one(labels.shape[-1]):
        labels = ops.squeeze(labels, -1)
    wanted = list(y_pred.shape)
    del wanted[axis]
    if len(labels.shape) != len(wanted) or differ(labels.shape, wanted):
        dense = name.removeprefix("sparse_")
        hint = f"Use {dense} for one-hot targets. " if dense != name else ""
        raise ValueError(
            f"{name}: `y_true` must have the shape of `y_pred` without its classes. "
            f"{hint}Received: y_true.shape={shown(y_true)}, y_pred.shape={shown(y_pred)}"
        )
    return ops.cast(labels, "int32") if is_float(labels.dtype) else labels
