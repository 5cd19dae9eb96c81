"""Losses of scores: how far the right one leads."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops
from graphc.frontend.dispatch import op
from graphc.frontend.training.losses.loss import REGISTRY, LossFunctionWrapper
from graphc.frontend.training.losses.reduction import paired


@op
def hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(maximum(1 - y_true * y_pred, 0), axis=-1)``.

    Args:
        y_true: Targets, -1 or 1 (or 0 or 1), ``[B, ..., N]``.
        y_pred: Scores of the same shape.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "hinge")
    return ops.mean(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0), axis=-1)


@op
def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(maximum(1 - y_true * y_pred, 0)**2, axis=-1)``.

    Args:
        y_true: Targets, -1 or 1 (or 0 or 1), ``[B, ..., N]``.
        y_pred: Scores of the same shape.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "squared_hinge")
    margin = ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0)
    return ops.mean(ops.square(margin), axis=-1)


@op
def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """``maximum(highest wrong score - right score + 1, 0)``.

    Args:
        y_true: One-hot targets, ``[B, ..., C]``.
        y_pred: Scores of the same shape.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "categorical_hinge")
    right = ops.sum(y_true * y_pred, axis=-1)
    wrong = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.maximum(wrong - right + 1.0, 0.0)


class Hinge(LossFunctionWrapper):
    """The mean of ``maximum(1 - y_true * y_pred, 0)``.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(LossFunctionWrapper):
    """The mean of ``maximum(1 - y_true * y_pred, 0)**2``.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "squared_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(LossFunctionWrapper):
    """The mean of ``maximum(highest wrong score - right score + 1, 0)``.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(categorical_hinge, reduction, name, dtype)


def _signs(y_true: Any) -> Any:
    """Targets of 0 and 1 as -1 and 1; others as they are."""
    binary = ops.all(ops.logical_or(ops.equal(y_true, 0.0), ops.equal(y_true, 1.0)))
    return ops.where(binary, 2.0 * y_true - 1.0, y_true)


REGISTRY.add(
    *(CategoricalHinge, Hinge, SquaredHinge, categorical_hinge, hinge, squared_hinge)
)
