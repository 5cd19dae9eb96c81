"""Tensors out of nothing, and tensors made from diagonals and triangles."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from graphc.frontend.dispatch import op
from graphc.frontend.dtypes import is_float, result_type, standardize_dtype
from graphc.frontend.ops import elementwise
from graphc.frontend.ops.arrangement import cut_out, moveaxis, permuted, stack
from graphc.frontend.ops.operands import (
    TensorLike,
    axis_of,
    materialize,
    promote,
    read,
    refuse,
    shape_of,
    stretch_all,
    with_static,
)
from graphc.frontend.ops.reduction import sum
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import DType, Value
from graphc.ir import dtype as ir_dtype
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim, SymbolicDim
from graphc.ir.types import I32

__all__ = [
    "arange",
    "diag",
    "diagflat",
    "diagonal",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "geomspace",
    "identity",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "trace",
    "tri",
    "tril",
    "triu",
    "vander",
    "zeros",
    "zeros_like",
]


# -- one value -------------------------------------------------------------------------


@with_static("shape")
@op
def full(shape: Any, fill_value: TensorLike, dtype: Any = None) -> Tensor:
    """A tensor of `shape` whose elements are `fill_value`.

    Args:
        shape: Sizes.
        fill_value: A number, or a tensor that broadcasts to the shape.
        dtype: The dtype; the default float if it is not given.
    """
    fill = value(fill_value, standardize_dtype(dtype))
    offset = len(sizes := shape_of(shape)) - fill.type.rank
    dims = range(offset, offset + fill.type.rank)
    return tensor(ir_ops.broadcast_in_dim(fill, shape=sizes, dims=dims))


@with_static("shape")
@op
def zeros(shape: Any, dtype: Any = None) -> Tensor:
    """A tensor of `shape` of zeros, in the default float if no dtype is given."""
    return full(shape, 0, dtype)


@with_static("shape")
@op
def ones(shape: Any, dtype: Any = None) -> Tensor:
    """A tensor of `shape` of ones, in the default float if no dtype is given."""
    return full(shape, 1, dtype)


@with_static("shape")
@op
def empty(shape: Any, dtype: Any = None) -> Tensor:
    """A tensor of `shape`; as graphs have no undefined values, of zeros."""
    return full(shape, 0, dtype)


@op
def full_like(x: TensorLike, fill_value: TensorLike, dtype: Any = None) -> Tensor:
    """A tensor of the shape of x, and of its dtype if none is given."""
    operand = read(x)
    return full(operand.shape, fill_value, dtype or operand.dtype)


@op
def zeros_like(x: TensorLike, dtype: Any = None) -> Tensor:
    """Zeros in the shape of x, and in its dtype if none is given."""
    return full_like(x, 0, dtype)


@op
def ones_like(x: TensorLike, dtype: Any = None) -> Tensor:
    """Ones in the shape of x, and in its dtype if none is given."""
    return full_like(x, 1, dtype)


@op
def empty_like(x: TensorLike, dtype: Any = None) -> Tensor:
    """Zeros in the shape of x, and in its dtype if none is given; see `empty`."""
    return full_like(x, 0, dtype)


# -- sequences -------------------------------------------------------------------------


@op
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Tensor:
    """The numbers from `start` up to, not including, `stop`.

    Args:
        start: The first number; the end, from 0, if it is given alone.
        stop: The end. It may be a size of a tensor that is not known yet.
        step: The distance of neighbours, 1 by default.
        dtype: The dtype; int32, or the default float if a number is a float.

    Returns:
        A tensor [ceil((stop - start) / step)].

    Raises:
        GraphError: If an argument is a tensor, or `step` is 0.
    """
    if stop is None:
        start, stop = 0, start
    step = 1 if step is None else step
    numbers = [_number(n) for n in (start, stop, step)]
    start, stop, step = numbers
    if step == 0:
        refuse("Expected a step other than 0. Received: step=0")
    name = standardize_dtype(dtype) if dtype is not None else result_type(*numbers)
    if any(isinstance(n, SymbolicDim) for n in numbers):
        size: Dim = (stop - start + (step - 1 if step > 0 else step + 1)) // step
        counts = ir_ops.iota(shape=[size], axis=0, dtype=name)
        return tensor(_affine(counts, step, value(start, name)))
    size = max(0, math.ceil((stop - start) / step))
    if start == 0 and step == 1:
        return tensor(ir_ops.iota(shape=[size], axis=0, dtype=name))
    return tensor(value(np.asarray(start + np.arange(size) * step), name))


def _number(x: Any) -> Any:
    if isinstance(x, np.ndarray) and x.ndim == 0:
        return x.item()
    if isinstance(x, np.generic):
        return x.item()
    if not isinstance(x, (int, float, SymbolicDim)):
        refuse(
            f"Expected numbers. Received: {type(x).__name__}",
            hint="the size of a tensor cannot depend on the value of another one",
        )
    return x


def _affine(counts: Value, step: Any, start: Any) -> Value:
    scaled = counts if step == 1 else ir_ops.multiply(counts, step)
    return ir_ops.add(scaled, start)


@op
def linspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` numbers at equal distances from `start` to `stop`.

    Args:
        start: The first number, or a tensor of them.
        stop: The last number, or a tensor of them; the two are broadcast.
        num: How many.
        endpoint: Whether `stop` is the last one.
        retstep: Whether to return the distance too.
        dtype: The dtype; a float by default.
        axis: Where in the result the numbers lie.

    Returns:
        A tensor with a dimension of `num` at `axis`; with `retstep` also the step.
    """
    if num < 0:
        refuse(f"Expected a number of at least 0. Received: num={num}")
    a, b = stretch_all(*map(materialize, promote(start, stop, also=[float])))
    a, b = _same_rank(a, b)
    parts = num - 1 if endpoint else num
    rank = a.type.rank
    step = ir_ops.divide(ir_ops.subtract(b, a), float(parts) if parts > 0 else math.nan)
    shape = (num, *a.shape)
    counts = ir_ops.iota(shape=shape, axis=0, dtype=a.dtype)
    # Weights of both ends: exact at the ends, unlike start + i * step.
    share = ir_ops.divide(counts, float(max(parts, 1)))
    dims = range(1, rank + 1)
    low = ir_ops.broadcast_in_dim(a, shape=shape, dims=dims)
    high = ir_ops.broadcast_in_dim(b, shape=shape, dims=dims)
    numbers = ir_ops.add(
        ir_ops.multiply(low, ir_ops.subtract(1.0, share)), ir_ops.multiply(high, share)
    )
    found = moveaxis(tensor(numbers), 0, axis)
    if dtype is not None:
        name = standardize_dtype(dtype)
        if not is_float(name):
            found = elementwise.floor(found)
        found = tensor(value(found, name))
    return (found, tensor(step)) if retstep else found


