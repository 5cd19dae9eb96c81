"""Convolutions as products of matrices, where XLA's CPU backend convolves slowly."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import convolution, dot_general, pad, reshape, slice_, transpose
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.ops.shape import concatenated
from graphc.ir.types import product
from graphc.passes.graph_pass import GraphPass, Option, register
from graphc.passes.numerics import REASSOCIATES, Numerics
from graphc.passes.rewrite import Proposal, Rewriter, size_problem

_RULE = "product_of_patches"


@register
@final
@dataclass(frozen=True)
class ConvolutionAsDot(GraphPass):
    """Writes convolutions as products of a matrix of patches and the kernel.

    Three kinds of convolutions gain by it on a CPU. Where the kernel has more places
    than the input, XLA swaps the two and has no fast code for what that makes. A kernel
    of one place needs no patches. And where a large kernel meets few patches, the time
    goes into reading it, which products of matrices are better at.

    Attributes:
        terms_per_row: How many terms each sum must have, for each patch, for a larger
            kernel to become a product.
        most_places: The largest kernel that is cut into places.
    """

    name: ClassVar[str] = "convolution_as_dot"
    numerics: ClassVar[Mapping[str, Numerics]] = {_RULE: REASSOCIATES}
    tuned: ClassVar[Mapping[str, tuple[Option, ...]]] = {
        "terms_per_row": (5, 80),
        "most_places": (16, 1024),
    }

    terms_per_row: int = 20
    most_places: int = 64

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        for node in graph.nodes:
            if node.op is not convolution:
                continue
            rewriter.ledger.visits += 1
            reason = _problem(node) or self._loss(_Convolution(node))
            if reason is not None:
                rewriter.refuse(node, _RULE, reason)
            else:
                rewriter.rewrite(node, partial(_as_dot, node))
        return rewriter.ledger.count > made

    def _loss(self, of: _Convolution) -> str | None:
        """Why a convolution is not faster as a product, if it is not."""
        if of.places > self.most_places:
            return f"its kernel has {of.places} places, more than {self.most_places}"
        if of.is_swapped or of.places == 1:
            return None
        if of.terms < self.terms_per_row * of.rows:
            return f"sums have {of.terms} terms, too few for {of.rows} patches"
        return None


def _problem(node: Node) -> str | None:
    """Why a convolution cannot become one product, if so."""
    if reason := size_problem(node):
        return reason
    attributes = node.op.decode(node.attributes, None)
    if attributes["groups"] * attributes["batch_groups"] > 1:
        return "each group would be a product of its own"
    return None


class _Convolution:
    """A convolution of one group, as rows of patches times columns of the kernel."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.attributes = node.op.decode(node.attributes, None)
        orders = parse_labels(self.attributes["labels"])
        self.of_x, self.of_kernel, self.of_result = orders
        x, kernel = (operand.type.static_shape for operand in node.operands)
        result = node.result.type.static_shape
        self.space = [x[d] for d in self.of_x.spatial]
        self.window = [kernel[d] for d in self.of_kernel.spatial]
        self.counts = [result[d] for d in self.of_result.spatial]
        self.batch, self.features = x[self.of_x.outer], x[self.of_x.inner]
        self.columns = kernel[self.of_kernel.outer]
        self.places = int(product(self.window))
        self.rows = self.batch * int(product(self.counts))
        self.terms = self.features * self.places

    @property
    def is_swapped(self) -> bool:
        """Whether XLA makes the kernel the input, by its rule for doing so.

        See ``SwapConvOperands`` in xla/hlo/transforms/simplifiers/algebraic_simplifier.cc.
        """
        ours = theirs = 1
        given = self.attributes
        for d, (size, width) in enumerate(zip(self.space, self.window, strict=True)):
            stride = given["strides"][d]
            whole = given["padding"][d] == (0, 0) and given["kernel_dilation"][d] == 1
            if (
                whole
                and given["input_dilation"][d] == 1
                and stride == 1
                and size == width
            ):
                continue  # a sum over the dimension, whoever is called the kernel
            ours *= width
            theirs *= width if size == 1 and stride == 1 else size
        return ours > theirs

    def patches(self, x: Any) -> Any:
        """What the kernel meets: a row for each result, places before features."""
        given = self.attributes
        x = _permuted(x, (self.of_x.outer, *self.of_x.spatial, self.of_x.inner))
        low, high = ([0, *(pair[i] for pair in given["padding"]), 0] for i in (0, 1))
        interior = [0, *(step - 1 for step in given["input_dilation"]), 0]
        if any((*low, *high, *interior)):
            x = pad(x, 0.0, low=low, high=high, interior=interior)
        found: list[Any] = []
        strides = [1, *given["strides"], 1]
        for place in itertools.product(*map(range, self.window)):
            steps = zip(place, given["kernel_dilation"], strict=True)
            start = [0, *(p * step for p, step in steps), 0]
            limit = [
                first + (count - 1) * stride + 1
                for first, count, stride in zip(
                    start,
                    (self.batch, *self.counts, self.features),
                    strides,
                    strict=True,
                )
            ]
            found.append(slice_(x, start=start, limit=limit, strides=strides))
        joined = concatenated(found, len(strides) - 1)
        return reshape(joined, shape=[self.rows, self.terms])

    def weights(self, kernel: Any) -> Any:
        """The kernel with a row for each place and feature."""
        order = (*self.of_kernel.spatial, self.of_kernel.inner, self.of_kernel.outer)
        return reshape(_permuted(kernel, order), shape=[self.terms, self.columns])

    def result(self, sums: Any) -> Any:
        """The result of the convolution from the products' sums."""
        found = reshape(sums, shape=[self.batch, *self.counts, self.columns])
        of = self.of_result
        order = (of.outer, *of.spatial, of.inner)
        return _permuted(found, [order.index(d) for d in range(len(order))])


def _as_dot(node: Node) -> Proposal:
    of = _Convolution(node)
    x, kernel = node.operands
    sums = dot_general(of.patches(x), of.weights(kernel), contract=[[1], [0]])
    return _RULE, [of.result(sums)]


def _permuted(x: Any, order: Sequence[int]) -> Any:
    return transpose(x, permutation=order) if list(order) != sorted(order) else x
