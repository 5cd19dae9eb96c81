"""Metrics that are the mean of a loss."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops
from graphc.frontend.dispatch import op
from graphc.frontend.training.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    hinge,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from graphc.frontend.training.losses.reduction import paired
from graphc.frontend.training.metrics.averages import (
    FUNCTIONS,
    Mean,
    MeanMetricWrapper,
)
from graphc.frontend.training.metrics.metric import REGISTRY


@op
def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between targets and predictions; 1 is best.

    Args:
        y_true: Targets ``[B, ..., N]``.
        y_pred: Predictions of the same shape.
        axis: The axis along which they are vectors.

    Returns:
        A value in -1..1 per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "cosine_similarity")
    product = ops.normalize(y_true, axis=axis) * ops.normalize(y_pred, axis=axis)
    return ops.sum(product, axis=axis)


class MeanSquaredError(MeanMetricWrapper):
    """The mean of ``(y_true - y_pred)**2``.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(
        self,
        name: str | None = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_error, name, dtype)


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean of ``abs(y_true - y_pred)``.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(
        self,
        name: str | None = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(MeanMetricWrapper):
    """The mean of ``100 * abs((y_true - y_pred) / y_true)``.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(
        self,
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(MeanMetricWrapper):
    """The mean of ``(log(y_true + 1) - log(y_pred + 1))**2``.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(
        self,
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_logarithmic_error, name, dtype)


class RootMeanSquaredError(Mean):
    """The root of the mean of ``(y_true - y_pred)**2``.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    _direction = "down"

    def __init__(
        self, name: str | None = "root_mean_squared_error", dtype: Any = None
    ) -> None:
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch to the mean.

        Args:
            y_true: Targets ``[B, ..., N]``.
            y_pred: Predictions of the same shape.
            sample_weight: Weights of the samples ``[B]``, or None.
        """
        y_true, y_pred = paired(y_true, y_pred, "root_mean_squared_error")
        super().update_state(ops.square(y_true - y_pred), sample_weight)

    def result(self) -> Any:
        return ops.sqrt(super().result())


class CosineSimilarity(MeanMetricWrapper):
    """The mean cosine of the angle between targets and predictions.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
        axis: The axis along which they are vectors.
    """

    _direction = "up"

    def __init__(
        self,
        name: str | None = "cosine_similarity",
        dtype: Any = None,
        axis: int = -1,
    ) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)


class LogCoshError(MeanMetricWrapper):
    """The mean of ``log(cosh(y_pred - y_true))``.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(
        self,
        name: str | None = "logcosh",
        dtype: Any = None,
    ) -> None:
        super().__init__(log_cosh, name, dtype)


class Poisson(MeanMetricWrapper):
    """The mean of ``y_pred - y_true * log(y_pred)``.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(
        self,
        name: str | None = "poisson",
        dtype: Any = None,
    ) -> None:
        super().__init__(poisson, name, dtype)


class KLDivergence(MeanMetricWrapper):
    """The mean of ``y_true * log(y_true / y_pred)`` summed over classes.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(
        self,
        name: str | None = "kl_divergence",
        dtype: Any = None,
    ) -> None:
        super().__init__(kl_divergence, name, dtype)


class BinaryCrossentropy(MeanMetricWrapper):
    """The mean cross-entropy of yes-or-no labels.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
        from_logits: Whether predictions are logits.
        label_smoothing: How far targets are moved toward equal ones.
    """

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            binary_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
        )


class CategoricalCrossentropy(MeanMetricWrapper):
    """The mean cross-entropy of one-hot labels.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
        from_logits: Whether predictions are logits.
        label_smoothing: How far targets are moved toward equal ones.
        axis: The axis of the classes.
    """

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        super().__init__(
            categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """The mean cross-entropy of labels that are class numbers.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
        from_logits: Whether predictions are logits.
        ignore_class: A label of positions that do not count.
        axis: The axis of the classes.
    """

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(
            sparse_categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )


class Hinge(MeanMetricWrapper):
    """The mean of ``maximum(1 - y_true * y_pred, 0)``.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(
        self,
        name: str | None = "hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(hinge, name, dtype)


class SquaredHinge(MeanMetricWrapper):
    """The mean of ``maximum(1 - y_true * y_pred, 0)**2``.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(
        self,
        name: str | None = "squared_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(squared_hinge, name, dtype)


class CategoricalHinge(MeanMetricWrapper):
    """The mean of ``maximum(highest wrong score - right score + 1, 0)``.

    Args:
        name: Its name.
        dtype: The dtype of the state; see `Metric`.
    """

    def __init__(
        self,
        name: str | None = "categorical_hinge",
        dtype: Any = None,
    ) -> None:
        super().__init__(categorical_hinge, name, dtype)


FUNCTIONS.add(cosine_similarity)
REGISTRY.add(
    *(BinaryCrossentropy, CategoricalCrossentropy, CategoricalHinge, CosineSimilarity),
    *(Hinge, KLDivergence, LogCoshError, MeanAbsoluteError),
    *(MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError),
    *(Poisson, RootMeanSquaredError, SparseCategoricalCrossentropy, SquaredHinge),
    bce=BinaryCrossentropy,
    BCE=BinaryCrossentropy,
    mae=MeanAbsoluteError,
    MAE=MeanAbsoluteError,
    mape=MeanAbsolutePercentageError,
    MAPE=MeanAbsolutePercentageError,
    mse=MeanSquaredError,
    MSE=MeanSquaredError,
    msle=MeanSquaredLogarithmicError,
    MSLE=MeanSquaredLogarithmicError,
)
