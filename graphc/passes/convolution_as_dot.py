"""Convolutions as products of matrices, where XLA's CPU backend convolves slowly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import convolution, dot_general
from graphc.passes.graph_pass import GraphPass, Option, register
from graphc.passes.numerics import REASSOCIATES, Numerics
from graphc.passes.patches import Patches
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
            reason = _problem(node) or self._loss(Patches(node))
            if reason is not None:
                rewriter.refuse(node, _RULE, reason)
            else:
                rewriter.rewrite(node, partial(_as_dot, node))
        return rewriter.ledger.count > made

    def _loss(self, of: Patches) -> str | None:
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


def _as_dot(node: Node) -> Proposal:
    of = Patches(node)
    x, kernel = node.operands
    sums = dot_general(of.patches(x), of.weights(kernel), contract=[[1], [0]])
    return _RULE, [of.result(sums)]
