"""Attention in pieces: puts those that kernels compute for attention and its gradient."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any, ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import (
    attention,
    attention_gradient,
    attention_key_value_gradient,
    attention_query_gradient,
    attention_with_logsumexp,
    multiply,
    reduce_sum,
    transpose,
)
from graphc.ir.ops.along_axes import widen
from graphc.ir.values import Operand, Value
from graphc.passes.autodiff import is_differentiated
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.rewrite import Proposal, Rewriter


@register
@final
@dataclass(frozen=True)
class SplitAttention(GraphPass):
    """Splits the gradient of attention into one piece for q and one for k and v.

    The attention itself keeps the logarithms that the pieces read. An attention that
    no gradient is taken of stays.
    """

    name: ClassVar[str] = "split_attention"
    rounding: ClassVar[Set[str]] = frozenset({"split"})

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        if is_differentiated(graph):
            # The pieces have no gradients.
            return False
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            if node.op is attention_gradient:
                _keep_logsumexp(node, rewriter)
                rewriter.rewrite(node, lambda node=node: _split(node))
        return rewriter.ledger.count > made


def _keep_logsumexp(node: Node, rewriter: Rewriter) -> None:
    """Makes the attention whose gradient `node` takes keep its logarithms."""
    forward = _forward(node)
    if forward is not None and forward.op is attention:
        rewriter.rewrite(
            forward,
            lambda: (
                "keep_logsumexp",
                attention_with_logsumexp(*forward.operands, **forward.attributes)[:1],
            ),
        )


def _forward(node: Node) -> Node | None:
    """The node of the attention that the gradient `node` is given, if it is one."""
    y = node.operands[1]
    found = y.node if isinstance(y, Value) else None
    if (
        found is not None
        and found.op in (attention, attention_with_logsumexp)
        and found.operands == node.operands[2:]
        and found.attributes == node.attributes
    ):
        return found
    return None


def _split(node: Node) -> Proposal:
    g, y, *operands = node.operands
    forward, attributes = _forward(node), node.attributes
    if forward is not None and forward.op is attention_with_logsumexp:
        total: Operand = forward.results[1]
    else:
        total = attention_with_logsumexp(*operands, **attributes)[1]
    inner = _inner(g, y)
    q, k, v, *mask = operands
    read = (g, q, k, v, total, inner, *mask)
    by_q = attention_query_gradient(*read, **attributes)
    return "split", (by_q, *attention_key_value_gradient(*read, **attributes))


def _inner(g: Any, y: Any) -> Any:
    """For each row of logits the sum of y times g: [batch, heads, time]."""
    found = reduce_sum(multiply(widen(g), widen(y)), axes=[3])
    return transpose(found, permutation=[0, 2, 1])
