"""Losses of embeddings: those of one class near each other, the others far."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops
from graphc.frontend.training.losses.loss import REGISTRY, LossFunctionWrapper
from graphc.frontend.training.losses.reduction import with_mask


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Any:
    """Weighs pairs of embeddings by how far they are from where they should be.

    Source: Sun et al., "Circle Loss", 2020.

    Args:
        y_true: Class numbers ``[B]`` or ``[B, 1]``.
        y_pred: Embeddings of norm 1, ``[B, D]``.
        ref_labels: Class numbers of what they are compared with ``[R]``; the same by
            default.
        ref_embeddings: What they are compared with ``[R, D]``; the same by default.
        remove_diagonal: Whether an embedding is not compared with the one of its own
            number.
        gamma: Scales the exponents.
        margin: How near is near enough, as a cosine distance.

    Returns:
        One loss per example ``[B]``; those of 0 do not count in a mean.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    others = y_pred if ref_embeddings is None else ops.convert_to_tensor(ref_embeddings)
    labels = ops.reshape(ops.cast(y_true, "int32"), (-1, 1))
    known = y_true if ref_labels is None else ref_labels
    same = ops.equal(labels, ops.reshape(ops.cast(known, "int32"), (1, -1)))
    apart = ops.maximum(1.0 - ops.matmul(y_pred, ops.transpose(others)), 0.0)
    near = (apart - margin) * (apart + margin)
    far = (1.0 - margin - apart) * ops.maximum(1.0 + margin - apart, 0.0)
    counted = same
    if remove_diagonal:
        rows = ops.arange(y_pred.shape[0])[:, None]
        columns = ops.arange(others.shape[0])[None, :]
        counted = ops.logical_and(same, ops.not_equal(rows, columns))

    def total(pairs: Any, exponents: Any) -> Any:
        scaled = ops.where(pairs, gamma * exponents, float("-inf"))
        return ops.logsumexp(scaled, axis=1)

    losses = ops.softplus(total(counted, near) + total(ops.logical_not(same), far))
    return with_mask(losses, ops.greater(losses, 0.0))


class Circle(LossFunctionWrapper):
    """The circle loss of embeddings and their classes; see `circle`.

    Args:
        gamma: Scales the exponents.
        margin: How near is near enough, as a cosine distance.
        remove_diagonal: Whether an embedding is not compared with itself.
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            circle,
            reduction,
            name,
            dtype,
            gamma=gamma,
            margin=margin,
            remove_diagonal=remove_diagonal,
        )

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The losses of single examples."""
        return circle(y_true, y_pred, **self._fn_kwargs)


REGISTRY.add(Circle, circle)
