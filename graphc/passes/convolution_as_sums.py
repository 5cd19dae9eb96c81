"""Convolutions that are no products of matrices as sums of products of slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind
from graphc.ir.ops import (
    add,
    broadcast_in_dim,
    convolution,
    multiply,
    optimization_barrier,
    reshape,
    slice_,
)
from graphc.ir.types import F32, F64
from graphc.ir.values import Value
from graphc.passes.graph_pass import GraphPass, Option, register
from graphc.passes.kernel_gradients import sums_by_place
from graphc.passes.numerics import REASSOCIATES, Numerics
from graphc.passes.patches import Patches
from graphc.passes.rewrite import Proposal, Rewriter, size_problem

_RULE = "sum_of_products"


@register
@final
@dataclass(frozen=True)
class ConvolutionAsSums(GraphPass):
    """Writes convolutions of few features in a group as sums of products of slices.

    XLA has no fast code on a CPU for depthwise convolutions, nor for the first
    convolution of a network, which meets one feature of an image or three. As
    elementwise ops, their terms are computed in vectors along the results' features,
    together with what reads them. Gradients of depthwise kernels become sums, too.
    It comes before `unroll_windows`, after which pools look like several readers.

    Attributes:
        most_terms: How many terms each sum of several features may have.
        most_products: How many products may be computed for a place of such a result.
        most_places: The largest kernel.
    """

    name: ClassVar[str] = "convolution_as_sums"
    numerics: ClassVar[Mapping[str, Numerics]] = {
        _RULE: REASSOCIATES,
        "sum_places": REASSOCIATES,
    }
    tuned: ClassVar[Mapping[str, tuple[Option, ...]]] = {
        "most_terms": (9, 49),
        "most_products": (432, 1728),
    }

    most_terms: int = 27
    most_products: int = 864
    most_places: int = 49

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        for node in graph.nodes:
            if node.op is not convolution:
                continue
            rewriter.ledger.visits += 1
            if reason := _problem(node) or self._loss(Patches(node)):
                rewriter.refuse(node, _RULE, reason)
            elif not rewriter.rewrite(node, partial(_as_sums, node)):
                rewriter.refuse(node, _RULE, "it is the gradient of a larger kernel")
        return rewriter.ledger.count > made

    def _loss(self, of: Patches) -> str | None:
        """Why a convolution is not faster as sums, if it is not."""
        if of.is_kernel_gradient:
            return None
        if of.places > self.most_places:
            return f"its kernel has {of.places} places, more than {self.most_places}"
        if of.is_depthwise:
            return None
        if of.groups > 1:
            return "its groups have several features"
        if of.places == 1:
            return "a kernel of one place is a matrix"
        if of.terms > self.most_terms:
            return f"its sums have {of.terms} terms, more than {self.most_terms}"
        products = of.terms * of.columns
        if products > self.most_products:
            return f"a place takes {products} products, more than {self.most_products}"
        return None


def _problem(node: Node) -> str | None:
    """Why a convolution cannot be written as sums, if so."""
    if any(each.type.dtype not in (F32, F64) for each in (*node.operands, node.result)):
        return "its sums would be rounded after each term"
    return size_problem(node)


def _as_sums(node: Node) -> Proposal | None:
    of = Patches(node)
    if of.is_kernel_gradient:
        return sums_by_place(node)
    shape, rows = node.result.type.shape, of.weights(node.operands[1])
    places, last = [of.of_result.outer, *of.of_result.spatial], of.of_result.inner
    if of.is_depthwise:
        places.append(last)
    total: Any = None
    for term, met in enumerate(_met(of, node.operands[0])):
        weights = reshape(_at(rows, 0, term), shape=[of.columns])
        product = multiply(
            broadcast_in_dim(met, shape=shape, dims=places),
            broadcast_in_dim(weights, shape=shape, dims=[last]),
        )
        total = product if total is None else add(total, product)
    return _RULE, [optimization_barrier(total) if _is_shared(node.result) else total]


def _is_shared(value: Value) -> bool:
    """Whether several nodes read a value, or what is computed of it element by element.

    Each of them would compute the sums again.
    """
    readers = value.users
    while len(readers) == 1 and readers[0].op.kind is Kind.ELEMENTWISE:
        readers = readers[0].result.users
    return len(readers) > 1


def _met(of: Patches, x: Any) -> Iterator[Any]:
    """What each term of the sums reads: all features, or one that all results share."""
    for part in of.slices(x):
        if of.is_depthwise:
            yield part
        else:
            for feature in range(of.features):
                one = _at(part, len(of.window) + 1, feature)
                yield reshape(one, shape=[of.batch, *of.counts])


def _at(x: Any, axis: int, place: int) -> Any:
    """What is at a place of a dimension, which stays, with a size of one."""
    if x.type.shape[axis] == 1:
        return x
    start, limit = [0] * x.type.rank, list(x.type.static_shape)
    start[axis], limit[axis] = place, place + 1
    return slice_(x, start=start, limit=limit, strides=[1] * len(start))
