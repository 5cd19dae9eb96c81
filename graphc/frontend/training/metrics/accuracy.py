"""Accuracies: how often predictions are right."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops
from graphc.frontend.dispatch import op
from graphc.frontend.dtypes import floatx
from graphc.frontend.training.losses.reduction import (
    class_numbers,
    paired,
)
from graphc.frontend.training.metrics.averages import FUNCTIONS, MeanMetricWrapper
from graphc.frontend.training.metrics.metric import REGISTRY


@op
def accuracy(y_true: Any, y_pred: Any) -> Any:
    """How often predictions equal targets, averaged over the last axis.

    Args:
        y_true: Targets ``[B, ..., N]``.
        y_pred: Predictions of the same shape.

    Returns:
        A float tensor ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "accuracy")
    return ops.mean(ops.cast(ops.equal(y_true, y_pred), floatx()), axis=-1)


@op
def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Whether predictions are on the targets' side of a threshold.

    Args:
        y_true: Targets, 0 or 1, ``[B, ...]``.
        y_pred: Probabilities of the same shape.
        threshold: Above it a prediction counts as 1.

    Returns:
        1 or 0 for each prediction, a float tensor of the shape of `y_pred`.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "binary_accuracy")
    predicted = ops.cast(y_pred > threshold, y_true.dtype)
    return ops.cast(ops.equal(y_true, predicted), floatx())


@op
def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Whether the highest prediction is that of the right class.

    Args:
        y_true: One-hot targets ``[B, ..., C]``.
        y_pred: Probabilities or logits of the same shape.

    Returns:
        1 or 0 for each example, a float tensor ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "categorical_accuracy", one_hot=True)
    right = ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1))
    return ops.cast(right, floatx())


@op
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Whether the highest prediction is that of the right class number.

    Args:
        y_true: Class numbers ``[B, ...]`` or ``[B, ..., 1]``.
        y_pred: Probabilities or logits ``[B, ..., C]``.

    Returns:
        1 or 0 for each example, a float tensor ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    labels = class_numbers(y_true, y_pred, "sparse_categorical_accuracy")
    return ops.cast(ops.equal(labels, ops.argmax(y_pred, axis=-1)), floatx())


@op
def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """Whether the right class is among the `k` highest predictions.

    Args:
        y_true: One-hot targets ``[B, ..., C]``.
        y_pred: Probabilities or logits of the same shape.
        k: How many predictions count.

    Returns:
        1 or 0 for each example, a float tensor ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "top_k_categorical_accuracy", one_hot=True)
    return _in_top_k(ops.argmax(y_true, axis=-1), y_pred, k)


@op
def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Any:
    """Whether the right class number is among the `k` highest predictions.

    Args:
        y_true: Class numbers ``[B, ...]`` or ``[B, ..., 1]``.
        y_pred: Probabilities or logits ``[B, ..., C]``; with `from_sorted_ids`, class
            numbers in order of decreasing probability.
        k: How many predictions count.
        from_sorted_ids: Whether predictions are sorted class numbers.

    Returns:
        1 or 0 for each example, a float tensor ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    name = "sparse_top_k_categorical_accuracy"
    y_pred = ops.convert_to_tensor(y_pred)
    labels = class_numbers(y_true, y_pred, name)
    if not from_sorted_ids:
        return _in_top_k(labels, y_pred, k)
    ids = ops.cast(y_pred[..., :k], "int32")
    found = ops.any(ops.equal(ops.expand_dims(labels, -1), ids), axis=-1)
    return ops.cast(found, floatx())


def _in_top_k(labels: Any, y_pred: Any, k: int) -> Any:
    return ops.cast(ops.in_top_k(labels, y_pred, k), floatx())


class Accuracy(MeanMetricWrapper):
    """How often predictions equal targets.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    _direction = "up"

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """How often predictions are on the targets' side of a threshold.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
        threshold: Above it a prediction counts as 1; in 0..1.

    Raises:
        ValueError: If the threshold is not in 0..1.
    """

    _direction = "up"

    def __init__(
        self,
        name: str | None = "binary_accuracy",
        dtype: Any = None,
        threshold: float = 0.5,
    ) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(
                "Invalid value for argument `threshold`. Expected a value in the "
                f"interval [0, 1]. Received: threshold={threshold}"
            )
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the highest prediction is that of the right class; one-hot targets.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    _direction = "up"

    def __init__(
        self, name: str | None = "categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the highest prediction is that of the right class number.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.

    Example:
        >>> import graphc
        >>> metric = graphc.metrics.SparseCategoricalAccuracy()
        >>> metric.update_state([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0.0]])
        >>> float(metric.result())
        0.5
    """

    _direction = "up"

    def __init__(
        self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None
    ) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the right class is among the `k` highest predictions; one-hot targets.

    Args:
        k: How many predictions count.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    _direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str | None = "top_k_categorical_accuracy",
        dtype: Any = None,
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the right class number is among the `k` highest predictions.

    Args:
        k: How many predictions count.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
        from_sorted_ids: Whether predictions are class numbers in order of decreasing
            probability.
    """

    _direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(
            sparse_top_k_categorical_accuracy,
            name,
            dtype,
            k=k,
            from_sorted_ids=from_sorted_ids,
        )


FUNCTIONS.add(
    *(accuracy, binary_accuracy, categorical_accuracy, sparse_categorical_accuracy),
    *(sparse_top_k_categorical_accuracy, top_k_categorical_accuracy),
)
REGISTRY.add(
    *(Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy),
    *(SparseTopKCategoricalAccuracy, TopKCategoricalAccuracy),
)
