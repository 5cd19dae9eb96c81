"""Functions of matrices, with Keras's names."""

from graphc.frontend.nearest_names import suggest_nearest
from graphc.frontend.ops.decompositions import (
    cholesky,
    cholesky_inverse,
    det,
    eigh,
    inv,
    lstsq,
    lu_factor,
    matrix_rank,
    pinv,
    qr,
    solve,
    solve_triangular,
    svd,
)
from graphc.frontend.ops.directional import jvp
from graphc.frontend.ops.reduction import norm

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "det",
    "eigh",
    "inv",
    "jvp",
    "lstsq",
    "lu_factor",
    "matrix_rank",
    "norm",
    "pinv",
    "qr",
    "solve",
    "solve_triangular",
    "svd",
]

suggest_nearest(__name__)
