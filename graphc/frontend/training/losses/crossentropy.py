"""Losses of predicted distributions: cross-entropy and its relatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import config, ops
from graphc.frontend.dispatch import op
from graphc.frontend.training.losses.loss import REGISTRY, LossFunctionWrapper
from graphc.frontend.training.losses.reduction import (
    class_numbers,
    paired,
    with_mask,
)


@op
def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """The cross-entropy of yes-or-no labels, averaged over `axis`.

    Args:
        y_true: Targets in 0..1, ``[B, ..., N]``.
        y_pred: Predictions of the same shape: probabilities, which are clipped to
            ``epsilon..1-epsilon``, or logits.
        from_logits: Whether predictions are logits.
        label_smoothing: How far targets are moved toward 0.5, in 0..1.
        axis: The axis averaged over.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "binary_crossentropy")
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    losses = ops.binary_crossentropy(y_true, y_pred, from_logits=from_logits)
    return ops.mean(losses, axis=axis)


@op
def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """The cross-entropy of one-hot labels.

    Args:
        y_true: Target distributions, ``[B, ..., C]``.
        y_pred: Predictions of the same shape: probabilities, which are normalized and
            clipped to ``epsilon..1-epsilon``, or logits.
        from_logits: Whether predictions are logits.
        label_smoothing: How much of a target is spread over all classes, in 0..1.
        axis: The axis of the classes.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit, or for a label smoothing that is not a
            number in 0..1.
    """
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ValueError(
            f"`axis` must be of type `int`. Received: axis={axis} of type {type(axis)}"
        )
    y_true, y_pred = paired(y_true, y_pred, "categorical_crossentropy", one_hot=True)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[axis]
    return ops.categorical_crossentropy(
        y_true, y_pred, from_logits=from_logits, axis=axis
    )


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Any:
    """The cross-entropy of labels that are class numbers.

    Args:
        y_true: Labels in 0..C-1, ``[B, ...]`` or ``[B, ..., 1]``. Others, which no class
            has, are not refused: their loss is 0, as in Keras on JAX.
        y_pred: Predictions ``[B, ..., C]``: probabilities, which are normalized and
            clipped to ``epsilon..1-epsilon``, or logits.
        from_logits: Whether predictions are logits.
        ignore_class: A label, such as -1, of positions that do not count.
        axis: The axis of the classes.

    Returns:
        One loss per example, ``[B, ...]``; 0 where the label is ignored.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    labels = class_numbers(y_true, y_pred, "sparse_categorical_crossentropy", axis)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(
            labels, y_pred, from_logits=from_logits, axis=axis
        )
    valid = ops.not_equal(labels, ignore_class)
    losses = ops.sparse_categorical_crossentropy(
        ops.where(valid, labels, 0), y_pred, from_logits=from_logits, axis=axis
    )
    return with_mask(ops.where(valid, losses, 0.0), valid)


@op
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Binary cross-entropy in which well classified examples count less.

    Args:
        y_true: Targets in 0..1, ``[B, ..., N]``.
        y_pred: Predictions of the same shape: probabilities or logits.
        apply_class_balancing: Whether the positive class is weighed by `alpha` and the
            negative one by ``1 - alpha``.
        alpha: The weight of the positive class.
        gamma: The power of the probability of the wrong class that losses are
            multiplied by.
        from_logits: Whether predictions are logits.
        label_smoothing: How far targets are moved toward 0.5, in 0..1.
        axis: The axis averaged over.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "binary_focal_crossentropy")
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        y_pred = ops.sigmoid(y_pred)
    losses = ops.binary_crossentropy(y_true, y_pred)
    right = y_true * y_pred + (1.0 - y_true) * (1.0 - y_pred)
    losses = ops.power(1.0 - right, gamma) * losses
    if apply_class_balancing:
        losses = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * losses
    return ops.mean(losses, axis=axis)


@op
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Cross-entropy in which well classified examples count less.

    Args:
        y_true: Target distributions, ``[B, ..., C]``.
        y_pred: Predictions of the same shape: probabilities or logits.
        alpha: A weight, or one for each class.
        gamma: The power of the probability of the wrong classes that losses are
            multiplied by.
        from_logits: Whether predictions are logits.
        label_smoothing: How much of a target is spread over all classes, in 0..1.
        axis: The axis of the classes.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(
        y_true, y_pred, "categorical_focal_crossentropy", one_hot=True
    )
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[axis]
    if from_logits:
        y_pred = ops.softmax(y_pred, axis=axis)
    y_pred = y_pred / ops.sum(y_pred, axis=axis, keepdims=True)
    y_pred = ops.clip(y_pred, config.epsilon(), 1.0 - config.epsilon())
    weight = ops.power(1.0 - y_pred, gamma) * ops.convert_to_tensor(
        alpha, dtype=y_pred.dtype
    )
    return ops.sum(weight * -y_true * ops.log(y_pred), axis=axis)


@op
def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """``(1 - p**q) / q`` of the probability p of the class: less strict with wrong labels.

    Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural
    Networks with Noisy Labels", 2018.

    Args:
        y_true: Class numbers ``[B, ...]`` or ``[B, ..., 1]``.
        y_pred: Probabilities ``[B, ..., C]``.
        q: Between 0, where it is the cross-entropy, and 1, the mean absolute error.

    Returns:
        One loss per example ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    name = "categorical_generalized_cross_entropy"
    labels = ops.cast(class_numbers(y_true, y_pred, name), "int32")
    one_hot = ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)
    return (1.0 - ops.power(ops.sum(y_pred * one_hot, axis=-1), q)) / q


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """``sum(y_true * log(y_true / y_pred), axis=-1)``.

    Args:
        y_true: Target distributions, ``[B, ..., C]``.
        y_pred: Predicted distributions of the same shape.

    Returns:
        One loss per example, ``[B, ...]``.

    Raises:
        ValueError: If the shapes do not fit.
    """
    y_true, y_pred = paired(y_true, y_pred, "kl_divergence")
    y_true = ops.clip(y_true, config.epsilon(), 1)
    y_pred = ops.clip(y_pred, config.epsilon(), 1)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