def _same_rank(a: Any, b: Any) -> tuple[Value, Value]:
    """Two broadcast operands, of which one of rank 0 is stretched."""
    shape = a.type.shape or b.type.shape
    both = [
        x if x.type.shape == shape else ir_ops.broadcast_in_dim(x, shape=shape, dims=[])
        for x in (a, b)
    ]
    return both[0], both[1]


@op
def logspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    base: float = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Tensor:
    """`base` to the powers that `linspace` gives; arguments as there."""
    powers = linspace(start, stop, num, endpoint, axis=axis)
    found = elementwise.power(float(base), powers)
    return found if dtype is None else tensor(value(found, standardize_dtype(dtype)))


@op
def geomspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Tensor:
    """`num` numbers of equal ratio from `start` to `stop`, both of one sign.

    Arguments as `linspace`.
    """
    a, b = (tensor(materialize(v)) for v in promote(start, stop, also=[float]))
    first, last = (elementwise.log(elementwise.absolute(end)) for end in (a, b))
    powers = elementwise.exp(linspace(first, last, num, endpoint, axis=axis))
    sign = elementwise.sign(a)
    if sign.ndim:
        sign = moveaxis(
            tensor(ir_ops.reshape(value(sign), shape=[1, *a.shape])), 0, axis
        )
    found = powers * sign
    return found if dtype is None else tensor(value(found, standardize_dtype(dtype)))


