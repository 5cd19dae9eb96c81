"""Decompositions of matrices, and what follows from them: inverses and determinants."""

from __future__ import annotations

from typing import Any

import ml_dtypes

from graphc.frontend.dispatch import op
from graphc.frontend.ops import arrangement, creation, elementwise, logic, reduction
from graphc.frontend.ops.indexing import take_along_axis
from graphc.frontend.ops.linalg import matmul
from graphc.frontend.ops.operands import (
    TensorLike,
    broadcast_shape,
    check_one_of,
    floats,
    materialize,
    promote,
    refuse,
)
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Value
from graphc.ir import ops as ir_ops
from graphc.ir.ops.along_axes import widen

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "det",
    "eigh",
    "inv",
    "logdet",
    "lstsq",
    "lu_factor",
    "matrix_rank",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
]


def _matrices(x: TensorLike, square: bool = False) -> Value:
    """`x` as matrices of floats; refuses what has no rows and columns."""
    operand = floats(x)
    if operand.type.rank < 2:
        refuse(
            f"Expected matrices: a tensor of rank 2 or more. Received: {operand.type}"
        )
    if square and operand.shape[-1] != operand.shape[-2]:
        refuse(f"Expected square matrices. Received: {operand.type}")
    return operand


def _in_dtype_of(given: Value, found: Any) -> Tensor:
    """A result that was computed in at least float32, in the dtype of the argument."""
    return tensor(value(tensor(found), given.dtype.long_name))


def _transposed(x: Tensor) -> Tensor:
    return arrangement.swapaxes(x, -1, -2)


def _symmetric(x: Value) -> Value:
    """The mean of matrices and their transposes, so that gradients are symmetric."""
    wide = tensor(widen(x))
    return materialize(value((wide + _transposed(wide)) * 0.5))


# -- triangular ------------------------------------------------------------------------


@op
def cholesky(x: TensorLike, upper: bool = False) -> Tensor:
    """The triangular factors of symmetric positive definite matrices.

    Args:
        x: Matrices [..., M, M].
        upper: Whether to return U with ``transpose(U) @ U = x``, not L with
            ``L @ transpose(L) = x``.

    Returns:
        Matrices [..., M, M]; nan for a matrix that is not positive definite.

    Raises:
        GraphError: If the matrices are not square.
    """
    operand = _matrices(x, square=True)
    found = ir_ops.cholesky(_symmetric(operand), lower=not upper)
    return _in_dtype_of(operand, found)


@op
def cholesky_inverse(x: TensorLike, upper: bool = False) -> Tensor:
    """The inverses of matrices whose triangular factors are given.

    Args:
        x: What `cholesky` returned, [..., M, M].
        upper: Whether these are upper triangular.
    """
    operand = _matrices(x, square=True)
    wide = widen(operand)
    inverse = tensor(
        ir_ops.triangular_solve(wide, _identity_like(wide), lower=not upper)
    )
    pair = (inverse, _transposed(inverse))
    return _in_dtype_of(operand, value(matmul(*(pair if upper else pair[::-1]))))


def _identity_like(x: Value) -> Value:
    one = creation.eye(x.shape[-1], dtype=x.dtype)
    return materialize(value(arrangement.broadcast_to(one, x.shape)))


@op
def solve_triangular(a: TensorLike, b: TensorLike, lower: bool = False) -> Tensor:
    """The solution of linear systems whose matrices are triangular.

    Args:
        a: Matrices [..., M, M], of which one triangle is read.
        b: Right sides [..., M, N], or [..., M] for one each.
        lower: Whether it is the lower triangle.

    Returns:
        What `a` must be multiplied with to give `b`; of the shape of `b`.
    """
    left, right, single = _system(a, b)
    found = tensor(ir_ops.triangular_solve(left, right, lower=lower))
    found = arrangement.squeeze(found, -1) if single else found
    return tensor(value(found, _common(a, b)))


def _common(a: TensorLike, b: TensorLike) -> str:
    return promote(a, b, also=[float])[0].type.dtype.long_name


def _system(a: TensorLike, b: TensorLike) -> tuple[Value, Value, bool]:
    """Matrices and right sides of one dtype and batch shape; whether b was vectors."""
    left, right = (widen(materialize(x)) for x in promote(a, b, also=[float]))
    left = _matrices(tensor(left), square=True)
    single = right.type.rank == left.type.rank - 1
    if single:
        right = ir_ops.reshape(right, shape=[*right.shape, 1])
    if right.type.rank < 2 or right.shape[-2] != left.shape[-1]:
        refuse(
            "Expected right sides [..., M, N] or [..., M] for matrices [..., M, M]. "
            f"Received: {left.type}, {right.type}"
        )
    batch = broadcast_shape(left.shape[:-2], right.shape[:-2])
    left, right = (
        materialize(value(arrangement.broadcast_to(tensor(x), (*batch, *x.shape[-2:]))))
        for x in (left, right)
    )
    return left, right, single


