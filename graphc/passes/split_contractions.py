"""Sums of many products for few elements, rewritten so that a GPU is busy with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import (
    broadcast_in_dim,
    convert,
    convolution,
    dot_general,
    multiply,
    optimization_barrier,
    reduce_sum,
    reshape,
    transpose,
)
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.types import F32, DType
from graphc.ir.values import Operand
from graphc.passes.fusion.parallelism import PROCESSORS
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.kernel_gradients import sums_by_place
from graphc.passes.rewrite import Proposal, Rewriter

TILE = 128
"""The side of the part of a product of matrices that one processor computes."""


@register
@final
@dataclass(frozen=True)
class SplitContractions(GraphPass):
    """Splits long sums of products into sums that are computed at the same time.

    A product of matrices with few tiles of results, as the gradient of weights mostly
    is, becomes a batch of products over parts of the sum, and a sum of these. A product
    with a vector becomes a reduction: it reads each element once, so that there is
    nothing to gain by tiles. So does the gradient of a depthwise kernel, for each place
    of its window.

    Attributes:
        processors: How many tiles are computed at the same time.
        least_terms: How many products each part of a sum must have.
    """

    name: ClassVar[str] = "split_contractions"

    processors: int = PROCESSORS
    least_terms: int = 256

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            if node.op in (dot_general, convolution) and _is_static(node):
                rewriter.rewrite(node, lambda node=node: self._rewritten(node))
        return rewriter.ledger.count > made

    def _rewritten(self, node: Node) -> Proposal | None:
        if node.op is convolution:
            return sums_by_place(node) or self._split_convolution(node)
        return _reduction(node) or self._split_dot(node)

    def _split_dot(self, node: Node) -> Proposal | None:
        a, b = node.operands
        (contract_a, contract_b), (batch_a, batch_b) = _dims(node)
        if not contract_a:
            return None
        sizes = [_shape(a)[d] for d in contract_a]
        longest = sizes.index(max(sizes))
        d_a, d_b = contract_a[longest], contract_b[longest]
        batch = math.prod(_shape(a)[d] for d in batch_a)
        shared = math.prod(sizes) * batch
        m, n = math.prod(_shape(a)) // shared, math.prod(_shape(b)) // shared
        parts = self._parts(m, n, math.prod(sizes), batch, sizes[longest])
        if parts == 1:
            return None
        result = node.results[0].type
        wide = _sum_dtype(result.dtype)
        sums = dot_general(
            _split(a, d_a, parts),
            _split(b, d_b, parts),
            contract=[_behind(d_a, contract_a), _behind(d_b, contract_b)],
            batch=[
                [d_a, *_beside(d_a, batch_a)],
                [d_b, *_beside(d_b, batch_b)],
            ],
            dtype=None if wide is a.type.dtype else wide,
        )
        return "split_sum", [_converted(reduce_sum(sums, axes=[0]), result.dtype)]

    def _split_convolution(self, node: Node) -> Proposal | None:
        """Parts of the input's features become groups, each with kernels of its own.

        Where parts of the batch are groups already, they become parts of the batch.
        """
        x, kernel = node.operands
        attributes = node.op.decode(node.attributes, None)
        of_x, of_kernel, of_result = parse_labels(attributes["labels"])
        if attributes["groups"] > 1:
            return None
        result = node.results[0].type
        features = _shape(kernel)[of_kernel.outer]
        inner = _shape(kernel)[of_kernel.inner]
        terms = math.prod(_shape(kernel)) // features
        groups = attributes["batch_groups"]
        m, n = int(result.size // features), features // groups
        parts = self._parts(m, n, terms, groups, inner)
        if parts == 1:
            return None
        kernels = _moved(kernel, of_kernel.inner, of_kernel.outer, parts)
        if groups > 1:
            x = _moved(x, of_x.inner, of_x.outer, parts)
            attributes = {**attributes, "batch_groups": parts * groups}
        else:
            attributes = {**attributes, "groups": parts}
        sums = convolution(x, kernels, **attributes)
        wide = _sum_dtype(result.dtype)
        if wide is not result.dtype:
            # A kernel stores what it has summed in the dtype that it is converted to; a
            # conversion that nothing holds there moves to where the parts are read.
            sums = optimization_barrier(convert(sums, dtype=wide))
        split = _split(sums, of_result.inner, parts)
        found = reduce_sum(split, axes=[of_result.inner])
        return "split_sum", [_converted(found, result.dtype)]

    def _parts(self, m: int, n: int, k: int, batch: int, divided: int) -> int:
        """Into how many parts to split sums: a power of two that divides `divided`."""
        tiles = -(-m // TILE) * -(-n // TILE) * batch
        # The parts are written and read in float32; that must be less than the operands.
        written, read = 8 * m * n * batch, 2 * (m + n) * k * batch
        parts = 1
        while (
            divided % (2 * parts) == 0
            and 2 * parts * tiles <= 2 * self.processors
            and k // (2 * parts) >= self.least_terms
            and 2 * parts * written <= read
        ):
            parts *= 2
        return parts


def _is_static(node: Node) -> bool:
    types = [value.type for value in (*node.operands, *node.results)]
    return all(isinstance(d, int) and d > 0 for type in types for d in type.shape)


def _shape(operand: Operand) -> tuple[int, ...]:
    return operand.type.static_shape


def _dims(node: Node) -> tuple[list[list[int]], list[list[int]]]:
    attributes = node.op.decode(node.attributes, None)
    contract, batch = attributes["contract"], attributes["batch"]
    return [list(dims) for dims in contract], [list(dims) for dims in batch]


def _sum_dtype(dtype: DType) -> DType:
    """The dtype that parts of a sum are kept in."""
    return F32 if dtype.is_float and dtype.bits < 32 else dtype


def _converted(x: Any, dtype: DType) -> Any:
    return x if x.type.dtype is dtype else convert(x, dtype=dtype)


# -- parts -----------------------------------------------------------------------------


def _split(x: Any, dim: int, parts: int) -> Any:
    """`x` with a dimension of `parts` before `dim`, whose size is divided by it."""
    shape = list(_shape(x))
    return reshape(
        x, shape=[*shape[:dim], parts, shape[dim] // parts, *shape[dim + 1 :]]
    )


def _behind(split: int, dims: Sequence[int]) -> list[int]:
    """`dims` once there is another dimension before `split`."""
    return [d + (d >= split) for d in dims]


def _beside(split: int, dims: Sequence[int]) -> list[int]:
    return [d + (d > split) for d in dims]


def _moved(x: Any, source: int, target: int, parts: int) -> Any:
    """Splits `parts` off the dimension `source` and joins them to `target`, first."""
    shape = list(_shape(x))
    split = _split(x, source, parts)
    others = [d for d in range(len(shape) + 1) if d != source]
    place = others.index(target + (target > source))
    order = [*others[:place], source, *others[place:]]
    shape[source] //= parts
    shape[target] *= parts
    return reshape(transpose(split, permutation=order), shape=shape)


# -- products with a vector ------------------------------------------------------------


def _reduction(node: Node) -> Proposal | None:
    """A product of a matrix and a vector as a sum of elementwise products."""
    (contract_a, contract_b), (batch_a, batch_b) = _dims(node)
    a, b = node.operands
    shared = math.prod(_shape(a)[d] for d in (*contract_a, *batch_a))
    if not contract_a or shared == math.prod(_shape(a)[d] for d in batch_a):
        return None
    sides = [(a, contract_a, batch_a), (b, contract_b, batch_b)]
    if math.prod(_shape(b)) != shared:
        sides.reverse()
    (matrix, contract, batch), (vector, vector_contract, vector_batch) = sides
    if math.prod(_shape(vector)) != shared:
        return None
    result = node.results[0].type
    dtype = _sum_dtype(result.dtype)
    # The dimensions of the vector that the matrix has as well, in the matrix' order.
    pairs = sorted(
        zip((*contract, *batch), (*vector_contract, *vector_batch), strict=True)
    )
    order = [mine for _, mine in pairs]
    own = [d for d in range(len(_shape(vector))) if d not in order]
    spread: Any = _converted(vector, dtype)
    if [*own, *order] != list(range(len(_shape(vector)))):
        spread = transpose(spread, permutation=[*own, *order])
    if own:
        spread = reshape(spread, shape=[_shape(vector)[d] for d in order])
    spread = broadcast_in_dim(
        spread, shape=list(_shape(matrix)), dims=[other for other, _ in pairs]
    )
    found: Any = reduce_sum(
        multiply(_converted(matrix, dtype), spread), axes=sorted(contract)
    )
    kept = [d for d in range(len(_shape(matrix))) if d not in contract]
    wanted = [*batch, *(d for d in kept if d not in batch)]
    if wanted != kept:
        found = transpose(found, permutation=[kept.index(d) for d in wanted])
    if _shape(found) != result.static_shape:
        found = reshape(found, shape=list(result.static_shape))
    return "sum_products", [_converted(found, result.dtype)]
