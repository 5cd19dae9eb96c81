"""Attention and its gradient in the pieces that kernels compute.

The forward piece keeps one number for each row of logits, the logarithm of the sum of
their exponentials, from which the others compute weights again, block by block.
`graphc.passes.split_attention` puts these ops for `attention` and its gradient.
"""

from __future__ import annotations

import math
from typing import Any

from graphc.ir.opdef import BOOLEAN, FLOAT, IllTyped, Kind, Sample, Trait
from graphc.ir.ops.along_axes import count, in_dtype, wide_dtype
from graphc.ir.ops.contraction import dot_general
from graphc.ir.ops.dot_product_attention import (
    BATCH,
    USES,
    allowed_logits,
    attention,
    attention_type,
    grouped,
    heads_first,
    logits_gradient,
    result_type,
    scale_of,
    scaled_logits,
    ungrouped,
)
from graphc.ir.ops.elementwise import (
    add,
    compare,
    divide,
    multiply,
    select,
    subtract,
)
from graphc.ir.ops.probability import logsumexp
from graphc.ir.ops.shape import expand_axes, reshape
from graphc.ir.ops.transcendental import exponential
from graphc.ir.register import composite
from graphc.ir.typerules import require
from graphc.ir.types import F32, F64, TensorType

_NO_GRADIENT = "it is put for attention once all gradients are taken"


def _row_type(q: TensorType) -> TensorType:
    """The type of one number for each row of logits."""
    batch, time, heads, _ = q.shape
    return TensorType((batch, heads, time), wide_dtype(q.dtype))


def _row_text(q: str) -> str:
    dtype, sizes = q.rstrip("]").split("[")
    batch, time, heads, _ = sizes.split(",")
    return f"{'f64' if dtype == 'f64' else 'f32'}[{batch},{heads},{time}]"


def _forward_type(
    q: TensorType,
    k: TensorType,
    v: TensorType,
    mask: TensorType | None = None,
    *,
    causal: bool,
    scale: float | None,
) -> tuple[TensorType, TensorType]:
    return attention_type(q, k, v, mask, causal=causal, scale=scale), _row_type(q)


