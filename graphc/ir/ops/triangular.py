"""Linear algebra with triangular matrices: solving and the Cholesky factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.opdef import Arg, IllTyped, Kind, Sample, Trait
from graphc.ir.ops.elementwise import add, multiply, negate
from graphc.ir.ops.matrices import (
    LIBRARY,
    NO_KERNEL,
    matmul,
    part,
    require_matrix,
    require_square,
    to_lower,
    transposed,
)
from graphc.ir.register import primitive
from graphc.ir.typerules import require
from graphc.ir.types import TensorType

# -- solving ---------------------------------------------------------------------------


def _solve_reference(
    a: Any, b: Any, left_side: bool, lower: bool, transpose_a: bool, unit_diagonal: bool
) -> Any:
    if transpose_a == left_side:  # x a = b means a^T x^T = b^T
        a, lower = np.swapaxes(a, -1, -2), not lower
    x = np.array(b if left_side else np.swapaxes(b, -1, -2))
    size = a.shape[-1]
    for row in range(size) if lower else reversed(range(size)):
        known = slice(0, row) if lower else slice(row + 1, size)
        x[..., row, :] -= (a[..., row : row + 1, known] @ x[..., known, :])[..., 0, :]
        if not unit_diagonal:
            x[..., row, :] /= a[..., row, row, None]
    return x if left_side else np.swapaxes(x, -1, -2)


def _solve_vjp(
    g: Any,
    y: Any,
    a: Any,
    b: Any,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    unit_diagonal: bool,
) -> Any:
    """The gradient of a linear solve, M. Giles (2008), for either side.

    With A the matrix as it is used: the one of b is A^-T g for A x = b and g A^-T for
    x A = b; the one of A is minus its outer product with x.
    """
    by_b = triangular_solve(
        a,
        g,
        left_side=left_side,
        lower=lower,
        transpose_a=not transpose_a,
        unit_diagonal=unit_diagonal,
    )
    # For A x = b the outer product is by_b x^T, for x A = b it is x^T by_b.
    pair = (by_b, transposed(y)) if left_side else (transposed(y), by_b)
    by_a = matmul(*pair)
    by_a = transposed(by_a) if transpose_a else by_a
    direction = ("GT" if lower else "LT") if unit_diagonal else "GE" if lower else "LE"
    return negate(part(by_a, direction)), by_b


_TRIANGLE = Arg("f32[3,3]", -1, 1, diagonal=3)


@primitive(
    Kind.OPAQUE,
    _solve_reference,
    vjp=_solve_vjp,
    dtypes=LIBRARY,
    samples=(
        Sample((_TRIANGLE, "f32[3,2]")),
        Sample((_TRIANGLE, "f32[3,2]"), {"lower": False}),
        Sample((_TRIANGLE, "f32[3,2]"), {"transpose_a": True}),
        Sample((_TRIANGLE, "f32[2,3]"), {"left_side": False}),
        Sample(
            (_TRIANGLE, "f32[2,3]"),
            {"left_side": False, "transpose_a": True, "lower": False},
        ),
        Sample(("f32[2,3,3]", "f32[2,3,1]"), {"unit_diagonal": True}),
        Sample((Arg("f32[1,1]", 1, 2), "f32[1,5]")),
        Sample(("f32[0,0]", "f32[0,2]")),
        Sample((Arg("f32[B,2,2]", -1, 1, diagonal=3), "f32[B,2,3]")),
    ),
    errors=(
        IllTyped(("f32[3]", "f32[3]"), "must be a matrix"),
        IllTyped(("f32[3,2]", "f32[3,2]"), "must be square"),
        IllTyped(("f32[3,3]", "f32[2,3]"), "must have 3 rows"),
        IllTyped(("f32[3,3]", "f32[3,2]"), "must have 3 columns", {"left_side": False}),
        IllTyped(("f32[2,3,3]", "f32[3,3]"), "must have the same batch dimensions"),
        IllTyped(("f32[3,3]", "f64[3,3]"), "must have the same dtype"),
        IllTyped(("f16[3,3]", "f16[3,3]"), "must be one of f32, f64"),
    ),
    ulp=8,
    numerics="the other triangle is not read; a zero on the diagonal gives inf or nan",
    no_kernel=NO_KERNEL,
)
def triangular_solve(
    a: TensorType,
    b: TensorType,
    *,
    left_side: bool = True,
    lower: bool = True,
    transpose_a: bool = False,
    unit_diagonal: bool = False,
) -> TensorType:
    """The matrices x with A x = b, or x A = b unless `left_side`.

    A is the lower or upper triangle of `a`, transposed if so wanted, with ones instead
    of its diagonal if `unit_diagonal`.
    """
    name = "triangular_solve"
    require_square(name, a)
    require_matrix(name, b)
    require(a.dtype is b.dtype, f"{name}: operands must have the same dtype", a, b)
    require(
        a.shape[:-2] == b.shape[:-2],
        f"{name}: operands must have the same batch dimensions",
        a,
        b,
    )
    axis, what = (-2, "rows") if left_side else (-1, "columns")
    size = a.shape[-1]
    require(b.shape[axis] == size, f"{name}: b must have {size} {what}", a, b)
    return b


# -- Cholesky factors ------------------------------------------------------------------


def _cholesky_reference(a: Any, lower: bool) -> Any:
    source = a if lower else np.swapaxes(a, -1, -2)
    factor = np.zeros_like(source)
    for column in range(source.shape[-1]):
        done = factor[..., column:, :column] @ factor[..., column, :column, None]
        left = source[..., column:, column] - done[..., 0]
        root = np.sqrt(left[..., :1])
        factor[..., column:, column] = left / root
        factor[..., column, column] = root[..., 0]
    failed = np.isnan(factor).any((-1, -2), keepdims=True)
    factor = np.where(failed, np.array(np.nan, a.dtype), factor)
    return factor if lower else np.swapaxes(factor, -1, -2)


def _cholesky_vjp(g: Any, y: Any, a: Any, lower: bool) -> Any:
    """The gradient of I. Murray (2016), "Differentiation of the Cholesky decomposition".

    It is L^-T phi(L^T g) L^-1, where phi takes the lower triangle and half of the
    diagonal.
    """
    factor, g = (y, g) if lower else (transposed(y), transposed(g))
    product = matmul(transposed(factor), part(g, "GE"))
    half = multiply(part(product, "EQ"), 0.5)
    inner = add(part(product, "GT"), half)
    inner = triangular_solve(factor, inner, transpose_a=True)
    found = triangular_solve(factor, inner, left_side=False)
    found = to_lower(found)
    return (found if lower else transposed(found),)


@primitive(
    Kind.OPAQUE,
    _cholesky_reference,
    vjp=_cholesky_vjp,
    traits=[Trait.FACTORIZES],
    dtypes=LIBRARY,
    samples=(
        Sample((Arg("f32[3,3]", -1, 1, diagonal=8),)),
        Sample((Arg("f32[2,4,4]", -1, 1, diagonal=8),), {"lower": False}),
        Sample((Arg("f32[1,1]", -1, 1, diagonal=8),)),
        Sample(("f32[0,0]",)),
        Sample((Arg("f32[0,2,2]", -1, 1, diagonal=8),)),
        Sample((Arg("f32[B,2,2]", -1, 1, diagonal=8),)),
    ),
    errors=(
        IllTyped(("f32[3]",), "must be a matrix"),
        IllTyped(("f32[3,2]",), "must be square"),
        IllTyped(("bf16[3,3]",), "must be one of f32, f64"),
    ),
    ulp=8,
    numerics="the other triangle is not read; a matrix that is not positive definite"
    " gives nan",
    no_kernel=NO_KERNEL,
)
def cholesky(a: TensorType, *, lower: bool = True) -> TensorType:
    """The lower triangular L with L L^T = a, or the upper U with U^T U = a.

    Of the symmetric matrices `a` only that triangle is read.
    """
    require_square("cholesky", a)
    return a
