"""Scaled dot-product attention."""

from __future__ import annotations

import math

from graphc.frontend.dispatch import op
from graphc.frontend.ops.activation import softmax
from graphc.frontend.ops.arrangement import reshape, reshaped
from graphc.frontend.ops.elementwise import add, multiply, tanh
from graphc.frontend.ops.logic import choose, truth
from graphc.frontend.ops.operands import (
    TensorLike,
    materialize,
    promote,
    refuse,
    stretch,
)
from graphc.frontend.ops.subscripts import einsum
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import tensor, value
from graphc.ir import Literal, Value
from graphc.ir import ops as ir_ops
from graphc.ir.ops.along_axes import wide_dtype
from graphc.ir.types import I32

__all__ = ["dot_product_attention"]

MASKED = -0.7 * 3.4028234663852886e38
"""What masked logits become: finite, so that a row of only masked ones is no nan."""


@op
def dot_product_attention(
    query: TensorLike,
    key: TensorLike,
    value: TensorLike,
    bias: TensorLike = None,
    mask: TensorLike = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """``softmax(query key^T * scale + bias) value`` for each head.

    Args:
        query: A tensor [B, T, N, H].
        key: A tensor [B, S, K, H], where K divides N: each of its heads serves N / K
            heads of the query.
        value: A tensor [B, S, K, H].
        bias: What is added to the logits; broadcasts to [B, N, T, S].
        mask: Which keys a query sees, bool; broadcasts to [B, N, T, S].
        scale: What the logits are multiplied with; ``1 / sqrt(H)`` by default.
        is_causal: Whether a query sees no keys behind its own position.
        flash_attention: Accepted as in Keras: the compiler chooses the kernel.
        attn_logits_soft_cap: A limit that the logits approach smoothly.

    Returns:
        A tensor [B, T, N, H].

    Raises:
        GraphError: If the shapes do not fit.
    """
    q, k, v = (materialize(x) for x in promote(query, key, value, also=[float]))
    if not q.type.rank == k.type.rank == v.type.rank == 4:
        refuse(
            "Expected query, key and value of rank 4: batch, time, heads, depth. "
            f"Received: {q.type}, {k.type}, {v.type}"
        )
    allowed = None if mask is None else _rank_4(materialize(truth(mask)))
    if bias is not None or attn_logits_soft_cap is not None:
        return _composed(q, k, v, bias, allowed, scale, is_causal, attn_logits_soft_cap)
    operands = (q, k, v) if allowed is None else (q, k, v, allowed)
    return tensor(ir_ops.attention(*operands, causal=is_causal, scale=scale))


def _rank_4(x: Value) -> Value:
    return reshaped(x, [1] * (4 - x.type.rank) + list(x.shape))


def _composed(
    q: Value,
    k: Value,
    v: Value,
    bias: TensorLike,
    allowed: Value | None,
    scale: float | None,
    is_causal: bool,
    cap: float | None,
) -> Tensor:
    """Attention with a bias or capped logits, which the op of the graph has not."""
    batch, time, heads, depth = q.shape
    source, shared = k.shape[1:3]
    factor = 1 / math.sqrt(int(depth)) if scale is None else scale
    groups = reshape(tensor(q), (batch, time, shared, heads // shared, depth))
    wide = wide_dtype(q.dtype).long_name
    logits = multiply(
        einsum("btkgd,bskd->bkgts", _as(groups, wide), _as(tensor(k), wide)), factor
    )
    if cap is not None:
        logits = multiply(tanh(multiply(logits, 1 / cap)), cap)
    logits = reshape(logits, (batch, heads, time, source))
    if bias is not None:
        logits = add(logits, _as(bias, wide))
    shape = logits.shape
    if is_causal:
        row, column = (
            ir_ops.iota(shape=shape, axis=axis, dtype=I32) for axis in (2, 3)
        )
        earlier = ir_ops.compare(row, column, direction="GE")
        allowed = earlier if allowed is None else _both(allowed, earlier)
    if allowed is not None:
        logits = _masked(logits, allowed)
    weights = _as(softmax(logits), q.dtype.long_name)
    weights = reshape(weights, (batch, shared, heads // shared, time, source))
    found = einsum("bkgts,bskd->btkgd", weights, tensor(v))
    return reshape(found, (batch, time, heads, v.shape[3]))


def _both(mask: Value, other: Value) -> Value:
    return ir_ops.and_(stretch(mask, other.shape), other)


def _masked(logits: Tensor, allowed: Value) -> Tensor:
    operand = value(logits)
    return tensor(choose(allowed, operand, Literal(MASKED, operand.type.dtype)))


def _as(x: TensorLike, dtype: str) -> Tensor:
    return tensor(value(x, dtype))