@op
def vander(x: TensorLike, N: int | None = None, increasing: bool = False) -> Tensor:
    """The matrix of the powers of the elements of x.

    Args:
        x: A tensor [M].
        N: The number of powers, from 0 on; M by default.
        increasing: Whether the powers ascend from left to right.

    Returns:
        A tensor [M, N].

    Raises:
        GraphError: If x is not of rank 1, or its size is not known and N is missing.
    """
    operand = tensor(read(x))
    count = operand.shape[0] if N is None and operand.ndim == 1 else N
    if operand.ndim != 1 or not isinstance(count, int) or count < 0:
        refuse(
            f"Expected a tensor of rank 1 and N >= 0. Received: {read(x).type}, N={N}"
        )
    if count == 0:
        return full((operand.shape[0], 0), 0, operand.dtype)
    powers = [ones_like(operand)]
    for _ in range(count - 1):
        powers.append(powers[-1] * operand)
    return stack(powers if increasing else powers[::-1], 1)


# -- diagonals and triangles -----------------------------------------------------------


def _offsets(rows: Dim, columns: Dim) -> Value:
    """The matrix of column minus row."""
    shape = [rows, columns]
    across = ir_ops.iota(shape=shape, axis=1, dtype=I32)
    return ir_ops.subtract(across, ir_ops.iota(shape=shape, axis=0, dtype=I32))


def _size(n: Any, name: str) -> Dim:
    (size,) = shape_of(n, name)
    return size


def _on_diagonal(
    rows: Dim, columns: Dim, k: int, direction: str, dtype: DType
) -> Value:
    hit = ir_ops.compare(_offsets(rows, columns), k, direction=direction)
    return hit if dtype.kind == "bool" else ir_ops.convert(hit, dtype=dtype)


@op
def eye(N: Any, M: Any = None, k: int = 0, dtype: Any = None) -> Tensor:
    """Ones on a diagonal, zeros elsewhere.

    Args:
        N: The number of rows.
        M: The number of columns, N by default.
        k: Which diagonal: 0 is the main one, those above are positive.
        dtype: The dtype; the default float if it is not given.

    Returns:
        A tensor [N, M].
    """
    rows = _size(N, "N")
    columns = rows if M is None else _size(M, "M")
    element = ir_dtype(standardize_dtype(dtype))
    return tensor(_on_diagonal(rows, columns, k, "EQ", element))


@op
def identity(n: Any, dtype: Any = None) -> Tensor:
    """The square matrix [n, n] with ones on the main diagonal."""
    return eye(n, dtype=dtype)


@op
def tri(N: Any, M: Any = None, k: int = 0, dtype: Any = None) -> Tensor:
    """Ones on and below the diagonal k, zeros above; arguments as `eye`."""
    rows = _size(N, "N")
    columns = rows if M is None else _size(M, "M")
    element = ir_dtype(standardize_dtype(dtype))
    return tensor(_on_diagonal(rows, columns, k, "LE", element))


def _triangle(x: TensorLike, k: int, direction: str) -> Tensor:
    operand = read(x)
    if operand.type.rank < 2:
        refuse(f"Expected a matrix, or a stack of them. Received: {operand.type}")
    inside = ir_ops.compare(_offsets(*operand.shape[-2:]), k, direction=direction)
    if operand.type.rank > 2:
        rank = operand.type.rank
        inside = ir_ops.broadcast_in_dim(
            inside, shape=operand.shape, dims=[rank - 2, rank - 1]
        )
    return tensor(ir_ops.select(inside, operand, elementwise.zero_like(operand)))


