"""The best value of one rate at thresholds where another is high enough."""

from __future__ import annotations

from typing import Any

from graphc.frontend import config, ops
from graphc.frontend.training.losses.reduction import paired
from graphc.frontend.training.metrics.auc import COUNTS
from graphc.frontend.training.metrics.confusion import confusion_counts
from graphc.frontend.training.metrics.metric import REGISTRY, Metric

RATES = {
    "sensitivity": ("true_positives", "false_negatives"),
    "recall": ("true_positives", "false_negatives"),
    "specificity": ("true_negatives", "false_positives"),
    "precision": ("true_positives", "false_positives"),
}
"""For each rate the counts a and b that it is ``a / (a + b)`` of."""


class _AtRate(Metric):
    """Base: the highest `wanted` of the thresholds at which `held` is high enough."""

    _direction = "up"
    wanted: str
    held: str

    def __init__(
        self,
        value: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if not 0 <= value <= 1:
            raise ValueError(
                f"Expected `{self.held}` to be in the range [0, 1]."
                f" Received: {self.held}={value}"
            )
        if num_thresholds <= 0:
            raise ValueError(
                "Expected `num_thresholds` to be above 0."
                f" Received: num_thresholds={num_thresholds}"
            )
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        # At the lowest one predictions of 0 are positive too.
        last = num_thresholds - 1
        self.thresholds = [
            -config.epsilon() if i == 0 else i / last for i in range(num_thresholds)
        ]
        if num_thresholds == 1:
            self.thresholds = [0.5]
        self._counts = {
            name: self.add_variable((num_thresholds,), "zeros", name=name)
            for name in COUNTS
        }

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to the counts.

        Args:
            y_true: Labels, 0 or 1, ``[B, ...]``.
            y_pred: Probabilities of the same shape.
            sample_weight: Weights of the samples ``[B]`` or of the labels, or None.
        """
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        y_true, y_pred = paired(y_true, y_pred, self.name)
        if self.class_id is not None:
            y_true, y_pred = y_true[..., self.class_id], y_pred[..., self.class_id]
        counts = confusion_counts(
            y_true, y_pred, self.thresholds, sample_weight, self.dtype
        )
        for name, variable in self._counts.items():
            variable.assign_add(counts[name])

    def result(self) -> Any:
        wanted, held = self._rate(self.wanted), self._rate(self.held)
        return ops.max(ops.where(held >= self.value, wanted, 0.0))

    def _rate(self, name: str) -> Any:
        part, rest = (self._counts[count].value for count in RATES[name])
        return ops.divide_no_nan(part, part + rest)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            self.held: self.value,
            "num_thresholds": self.num_thresholds,
            "class_id": self.class_id,
        }


class SensitivityAtSpecificity(_AtRate):
    """The best sensitivity of a threshold at which the specificity is high enough.

    Args:
        specificity: What it must be at least, in 0..1.
        num_thresholds: The number of thresholds, spread evenly over 0..1.
        class_id: Count only this class.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.

    Raises:
        ValueError: If the rate is not in 0..1, or there is no threshold.
    """

    wanted, held = "sensitivity", "specificity"

    def __init__(self, specificity: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(specificity, *args, **kwargs)


class SpecificityAtSensitivity(_AtRate):
    """The best specificity of a threshold at which the sensitivity is high enough.

    Args:
        sensitivity: What it must be at least, in 0..1.
        *args: As of `SensitivityAtSpecificity`.
        **kwargs: As of `SensitivityAtSpecificity`.
    """

    wanted, held = "specificity", "sensitivity"

    def __init__(self, sensitivity: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(sensitivity, *args, **kwargs)


class PrecisionAtRecall(_AtRate):
    """The best precision of a threshold at which the recall is high enough.

    Args:
        recall: What it must be at least, in 0..1.
        *args: As of `SensitivityAtSpecificity`.
        **kwargs: As of `SensitivityAtSpecificity`.
    """

    wanted, held = "precision", "recall"

    def __init__(self, recall: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(recall, *args, **kwargs)


class RecallAtPrecision(_AtRate):
    """The best recall of a threshold at which the precision is high enough.

    Args:
        precision: What it must be at least, in 0..1.
        *args: As of `SensitivityAtSpecificity`.
        **kwargs: As of `SensitivityAtSpecificity`.
    """

    wanted, held = "recall", "precision"

    def __init__(self, precision: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(precision, *args, **kwargs)


REGISTRY.add(
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
