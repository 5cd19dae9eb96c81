"""Losses of regions: how well predictions and targets overlap."""

from __future__ import annotations

from typing import Any

from graphc.frontend import config, ops
from graphc.frontend.dispatch import op
from graphc.frontend.training.losses.loss import REGISTRY, LossFunctionWrapper
from graphc.frontend.training.losses.reduction import paired


@op
def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """One minus the Dice coefficient, twice the overlap over the sum of both.

    Args:
        y_true: Targets in 0..1.
        y_pred: Predictions of the same shape, in 0..1.
        axis: The axes of one coefficient; all of them by default.

    Returns:
        A tensor of the remaining axes.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "dice")
    overlap = ops.sum(y_true * y_pred, axis=axis)
    both = ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis)
    return 1.0 - 2.0 * overlap / (both + config.epsilon())


@op
def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None
) -> Any:
    """One minus the Tversky coefficient, a Dice coefficient that weighs mistakes.

    Args:
        y_true: Targets in 0..1.
        y_pred: Predictions of the same shape, in 0..1.
        alpha: The weight of false negatives.
        beta: The weight of false positives.
        axis: The axes of one coefficient; all of them by default.

    Returns:
        A tensor of the remaining axes.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "tversky")
    overlap = ops.sum(y_true * y_pred, axis=axis)
    false_positives = ops.sum((1.0 - y_true) * y_pred, axis=axis)
    false_negatives = ops.sum(y_true * (1.0 - y_pred), axis=axis)
    # As in Keras, whose documentation has the two the other way round.
    mistakes = alpha * false_negatives + beta * false_positives
    return 1.0 - overlap / (overlap + mistakes + config.epsilon())


class Dice(LossFunctionWrapper):
    """One minus the Dice coefficient; see `dice`.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        axis: The axes of one coefficient; all of them by default.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(LossFunctionWrapper):
    """One minus the Tversky coefficient; see `tversky`.

    Args:
        alpha: The weight of false negatives.
        beta: The weight of false positives.
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        axis: The axes of one coefficient; all of them by default.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            tversky,
            reduction,
            name,
            dtype,
            axis=axis,
            alpha=alpha,
            beta=beta,
        )


REGISTRY.add(Dice, Tversky, dice, tversky)
