"""How targets and predictions vary together."""

from __future__ import annotations

from typing import Any

from graphc.frontend import config, ops
from graphc.frontend.dispatch import op
from graphc.frontend.training.losses.reduction import paired
from graphc.frontend.training.metrics.averages import FUNCTIONS, MeanMetricWrapper
from graphc.frontend.training.metrics.metric import REGISTRY


@op
def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Pearson's correlation coefficient of targets and predictions.

    Args:
        y_true: Targets ``[B, ..., N]``.
        y_pred: Predictions of the same shape.
        axis: The axis along which they vary.

    Returns:
        A value in -1..1 per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "pearson_correlation")
    return ops.mean(_standard(y_true, axis) * _standard(y_pred, axis), axis=axis)


def _standard(x: Any, axis: int) -> Any:
    """`x` with mean 0 and variance 1 along an axis."""
    centred = x - ops.mean(x, axis=axis, keepdims=True)
    return centred / ops.std(centred, axis=axis, keepdims=True)


@op
def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The concordance correlation coefficient of targets and predictions.

    Unlike Pearson's it is 1 only where predictions equal targets. Source: Lin, "A
    concordance correlation coefficient to evaluate reproducibility", 1989.

    Args:
        y_true: Targets ``[B, ..., N]``.
        y_pred: Predictions of the same shape.
        axis: The axis along which they vary.

    Returns:
        A value in -1..1 per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "concordance_correlation")
    true_mean = ops.mean(y_true, axis=axis, keepdims=True)
    mean = ops.mean(y_pred, axis=axis, keepdims=True)
    # The mean of this is the covariance, whichever mean is taken from the targets.
    covariance = (y_true - mean) * (y_pred - mean)
    spread = ops.var(y_true, axis=axis, keepdims=True) + ops.var(
        y_pred, axis=axis, keepdims=True
    )
    distance = true_mean - mean
    norm = spread + distance * distance + config.epsilon()
    return ops.mean(2 * covariance / norm, axis=axis)


class PearsonCorrelation(MeanMetricWrapper):
    """The mean of Pearson's correlation coefficients of targets and predictions.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
        axis: The axis along which they vary.
    """

    _direction = "up"

    def __init__(
        self,
        name: str | None = "pearson_correlation",
        dtype: Any = None,
        axis: int = -1,
    ) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(MeanMetricWrapper):
    """The mean of the concordance correlation of targets and predictions.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
        axis: The axis along which they vary.
    """

    _direction = "up"

    def __init__(
        self,
        name: str | None = "concordance_correlation",
        dtype: Any = None,
        axis: int = -1,
    ) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)


FUNCTIONS.add(concordance_correlation, pearson_correlation)
REGISTRY.add(ConcordanceCorrelation, PearsonCorrelation)
