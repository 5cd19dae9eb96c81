"""The area under the ROC or the precision-recall curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import config, ops
from graphc.frontend.arguments import one_of
from graphc.frontend.training.metrics.confusion import (
    checked_thresholds,
    confusion_counts,
)
from graphc.frontend.training.metrics.metric import REGISTRY, Metric
from graphc.frontend.variables import Variable

CURVES = ("ROC", "PR")
SUMMATIONS = ("interpolation", "minoring", "majoring")
COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


class AUC(Metric):
    """The area under a curve that is known at a number of thresholds.

    Args:
        num_thresholds: The number of thresholds, spread evenly over 0..1.
        curve: ``"ROC"``: recall over the false positive rate; ``"PR"``: precision over
            recall.
        summation_method: How the area between two thresholds is found:
            ``"interpolation"``, or by the ``"minoring"`` or ``"majoring"`` height.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
        thresholds: Thresholds in 0..1 to use instead.
        multi_label: Whether each label of predictions ``[B, L]`` has an area of its
            own, of which the mean is taken.
        num_labels: The number of labels L with `multi_label`; known from the first
            batch if it is left out.
        label_weights: Weights of the labels: in the mean with `multi_label`, else of
            their predictions.
        from_logits: Whether predictions are logits.

    Raises:
        ValueError: For an unknown curve or summation method, thresholds that are not in
            0..1, or `num_labels` without `multi_label`.

    Example:
        >>> import graphc
        >>> metric = graphc.metrics.AUC(num_thresholds=3)
        >>> metric.update_state([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
        >>> float(metric.result())
        0.75
    """

    _direction = "up"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if num_labels is not None and not multi_label:
            raise ValueError(
                "`num_labels` is needed only when `multi_label` is True. "
                f"Received: num_labels={num_labels}, multi_label=False"
            )
        self.curve = one_of("curve", curve, CURVES)
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else list(label_weights)
        self.summation_method = one_of("summation_method", summation_method, SUMMATIONS)
        self.from_logits = from_logits
        self.init_thresholds = thresholds
        self.num_thresholds, self.thresholds = _thresholds(num_thresholds, thresholds)
        self._counts: dict[str, Variable] = {}
        if not multi_label or num_labels is not None:
            self._build()

    def _build(self) -> None:
        size = (self.num_thresholds,)
        if self.num_labels is not None:
            size = (self.num_thresholds, self.num_labels)
        self._counts = {
            name: self.add_variable(size, "zeros", name=name) for name in COUNTS
        }

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to the counts.

        Args:
            y_true: Labels, 0 or 1, ``[B, ...]``.
            y_pred: Probabilities (or logits) of the same shape.
            sample_weight: Weights of the samples ``[B]`` or of the labels, or None.
        """
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        if self.from_logits:
            y_pred = ops.sigmoid(y_pred)
        if not self._counts:
            self.num_labels = int(y_pred.shape[-1])
            self._build()
        counts = confusion_counts(
            y_true,
            y_pred,
            self.thresholds,
            sample_weight,
            self.dtype,
            label_weights=None if self.multi_label else self.label_weights,
            by_label=self.multi_label,
        )
        for name, variable in self._counts.items():
            variable.assign_add(counts[name])

    def result(self) -> Any:
        if not self._counts:
            return ops.zeros((), dtype=self.dtype)
        areas = self._areas()
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return ops.mean(areas)
        weights = ops.convert_to_tensor(self.label_weights, dtype=self.dtype)
        return ops.divide_no_nan(ops.sum(areas * weights), ops.sum(weights))

    def _areas(self) -> Any:
        """The area, a scalar, or the area of each label."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._interpolated_precision_recall()
        right, false_alarms, rejected, missed = (
            self._counts[name].value for name in COUNTS
        )
        recall = ops.divide_no_nan(right, right + missed)
        if self.curve == "ROC":
            x, y = ops.divide_no_nan(false_alarms, false_alarms + rejected), recall
        else:
            x, y = recall, ops.divide_no_nan(right, right + false_alarms)
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2.0
        elif self.summation_method == "minoring":
            heights = ops.minimum(y[:-1], y[1:])
        else:
            heights = ops.maximum(y[:-1], y[1:])
        return ops.sum((x[:-1] - x[1:]) * heights, axis=0)

    def _interpolated_precision_recall(self) -> Any:
        """The area where true positives grow linearly with positives in between.

        Davis and Goadrich, The relationship between precision-recall and ROC curves,
        2006: precision is then not linear, but its integral has a closed form.
        """
        right = self._counts["true_positives"].value
        positives = right + self._counts["false_positives"].value
        total = right + self._counts["false_negatives"].value
        slope = ops.divide_no_nan(
            right[:-1] - right[1:], ops.maximum(positives[:-1] - positives[1:], 0.0)
        )
        intercept = right[1:] - slope * positives[1:]
        known = ops.logical_and(positives[:-1] > 0, positives[1:] > 0)
        ratio = ops.where(
            known,
            ops.divide_no_nan(positives[:-1], ops.maximum(positives[1:], 0.0)),
            ops.ones_like(positives[1:]),
        )
        gained = slope * (right[:-1] - right[1:] + intercept * ops.log(ratio))
        return ops.sum(ops.divide_no_nan(gained, ops.maximum(total[1:], 0.0)), axis=0)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "thresholds": self.init_thresholds,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": self.label_weights,
            "from_logits": self.from_logits,
        }


def _thresholds(count: int, given: Sequence[float] | None) -> tuple[int, list[float]]:
    """The number of thresholds and the thresholds: a little below 0 to above 1."""
    if given is not None:
        inner = sorted(checked_thresholds(list(given), 0.5))
    else:
        if count <= 1:
            raise ValueError(
                "Argument `num_thresholds` must be an integer > 1. "
                f"Received: num_thresholds={count}"
            )
        inner = [(i + 1) / (count - 1) for i in range(count - 2)]
    least = config.epsilon()
    return len(inner) + 2, [-least, *inner, 1.0 + least]


REGISTRY.add(AUC)
