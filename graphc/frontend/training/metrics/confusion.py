"""Metrics that count true and false positives and negatives at thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops
from graphc.frontend.training.losses.reduction import align_weight, paired
from graphc.frontend.training.metrics.metric import REGISTRY, Metric

NEVER = -1e10
"""A score below every threshold."""


def confusion_counts(
    y_true: Any,
    y_pred: Any,
    thresholds: Sequence[float],
    sample_weight: Any,
    dtype: str,
    label_weights: Sequence[float] | None = None,
    by_label: bool = False,
) -> dict[str, Any]:
    """Weighted counts of true and false positives and negatives at each threshold.

    Args:
        y_true: Labels, 0 or 1, ``[B, ...]``.
        y_pred: Probabilities of the same shape.
        thresholds: Probabilities above which a prediction is positive.
        sample_weight: Weights, or None.
        dtype: The dtype of the counts.
        label_weights: Weights of the labels along the last axis, or None.
        by_label: Whether each label of ``[B, L]`` is counted for itself.

    Returns:
        Tensors ``[len(thresholds)]``, with `by_label` ``[len(thresholds), L]``, under
        ``true_positives``, ``false_positives``, ``true_negatives`` and
        ``false_negatives``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_pred = ops.convert_to_tensor(y_pred, dtype=dtype)
    y_true, y_pred = paired(y_true, y_pred, "confusion_counts")
    labels = ops.cast(ops.not_equal(y_true, 0), dtype)
    weights = ops.ones_like(y_pred)
    if sample_weight is not None:
        given = ops.convert_to_tensor(sample_weight, dtype=dtype)
        weights = weights * align_weight(given, y_pred)
    if label_weights is not None:
        weights = weights * ops.convert_to_tensor(list(label_weights), dtype=dtype)
    limits = ops.convert_to_tensor(list(thresholds), dtype=dtype)
    rows = (-1, y_pred.shape[-1]) if by_label else (-1,)
    limits = ops.reshape(limits, (len(thresholds),) + (1,) * len(rows))
    # positive[threshold, prediction] or positive[threshold, sample, label]
    positive = ops.cast(ops.reshape(y_pred, (1, *rows)) > limits, dtype)
    right = ops.reshape(labels * weights, rows)
    wrong = ops.reshape((1.0 - labels) * weights, rows)

    def count(chosen: Any, weights: Any) -> Any:
        return ops.sum(chosen * weights, axis=1)

    return {
        "true_positives": count(positive, right),
        "false_positives": count(positive, wrong),
        "true_negatives": count(1.0 - positive, wrong),
        "false_negatives": count(1.0 - positive, right),
    }


def checked_thresholds(thresholds: Any, default: float) -> list[float]:
    """`thresholds` as a list, after checking them.

    Raises:
        ValueError: If one is not in 0..1.
    """
    listed = thresholds if isinstance(thresholds, (list, tuple)) else [thresholds]
    listed = [default if t is None else t for t in listed]
    invalid = [t for t in listed if t < 0 or t > 1]
    if invalid:
        raise ValueError(
            "Threshold values must be in [0, 1]. "
            f"Received: thresholds={thresholds}, of which {invalid} are not"
        )
    return [float(t) for t in listed]


class _Counts(Metric):
    """Base of metrics that keep some of the four counts, one for each threshold."""

    kept: tuple[str, ...] = ()

    def __init__(
        self, thresholds: Any = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = checked_thresholds(thresholds, 0.5)
        size = (len(self.thresholds),)
        self._counts = {
            count: self.add_variable(size, "zeros", name=self._variable_name(count))
            for count in self.kept
        }

    def _variable_name(self, count: str) -> str:
        return count

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to the counts.

        Args:
            y_true: Labels, 0 or 1, ``[B, ...]``.
            y_pred: Probabilities of the same shape.
            sample_weight: Weights of the samples ``[B]`` or of the labels, or None.
        """
        counts = confusion_counts(
            y_true, y_pred, self.thresholds, sample_weight, self.dtype
        )
        for name, variable in self._counts.items():
            variable.assign_add(counts[name])

    def _scalar(self, result: Any) -> Any:
        """`result` without its only element's axis if there is one threshold."""
        return result[0] if len(self.thresholds) == 1 else result

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"thresholds": self.init_thresholds}


class _OneCount(_Counts):
    """Base of metrics that are one of the counts."""

    def _variable_name(self, count: str) -> str:
        return "accumulator"

    def result(self) -> Any:
        return self._scalar(self._counts[self.kept[0]].value)


class TruePositives(_OneCount):
    """The number of predictions above the threshold whose label is 1.

    Args:
        thresholds: A threshold in 0..1 or several; 0.5 by default.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    _direction = "up"
    kept = ("true_positives",)


class TrueNegatives(_OneCount):
    """The number of predictions up to the threshold whose label is 0.

    Args:
        thresholds: A threshold in 0..1 or several; 0.5 by default.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    _direction = "up"
    kept = ("true_negatives",)


class FalsePositives(_OneCount):
    """The number of predictions above the threshold whose label is 0.

    Args:
        thresholds: A threshold in 0..1 or several; 0.5 by default.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    _direction = "down"
    kept = ("false_positives",)


class FalseNegatives(_OneCount):
    """The number of predictions up to the threshold whose label is 1.

    Args:
        thresholds: A threshold in 0..1 or several; 0.5 by default.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    _direction = "down"
    kept = ("false_negatives",)


class _Selected(_Counts):
    """Base of precision and recall: of the top k predictions, or of one class."""

    _direction = "up"

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(thresholds, name, dtype)
        if top_k is not None and thresholds is None:
            self.thresholds = [NEVER]
        self.top_k = top_k
        self.class_id = class_id

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        y_true, y_pred = paired(y_true, y_pred, self.name)
        if self.top_k is not None:
            y_pred = _only_top_k(y_pred, self.top_k)
        if self.class_id is not None:
            y_true = y_true[..., self.class_id]
            y_pred = y_pred[..., self.class_id]
        super().update_state(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        right, other = (variable.value for variable in self._counts.values())
        return self._scalar(ops.divide_no_nan(right, right + other))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config | {"top_k": self.top_k, "class_id": self.class_id}


def _only_top_k(y_pred: Any, k: int) -> Any:
    """`y_pred` with all but the `k` highest of the last axis below every threshold."""
    _, indices = ops.top_k(y_pred, k, sorted=False)
    marked = ops.one_hot(indices, y_pred.shape[-1], dtype=y_pred.dtype)
    return ops.where(ops.sum(marked, axis=-2) > 0, y_pred, NEVER)


class Precision(_Selected):
    """The part of positive predictions that is right.

    Args:
        thresholds: A threshold in 0..1 or several; 0.5 by default, and none with
            `top_k`.
        top_k: Count only the `k` highest predictions of an example as positive.
        class_id: Count only this class.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.

    Raises:
        ValueError: If a threshold is not in 0..1.
    """

    kept = ("true_positives", "false_positives")


class Recall(_Selected):
    """The part of positive labels that is predicted.

    Args:
        thresholds: A threshold in 0..1 or several; 0.5 by default, and none with
            `top_k`.
        top_k: Count only the `k` highest predictions of an example as positive.
        class_id: Count only this class.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.

    Raises:
        ValueError: If a threshold is not in 0..1.
    """

    kept = ("true_positives", "false_negatives")


REGISTRY.add(
    *(FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives)
)