# -- LU --------------------------------------------------------------------------------


@op
def lu_factor(x: TensorLike) -> tuple[Tensor, Tensor]:
    """The LU decomposition of matrices with rows exchanged.

    Args:
        x: Matrices [..., M, N].

    Returns:
        L, without the ones of its diagonal, and U in one tensor [..., M, N], and the
        pivots, int32 [..., min(M, N)]: row i was exchanged with row ``pivots[i]``.
    """
    operand = _matrices(x)
    factors, pivots, _ = ir_ops.lu(widen(operand))
    return _in_dtype_of(operand, factors), tensor(pivots)


@op
def solve(a: TensorLike, b: TensorLike) -> Tensor:
    """The solution of linear systems.

    Args:
        a: Matrices [..., M, M].
        b: Right sides [..., M, N], or [..., M] for one each.

    Returns:
        What `a` must be multiplied with to give `b`; of the shape of `b`.

    Raises:
        GraphError: If the matrices are not square, or the sizes do not fit.

    Example:
        >>> import graphc
        >>> graphc.ops.solve([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0]).tolist()
        [0.5, 0.25]
    """
    left, right, single = _system(a, b)
    found = tensor(_solved(left, right))
    found = arrangement.squeeze(found, -1) if single else found
    return tensor(value(found, _common(a, b)))


def _solved(a: Value, b: Value) -> Value:
    factors, _, permutation = ir_ops.lu(a)
    order = arrangement.expand_dims(tensor(permutation), -1)
    rows = value(take_along_axis(tensor(b), order, -2))
    inner = ir_ops.triangular_solve(factors, rows, lower=True, unit_diagonal=True)
    return ir_ops.triangular_solve(factors, inner, lower=False)


@op
def inv(x: TensorLike) -> Tensor:
    """The inverses of matrices [..., M, M]; inf or nan for singular ones."""
    operand = _matrices(x, square=True)
    wide = widen(operand)
    return _in_dtype_of(operand, _solved(wide, _identity_like(wide)))


def _pivoted(x: Value) -> tuple[Tensor, Tensor]:
    """The diagonals of U [..., M], and the sign that exchanging rows gave."""
    factors, pivots, _ = ir_ops.lu(widen(x))
    diagonal = creation.diagonal(tensor(factors), axis1=-2, axis2=-1)
    places = creation.arange(x.shape[-1], dtype="int32")
    moved = logic.not_equal(tensor(pivots), places)
    exchanges = reduction.sum(tensor(value(moved, "int32")), -1)
    sign = 1 - 2 * elementwise.mod(exchanges, 2)
    return diagonal, tensor(value(sign, diagonal.dtype))


@op
def det(x: TensorLike) -> Tensor:
    """The determinants of matrices [..., M, M], a tensor [...]."""
    operand = _matrices(x, square=True)
    diagonal, sign = _pivoted(operand)
    return _in_dtype_of(operand, value(reduction.prod(diagonal, -1) * sign))


@op
def slogdet(x: TensorLike) -> tuple[Tensor, Tensor]:
    """The signs and the logarithms of the sizes of determinants.

    Args:
        x: Matrices [..., M, M].

    Returns:
        The signs [...], 0 for singular matrices, and the logarithms [...].
    """
    operand = _matrices(x, square=True)
    diagonal, sign = _pivoted(operand)
    signs = sign * reduction.prod(elementwise.sign(diagonal), -1)
    sizes = reduction.sum(elementwise.log(elementwise.absolute(diagonal)), -1)
    return _in_dtype_of(operand, value(signs)), _in_dtype_of(operand, value(sizes))


@op
def logdet(x: TensorLike) -> Tensor:
    """The logarithms of the sizes of determinants of matrices [..., M, M]."""
    return slogdet(x)[1]


# -- orthogonal ------------------------------------------------------------------------


