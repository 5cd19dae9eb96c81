"""Sums of many products for few elements, rewritten so that a GPU is busy with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import (
    add,
    broadcast_in_dim,
    concatenate,
    convert,
    convolution,
    dot_general,
    multiply,
    optimization_barrier,
    pad,
    reduce_sum,
    reshape,
    slice_,
    transpose,
)
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.types import F32, DType
from graphc.ir.values import Literal, Operand
from graphc.passes.fusion.parallelism import PROCESSORS, equal_parts
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.kernel_gradients import sums_by_place
from graphc.passes.rewrite import Proposal, Rewriter

TILE = 128
"""The side of the part of a product of matrices that one processor computes."""

FEW = 4
"""How many times as many parts are worth a copy of images, or a sum of what is left."""

STEP = 64
"""What the number of terms of a part is a multiple of where that is easy."""


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
        most, size = self._most_parts(m, n, math.prod(sizes), batch), sizes[longest]
        parts, rest = equal_parts(size, most), 0
        if most >= FEW * parts:
            parts = 1 << (most.bit_length() - 1)
            # Parts that tiles divide, where that leaves not much.
            unit = parts * STEP if parts * STEP * FEW <= size else parts
            rest = size % unit
        if parts == 1 or rest == size:
            return None
        result = node.results[0].type
        wide = _sum_dtype(result.dtype)
        dtype = None if wide is a.type.dtype else wide
        sums = dot_general(
            _split(_cut(a, d_a, 0, size - rest), d_a, parts),
            _split(_cut(b, d_b, 0, size - rest), d_b, parts),
            contract=[_behind(d_a, contract_a), _behind(d_b, contract_b)],
            batch=[
                [d_a, *_beside(d_a, batch_a)],
                [d_b, *_beside(d_b, batch_b)],
            ],
            dtype=dtype,
        )
        total = reduce_sum(sums, axes=[0])
        if rest:
            ends = _cut(a, d_a, size - rest, size), _cut(b, d_b, size - rest, size)
            dims = {"contract": [contract_a, contract_b], "batch": [batch_a, batch_b]}
            total = add(total, dot_general(*ends, **dims, dtype=dtype))
        return "split_sum", [_converted(total, result.dtype)]

    def _split_convolution(self, node: Node) -> Proposal | None:
        """Parts of the input's features become groups, each with kernels of its own.

        Where parts of the batch are groups already, they become parts of the batch. In
        the gradient of weights features are images; parts of few images are more.
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
        most = self._most_parts(m, n, terms, groups)
        parts = equal_parts(inner, most)
        if groups == 1 and most >= FEW * parts:
            found = _parts_of_images(x, kernel, attributes, most // parts)
            if found is not None:
                more, x, kernel, attributes = found
                parts *= more
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

    def _most_parts(self, m: int, n: int, k: int, batch: int) -> int:
        """Into how many parts to split sums at most."""
        tiles = -(-m // TILE) * -(-n // TILE) * batch
        # The parts are written and read in float32; that must be less than the operands.
        written, read = 8 * m * n * batch, 2 * (m + n) * k * batch
        most = 2 * self.processors // tiles, k // self.least_terms, read // written
        return max(1, min(most))


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


def _cut(x: Any, dim: int, start: int, limit: int) -> Any:
    """The elements of `x` from `start` up to `limit` along a dimension."""
    shape = list(_shape(x))
    if (start, limit) == (0, shape[dim]):
        return x
    starts = [start if d == dim else 0 for d in range(len(shape))]
    shape[dim] = limit
    return slice_(x, start=starts, limit=shape)


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


def _parts_of_images(
    x: Any, kernel: Any, attributes: dict[str, Any], most: int
) -> tuple[int, Any, Any, dict[str, Any]] | None:
    """A convolution with parts of images as inner features, in place of whole images.

    A part is some rows of the kernel, which in a gradient of weights is a cotangent, and
    the rows of `x` that meet them; these overlap with those of the next part.

    Args:
        x: The first operand.
        kernel: The second.
        attributes: The attributes, without groups.
        most: How many parts of each image there are at most.

    Returns:
        The number of parts, the operands and the attributes; None if no dimension can be
        divided into parts of which the overlap is a small part.
    """
    of_x, of_kernel, _ = parse_labels(attributes["labels"])
    dims = range(len(of_x.spatial))
    parts_along = [_parts_along(i, x, kernel, attributes, most) for i in dims]
    parts = max(parts_along, default=1)
    if parts == 1:
        return None
    i = parts_along.index(parts)
    d, d_kernel, low = (
        of_x.spatial[i],
        of_kernel.spatial[i],
        attributes["padding"][i][0],
    )
    rows = _shape(kernel)[d_kernel] // parts * attributes["kernel_dilation"][i]
    overlap = _overlap(i, x, kernel, attributes)
    own = _split(_resized(x, d, low, parts * rows), d, parts)
    if overlap > 0:
        behind = _split(_resized(x, d, low - rows, parts * rows), d, parts)
        own = concatenate(own, _cut(behind, d + 1, 0, overlap), axis=d + 1)
    shape = [*_shape(x)[:d], parts * _shape(own)[d + 1], *_shape(x)[d + 1 :]]
    padding = [list(ends) for ends in attributes["padding"]]
    padding[i] = [0, min(0, overlap)]
    images: Any = _moved(reshape(own, shape=shape), d, of_x.inner, parts)
    if any(map(any, attributes["padding"])):
        # Places in the padding cannot be followed through what was moved.
        images = optimization_barrier(images)
    kernels = _moved(kernel, d_kernel, of_kernel.inner, parts)
    return parts, images, kernels, {**attributes, "padding": padding}


def _parts_along(
    i: int, x: Any, kernel: Any, attributes: dict[str, Any], most: int
) -> int:
    """How many parts a spatial dimension has that are twice as long as their overlap."""
    if attributes["strides"][i] > 1 or attributes["input_dilation"][i] > 1:
        return 1
    length = _shape(kernel)[parse_labels(attributes["labels"])[1].spatial[i]]
    rows = length * attributes["kernel_dilation"][i]
    overlap = _overlap(i, x, kernel, attributes)
    if overlap > 0:
        most = min(most, rows // (2 * overlap))
    return equal_parts(length, max(1, most))


def _overlap(i: int, x: Any, kernel: Any, attributes: dict[str, Any]) -> int:
    """How many rows of `x` a part shares with the next; below 0, what lies between."""
    of_x, of_kernel, _ = parse_labels(attributes["labels"])
    rows = _shape(kernel)[of_kernel.spatial[i]] * attributes["kernel_dilation"][i]
    return _shape(x)[of_x.spatial[i]] + sum(attributes["padding"][i]) - rows


def _resized(x: Any, dim: int, low: int, size: int) -> Any:
    """`x` with so many zeros before it along a dimension, so long in all."""
    before, after = [0] * len(_shape(x)), [0] * len(_shape(x))
    before[dim], after[dim] = low, size - low - _shape(x)[dim]
    zero = Literal(0, x.type.dtype)
    return pad(x, zero, low=before, high=after) if any([*before, *after]) else x


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
