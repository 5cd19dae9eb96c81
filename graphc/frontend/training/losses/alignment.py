"""Losses of sequences of labels whose places in the output are unknown."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops
from graphc.frontend.training.losses.loss import REGISTRY, LossFunctionWrapper
from graphc.frontend.training.losses.reduction import shown


def ctc(y_true: Any, y_pred: Any) -> Any:
    """The negative log-probability of labels over all alignments with the output.

    Source: Graves et al., "Connectionist Temporal Classification", 2006.

    Args:
        y_true: Labels ``[B, L]``, integers; 0 stands for no label.
        y_pred: Logits ``[B, T, C]``, whose class 0 stands for no label.

    Returns:
        One loss per example ``[B]``.

    Raises:
        ValueError: If the ranks do not fit.
    """
    labels, logits = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if len(labels.shape) != 2 or len(logits.shape) != 3:
        raise ValueError(
            "ctc: Expected labels [batch, labels] and logits [batch, steps, classes]."
            f" Received: y_true.shape={shown(labels)}, y_pred.shape={shown(logits)}"
        )
    lengths = ops.sum(ops.cast(ops.not_equal(labels, 0), "int32"), axis=-1)
    steps = ops.full_like(lengths, logits.shape[1])
    return ops.ctc_loss(labels, logits, lengths, steps, mask_index=0)


class CTC(LossFunctionWrapper):
    """The loss of connectionist temporal classification; see `ctc`.

    Args:
        reduction: How the loss is reduced; see `Loss`.
        name: Its name.
        dtype: The dtype computed in; see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "ctc",
        dtype: Any = None,
    ) -> None:
        super().__init__(ctc, reduction, name, dtype)


REGISTRY.add(CTC, ctc)
