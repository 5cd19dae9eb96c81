"""Sums of products over dimensions that two operands share: dots."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from graphc.ir.dims import Dim
from graphc.ir.opdef import NUMBER, DType, IllTyped, IntLists, Kind, Sample, Trait
from graphc.ir.ops.elementwise import convert
from graphc.ir.ops.shape import reshape, transpose
from graphc.ir.register import primitive
from graphc.ir.typerules import checked_axes, require, shaped
from graphc.ir.types import TensorType, product


def _free(rank: int, *taken: Sequence[int]) -> list[int]:
    return [d for d in range(rank) if not any(d in t for t in taken)]


def _dot_reference(a: Any, b: Any, contract: Any, batch: Any, dtype: Any) -> Any:
    if dtype is not None and dtype.numpy.itemsize > a.dtype.itemsize:
        a, b = a.astype(dtype.numpy), b.astype(dtype.numpy)
    free_a = _free(a.ndim, contract[0], batch[0])
    free_b = _free(b.ndim, contract[1], batch[1])
    a = np.transpose(a, [*batch[0], *free_a, *contract[0]])
    b = np.transpose(b, [*batch[1], *contract[1], *free_b])
    outer, inner = len(batch[0]), len(contract[0])
    batches, rows = a.shape[:outer], a.shape[outer : a.ndim - inner]
    terms, columns = a.shape[a.ndim - inner :], b.shape[outer + inner :]
    result = np.matmul(
        a.reshape((*batches, product(rows), product(terms))),
        b.reshape((*batches, product(terms), product(columns))),
    )
    return result.reshape((*batches, *rows, *columns))


def _dot_vjp(
    g: Any, y: Any, a: Any, b: Any, contract: Any, batch: Any, dtype: Any
) -> Any:
    # Dimensions that correspond have one label: those of a are numbered, those of b
    # that a does not share are numbered on from there.
    rank = a.type.rank
    labels_a = list(range(rank))
    labels_b = [rank + d for d in range(b.type.rank)]
    for mine, other in (*zip(*contract, strict=True), *zip(*batch, strict=True)):
        labels_b[other] = mine
    labels_y = [
        *batch[0],
        *_free(rank, contract[0], batch[0]),
        *(rank + d for d in _free(b.type.rank, contract[1], batch[1])),
    ]
    narrow = a.type.dtype
    if g.type.dtype is not narrow:
        g = convert(g, dtype=narrow)
    by_a = labelled_dot(g, labels_y, b, labels_b, labels_a, dtype)
    by_b = labelled_dot(a, labels_a, g, labels_y, labels_b, dtype)
    if by_a.type.dtype is not narrow:
        by_a, by_b = convert(by_a, dtype=narrow), convert(by_b, dtype=narrow)
    return by_a, by_b


def labelled_dot(
    a: Any,
    a_labels: Sequence[Hashable],
    b: Any,
    b_labels: Sequence[Hashable],
    result_labels: Sequence[Hashable],
    dtype: DType | None = None,
) -> Any:
    """The sum of products over the labels that the result lacks, as in einsum.

    Labels that both operands and the result have are batch dimensions; each operand's
    labels are distinct and those of the result occur in an operand, those that the
    result lacks in both.

    Without batch dimensions the product is one of two matrices where this needs no
    transpose, which is the form that backends have fast kernels for.
    """
    shared = [label for label in a_labels if label in b_labels]
    terms = [label for label in shared if label not in result_labels]
    batch = [label for label in result_labels if label in shared]
    sides = [(a, list(a_labels)), (b, list(b_labels))]
    free = [[label for label in own if label not in shared] for _, own in sides]
    place = list(result_labels).index
    if free[0] and free[1] and place(free[1][0]) < place(free[0][0]):
        sides.reverse()
        free.reverse()
    sizes: list[Dim] = [
        side.type.shape[own.index(label)]
        for (side, own), labels in zip(sides, free, strict=True)
        for label in labels
    ]
    if not batch and all(_is_matrix(own, terms) for _, own in sides):
        (left, left_axis), (right, right_axis) = (
            _matrix(side, own, terms) for side, own in sides
        )
        found = dot_general(
            left, right, contract=[[left_axis], [right_axis]], dtype=dtype
        )
        if found.type.shape != tuple(sizes):
            found = reshape(found, shape=sizes)
    else:
        (left, left_own), (right, right_own) = sides
        found = dot_general(
            left,
            right,
            contract=_positions(terms, left_own, right_own),
            batch=_positions(batch, left_own, right_own),
            dtype=dtype,
        )
    order = [*batch, *free[0], *free[1]]
    if order == list(result_labels):
        return found
    return transpose(found, permutation=[order.index(label) for label in result_labels])


def _positions(
    labels: Sequence[Hashable], *sides: Sequence[Hashable]
) -> list[list[int]]:
    return [[own.index(label) for label in labels] for own in sides]


def _is_matrix(own: Sequence[Hashable], terms: Sequence[Hashable]) -> bool:
    """Whether all `terms` come first or last in `own`, before or behind other labels."""
    count = len(terms)
    if not 0 < count < len(own):
        return False
    return list(terms) in (list(own[:count]), list(own[-count:]))


def _matrix(
    x: Any, own: Sequence[Hashable], terms: Sequence[Hashable]
) -> tuple[Any, int]:
    """`x` with its `terms` as one dimension, its others as another; the former's axis."""
    leads = list(own[: len(terms)]) == list(terms)
    cut = len(terms) if leads else len(own) - len(terms)
    if len(own) > 2:
        sizes = x.type.shape
        x = reshape(x, shape=[product(sizes[:cut]), product(sizes[cut:])])
    return x, 0 if leads else 1


