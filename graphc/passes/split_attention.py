"""Attention in pieces: puts those that kernels compute for attention and its gradient."""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import (
    add,
    attention,
    attention_gradient,
    attention_key_value_gradient,
    attention_query_gradient,
    attention_with_logsumexp,
    broadcast_in_dim,
    compare,
    divide,
    exponential,
    log,
    multiply,
    reduce_max,
    reduce_sum,
    reshape,
    select,
    subtract,
    transpose,
)
from graphc.ir.ops.along_axes import in_dtype, widen
from graphc.ir.ops.shape import expand_axes
from graphc.ir.values import Operand, Value
from graphc.passes.autodiff import is_differentiated
from graphc.passes.fusion.parallelism import PROCESSORS, equal_parts
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.rewrite import Proposal, Rewriter

ROWS = 64
"""How many queries a program has at most, about."""

LEAST_PARTS = 4
"""With fewer parts the three kernels more take as long as is won."""


@register
@final
@dataclass(frozen=True)
class SplitAttention(GraphPass):
    """Splits the gradient of attention into one piece for q and one for k and v.

    The attention itself keeps the logarithms that the pieces read. An attention of few
    queries to many keys, as in decoding, becomes one for each part of the keys: kernels
    have programs for blocks of queries only. It stays whole where it is causal.

    Attributes:
        least_keys: How many keys a part has at least.
    """

    least_keys: int = 512
    name: ClassVar[str] = "split_attention"
    rounding: ClassVar[Set[str]] = frozenset({"split", "split_keys"})

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
        for node in graph.nodes:
            if node.op in (attention, attention_with_logsumexp):
                parts = self._parts(node)
                if parts > 1:
                    rewriter.rewrite(node, partial(_by_parts, node, parts))
        return rewriter.ledger.count > made

    def _parts(self, node: Node) -> int:
        """Into how many parts to split the keys so that a GPU is busy with them."""
        q, k = (operand.type for operand in node.operands[:2])
        if node.attributes.get("causal") or q.symbols or k.symbols:
            return 1
        batch, time, heads, _ = q.static_shape
        source = k.static_shape[1]
        programs = max(1, batch * heads * -(-time // ROWS))
        most = min(PROCESSORS // programs, source // self.least_keys)
        return equal_parts(source, most) if most >= LEAST_PARTS else 1


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


# -- parts of keys ---------------------------------------------------------------------


def _by_parts(node: Node, parts: int) -> Proposal:
    """Attention to parts of the keys, and the mean of what these give, by their weight."""
    q, k, v, *masks = node.operands
    batch = q.type.static_shape[0]
    keys, values = (_divided(each, parts) for each in (k, v))
    masks = [_mask_of_parts(mask, batch, parts) for mask in masks]
    found = attention_with_logsumexp(
        _repeated(q, parts), keys, values, *masks, **node.attributes
    )
    y, total = (
        reshape(each, shape=[batch, parts, *each.type.static_shape[1:]])
        for each in found
    )
    top = reduce_max(total, axes=[1])
    # Without a key all values have the same weight, as they have in each part.
    empty = compare(top, -math.inf, direction="EQ")
    top = select(empty, 0.0, top)
    shape = total.type.static_shape
    exponents = exponential(subtract(total, expand_axes(top, shape, [1])))
    weights = select(expand_axes(empty, shape, [1]), 1.0, exponents)
    weight = reduce_sum(weights, axes=[1])
    by_row = transpose(weights, permutation=[0, 1, 3, 2])
    shares = multiply(widen(y), expand_axes(by_row, y.type.static_shape, [4]))
    summed = reduce_sum(shares, axes=[1])
    row = transpose(weight, permutation=[0, 2, 1])
    mean = divide(summed, expand_axes(row, summed.type.static_shape, [3]))
    results = [in_dtype(mean, node.results[0].type.dtype)]
    if len(node.results) > 1:
        results.append(select(empty, -math.inf, add(top, log(weight))))
    return "split_keys", results


def _divided(x: Any, parts: int) -> Any:
    """Parts of the sequences [batch, length, ...], as examples of a batch."""
    batch, length, *rest = x.type.static_shape
    return reshape(x, shape=[batch * parts, length // parts, *rest])


def _repeated(x: Any, parts: int) -> Any:
    """Each example as often as there are parts."""
    batch, *rest = x.type.static_shape
    dims = [0, *range(2, 2 + len(rest))]
    wide = broadcast_in_dim(x, shape=[batch, parts, *rest], dims=dims)
    return reshape(wide, shape=[batch * parts, *rest])


def _mask_of_parts(mask: Any, batch: int, parts: int) -> Any:
    """The mask [batch, heads, time, keys] of each part, where 1 stands for all sizes."""
    own, heads, time, source = mask.type.static_shape
    if source == 1:
        return mask if own == 1 else _repeated(mask, parts)
    each = source // parts
    split = reshape(mask, shape=[own, heads, time, parts, each])
    split = transpose(split, permutation=[0, 3, 1, 2, 4])
    if own < batch:
        split = reshape(split, shape=[parts, heads, time, each])
        wide = [batch, parts, heads, time, each]
        split = broadcast_in_dim(split, shape=wide, dims=[1, 2, 3, 4])
    return reshape(split, shape=[batch * parts, heads, time, each])


# -- gradients -------------------------------------------------------------------------


def _inner(g: Any, y: Any) -> Any:
    """For each row of logits the sum of y times g: [batch, heads, time]."""
    found = reduce_sum(multiply(widen(g), widen(y)), axes=[3])
    return transpose(found, permutation=[0, 2, 1])
