"""Inference folding: scales and shifts of features become part of weights and biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from graphc.ir.graph import Graph
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.identities.contraction import FOLDING, why_dear
from graphc.passes.numerics import Numerics
from graphc.passes.rewrite import Rewriter
from graphc.passes.rule import rewrite_greedily


@register
@final
@dataclass(frozen=True)
class FoldInference(GraphPass):
    """Folds normalizations by known statistics into the products before them.

    Batch normalization in inference multiplies each feature and adds to it: the factor
    goes into the weights of a convolution or dot that nothing else reads, the rest into
    its bias. In training, where the statistics come from the product itself, something
    else reads it, and nothing is folded. Weights that are no constants are scaled in
    each call; that is refused unless they are much smaller than the product.
    """

    name: ClassVar[str] = "fold_inference"
    numerics: ClassVar[Mapping[str, Numerics]] = {
        rule.name: rule.numerics for rule in FOLDING.rules
    }

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        changed = False
        # What a rule leaves dead may have been the other reader of a product.
        while rewrite_greedily(graph, rewriter, FOLDING):
            changed = True
        for node in graph.nodes:
            reason = why_dear(node)
            if reason is not None:
                rewriter.refuse(node, "scale_weights", reason)
        return changed