@composite(
    Kind.CONTRACTION,
    infer=_forward_type,
    vjp=_NO_GRADIENT,
    dtypes=(FLOAT, FLOAT, FLOAT, BOOLEAN),
    traits=[Trait.ACCUMULATES],
    samples=tuple(Sample(types, attributes) for types, attributes in USES),
    errors=(
        IllTyped(("f32[3,4]", "f32[3,4]", "f32[3,4]"), "the dimensions batch"),
        IllTyped((*USES[0][0], "bool[3,5]"), "mask must have the dimensions"),
    ),
    ulp=32,
)
def attention_with_logsumexp(
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Any:
    """The attention, and the logarithm of the sum of exponentials of each row's logits.

    The second result is [batch, heads, time], in float32 for narrower inputs. Only
    logits that take part are summed: it is -inf for a fully masked row.
    """
    shared = k.type.shape[2]
    masks = () if mask is None else (mask,)
    found = attention(q, k, v, *masks, causal=causal, scale=scale)
    logits = scaled_logits(grouped(q, shared), heads_first(k), scale_of(q, scale))
    allowed = allowed_logits(q, k, mask, causal)
    if allowed is not None:
        logits = select(allowed, logits, -math.inf)
    total = logsumexp(logits, axes=[3])
    return found, reshape(total, shape=_row_type(q.type).shape)


# -- gradient --------------------------------------------------------------------------


def _gradient_operands(
    name: str,
    g: TensorType,
    q: TensorType,
    k: TensorType,
    v: TensorType,
    total: TensorType,
    inner: TensorType,
    mask: TensorType | None,
    causal: bool,
    scale: float | None,
) -> None:
    wanted = attention_type(q, k, v, mask, causal=causal, scale=scale)
    require(g == wanted, f"{name}: g must be {wanted} like the attention", g)
    row = _row_type(q)
    require(
        total == row and inner == row,
        f"{name}: total and inner must be {row}, a number for each row of logits",
        total,
        inner,
    )


def _query_gradient_type(
    g: TensorType,
    q: TensorType,
    k: TensorType,
    v: TensorType,
    total: TensorType,
    inner: TensorType,
    mask: TensorType | None = None,
    *,
    causal: bool,
    scale: float | None,
) -> TensorType:
    _gradient_operands(
        "attention_query_gradient", g, q, k, v, total, inner, mask, causal, scale
    )
    return q


def _key_value_gradient_type(
    g: TensorType,
    q: TensorType,
    k: TensorType,
    v: TensorType,
    total: TensorType,
    inner: TensorType,
    mask: TensorType | None = None,
    *,
    causal: bool,
    scale: float | None,
) -> tuple[TensorType, TensorType]:
    _gradient_operands(
        "attention_key_value_gradient", g, q, k, v, total, inner, mask, causal, scale
    )
    return k, v


def _weights(q: Any, k: Any, total: Any, allowed: Any, scale: float) -> Any:
    """The weights of grouped q and heads-first k; 0 in fully masked rows."""
    logits = scaled_logits(q, k, scale)
    low = subtract(logits, expand_axes(total, logits.type.shape, [3]))
    if allowed is not None:
        low = select(allowed, low, -math.inf)
    return exponential(low)


def _by_group(row: Any, shared: int) -> Any:
    """[batch, heads, time] as [batch, shared heads, group * time]."""
    batch, heads, time = row.type.shape
    return reshape(row, shape=(batch, shared, heads // shared * time))


def _gradient_samples() -> tuple[Sample, ...]:
    found: list[Sample] = []
    for (q, k, v, *mask), attributes in (*USES, *_NARROW_USES):
        row = _row_text(q)
        operands = (result_type(q, v), q, k, v, row, row, *mask)
        found.append(Sample(operands, attributes))
    return tuple(found)


_NARROW_USES: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = tuple(
    ((f"{dtype}[2,3,2,4]", *[f"{dtype}[2,5,1,4]"] * 2), {"causal": True})
    for dtype in ("bf16", "f16")
)
_WIDE = frozenset({F32, F64})
_OPERANDS = (*[FLOAT] * 4, _WIDE, _WIDE, BOOLEAN)
_ROW = _row_text(USES[0][0][0])
_GRADIENT_ERRORS = (
    IllTyped(("f32[2,3,2,5]", *USES[0][0], _ROW, _ROW), "g must be f32[2,3,2,4]"),
    IllTyped(("f32[2,3,2,4]", *USES[0][0], _ROW, "f32[2,3,2]"), "must be f32[2,2,3]"),
    IllTyped(("f32[2,3,2,4]", *USES[0][0], _ROW), "takes 6 to 7 operands"),
)


@composite(
    Kind.CONTRACTION,
    infer=_query_gradient_type,
    vjp=_NO_GRADIENT,
    dtypes=_OPERANDS,
    traits=[Trait.ACCUMULATES],
    samples=_gradient_samples(),
    errors=_GRADIENT_ERRORS,
    ulp=64,
    numerics="what takes no part has weight 0, even in a row with a NaN",
)
def attention_query_gradient(
    g: Any,
    q: Any,
    k: Any,
    v: Any,
    total: Any,
    inner: Any,
    mask: Any = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Any:
    """The gradient of q, given the gradient g of the attention.

    `total` is the second result of `attention_with_logsumexp`, `inner` has for each
    row the sum of the attention times g; both are [batch, heads, time].
    """
    shared, dtype = k.type.shape[2], q.type.dtype
    rows, k_first, factor = grouped(q, shared), heads_first(k), scale_of(q, scale)
    allowed = allowed_logits(q, k, mask, causal)
    weights = _weights(rows, k_first, _by_group(total, shared), allowed, factor)
    cotangent, inner = grouped(g, shared), _by_group(inner, shared)
    by_logits = logits_gradient(weights, cotangent, heads_first(v), inner)
    by_logits = in_dtype(multiply(by_logits, factor), dtype)
    found = dot_general(by_logits, k_first, contract=[[3], [2]], batch=BATCH)
    return ungrouped(found, q)


@composite(
    Kind.CONTRACTION,
    infer=_key_value_gradient_type,
    vjp=_NO_GRADIENT,
    dtypes=_OPERANDS,
    traits=[Trait.ACCUMULATES],
    samples=_gradient_samples(),
    errors=_GRADIENT_ERRORS,
    ulp=64,
    numerics="what takes no part has weight 0, even in a row with a NaN; in a fully"
    " masked row all keys have the same weight",
)
def attention_key_value_gradient(
    g: Any,
    q: Any,
    k: Any,
    v: Any,
    total: Any,
    inner: Any,
    mask: Any = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Any:
    """The gradients of k and v; the operands are those of `attention_query_gradient`."""
    shared, dtype = k.type.shape[2], q.type.dtype
    rows, k_first, factor = grouped(q, shared), heads_first(k), scale_of(q, scale)
    allowed, total = allowed_logits(q, k, mask, causal), _by_group(total, shared)
    weights = _weights(rows, k_first, total, allowed, factor)
    cotangent, inner = grouped(g, shared), _by_group(inner, shared)
    by_logits = logits_gradient(weights, cotangent, heads_first(v), inner)
    by_logits = in_dtype(multiply(by_logits, factor), dtype)
    by_k = dot_general(by_logits, rows, contract=[[2], [2]], batch=BATCH)
    if mask is not None:
        weights = add(weights, _even_weights(total, weights))
    by_v = dot_general(
        in_dtype(weights, dtype), cotangent, contract=[[2], [2]], batch=BATCH
    )
    return heads_first(by_k), heads_first(by_v)


def _even_weights(total: Any, weights: Any) -> Any:
    """The same weight for all keys of fully masked rows, 0 elsewhere."""
    masked = in_dtype(compare(total, -math.inf, direction="EQ"), total.type.dtype)
    masked = expand_axes(masked, weights.type.shape, [3])
    return divide(masked, count(weights, [3]))
