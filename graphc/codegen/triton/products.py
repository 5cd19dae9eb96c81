"""Sums of products: dots and convolutions by the index of a result and of a term."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.codegen.combining import accumulator
from graphc.codegen.triton import dtypes
from graphc.codegen.triton.emitter import Emitter, Guard, Place, Pull, name_of
from graphc.codegen.triton.sums import ADD, Total
from graphc.codegen.triton.windows import window_place
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


def convolution_product(node: Node) -> Product:
    """The sum of products that an element of a convolution is."""
    x, kernel = (operand.type.static_shape for operand in node.operands)
    how = node.op.decode(node.attributes, None)
    of_x, of_kernel, of_result = parse_labels(how["labels"])
    groups, batch_groups = how["groups"], how["batch_groups"]
    window = [kernel[d] for d in of_kernel.spatial]
    inner = kernel[of_kernel.inner]
    features = kernel[of_kernel.outer]
    low = [before for before, _ in how["padding"]]

    def left(
        emitter: Emitter, index: Place, k: Index
    ) -> tuple[Place | None, list[str]]:
        *places, feature = unflattened(k, [*window, inner])
        space = [index[d] for d in of_result.spatial]
        found, conditions = window_place(
            emitter,
            space,
            places,
            [x[d] for d in of_x.spatial],
            how["strides"],
            low,
            how["kernel_dilation"],
            how["input_dilation"],
        )
        if found is None:
            return None, []
        out = index[of_result.inner]
        batch = index[of_result.outer]
        if batch_groups > 1:
            size = x[of_x.outer] // batch_groups
            batch = batch + out // (features // batch_groups) * size
        if groups > 1:
            feature = feature + out // (features // groups) * inner
        at = {of_x.outer: batch, of_x.inner: feature}
        at |= dict(zip(of_x.spatial, found, strict=True))
        return tuple(at[d] for d in range(len(x))), conditions

    def right(
        emitter: Emitter, index: Place, k: Index
    ) -> tuple[Place | None, list[str]]:
        *places, feature = unflattened(k, [*window, inner])
        at = {of_kernel.outer: index[of_result.inner], of_kernel.inner: feature}
        at |= dict(zip(of_kernel.spatial, places, strict=True))
        return tuple(at[d] for d in range(len(kernel))), []

    return Product(math.prod(window) * inner, left, right)


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
