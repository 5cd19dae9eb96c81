"""Linear algebra: QR, LU, eigenvalue and singular value factorizations.

Their gradients hold where the factors are unique: for matrices of full rank, and for
eigenvalues and singular values that differ from each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.ir.errors import NoGradientError
from graphc.ir.opdef import Arg, IllTyped, Kind, Sample, Trait
from graphc.ir.ops.elementwise import (
    add,
    compare,
    convert,
    divide,
    multiply,
    subtract,
)
from graphc.ir.ops.matrices import (
    LIBRARY,
    NO_KERNEL,
    diagonal_of,
    identity,
    matmul,
    part,
    require_matrix,
    require_square,
    smaller,
    to_lower,
    transposed,
)
from graphc.ir.ops.shape import concatenate, expand, iota, slice_
from graphc.ir.ops.triangular import triangular_solve
from graphc.ir.register import primitive
from graphc.ir.types import I32, TensorType

_MATRIX_ERRORS = (
    IllTyped(("f32[3]",), "must be a matrix"),
    IllTyped(("f16[3,3]",), "must be one of f32, f64"),
)


def _each_matrix(function: Callable[[Any], Any], x: Any) -> tuple[Any, ...]:
    """What a function of NumPy returns for matrices; nan where it does not converge."""
    try:
        return tuple(function(x))
    except np.linalg.LinAlgError:
        pass
    found: list[tuple[Any, ...]] = []
    for matrix in x.reshape(-1, *x.shape[-2:]):
        try:
            found.append(tuple(function(matrix)))
        except np.linalg.LinAlgError:
            regular = function(np.eye(*matrix.shape, dtype=x.dtype))
            found.append(tuple(np.full_like(result, np.nan) for result in regular))
    batch = x.shape[:-2]
    stacked = map(np.stack, zip(*found, strict=True))
    return tuple(result.reshape(*batch, *result.shape[1:]) for result in stacked)


def _block(x: Any, axis: int, start: int, limit: int) -> Any:
    """The rows (`axis` -2) or columns (-1) from `start` to `limit`."""
    starts = [0] * x.type.rank
    limits = list(x.type.shape)
    starts[axis], limits[axis] = start, limit
    return slice_(x, start=starts, limit=limits)


def _split(x: Any, axis: int, size: Any) -> tuple[Any, Any]:
    """The first `size` rows or columns, and the others."""
    return _block(x, axis, 0, size), _block(x, axis, size, x.type.shape[axis])


def _joined(a: Any, b: Any, axis: int) -> Any:
    return concatenate(a, b, axis=a.type.rank + axis)


def _require_reduced(name: str, x: Any, full_matrices: bool) -> None:
    rows, columns = x.type.shape[-2:]
    if full_matrices and rows != columns:
        raise NoGradientError(
            f"{name}: the gradient of full matrices is not unique",
            received=str(x.type),
            hint="use full_matrices=False",
        )


# -- QR --------------------------------------------------------------------------------


def _qr_reference(x: Any, full_matrices: bool) -> Any:
    if 0 in x.shape[:-2]:
        rows, columns = x.shape[-2:]
        size = rows if full_matrices else min(rows, columns)
        batch = x.shape[:-2]
        shapes = ((*batch, rows, size), (*batch, size, columns))
        return tuple(np.zeros(shape, x.dtype) for shape in shapes)
    return tuple(np.linalg.qr(x, "complete" if full_matrices else "reduced"))


def _qr_vjp(g: Any, y: Any, x: Any, full_matrices: bool) -> Any:
    """The gradient of D. and L. Roberts (2020).

    "QR and LQ decomposition matrix backpropagation algorithms for square, wide, and
    deep matrices"; the inner matrix is mirrored at its diagonal.
    """
    _require_reduced("qr", x, full_matrices)
    rows, columns = x.type.shape[-2:]
    q, r = y
    by_q, by_r = g[0], part(g[1], "LE")
    if smaller("qr", x.type) == columns:
        return (_tall_qr_gradient(q, r, by_q, by_r),)
    # x = [a, b] and r = [u, v] with a = q u and b = q v.
    u, _ = _split(r, -1, rows)
    by_u, by_v = _split(by_r, -1, rows)
    _, b = _split(x, -1, rows)
    by_q = add(by_q, matmul(b, transposed(by_v)))
    return (_joined(_tall_qr_gradient(q, u, by_q, by_u), matmul(q, by_v), -1),)


def _tall_qr_gradient(q: Any, r: Any, by_q: Any, by_r: Any) -> Any:
    inner = subtract(matmul(r, transposed(by_r)), matmul(transposed(by_q), q))
    below = part(inner, "GT")
    mirrored = add(part(inner, "GE"), transposed(below))
    total = add(by_q, matmul(q, mirrored))
    return triangular_solve(r, total, left_side=False, lower=False, transpose_a=True)


@primitive(
    Kind.OPAQUE,
    _qr_reference,
    vjp=_qr_vjp,
    traits=[Trait.FACTORIZES],
    dtypes=LIBRARY,
    samples=(
        Sample((Arg("f32[4,3]", -1, 1, diagonal=2),)),
        Sample((Arg("f32[3,3]", -1, 1, diagonal=2),)),
        Sample((Arg("f32[2,3]", -1, 1, diagonal=2),)),
        Sample((Arg("f32[2,4,2]", -1, 1, diagonal=2),)),
        Sample(("f32[4,2]",), {"full_matrices": True}, smooth=False),
        Sample((Arg("f32[1,1]", 1, 2),)),
        Sample(("f32[0,3,3]",)),
        Sample(("f32[3,0]",), {"full_matrices": True}, smooth=False),
        Sample((Arg("f32[B,3,2]", -1, 1, diagonal=2),)),
    ),
    errors=(
        *_MATRIX_ERRORS,
        IllTyped(("f32[B,3]",), "whether rows or columns are fewer"),
    ),
    ulp=8,
    numerics="the signs of R's diagonal are those of LAPACK's",
    no_kernel=NO_KERNEL,
)
def qr(x: TensorType, *, full_matrices: bool = False) -> tuple[TensorType, TensorType]:
    """Q with orthonormal columns and R upper triangular, x = Q R.

    Q has as many columns as the smaller size of the matrices, or as rows if
    `full_matrices`.
    """
    require_matrix("qr", x)
    *batch, rows, columns = x.shape
    size = rows if full_matrices else smaller("qr", x)
    return x.with_shape([*batch, rows, size]), x.with_shape([*batch, size, columns])


# -- LU --------------------------------------------------------------------------------


def _lu_reference(x: Any) -> Any:
    rows, columns = x.shape[-2:]
    size = min(rows, columns)
    batch = x.shape[:-2]
    left = np.array(x).reshape(math.prod(batch), rows, columns)
    matrices = np.arange(len(left))
    pivots = np.zeros((len(left), size), np.int32)
    permutation = np.tile(np.arange(rows, dtype=np.int32), (len(left), 1))
    for column in range(size):
        pivot = column + np.argmax(np.abs(left[:, column:, column]), axis=1)
        pivots[:, column] = pivot
        for array in (left, permutation):
            swapped = array[matrices, pivot].copy()
            array[matrices, pivot] = array[:, column]
            array[:, column] = swapped
        largest = left[:, column, column, None]
        left[:, column + 1 :, column] /= np.where(largest == 0, 1, largest)
        left[:, column + 1 :, column + 1 :] -= (
            left[:, column + 1 :, column, None] * left[:, column, None, column + 1 :]
        )
    results = (left, pivots, permutation)
    return tuple(a.reshape(*batch, *a.shape[1:]) for a in results)


def _lu_vjp(g: Any, y: Any, x: Any) -> Any:
    """The gradient of F. de Hoog, R. Anderssen and M. Lukas (2011).

    "Differentiation of matrix functionals using triangular factorization". For
    P A = L U it is P^T L^-T (tril(L^T L', -1) + triu(U' U^T)) U^-T, where L' and U' are
    the cotangents. What lies outside the square part is a triangular solve.
    """
    lu, _, permutation = y
    rows, columns = x.type.shape[-2:]
    size = smaller("lu", x.type)
    if rows == columns:
        found = _square_lu_gradient(lu, part(g[0], "GT"), part(g[0], "LE"))
    elif size == columns:
        (upper, below), (by_upper, by_below) = (_split(z, -2, size) for z in (lu, g[0]))
        # below = A U^-1 for the rows A beyond the square ones.
        by_rest = _by_upper(upper, by_below)
        taken = part(matmul(transposed(below), by_rest), "LE")
        by_u = subtract(part(by_upper, "LE"), taken)
        square = _square_lu_gradient(upper, part(by_upper, "GT"), by_u)
        found = _joined(square, by_rest, -2)
    else:
        (first, beyond), (by_first, by_beyond) = (
            _split(z, -1, size) for z in (lu, g[0])
        )
        # beyond = L^-1 A for the columns A beyond the square ones.
        by_rest = _by_lower(first, by_beyond)
        taken = part(matmul(by_rest, transposed(beyond)), "GT")
        by_l = subtract(part(by_first, "GT"), taken)
        square = _square_lu_gradient(first, by_l, part(by_first, "LE"))
        found = _joined(square, by_rest, -1)
    return (matmul(transposed(_permutation_matrix(permutation, x)), found),)


def _by_lower(lu: Any, x: Any) -> Any:
    return triangular_solve(lu, x, transpose_a=True, unit_diagonal=True)


def _by_upper(lu: Any, x: Any) -> Any:
    return triangular_solve(lu, x, left_side=False, lower=False, transpose_a=True)


def _square_lu_gradient(lu: Any, by_l: Any, by_u: Any) -> Any:
    lower = add(part(lu, "GT"), identity(lu))
    inner = add(
        part(matmul(transposed(lower), by_l), "GT"),
        part(matmul(by_u, transposed(part(lu, "LE"))), "LE"),
    )
    return _by_upper(lu, _by_lower(lu, inner))


def _permutation_matrix(permutation: Any, x: Any) -> Any:
    """The matrices that put the rows of a product with them in this order."""
    *batch, rows = permutation.type.shape
    shape = [*batch, rows, rows]
    wanted = expand(permutation, shape, list(range(len(shape) - 1)))
    places = iota(shape=shape, axis=len(shape) - 1, dtype=I32)
    return convert(compare(wanted, places, direction="EQ"), dtype=x.type.dtype)


@primitive(
    Kind.OPAQUE,
    _lu_reference,
    vjp=_lu_vjp,
    traits=[Trait.FACTORIZES],
    dtypes=LIBRARY,
    samples=(
        Sample((Arg("f32[3,3]", -1, 1, diagonal=2),)),
        Sample(("f32[4,2]",)),
        Sample(("f32[2,4]",)),
        Sample(("f32[2,3,3]",)),
        Sample((Arg("f32[1,1]", 1, 2),)),
        Sample(("f32[0,3,3]",)),
        Sample(("f32[3,0]",)),
        Sample(("f32[B,3,3]",)),
    ),
    errors=_MATRIX_ERRORS,
    ulp=8,
    numerics="a singular matrix gives a zero on the diagonal of U",
    no_kernel=NO_KERNEL,
)
def lu(x: TensorType) -> tuple[TensorType, TensorType, TensorType]:
    """L and U in one matrix, pivots and a permutation: L U is x with rows permuted.

    L is below the diagonal, without its ones, U above and on it. Row i was exchanged
    with row `pivots[i]`, one after the other; row i of L U is row `permutation[i]` of x.
    """
    require_matrix("lu", x)
    *batch, rows, _ = x.shape
    pivots = TensorType((*batch, smaller("lu", x)), I32)
    return x, pivots, TensorType((*batch, rows), I32)


# -- eigenvalues and singular values ---------------------------------------------------


def _inverse_gaps(values: Any, like: Any) -> Any:
    """1 / (values[j] - values[i]) at row i and column j, 0 on the diagonal."""
    shape, rank = like.type.shape, like.type.rank
    batch = list(range(rank - 2))
    by_row = expand(values, shape, [*batch, rank - 2])
    by_column = expand(values, shape, [*batch, rank - 1])
    gaps = add(subtract(by_column, by_row), identity(like))
    return part(divide(1.0, gaps), "NE")


def _signs(vectors: Any, axis: int) -> Any:
    """-1 for the vectors along `axis` whose largest element is negative, else 1."""
    least = np.min(vectors, axis, keepdims=True, initial=np.inf)
    total = np.max(vectors, axis, keepdims=True, initial=-np.inf) + least
    return np.where(total < 0, -1, 1).astype(vectors.dtype)


def _eigh_reference(x: Any) -> Any:
    values, vectors = _each_matrix(np.linalg.eigh, x)
    return values, vectors * _signs(vectors, -2)


def _eigh_vjp(g: Any, y: Any, x: Any) -> Any:
    """The gradient of M. Giles (2008), section 3.1.

    "An extended collection of matrix derivative results for forward and reverse mode
    algorithmic differentiation": V (diag(w') + F * V^T V') V^T for the cotangents.
    """
    values, vectors = y
    turned = matmul(transposed(vectors), g[1])
    inner = multiply(_inverse_gaps(values, vectors), turned)
    inner = add(inner, diagonal_of(g[0], vectors))
    return (to_lower(matmul(matmul(vectors, inner), transposed(vectors))),)


@primitive(
    Kind.OPAQUE,
    _eigh_reference,
    vjp=_eigh_vjp,
    traits=[Trait.FACTORIZES],
    dtypes=LIBRARY,
    samples=(
        Sample((Arg("f32[3,3]", -1, 1, diagonal=1),)),
        Sample(("f32[2,4,4]",)),
        Sample(("f32[1,1]",)),
        Sample(("f32[0,0]",)),
        Sample(("f32[B,2,2]",)),
    ),
    errors=(*_MATRIX_ERRORS, IllTyped(("f32[2,3,2]",), "must be square")),
    ulp=16,
    numerics="of each vector the element of the largest magnitude is positive; nan where"
    " it does not converge, infinite gradients where eigenvalues are equal",
    no_kernel=NO_KERNEL,
)
def eigh(x: TensorType) -> tuple[TensorType, TensorType]:
    """The ascending eigenvalues of symmetric matrices, and vectors as columns.

    Only the lower triangle is read.
    """
    require_square("eigh", x)
    return x.with_shape(x.shape[:-1]), x


def _svd_reference(x: Any, full_matrices: bool) -> Any:
    u, s, vt = _each_matrix(lambda x: np.linalg.svd(x, full_matrices), x)
    size = s.shape[-1]
    signs_u = _signs(u, -2)
    shared = np.swapaxes(signs_u[..., :size], -1, -2)
    signs_v = np.concatenate([shared, _signs(vt[..., size:, :], -1)], axis=-2)
    return u * signs_u, s, vt * signs_v


def _svd_vjp(g: Any, y: Any, x: Any, full_matrices: bool) -> Any:
    """The gradient of J. Townsend (2016).

    "Differentiating the singular value decomposition"; its F holds the inverse gaps
    between the squares of the singular values.
    """
    _require_reduced("svd", x, full_matrices)
    u, s, vt = y
    by_u, by_s, by_v = g[0], g[1], transposed(g[2])
    turned_u = matmul(transposed(u), by_u)
    turned_v = matmul(vt, by_v)
    gaps = _inverse_gaps(multiply(s, s), turned_u)
    sizes = diagonal_of(s, turned_u)
    skew_u, skew_v = (
        multiply(gaps, subtract(z, transposed(z))) for z in (turned_u, turned_v)
    )
    inner = add(matmul(skew_u, sizes), matmul(sizes, skew_v))
    inner = add(inner, diagonal_of(by_s, turned_u))
    found = matmul(u, matmul(inner, vt))
    rows, columns = x.type.shape[-2:]
    inverse = diagonal_of(divide(1.0, s), turned_u)
    if rows != s.type.shape[-1]:  # what of the cotangent u does not span
        outside = subtract(by_u, matmul(u, turned_u))
        found = add(found, matmul(matmul(outside, inverse), vt))
    if columns != s.type.shape[-1]:
        outside = subtract(by_v, matmul(transposed(vt), turned_v))
        found = add(found, matmul(matmul(u, inverse), transposed(outside)))
    return (found,)


@primitive(
    Kind.OPAQUE,
    _svd_reference,
    vjp=_svd_vjp,
    traits=[Trait.FACTORIZES],
    dtypes=LIBRARY,
    samples=(
        Sample((Arg("f32[4,3]", -1, 1, diagonal=1),)),
        Sample((Arg("f32[2,3]", -1, 1, diagonal=1),)),
        Sample((Arg("f32[2,3,3]", -1, 1, diagonal=1),)),
        Sample(("f32[4,2]",), {"full_matrices": True}, smooth=False),
        Sample((Arg("f32[1,1]", 1, 2),)),
        Sample(("f32[0,3,2]",)),
        Sample(("f32[3,0]",), {"full_matrices": True}, smooth=False),
        Sample((Arg("f32[B,3,2]", -1, 1, diagonal=1),)),
    ),
    errors=(
        *_MATRIX_ERRORS,
        IllTyped(("f32[B,3]",), "whether rows or columns are fewer"),
    ),
    ulp=16,
    numerics="of each column of U the element of the largest magnitude is positive; nan"
    " where it does not converge, infinite gradients where singular values are equal",
    no_kernel=NO_KERNEL,
)
def svd(
    x: TensorType, *, full_matrices: bool = False
) -> tuple[TensorType, TensorType, TensorType]:
    """U, the descending singular values S and V^T, x = U S V^T.

    U and V have as many columns as there are singular values, or are square if
    `full_matrices`.
    """
    require_matrix("svd", x)
    *batch, rows, columns = x.shape
    size = smaller("svd", x)
    left, right = (rows, columns) if full_matrices else (size, size)
    shapes = ([*batch, rows, left], [*batch, size], [*batch, right, columns])
    u, s, vt = (x.with_shape(shape) for shape in shapes)
    return u, s, vt
