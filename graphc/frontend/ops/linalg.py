"""Products of tensors: matmul, dot, tensordot, outer and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.frontend.dispatch import op
from graphc.frontend.ops.arrangement import permuted, reshaped, stack, unstack
from graphc.frontend.ops.creation import zeros_like
from graphc.frontend.ops.elementwise import multiply
from graphc.frontend.ops.operands import (
    TensorLike,
    axes_of,
    broadcast_shape,
    materialize,
    promote,
    read,
    refuse,
    stretch,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor
from graphc.ir import Value
from graphc.ir import ops as ir_ops
from graphc.ir.types import BOOL, I8, I32, product

__all__ = [
    "cross",
    "dot",
    "inner",
    "kron",
    "matmul",
    "outer",
    "tensordot",
    "vdot",
]


def contracted(
    a: Value,
    b: Value,
    contract: Sequence[Sequence[int]],
    batch: Sequence[Sequence[int]] = ((), ()),
    dtype: Any = None,
) -> Value:
    """dot_general of values that may be bool: then whether any pair holds."""
    if a.dtype is not BOOL:
        return ir_ops.dot_general(a, b, contract=contract, batch=batch, dtype=dtype)
    numbers = (ir_ops.convert(x, dtype=I32) for x in (a, b))
    counts = ir_ops.dot_general(*numbers, contract=contract, batch=batch)
    return ir_ops.convert(counts, dtype=BOOL)


def wide_result(a: Value) -> Any:
    """The result dtype of products of int8, which is int32 as in Keras; else None."""
    return I32 if a.dtype is I8 else None


def _pair(x1: TensorLike, x2: TensorLike) -> tuple[Value, Value]:
    a, b = promote(x1, x2)
    return materialize(a), materialize(b)


@op
def matmul(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The matrix product of the last two dimensions, the others broadcast.

    Args:
        x1: A tensor [..., M, K], or a vector [K].
        x2: A tensor [..., K, N], or a vector [K].

    Returns:
        A tensor [..., M, N], without M or N where a vector was given. Products of
        int8 are int32.

    Raises:
        GraphError: If the inner sizes differ or an operand has rank 0.
    """
    a, b = _pair(x1, x2)
    if 0 in (a.type.rank, b.type.rank):
        refuse(f"Expected tensors of rank 1 or more. Received: {a.type}, {b.type}")
    inner = max(b.type.rank - 2, 0)
    if a.shape[-1] != b.shape[inner]:
        refuse(
            "Expected the last size of x1 to be the second last of x2 (the last, if it "
            f"is a vector). Received: {a.type}, {b.type}"
        )
    contract = [[a.type.rank - 1], [inner]]
    wide = wide_result(read(x1)) and wide_result(read(x2))
    if b.type.rank <= 2 or a.type.rank == 1:
        return tensor(contracted(a, b, contract, dtype=wide))
    if a.type.rank == 2:
        found = contracted(a, b, contract, dtype=wide)
        rank = found.type.rank
        return tensor(permuted(found, [*range(1, rank - 1), 0, rank - 1]))
    outer = broadcast_shape(a.shape[:-2], b.shape[:-2])
    a = materialize(stretch(a, [*outer, *a.shape[-2:]]))
    b = materialize(stretch(b, [*outer, *b.shape[-2:]]))
    count = len(outer)
    batch = [list(range(count))] * 2
    return tensor(contracted(a, b, [[count + 1], [count]], batch, wide))


@op
def dot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The sum of products over the last dimension of x1 and the second last of x2.

    Args:
        x1: A tensor [..., K], or a number.
        x2: A tensor [..., K, N], a vector [K], or a number.

    Returns:
        A tensor with the other dimensions of x1, then those of x2. With a number, the
        product element by element.
    """
    a, b = _pair(x1, x2)
    if 0 in (a.type.rank, b.type.rank):
        return multiply(tensor(a), tensor(b))
    inner = max(b.type.rank - 2, 0)
    return tensor(_product(a, b, [[a.type.rank - 1], [inner]]))


def _product(a: Value, b: Value, contract: Sequence[Sequence[int]]) -> Value:
    for left, right in zip(*contract, strict=True):
        if a.shape[left] != b.shape[right]:
            refuse(
                f"Expected axis {left} of x1 and axis {right} of x2 to be of one size. "
                f"Received: {a.type}, {b.type}"
            )
    return contracted(a, b, contract)


@op
def inner(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The sum of products over the last dimensions of both; products with numbers."""
    a, b = _pair(x1, x2)
    if 0 in (a.type.rank, b.type.rank):
        return multiply(tensor(a), tensor(b))
    return tensor(_product(a, b, [[a.type.rank - 1], [b.type.rank - 1]]))


