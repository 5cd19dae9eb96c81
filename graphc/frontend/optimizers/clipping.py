"""Clipping of gradients by value and by norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend import ops


def clip_by_norm(gradient: Any, largest: float) -> Any:
    """`gradient`, scaled down where its norm exceeds `largest`.

    Args:
        gradient: A float tensor.
        largest: The largest norm.
    """
    squares = ops.sum(ops.square(gradient))
    # The root of 0 has no derivative: 1 stands in for it where it is not used.
    some = squares > 0
    norm = ops.where(some, ops.sqrt(ops.where(some, squares, 1.0)), squares)
    return gradient * largest / ops.maximum(norm, largest)


def global_norm(gradients: Sequence[Any]) -> Any:
    """The norm of all gradients together, a scalar."""
    total = ops.sum(ops.square(gradients[0]))
    for gradient in gradients[1:]:
        total = total + ops.sum(ops.square(gradient))
    return ops.sqrt(total)


def clip_by_global_norm(gradients: Sequence[Any], largest: float) -> list[Any]:
    """`gradients`, all scaled down by one factor if their norm exceeds `largest`.

    A norm that is not finite makes every result nan.

    Args:
        gradients: Float tensors.
        largest: The largest norm of all together.
    """
    norm = global_norm(gradients)
    scale = largest * ops.minimum(1.0 / norm, 1.0 / largest)
    scale = scale + (norm - norm)
    return [gradient * ops.cast(scale, gradient.dtype) for gradient in gradients]
