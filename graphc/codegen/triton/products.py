"""Sums of products: dots and convolutions by the index of a result and of a term."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.codegen.combining import accumulator
from graphc.codegen.triton import dtypes
from graphc.codegen.triton.emitter import Emitter, Guard, Place, Pull, name_of
from graphc.codegen.triton.movement import unpadded
from graphc.codegen.triton.sums import ADD, Total
from graphc.codegen.triton.writer import Tile, axes_of
from graphc.ir.graph import Node
from graphc.ir.index import Index, unflattened
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.ops.index_places import dims_except
from graphc.ir.types import F32


@dataclass(frozen=True, slots=True)
class Product:
    """A sum of products of an element of each of two operands.

    Attributes:
        terms: How many products are added.
        left, right: From the emitter, the index of a result element and the number of
            a term, the operand's element and when there is one.
    """

    terms: int
    left: Callable[[Emitter, Place, Index], tuple[Place | None, list[str]]]
    right: Callable[[Emitter, Place, Index], tuple[Place | None, list[str]]]


Factor = Callable[[Place, Index], Place]
"""From the index of a result element and the number of a term to an operand's element."""


def dot_factors(node: Node) -> tuple[int, Factor, Factor]:
    """How many terms an element of a dot_general has, and where their factors are."""
    a, b = (operand.type.static_shape for operand in node.operands)
    attributes = node.op.decode(node.attributes, None)
    contract, batch = attributes["contract"], attributes["batch"]
    free_a = dims_except(len(a), (*contract[0], *batch[0]))
    free_b = dims_except(len(b), (*contract[1], *batch[1]))
    sizes = [a[d] for d in contract[0]]
    shared = len(batch[0])

    def element(rank: int, dims: Sequence[int], index: Sequence[Index]) -> Place:
        at = dict(zip(dims, index, strict=True))
        return tuple(at[d] for d in range(rank))

    def left(index: Place, k: Index) -> Place:
        own = [*index[: shared + len(free_a)], *unflattened(k, sizes)]
        return element(len(a), [*batch[0], *free_a, *contract[0]], own)

    def right(index: Place, k: Index) -> Place:
        own = [*index[:shared], *index[shared + len(free_a) :], *unflattened(k, sizes)]
        return element(len(b), [*batch[1], *free_b, *contract[1]], own)

    return math.prod(sizes), left, right


def dot_product(node: Node) -> Product:
    """The sum of products that an element of a dot_general is."""
    terms, left, right = dot_factors(node)
    return Product(
        terms,
        lambda emitter, index, k: (left(index, k), []),
        lambda emitter, index, k: (right(index, k), []),
    )


def convolution_factors(node: Node) -> tuple[int, Factor, Factor]:
    """As `dot_factors`; factors of x may lie in its padding, or between its elements."""
    x, kernel = (operand.type.static_shape for operand in node.operands)
    how = node.op.decode(node.attributes, None)
    of_x, of_kernel, of_result = parse_labels(how["labels"])
    groups, batch_groups = how["groups"], how["batch_groups"]
    window = [kernel[d] for d in of_kernel.spatial]
    inner = kernel[of_kernel.inner]
    features = kernel[of_kernel.outer]
    steps = list(zip(how["strides"], how["kernel_dilation"], strict=True))

    def left(index: Place, k: Index) -> Place:
        *places, feature = unflattened(k, [*window, inner])
        out = index[of_result.inner]
        batch = index[of_result.outer]
        if batch_groups > 1:
            size = x[of_x.outer] // batch_groups
            batch = batch + out // (features // batch_groups) * size
        if groups > 1:
            feature = feature + out // (features // groups) * inner
        at = {of_x.outer: batch, of_x.inner: feature}
        for i, (stride, holes) in enumerate(steps):
            start = index[of_result.spatial[i]] * stride
            before, _ = how["padding"][i]
            at[of_x.spatial[i]] = start + places[i] * holes - before
        return tuple(at[d] for d in range(len(x)))

    def right(index: Place, k: Index) -> Place:
        *places, feature = unflattened(k, [*window, inner])
        at = {of_kernel.outer: index[of_result.inner], of_kernel.inner: feature}
        at |= dict(zip(of_kernel.spatial, places, strict=True))
        return tuple(at[d] for d in range(len(kernel)))

    return math.prod(window) * inner, left, right


def convolution_product(node: Node) -> Product:
    """The sum of products that an element of a convolution is."""
    terms, left, right = convolution_factors(node)
    shape = node.operands[0].type.static_shape
    gaps = _gaps(node)

    def inside(
        emitter: Emitter, index: Place, k: Index
    ) -> tuple[Place | None, list[str]]:
        place = list(left(index, k))
        conditions: list[str] = []
        for d, gap in gaps.items():
            source, found = unpadded(emitter, place[d], gap, shape[d])
            if source is None:
                return None, []
            place[d] = source
            conditions += found
        return tuple(place), conditions

    return Product(terms, inside, lambda emitter, index, k: (right(index, k), []))


def _gaps(node: Node) -> dict[int, int]:
    """For each spatial dimension of a convolution's x, how far its elements are apart."""
    how = node.op.decode(node.attributes, None)
    of_x, _, _ = parse_labels(how["labels"])
    return dict(zip(of_x.spatial, how["input_dilation"], strict=True))


def stored_factors(node: Node, index: Place, k: Index) -> tuple[Place, Place] | None:
    """The elements of both operands that are multiplied for the term `k` of a result.

    Returns:
        Their places; None if some are none: in the padding of a convolution's x, say.
    """
    if node.op.name == "dot_general":
        _, left, right = dot_factors(node)
    else:
        _, left, right = convolution_factors(node)
        shape, gaps = node.operands[0].type.static_shape, _gaps(node)
        for d, at in enumerate(left(index, k)):
            low, high = at.bounds
            if low < 0 or high >= shape[d] or gaps.get(d, 1) > 1:
                return None
    return left(index, k), right(index, k)


PRODUCTS: Mapping[str, Callable[[Node], Product]] = {
    "convolution": convolution_product,
    "dot_general": dot_product,
}
"""The sums of products that ops are."""


def contract(
    emitter: Emitter, node: Node, result: int, index: Place, guard: Guard, **_: Any
) -> Tile:
    """A short sum of products, one term after the other."""
    product = PRODUCTS[node.op.name](node)
    a, b = node.operands
    dtype = accumulator(node.results[0].type.dtype)
    held = dtypes.held(dtype)
    axes = axes_of(index, guard)
    total = Total(emitter, ADD, dtype, axes, name_of(node.results[0]))
    if product.terms == 0:
        return total.tile
    with emitter.writer.loop(product.terms, "k") as k:
        left, conditions = product.left(emitter, index, k)
        right, _always = product.right(emitter, index, k)
        if left is not None and right is not None:
            inside = guard
            if conditions:
                inside |= {emitter.condition(" & ".join(conditions), axes_of(left))}
            first = emitter.value(a, left, inside)
            second = emitter.value(b, right, inside)
            wide = "" if a.type.dtype is dtype or dtype is F32 else f".to({held})"
            term = f"{first.text}{wide} * {second.text}{wide}"
            conditions = [tile.text for tile in inside - guard]
            total.include(term, conditions)
    return total.tile


PULLS: dict[str, Pull] = {"convolution": contract, "dot_general": contract}
"""How each op adds the products that a result element is."""