@op
def vdot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The sum of products of all elements, as a tensor of rank 0."""
    rows = [reshaped(x, [product(x.shape)]) for x in _pair(x1, x2)]
    return tensor(_product(rows[0], rows[1], [[0], [0]]))


@op
def outer(x1: TensorLike, x2: TensorLike) -> Tensor:
    """All products of an element of x1 and one of x2: [size of x1, size of x2]."""
    a, b = (reshaped(x, [product(x.shape)]) for x in _pair(x1, x2))
    shape = [a.shape[0], b.shape[0]]
    down = ir_ops.broadcast_in_dim(a, shape=shape, dims=[0])
    across = ir_ops.broadcast_in_dim(b, shape=shape, dims=[1])
    return multiply(tensor(down), tensor(across))


@op
def tensordot(x1: TensorLike, x2: TensorLike, axes: Any = 2) -> Tensor:
    """The sum of products over several pairs of dimensions.

    Args:
        x1: A tensor.
        x2: A tensor.
        axes: How many of the last dimensions of x1 to pair with the first of x2, or
            two lists of the dimensions to pair.

    Returns:
        A tensor with the other dimensions of x1, then those of x2.
    """
    a, b = _pair(x1, x2)
    if isinstance(axes, int):
        left, right = tuple(range(-axes, 0)), tuple(range(axes))
    else:
        left, right = axes
    pairs = [axes_of(_tuple(left), a.type.rank), axes_of(_tuple(right), b.type.rank)]
    if len(pairs[0]) != len(pairs[1]):
        refuse(f"Expected as many axes of x1 as of x2. Received: axes={axes}")
    return tensor(_product(a, b, pairs))


def _tuple(axes: Any) -> tuple[int, ...]:
    return (axes,) if isinstance(axes, int) else tuple(axes)


@op
def cross(
    x1: TensorLike,
    x2: TensorLike,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Tensor:
    """The cross product of vectors of three elements, or of two.

    Args:
        x1: A tensor.
        x2: A tensor; the other dimensions are broadcast.
        axisa: The axis of the vectors of x1.
        axisb: The axis of the vectors of x2.
        axisc: The axis of the vectors of the result.
        axis: One axis in the place of the three.

    Returns:
        The products. Two vectors of two elements give one number, the third element.

    Raises:
        GraphError: For vectors of other sizes.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    pairs = zip(_pair(x1, x2), (axisa, axisb), strict=True)
    first, second = (unstack(tensor(x), axis=along) for x, along in pairs)
    if not {len(first), len(second)} <= {2, 3}:
        refuse(
            "Expected vectors of 2 or 3 elements. "
            f"Received: {len(first)} and {len(second)}"
        )
    third = first[0] * second[1] - first[1] * second[0]
    if len(first) == len(second) == 2:
        return third
    zero = zeros_like(third)
    a, b = ([*v, zero][:3] for v in (first, second))
    parts = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], third]
    return stack(parts, axisc)


@op
def kron(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The Kronecker product: x2 in the place of each element of x1, times it."""
    a, b = _pair(x1, x2)
    rank = max(a.type.rank, b.type.rank)
    a, b = (reshaped(x, [1] * (rank - x.type.rank) + list(x.shape)) for x in (a, b))
    apart = [d for pair in zip(a.shape, b.shape, strict=True) for d in pair]
    blocks = ir_ops.broadcast_in_dim(a, shape=apart, dims=range(0, 2 * rank, 2))
    tiles = ir_ops.broadcast_in_dim(b, shape=apart, dims=range(1, 2 * rank, 2))
    found = ir_ops.multiply(blocks, tiles)
    shape = [m * n for m, n in zip(a.shape, b.shape, strict=True)]
    return tensor(reshaped(found, shape))