class BinaryCrossentropy(LossFunctionWrapper):
    """The cross-entropy of yes-or-no labels; see `binary_crossentropy`.

    Args:
        from_logits: Whether predictions are logits.
        label_smoothing: How far targets are moved toward equal ones, in 0..1.
        axis: The axis averaged over.
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.

    Targets, 0 or 1, and predictions have one shape.

    Example:
        >>> import graphc
        >>> loss = graphc.losses.BinaryCrossentropy()
        >>> round(float(loss([[0.0, 1.0]], [[0.25, 0.5]])), 4)
        0.4904
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalCrossentropy(LossFunctionWrapper):
    """The cross-entropy of one-hot labels; see `categorical_crossentropy`.

    Args:
        from_logits: Whether predictions are logits.
        label_smoothing: How far targets are moved toward equal ones, in 0..1.
        axis: The axis of the classes.
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.

    Targets and predictions have the shape (batch, ..., classes). For targets that are
    numbers of classes there is `SparseCategoricalCrossentropy`.

    Example:
        >>> import graphc
        >>> loss = graphc.losses.CategoricalCrossentropy()
        >>> round(float(loss([[0.0, 1.0]], [[0.5, 0.5]])), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """The cross-entropy of labels that are class numbers.

    Targets are labels in 0..C-1, ``[B, ...]`` or ``[B, ..., 1]``, predictions ``[B, ...,
    C]``. Labels that no class has are not refused: their loss is 0. So check ``y.max() <
    C`` once for new data.

    Args:
        from_logits: Whether predictions are logits.
        ignore_class: A label, such as -1, of positions that do not count.
        reduction: How the loss is reduced; see `Loss`.
        axis: The axis of the classes.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.

    Example:
        >>> import graphc
        >>> loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> float(loss([1, 0], [[0.0, 0.0], [0.0, 0.0]]))
        0.6931471824645996
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )

    @property
    def _target_dtype(self) -> None:
        return None  # class numbers stay integers


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """Binary cross-entropy in which well classified examples count less.

    Args:
        apply_class_balancing: Whether `alpha` weighs the classes.
        alpha: The weight of the positive class.
        gamma: How much less well classified examples count.
        from_logits: Whether predictions are logits.
        label_smoothing: How far targets are moved toward equal ones, in 0..1.
        axis: The axis averaged over.
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """Cross-entropy in which well classified examples count less.

    Args:
        alpha: A weight, or one for each class.
        gamma: How much less well classified examples count.
        from_logits: Whether predictions are logits.
        label_smoothing: How far targets are moved toward equal ones, in 0..1.
        axis: The axis of the classes.
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class KLDivergence(LossFunctionWrapper):
    """The mean of ``y_true * log(y_true / y_pred)`` summed over classes.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "kl_divergence",
        dtype: Any = None,
    ) -> None:
        super().__init__(kl_divergence, reduction, name, dtype)


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """A cross-entropy that trusts labels less: `categorical_generalized_cross_entropy`.

    Args:
        q: Above 0, where it is the cross-entropy, and below 1.
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.

    Raises:
        ValueError: If `q` is not between 0 and 1.
    """

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ValueError(f"Expected `q` to be between 0 and 1. Received: q={q}")
        function = categorical_generalized_cross_entropy
        super().__init__(function, reduction, name, dtype, q=q)


REGISTRY.add(
    CategoricalGeneralizedCrossEntropy,
    categorical_generalized_cross_entropy,
    *(BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy),
    *(CategoricalFocalCrossentropy, KLDivergence, SparseCategoricalCrossentropy),
    *(binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy),
    *(categorical_focal_crossentropy, kl_divergence),
    sparse_categorical_crossentropy,
    bce=binary_crossentropy,
    BCE=binary_crossentropy,
    kld=kl_divergence,
    KLD=kl_divergence,
)