def _dot_flops(
    operands: Sequence[TensorType],
    results: Sequence[TensorType],
    contract: IntLists,
    batch: IntLists,
    dtype: DType | None,
) -> Dim:
    terms = product(operands[0].shape[d] for d in contract[0])
    return 2 * results[0].size * terms


_MATMUL = {"contract": [[1], [0]]}


@primitive(
    Kind.CONTRACTION,
    _dot_reference,
    vjp=_dot_vjp,
    dtypes=NUMBER,
    traits=[Trait.ACCUMULATES],
    samples=(
        Sample(("f32[3,4]", "f32[4,2]"), _MATMUL),
        Sample(("f32[3,4]", "f32[2,4]"), {"contract": [[1], [1]]}),
        Sample(("f32[4]", "f32[4]"), {"contract": [[0], [0]]}),
        Sample(("f32[2]", "f32[3]"), {"contract": [[], []]}),
        Sample(("f32[2,3,4]", "f32[4,5]"), {"contract": [[2], [0]]}),
        Sample(
            ("f32[2,3,4]", "f32[2,5,4]"), {"contract": [[2], [2]], "batch": [[0], [0]]}
        ),
        Sample(
            ("f32[2,3,4,2]", "f32[4,3,2,3]"),
            {"contract": [[1, 2], [1, 0]], "batch": [[0], [2]]},
        ),
        Sample(("f32[2,3,2,3]", "f32[3,2,4,2]"), {"contract": [[1, 0], [0, 3]]}),
        Sample(("f32[0,4]", "f32[4,2]"), _MATMUL),
        Sample(("f32[2,0]", "f32[0,2]"), _MATMUL),
        Sample(("i32[2,3]", "i32[3,2]"), _MATMUL),
        Sample(("f32[B,T,4]", "f32[4,2]"), {"contract": [[2], [0]]}),
        Sample(
            ("f32[B,T,2]", "f32[B,3,2]"), {"contract": [[2], [2]], "batch": [[0], [0]]}
        ),
        Sample(("bf16[3,4]", "bf16[4,2]"), {**_MATMUL, "dtype": "f32"}),
    ),
    errors=(
        IllTyped(("f32[3,4]", "f32[3,2]"), "must have equal sizes", _MATMUL),
        IllTyped(("f32[3,4]", "f64[4,2]"), "must have the same dtype", _MATMUL),
        IllTyped(("f32[3]", "f32[4,2]"), "within 0..0", _MATMUL),
        IllTyped(("f32[3,4]", "f32[4,2]"), "must be pairs of", {"contract": [[1]]}),
        IllTyped(
            ("f32[3,4]", "f32[4,2]"), "must be pairs of", {"contract": [[1], [0, 1]]}
        ),
        IllTyped(
            ("f32[3,4]", "f32[4,2]"),
            "must be distinct",
            {"contract": [[1], [0]], "batch": [[1], [0]]},
        ),
        IllTyped(("bool[3,4]", "bool[4,2]"), "must be a number", _MATMUL),
        IllTyped(("f32[3,4]", "f32[4,2]"), "result dtype", {**_MATMUL, "dtype": "i32"}),
    ),
    ulp=1,
    numerics="accumulates in the result dtype, and at least in float32",
    flops=_dot_flops,
)
def dot_general(
    a: TensorType,
    b: TensorType,
    *,
    contract: IntLists,
    batch: IntLists = ((), ()),
    dtype: DType | None = None,
) -> TensorType:
    """Sums of products over the paired dimensions `contract`, for each of `batch`.

    Both attributes hold a list of dimensions of a and one of b. The result has the
    batch dimensions, then those of a that are left, then those of b.
    """
    require(a.dtype is b.dtype, "dot_general: operands must have the same dtype", a, b)
    for pairs in (contract, batch):
        require(
            len(pairs) == 2 and len(pairs[0]) == len(pairs[1]),
            "dot_general: contract and batch must be pairs of lists of equal length",
            a,
            b,
        )
    checked_axes("dot_general", [*contract[0], *batch[0]], a.rank)
    checked_axes("dot_general", [*contract[1], *batch[1]], b.rank)
    for mine, other in (*zip(*contract, strict=True), *zip(*batch, strict=True)):
        require(
            a.shape[mine] == b.shape[other],
            "dot_general: paired dimensions must have equal sizes",
            a,
            b,
        )
    result = a if dtype is None else a.with_dtype(dtype)
    require(
        result.dtype in NUMBER and result.dtype.is_float == a.dtype.is_float,
        f"dot_general: {result.dtype} is no result dtype for {a.dtype}",
        a,
        b,
    )
    return shaped(
        result,
        [
            *(a.shape[d] for d in batch[0]),
            *(a.shape[d] for d in _free(a.rank, contract[0], batch[0])),
            *(b.shape[d] for d in _free(b.rank, contract[1], batch[1])),
        ],
    )
