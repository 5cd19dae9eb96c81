"""What the linear algebra ops share: type rules, products and triangles of matrices."""

from __future__ import annotations

from typing import Any

from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.ops.contraction import dot_general
from graphc.ir.ops.elementwise import add, compare, convert, select
from graphc.ir.ops.shape import expand, iota, transpose
from graphc.ir.typerules import require
from graphc.ir.types import F32, F64, I32, TensorType

LIBRARY = frozenset({F32, F64})
"""The dtypes that libraries of linear algebra compute in."""

NO_KERNEL = "factorizations and solves are left to a library"
"""Why backends that generate kernels decline these ops."""


def require_matrix(name: str, x: TensorType) -> None:
    """Raises a `GraphError` unless `x` has the two dimensions of a matrix."""
    require(x.rank >= 2, f"{name}: the last two dimensions must be a matrix", x)


def require_square(name: str, x: TensorType) -> None:
    """Raises a `GraphError` unless `x` holds square matrices."""
    require_matrix(name, x)
    require(x.shape[-1] == x.shape[-2], f"{name}: the matrices must be square", x)


def smaller(name: str, x: TensorType) -> Dim:
    """The smaller size of the matrices.

    Raises:
        GraphError: If symbols leave it open.
    """
    rows, columns = x.shape[-2:]
    if rows == columns:
        return rows
    if isinstance(rows, int) and isinstance(columns, int):
        return min(rows, columns)
    raise GraphError(
        f"{name}: it must be known whether rows or columns are fewer", received=str(x)
    )


def transposed(x: Any) -> Any:
    """The matrices with rows and columns exchanged."""
    rank = x.type.rank
    order = [*range(rank - 2), rank - 1, rank - 2]
    return transpose(x, permutation=order)


def matmul(a: Any, b: Any) -> Any:
    """The products of the matrices in two operands of equal batch dimensions."""
    rank = a.type.rank
    rows = list(range(rank - 2))
    return dot_general(a, b, contract=[[rank - 1], [rank - 2]], batch=[rows, rows])


def _places(x: Any) -> tuple[Any, Any]:
    """The row and the column of each element."""
    shape, rank = x.type.shape, x.type.rank
    rows = iota(shape=shape, axis=rank - 2, dtype=I32)
    return rows, iota(shape=shape, axis=rank - 1, dtype=I32)


def part(x: Any, direction: str) -> Any:
    """The elements whose row compares so with their column, zeros elsewhere.

    ``"GE"`` keeps the lower triangle, ``"LT"`` what is above the diagonal.
    """
    rows, columns = _places(x)
    return select(compare(rows, columns, direction=direction), x, 0.0)


def diagonal_of(vector: Any, like: Any) -> Any:
    """Square matrices with the elements of `vector` on their diagonal."""
    shape, rank = like.type.shape, like.type.rank
    return part(expand(vector, shape, [*range(rank - 2), rank - 1]), "EQ")


def to_lower(x: Any) -> Any:
    """The gradient of what reads the lower triangle only of symmetric matrices.

    `x` is the gradient with respect to all elements.
    """
    return add(part(add(x, transposed(x)), "GT"), part(x, "EQ"))


def identity(like: Any) -> Any:
    """Identity matrices of the type of the square matrices `like`."""
    rows, columns = _places(like)
    return convert(compare(rows, columns, direction="EQ"), dtype=like.type.dtype)
