"""The F scores: precision and recall as one number."""

from __future__ import annotations

from typing import Any

from graphc.frontend import config, ops
from graphc.frontend.arguments import one_of
from graphc.frontend.training.metrics.metric import REGISTRY, Metric

AVERAGES = (None, "micro", "macro", "weighted")
LEAST = 1e-9
"""Predictions up to this are never the one that is chosen."""


class FBetaScore(Metric):
    """The weighted harmonic mean of precision and recall, of each class or of all.

    It is ``(1 + beta²) * precision * recall / (beta² * precision + recall)``.

    Args:
        average: None for a score of each class ``[C]``; ``"micro"`` for that of all
            predictions together; ``"macro"`` for the mean over the classes;
            ``"weighted"`` for the mean weighted by the number of labels.
        beta: How much more recall counts than precision.
        threshold: The probability above which a prediction is positive; None takes the
            highest prediction of each example.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.

    Raises:
        ValueError: For an unknown average, a `beta` that is not a positive float, or a
            threshold that is not a float above 0 and up to 1.

    Example:
        >>> import graphc
        >>> metric = graphc.metrics.FBetaScore(beta=2.0, threshold=0.5)
        >>> metric.update_state([[1, 1], [1, 0]], [[0.2, 0.6], [0.8, 0.3]])
        >>> [round(float(score), 4) for score in metric.result()]
        [0.5556, 1.0]
    """

    _direction = "up"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if not isinstance(beta, float) or beta <= 0:
            raise ValueError(
                f"Expected `beta` to be a float above 0. Received: beta={beta!r}"
            )
        if threshold is not None and not (
            isinstance(threshold, float) and 0 < threshold <= 1
        ):
            raise ValueError(
                "Expected `threshold` to be a float above 0 and at most 1."
                f" Received: threshold={threshold!r}"
            )
        self.average = one_of("average", average, AVERAGES)
        self.beta = beta
        self.threshold = threshold
        self._built = False

    def _build(self, y_true: Any, y_pred: Any) -> None:
        check_matrices(self, y_true, y_pred)
        size = () if self.average == "micro" else (y_pred.shape[-1],)
        self.true_positives = self.add_variable(size, "zeros", name="true_positives")
        self.false_positives = self.add_variable(size, "zeros", name="false_positives")
        self.false_negatives = self.add_variable(size, "zeros", name="false_negatives")
        self.intermediate_weights = self.add_variable(
            size, "zeros", name="intermediate_weights"
        )
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to the counts.

        Args:
            y_true: Labels, 0 or 1, ``[B, C]``.
            y_pred: Probabilities of the same shape.
            sample_weight: Weights of the samples ``[B]``, or None.

        Raises:
            ValueError: If the shapes are others.
        """
        y_true = ops.convert_to_tensor(y_true, dtype=self.dtype)
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        if not self._built:
            self._build(y_true, y_pred)
        if self.threshold is None:
            highest = ops.max(y_pred, axis=-1, keepdims=True)
            chosen = ops.logical_and(y_pred >= highest, ops.abs(y_pred) > LEAST)
        else:
            chosen = y_pred > self.threshold
        chosen = ops.cast(chosen, self.dtype)
        weights: Any = 1.0
        if sample_weight is not None:
            given = ops.convert_to_tensor(sample_weight, dtype=self.dtype)
            weights = ops.expand_dims(given, 1)

        def count(each: Any) -> Any:
            axis = None if self.average == "micro" else 0
            return ops.sum(each * weights, axis=axis)

        self.true_positives.assign_add(count(chosen * y_true))
        self.false_positives.assign_add(count(chosen * (1 - y_true)))
        self.false_negatives.assign_add(count((1 - chosen) * y_true))
        self.intermediate_weights.assign_add(count(y_true))

    def result(self) -> Any:
        if not self._built:
            return ops.zeros((), dtype=self.dtype)
        least = config.epsilon()
        right = self.true_positives.value
        precision = right / (right + self.false_positives + least)
        recall = right / (right + self.false_negatives + least)
        squared = self.beta**2
        scores = precision * recall / (squared * precision + recall + least)
        scores = scores * (1 + squared)
        if self.average == "weighted":
            weights = self.intermediate_weights.value
            return ops.sum(scores * weights / (ops.sum(weights) + least))
        return scores if self.average is None else ops.mean(scores)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "average": self.average,
            "beta": self.beta,
            "threshold": self.threshold,
        }


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall: `FBetaScore` with a `beta` of 1.

    Args:
        average: See `FBetaScore`.
        threshold: See `FBetaScore`.
        name: Its name.
        dtype: The dtype of the state; see `Metric`.

    Raises:
        ValueError: As `FBetaScore` does.
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {key: v for key, v in super().get_config().items() if key != "beta"}


def check_matrices(metric: Metric, y_true: Any, y_pred: Any) -> None:
    """Refuses what is not two matrices ``[B, N]`` of one known N.

    Raises:
        ValueError: If it is not.
    """
    shapes = y_true.shape, y_pred.shape
    if any(len(s) != 2 for s in shapes) or not isinstance(y_pred.shape[-1], int):
        raise ValueError(
            f"{type(metric).__name__} expects targets and predictions of shape"
            " (batch, outputs), with a known number of outputs. Received:"
            f" y_true of shape {tuple(y_true.shape)}, y_pred of shape"
            f" {tuple(y_pred.shape)}"
        )


REGISTRY.add(F1Score, FBetaScore)
