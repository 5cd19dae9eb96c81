"""What torch's linear algebra is in graphc."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import ops
from tests.suites.torch_names import (
    Function,
    all_axes,
    diagonal,
    rank,
    refuse,
    vector_norm,
)
from tests.suites.torch_rarer_names import broadcast_tensors


def with_info(function: Function) -> Function:
    """A function that also says that nothing failed."""

    def call(x: Any, *arguments: Any, **keywords: Any) -> Any:
        refuse(keywords.pop("check_errors", False), "options")
        found = function(x, *arguments, **keywords)
        return found, ops.zeros(tuple(x.shape[:-2]), dtype="int32")

    return call


def square(name: str) -> Function:
    def call(x: Any, *rest: Any, **keywords: Any) -> Any:
        refuse(0 in x.shape, "an empty matrix")
        return getattr(ops, name)(x, *rest, **keywords)

    return call


def solve_triangular(
    a: Any, b: Any, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    refuse(0 in a.shape or 0 in b.shape or a.shape[:-2] != b.shape[:-2], "layout")
    if not left:
        turned = (ops.swapaxes(v, -1, -2) for v in (a, b))
        found = solve_triangular(*turned, not upper, True, unitriangular)
        return ops.swapaxes(found, -1, -2)
    if unitriangular:
        a = ops.where(np.eye(a.shape[-1], dtype=bool), ops.ones_like(a), a)
    return ops.solve_triangular(a, b, lower=not upper)


def triangular_solve(
    b: Any,
    a: Any,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> Any:
    turned = ops.swapaxes(a, -1, -2) if transpose else a
    return solve_triangular(turned, b, upper != transpose, True, unitriangular), a


def lu_factor(x: Any, pivot: bool = True) -> Any:
    refuse(not pivot or 0 in x.shape, "no pivots")
    factors, pivots = ops.lu_factor(x)
    return factors, pivots + 1


def matrix_norm(
    x: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, **_: Any
) -> Any:
    refuse(0 in x.shape, "norm of nothing")
    return ops.norm(x, ord=ord, axis=tuple(dim), keepdims=keepdim)


def linalg_norm(
    x: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, **_: Any
) -> Any:
    axes = all_axes(x, dim)
    if ord is None:
        return vector_norm(x, 2, dim, keepdim)
    if len(axes) == 2:
        return matrix_norm(x, ord, axes, keepdim)
    refuse(isinstance(ord, str), "the norm of a vector by a matrix's name")
    return vector_norm(x, ord, dim, keepdim)


def norm(
    x: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, **_: Any
) -> Any:
    if p == "nuc":
        return matrix_norm(x, p, (-2, -1) if dim is None else dim, keepdim)
    return vector_norm(x, 2 if p in ("fro", None) else p, dim, keepdim)


def pinv(x: Any, other: Any = None, *, rtol: Any = None, **_: Any) -> Any:
    x = x if other is None else ops.matmul(x, ops.swapaxes(other, -1, -2))
    refuse(rtol is not None or 0 in x.shape, "options")
    return ops.pinv(x)


def multi_dot(tensors: Sequence[Any]) -> Any:
    found = tensors[0]
    for x in tensors[1:]:
        found = ops.matmul(found, x)
    return found


def vander(x: Any, N: int | None = None) -> Any:
    refuse(rank(x) != 1, "several rows")
    return ops.vander(x, N, increasing=True)


def singular_values(x: Any) -> Any:
    refuse(0 in x.shape, "an empty matrix")
    return ops.svd(x, compute_uv=False)


def condition(x: Any, p: Any = None) -> Any:
    refuse(p is not None, "other norms")
    found = singular_values(x)
    return found[..., 0] / found[..., -1]


def cross(x: Any, y: Any, dim: int | None = None) -> Any:
    if dim is None:
        dim = list(x.shape).index(3)
    return ops.cross(*broadcast_tensors(x, y), axis=dim)


def tensorinv(x: Any, ind: int = 2) -> Any:
    behind = math.prod(x.shape[ind:])
    found = ops.inv(ops.reshape(x, (behind, behind)))
    return ops.reshape(found, (*x.shape[ind:], *x.shape[:ind]))


def tensorsolve(a: Any, b: Any, dims: Any = None) -> Any:
    if dims is not None:
        a = ops.moveaxis(a, tuple(dims), tuple(range(-len(dims), 0)))
    size = math.prod(b.shape)
    matrix = ops.reshape(a, (size, size))
    return ops.reshape(
        ops.solve(matrix, ops.reshape(b, (size,))), tuple(a.shape[rank(b) :])
    )


def cov(x: Any, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    refuse(fweights is not None or aweights is not None, "weights")
    refuse(x.shape[-1] <= correction, "no degrees of freedom")
    rest = x - ops.mean(x, axis=-1, keepdims=True)
    found = ops.inner(rest, rest) / (x.shape[-1] - correction)
    return ops.squeeze(found) if found.shape == (1, 1) else found


LINALG_NAMES: dict[str, Function] = {
    "cholesky": square("cholesky"),
    "cov": cov,
    "cross": cross,
    "linalg.cholesky_ex": with_info(square("cholesky")),
    "linalg.cond": condition,
    "linalg.cross": lambda x, y, dim=-1: cross(x, y, dim),
    "linalg.diagonal": lambda x, offset=0, dim1=-2, dim2=-1: diagonal(
        x, offset, dim1, dim2
    ),
    "linalg.inv_ex": with_info(square("inv")),
    "linalg.lu_factor": lu_factor,
    "linalg.matrix_norm": matrix_norm,
    "linalg.multi_dot": multi_dot,
    "linalg.norm": linalg_norm,
    "linalg.pinv": pinv,
    "linalg.qr": square("qr"),
    "linalg.solve_triangular": solve_triangular,
    "linalg.svdvals": singular_values,
    "linalg.tensorinv": tensorinv,
    "linalg.tensorsolve": tensorsolve,
    "linalg.vander": vander,
    "linalg.vecdot": lambda x, y, dim=-1: ops.sum(x * y, axis=dim),
    "logdet": square("logdet"),
    "norm": norm,
    "pinverse": pinv,
    "qr": square("qr"),
    "triangular_solve": triangular_solve,
}
"""The function for each name of torch's linear algebra that `NAMES` lacks."""
