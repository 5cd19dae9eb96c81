"""Losses of numbers: differences between targets and predictions."""

from __future__ import annotations

import math
from typing import Any

from graphc.frontend import config, ops
from graphc.frontend.dispatch import op
from graphc.frontend.training.losses.loss import REGISTRY, LossFunctionWrapper
from graphc.frontend.training.losses.reduction import paired


@op
def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((y_true - y_pred)**2, axis=-1)``.

    Args:
        y_true: Targets ``[B, ..., N]``.
        y_pred: Predictions of the same shape.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "mean_squared_error")
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


@op
def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """``mean(abs(y_true - y_pred), axis=-1)``.

    Args:
        y_true: Targets ``[B, ..., N]``.
        y_pred: Predictions of the same shape.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "mean_absolute_error")
    return ops.mean(ops.absolute(y_true - y_pred), axis=-1)


@op
def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """``100 * mean(abs((y_true - y_pred) / y_true), axis=-1)``.

    Args:
        y_true: Targets ``[B, ..., N]``; those near 0 count as ``config.epsilon()``.
        y_pred: Predictions of the same shape.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "mean_absolute_percentage_error")
    size = ops.maximum(ops.absolute(y_true), config.epsilon())
    return 100.0 * ops.mean(ops.absolute((y_true - y_pred) / size), axis=-1)


@op
def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((log(y_true + 1) - log(y_pred + 1))**2, axis=-1)``.

    Args:
        y_true: Targets ``[B, ..., N]``; negative ones count as 0.
        y_pred: Predictions of the same shape; negative ones count as 0.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "mean_squared_logarithmic_error")
    least = config.epsilon()
    logs = [ops.log(ops.maximum(y, least) + 1.0) for y in (y_true, y_pred)]
    return ops.mean(ops.square(logs[0] - logs[1]), axis=-1)


@op
def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Squared for errors up to `delta`, linear beyond: the mean over the last axis.

    Args:
        y_true: Targets ``[B, ..., N]``.
        y_pred: Predictions of the same shape.
        delta: Where the loss of an error ``e`` changes from ``e**2 / 2`` to
            ``delta * (abs(e) - delta / 2)``.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "huber")
    error = ops.absolute(y_true - y_pred)
    squared = 0.5 * ops.square(error)
    linear = delta * error - 0.5 * delta * delta
    return ops.mean(ops.where(error <= delta, squared, linear), axis=-1)


@op
def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """``mean(log(cosh(y_pred - y_true)), axis=-1)``, computed without overflow.

    Args:
        y_true: Targets ``[B, ..., N]``.
        y_pred: Predictions of the same shape.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "log_cosh")
    error = ops.absolute(y_pred - y_true)
    return ops.mean(error + ops.softplus(-2.0 * error) - math.log(2.0), axis=-1)


@op
def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The negative cosine of the angle between targets and predictions.

    Args:
        y_true: Targets ``[B, ..., N]``.
        y_pred: Predictions of the same shape.
        axis: The axis along which they are vectors.

    Returns:
        One loss in -1..1 per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "cosine_similarity")
    product = ops.normalize(y_true, axis=axis) * ops.normalize(y_pred, axis=axis)
    return -ops.sum(product, axis=axis)


@op
def poisson(y_true: Any, y_pred: Any) -> Any:
    """``mean(y_pred - y_true * log(y_pred), axis=-1)``.

    Args:
        y_true: Counts ``[B, ..., N]``.
        y_pred: Predicted rates of the same shape.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "poisson")
    return ops.mean(y_pred - y_true * ops.log(y_pred + config.epsilon()), axis=-1)


class MeanSquaredError(LossFunctionWrapper):
    """The mean of ``(y_true - y_pred)**2``.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.

    Example:
        >>> import graphc
        >>> loss = graphc.losses.MeanSquaredError()
        >>> float(loss([[0.0, 1.0]], [[1.0, 3.0]]))
        2.5
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """The mean of ``abs(y_true - y_pred)``.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.

    Example:
        >>> import graphc
        >>> loss = graphc.losses.MeanAbsoluteError()
        >>> float(loss([[0.0, 1.0]], [[1.0, 3.0]]))
        1.5
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """The mean of ``100 * abs((y_true - y_pred) / y_true)``.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """The mean of ``(log(y_true + 1) - log(y_pred + 1))**2``.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class Huber(LossFunctionWrapper):
    """Squared for errors up to `delta`, linear beyond; see `huber`.

    Args:
        delta: Where the loss becomes linear.
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.

    Example:
        >>> import graphc
        >>> loss = graphc.losses.Huber()
        >>> float(loss([[0.0, 1.0]], [[0.5, 3.0]]))
        0.8125
    """

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(huber, reduction, name, dtype, delta=delta)


class LogCosh(LossFunctionWrapper):
    """The mean of ``log(cosh(y_pred - y_true))``.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "log_cosh",
        dtype: Any = None,
    ) -> None:
        super().__init__(log_cosh, reduction, name, dtype)


class CosineSimilarity(LossFunctionWrapper):
    """The negative cosine of the angle between targets and predictions.

    Args:
        axis: The axis along which they are vectors.
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)


class Poisson(LossFunctionWrapper):
    """The mean of ``y_pred - y_true * log(y_pred)``.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "poisson",
        dtype: Any = None,
    ) -> None:
        super().__init__(poisson, reduction, name, dtype)


REGISTRY.add(
    *(CosineSimilarity, Huber, LogCosh, MeanAbsoluteError),
    *(MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError),
    *(Poisson, cosine_similarity, huber, log_cosh, mean_absolute_error),
    *(mean_absolute_percentage_error, mean_squared_error),
    *(mean_squared_logarithmic_error, poisson),
    mae=mean_absolute_error,
    MAE=mean_absolute_error,
    mape=mean_absolute_percentage_error,
    MAPE=mean_absolute_percentage_error,
    mse=mean_squared_error,
    MSE=mean_squared_error,
    msle=mean_squared_logarithmic_error,
    MSLE=mean_squared_logarithmic_error,
)