@op
def tril(x: TensorLike, k: int = 0) -> Tensor:
    """Matrices x [..., N, M] with zeros above the diagonal k."""
    return _triangle(x, k, "LE")


@op
def triu(x: TensorLike, k: int = 0) -> Tensor:
    """Matrices x [..., N, M] with zeros below the diagonal k."""
    return _triangle(x, k, "GE")


@op
def diag(x: TensorLike, k: int = 0) -> Tensor:
    """A matrix with x on its diagonal k, or the diagonal k of a matrix.

    Args:
        x: A tensor of rank 1 or 2.
        k: Which diagonal.

    Raises:
        GraphError: For other ranks.
    """
    operand = read(x)
    if operand.type.rank == 2:
        return diagonal(x, k)
    if operand.type.rank != 1:
        refuse(f"Expected a tensor of rank 1 or 2. Received: {operand.type}")
    size = operand.shape[0] + builtins.abs(k)
    low, high = max(k, 0), max(-k, 0)
    row = ir_ops.pad(operand, elementwise.zero_like(operand), low=[low], high=[high])
    shape = [size, size]
    across = ir_ops.broadcast_in_dim(row, shape=shape, dims=[1])
    inside = ir_ops.compare(_offsets(size, size), k, direction="EQ")
    return tensor(ir_ops.select(inside, across, elementwise.zero_like(operand)))


@op
def diagflat(x: TensorLike, k: int = 0) -> Tensor:
    """A matrix with all elements of x on its diagonal k."""
    operand = read(x)
    return diag(tensor(ir_ops.reshape(operand, shape=[operand.type.size])), k)


@op
def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """A diagonal of the matrices in two axes, as the last axis of the result.

    Args:
        x: A tensor of rank 2 or more.
        offset: Which diagonal.
        axis1: The axis of the rows.
        axis2: The axis of the columns.
    """
    operand = read(x)
    rank = operand.type.rank
    first, second = axis_of(axis1, rank, "axis1"), axis_of(axis2, rank, "axis2")
    if first == second:
        refuse(f"Expected two axes. Received: axis1={axis1}, axis2={axis2}")
    rest = [d for d in range(rank) if d not in (first, second)]
    operand = permuted(operand, [*rest, first, second])
    operand = _without(operand, rank - 2, max(-offset, 0))
    operand = _without(operand, rank - 1, max(offset, 0))
    rows, columns = operand.shape[-2:]
    if rows != columns:
        if not isinstance(rows, int) or not isinstance(columns, int):
            refuse(
                f"Expected matrices of known sizes, or square. Received: {operand.type}"
            )
        size = min(rows, columns)
        operand = cut_out(operand, rank - 2, 0, size)
        operand = cut_out(operand, rank - 1, 0, size)
    return tensor(_main_diagonal(operand))


def _without(x: Value, axis: int, count: int) -> Value:
    """`x` without its first elements along an axis, which may be all there are."""
    size = x.shape[axis]
    return cut_out(x, axis, min(count, size) if isinstance(size, int) else count, size)


def _main_diagonal(x: Value) -> Value:
    """The diagonal of square matrices: one other element of each row is not 0."""
    rank = x.type.rank
    size = x.shape[-1]
    inside = ir_ops.compare(_offsets(size, size), 0, direction="EQ")
    if rank > 2:
        dims = [rank - 2, rank - 1]
        inside = ir_ops.broadcast_in_dim(inside, shape=x.shape, dims=dims)
    kept = ir_ops.select(inside, x, elementwise.zero_like(x))
    if x.dtype.kind == "bool":
        return ir_ops.reduce_or(kept, axes=[rank - 2])
    return ir_ops.reduce_sum(kept, axes=[rank - 2])


@op
def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of a diagonal; arguments as `diagonal`."""
    return sum(diagonal(x, offset, axis1, axis2), axis=-1)
