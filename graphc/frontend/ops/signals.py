"""Signals: frames of a sequence."""

from __future__ import annotations

from graphc.frontend.dispatch import op
from graphc.frontend.ops.operands import TensorLike, read, refuse
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor
from graphc.ir import ops as ir_ops
from graphc.ir.types import I32

__all__ = ["extract_sequences"]


@op
def extract_sequences(
    x: TensorLike, sequence_length: int, sequence_stride: int
) -> Tensor:
    """Pieces of equal length of a sequence, which may overlap.

    Args:
        x: A tensor [..., N].
        sequence_length: The length of a piece.
        sequence_stride: The distance of the starts of neighbouring pieces.

    Returns:
        A tensor [..., count, sequence_length] of all pieces that fit.

    Raises:
        GraphError: For lengths below 1 or above N.
    """
    operand = read(x)
    size = operand.shape[-1] if operand.shape else 0
    too_long = isinstance(size, int) and sequence_length > size
    if sequence_length < 1 or sequence_stride < 1 or too_long:
        refuse(
            f"Expected a length in 1..{size} and a stride of at least 1. "
            f"Received: {sequence_length=}, {sequence_stride=}"
        )
    count = (size - sequence_length) // sequence_stride + 1
    grid = (count, sequence_length)
    start = ir_ops.iota(shape=grid, axis=0, dtype=I32)
    offset = ir_ops.iota(shape=grid, axis=1, dtype=I32)
    places = ir_ops.add(ir_ops.multiply(start, sequence_stride), offset)
    return tensor(ir_ops.take(operand, places, axis=operand.type.rank - 1))