@op
def qr(x: TensorLike, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """The factors Q, of orthonormal columns, and R, upper triangular, of matrices.

    Args:
        x: Matrices [..., M, N].
        mode: ``"reduced"`` for Q [..., M, K] and R [..., K, N] with K = min(M, N),
            ``"complete"`` for K = M.

    Raises:
        GraphError: For another mode.
    """
    check_one_of("mode", mode, ("reduced", "complete"))
    operand = _matrices(x)
    q, r = ir_ops.qr(widen(operand), full_matrices=mode == "complete")
    return _in_dtype_of(operand, q), _in_dtype_of(operand, r)


@op
def eigh(x: TensorLike) -> tuple[Tensor, Tensor]:
    """The eigenvalues and eigenvectors of symmetric matrices.

    Args:
        x: Matrices [..., M, M].

    Returns:
        The eigenvalues [..., M] in ascending order, and the vectors as the columns of
        matrices [..., M, M].
    """
    operand = _matrices(x, square=True)
    values, vectors = ir_ops.eigh(_symmetric(operand))
    return _in_dtype_of(operand, values), _in_dtype_of(operand, vectors)


@op
def svd(x: TensorLike, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition ``x = U @ diag(S) @ V`` of matrices.

    Args:
        x: Matrices [..., M, N].
        full_matrices: Whether U and V are square, not cut to min(M, N).
        compute_uv: Whether to return U and V.

    Returns:
        U, the singular values S [..., min(M, N)] in descending order, and V; S alone
        without `compute_uv`.
    """
    operand = _matrices(x)
    found = ir_ops.svd(widen(operand), full_matrices=full_matrices and compute_uv)
    u, s, v = (_in_dtype_of(operand, part) for part in found)
    return (u, s, v) if compute_uv else s


def _size(x: Value) -> int:
    """The larger of the numbers of rows and columns, which must be known."""
    rows, columns = x.shape[-2:]
    if not isinstance(rows, int) or not isinstance(columns, int):
        refuse(f"Expected matrices of known sizes. Received: {x.type}")
    return max(rows, columns)


def _epsilon(x: Value) -> float:
    return float(ml_dtypes.finfo(x.dtype.numpy).eps)


@op
def pinv(x: TensorLike, rcond: float | None = None) -> Tensor:
    """The pseudo-inverses of matrices.

    Args:
        x: Matrices [..., M, N].
        rcond: Singular values up to this part of the largest count as 0; by default 10
            times the larger size times the machine epsilon.

    Returns:
        Matrices [..., N, M].
    """
    operand = _matrices(x)
    share = 10 * _size(operand) * _epsilon(operand) if rcond is None else rcond
    u, inverse, v = _inverted(operand, share)
    found = matmul(
        _transposed(v) * arrangement.expand_dims(inverse, -2), _transposed(u)
    )
    return _in_dtype_of(operand, value(found))


def _inverted(x: Value, share: Any) -> tuple[Tensor, Tensor, Tensor]:
    """U, the inverses of singular values above a share of the largest, and V."""
    u, s, v = map(tensor, ir_ops.svd(widen(x), full_matrices=False))
    large = s > s[..., :1] * share
    return u, logic.where(large, 1.0 / logic.where(large, s, 1.0), 0.0), v


@op
def lstsq(a: TensorLike, b: TensorLike, rcond: float | None = None) -> Tensor:
    """The smallest x for which the sum of squares of ``a @ x - b`` is smallest.

    Args:
        a: Matrices [..., M, N].
        b: Right sides [..., M, K], or [..., M] for one each.
        rcond: Singular values up to this part of the largest count as 0; by default the
            larger size times the machine epsilon.

    Returns:
        A tensor [..., N, K], or [..., N].

    Raises:
        GraphError: If the sizes do not fit.
    """
    left, right = (materialize(x) for x in promote(a, b, also=[float]))
    left = _matrices(tensor(left))
    sides = tensor(right)
    single = sides.ndim == left.type.rank - 1
    sides = arrangement.expand_dims(sides, -1) if single else sides
    if sides.ndim < 2 or sides.shape[-2] != left.shape[-2]:
        refuse(
            "Expected right sides [..., M, K] or [..., M] for matrices [..., M, N]. "
            f"Received: {left.type}, {right.type}"
        )
    share = _size(left) * _epsilon(left) if rcond is None else rcond
    u, inverse, v = _inverted(left, share)
    weights = matmul(_transposed(u), tensor(value(sides, u.dtype)))
    found = matmul(_transposed(v), arrangement.expand_dims(inverse, -1) * weights)
    found = arrangement.squeeze(found, -1) if single else found
    return _in_dtype_of(left, value(found))


@op
def matrix_rank(x: TensorLike, tol: float | None = None) -> Tensor:
    """How many singular values of matrices [..., M, N] are not 0, as int32.

    Args:
        x: The matrices.
        tol: Up to this they count as 0; by default up to the larger size times the
            machine epsilon times the largest one.
    """
    operand = _matrices(x)
    s = tensor(ir_ops.svd(widen(operand), full_matrices=False)[1])
    limit = s[..., :1] * (_size(operand) * _epsilon(operand)) if tol is None else tol
    return reduction.count_nonzero(s > limit, -1)
