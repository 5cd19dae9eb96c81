"""Scaled dot-product attention and its gradient."""

from __future__ import annotations

import math
from typing import Any

from graphc.ir.errors import GraphError
from graphc.ir.opdef import BOOLEAN, FLOAT, IllTyped, Kind, Sample, Trait
from graphc.ir.ops.along_axes import in_dtype, wide_dtype, widen
from graphc.ir.ops.bits import and_
from graphc.ir.ops.contraction import dot_general
from graphc.ir.ops.elementwise import compare, multiply, select, subtract
from graphc.ir.ops.probability import softmax
from graphc.ir.ops.reduction import reduce_sum
from graphc.ir.ops.shape import expand, expand_axes, iota, reshape, transpose
from graphc.ir.register import composite
from graphc.ir.typerules import require, types_text
from graphc.ir.types import I32, TensorType

_MASKED = -0.7 * 3.4028234663852886e38
"""What masked logits become: finite, so that a row of only masked ones is no nan."""


def attention_type(
    q: TensorType,
    k: TensorType,
    v: TensorType,
    mask: TensorType | None = None,
    *,
    causal: bool,
    scale: float | None,
) -> TensorType:
    """The type of the attention; `attention` says what its operands must be."""
    tensors = (q, k, v)
    require(
        all(t.rank == 4 for t in tensors),
        "attention: q, k and v must have the dimensions batch, time, heads, depth",
        *tensors,
    )
    require(
        q.dtype is k.dtype and k.dtype is v.dtype,
        "attention: q, k and v must have the same dtype",
        *tensors,
    )
    _check_sizes(q, k, v)
    require(
        scale is not None or (isinstance(q.shape[3], int) and q.shape[3] > 0),
        "attention: a depth that is symbolic or 0 needs a scale",
        q,
    )
    if mask is not None:
        logits = (q.shape[0], q.shape[2], q.shape[1], k.shape[1])
        fits = mask.rank == 4 and all(
            size in (1, whole) for size, whole in zip(mask.shape, logits, strict=True)
        )
        if not fits:
            raise GraphError(
                "attention: mask must have the dimensions batch, heads, time of q,"
                " time of k, each of them whole or 1",
                received=types_text((*tensors, mask)),
            )
    return q.with_shape((*q.shape[:3], v.shape[3]))


def _check_sizes(q: TensorType, k: TensorType, v: TensorType) -> None:
    batch, _, heads, depth = q.shape
    require(
        k.shape[0] == batch and k.shape[3] == depth and v.shape[:3] == k.shape[:3],
        "attention: batch, depth of q and k, and time and heads of k and v must agree",
        q,
        k,
        v,
    )
    shared = k.shape[2]
    require(
        isinstance(heads, int)
        and isinstance(shared, int)
        and shared > 0
        and heads % shared == 0,
        "attention: the heads of q must be a known multiple of those of k and v",
        q,
        k,
        v,
    )


def heads_first(x: Any) -> Any:
    """[batch, time, heads, depth] as [batch, heads, time, depth], or back."""
    return transpose(x, permutation=[0, 2, 1, 3])


def grouped(x: Any, shared: int) -> Any:
    """`x` as [batch, shared heads, group * time, depth], as the logits have it."""
    turned = heads_first(x)
    batch, heads, time, depth = turned.type.shape
    return reshape(turned, shape=(batch, shared, heads // shared * time, depth))


def ungrouped(x: Any, like: Any) -> Any:
    """The inverse of `grouped`; all dimensions but the depth are those of `like`."""
    batch, time, heads, _ = like.type.shape
    depth = x.type.shape[3]
    return heads_first(reshape(x, shape=(batch, heads, time, depth)))


def allowed_logits(q: Any, k: Any, mask: Any, causal: bool) -> Any:
    """Which logits take part, as large as they are, or None for all of them."""
    batch, time, heads, _ = q.type.shape
    _, source, shared, _ = k.type.shape
    whole = (batch, heads, time, source)
    allowed = None
    if causal:
        grid = (time, source)
        row, column = (iota(shape=grid, axis=axis, dtype=I32) for axis in (0, 1))
        allowed = expand(compare(row, column, direction="GE"), whole, [2, 3])
    if mask is not None:
        unmasked = expand(mask, whole, range(4))
        allowed = unmasked if allowed is None else and_(allowed, unmasked)
    if allowed is None:
        return None
    return reshape(allowed, shape=(batch, shared, heads // shared * time, source))


def scaled_logits(q: Any, k: Any, scale: float) -> Any:
    """The logits of grouped q and heads-first k, in the dtype to compute in."""
    dtype, wide = q.type.dtype, wide_dtype(q.type.dtype)
    logits = dot_general(
        q,
        k,
        contract=[[3], [3]],
        batch=BATCH,
        dtype=None if wide is dtype else wide,
    )
    return multiply(logits, scale)


def _weights(q: Any, k: Any, allowed: Any, scale: float) -> Any:
    logits = scaled_logits(q, k, scale)
    if allowed is not None:
        logits = select(allowed, logits, _MASKED)
    return softmax(logits, axis=3)


def scale_of(q: Any, scale: float | None) -> float:
    """The factor of the logits: 1 / sqrt(depth) unless given."""
    return 1 / math.sqrt(q.type.shape[3]) if scale is None else scale


BATCH = [[0, 1], [0, 1]]
"""The batch dimensions of products of grouped or heads-first tensors."""

_PLAIN = ("f32[2,3,2,4]", "f32[2,5,2,4]", "f32[2,5,2,4]")
USES: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (_PLAIN, {}),
    (_PLAIN, {"causal": True, "scale": 0.3}),
    ((*_PLAIN, "bool[2,2,3,5]"), {}),
    ((*_PLAIN, "bool[1,1,3,5]"), {"causal": True}),
    (("f32[2,3,4,5]", "f32[2,3,2,5]", "f32[2,3,2,6]"), {"causal": True}),
    (("f32[1,3,4,2]", "f32[1,3,1,2]", "f32[1,3,1,2]", "bool[1,4,3,3]"), {}),
    (("f64[1,3,2,4]", "f64[1,3,2,4]", "f64[1,3,2,4]"), {}),
    (
        ("f32[B,T,2,4]", "f32[B,S,2,4]", "f32[B,S,2,4]", "bool[B,1,1,S]"),
        {"causal": True},
    ),
)
"""Types of q, k, v and the mask, and attributes, to sample."""


def _attention_vjp(
    g: Any,
    y: Any,
    q: Any,
    k: Any,
    v: Any,
    *mask: Any,
    causal: bool,
    scale: float | None,
) -> Any:
    found = attention_gradient(g, y, q, k, v, *mask, causal=causal, scale=scale)
    return (*found, *(None for _ in mask))


@composite(
    Kind.CONTRACTION,
    infer=attention_type,
    vjp=_attention_vjp,
    dtypes=(FLOAT, FLOAT, FLOAT, BOOLEAN),
    traits=[Trait.ACCUMULATES],
    samples=tuple(Sample(types, attributes) for types, attributes in USES),
    errors=(
        IllTyped(
            ("f32[3,4]", "f32[3,4]", "f32[3,4]"), "must have the dimensions batch"
        ),
        IllTyped((_PLAIN[0], "f32[2,5,2,3]", _PLAIN[2]), "must agree"),
        IllTyped((_PLAIN[0], _PLAIN[1], "f32[2,4,2,4]"), "must agree"),
        IllTyped(("f32[2,3,3,4]", *_PLAIN[1:]), "must be a known multiple"),
        IllTyped(("f32[1,3,2,0]", "f32[1,3,2,0]", "f32[1,3,2,4]"), "needs a scale"),
        IllTyped((*_PLAIN[:2], "f64[2,5,2,4]"), "must have the same dtype"),
        IllTyped((*_PLAIN, "bool[3,5]"), "mask must have the dimensions"),
        IllTyped((*_PLAIN, "bool[2,2,3,4]"), "mask must have the dimensions"),
        IllTyped((*_PLAIN, "f32[2,2,3,5]"), "mask must be bool"),
    ),
    ulp=32,
    numerics="float16 and bfloat16 have float32 logits; a fully masked row takes the"
    " mean of v",
)
def attention(
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Any:
    """softmax(q k^T * scale) v where the mask holds; if causal, also no later time.

    q is [batch, time, heads, depth]; k and v are [batch, source time, shared heads,
    depth], each of whose heads serves heads / shared heads consecutive ones of q. The
    mask is [batch, heads, time, source time], each of them whole or 1. The scale is
    1 / sqrt(depth) unless given.
    """
    shared = k.type.shape[2]
    allowed = allowed_logits(q, k, mask, causal)
    weights = _weights(grouped(q, shared), heads_first(k), allowed, scale_of(q, scale))
    found = dot_general(
        in_dtype(weights, v.type.dtype),
        heads_first(v),
        contract=[[3], [2]],
        batch=BATCH,
    )
    return ungrouped(found, q)


# -- gradient --------------------------------------------------------------------------


def _attention_gradient_type(
    g: TensorType,
    y: TensorType,
    q: TensorType,
    k: TensorType,
    v: TensorType,
    mask: TensorType | None = None,
    *,
    causal: bool,
    scale: float | None,
) -> tuple[TensorType, ...]:
    wanted = attention_type(q, k, v, mask, causal=causal, scale=scale)
    require(
        g == wanted and y == wanted,
        f"attention_gradient: g and y must be {wanted} like the attention",
        g,
        y,
    )
    return q, k, v


def result_type(q: str, v: str) -> str:
    """The text of the type of an attention, from those of q and v."""
    return q[: q.rindex(",")] + v[v.rindex(",") :]


def logits_gradient(weights: Any, cotangent: Any, v: Any, inner: Any) -> Any:
    """The gradient of the scaled logits, in the dtype to compute in.

    `inner` has for each row the sum of its weights times their cotangents.
    """
    dtype, wide = v.type.dtype, wide_dtype(v.type.dtype)
    by_weights = dot_general(
        cotangent,
        v,
        contract=[[3], [3]],
        batch=BATCH,
        dtype=None if wide is dtype else wide,
    )
    excess = subtract(by_weights, expand_axes(inner, weights.type.shape, [3]))
    return multiply(weights, excess)


@composite(
    Kind.CONTRACTION,
    infer=_attention_gradient_type,
    dtypes=(FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, BOOLEAN),
    traits=[Trait.ACCUMULATES],
    samples=tuple(
        Sample((*[result_type(types[0], types[2])] * 2, *types), attributes)
        for types, attributes in USES
    ),
    errors=(
        IllTyped(("f32[2,3,2,4]", "f32[2,3,2,5]", *_PLAIN), "g and y must be"),
        IllTyped(("f32[2,3,2,4]", *_PLAIN), "takes 5 to 6 operands"),
        IllTyped((*["f32[2,3,2,4]"] * 2, *_PLAIN, "bool[3,5]"), "mask must have"),
    ),
    ulp=64,
    numerics="recomputes the weights instead of keeping them; uses the sum of g * y",
)
def attention_gradient(
    g: Any,
    y: Any,
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Any:
    """The gradients of q, k and v, given the gradient g of the attention y.

    An op of its own, so that a backend can keep it whole.
    """
    shared, dtype = k.type.shape[2], q.type.dtype
    rows, k_first = grouped(q, shared), heads_first(k)
    cotangent, result = grouped(g, shared), grouped(y, shared)
    allowed = allowed_logits(q, k, mask, causal)
    weights = _weights(rows, k_first, allowed, scale_of(q, scale))
    by_v = dot_general(
        in_dtype(weights, dtype), cotangent, contract=[[2], [2]], batch=BATCH
    )
    # The sum of weights times their cotangents is that of y times g: fewer elements.
    inner = reduce_sum(multiply(widen(cotangent), widen(result)), axes=[3])
    by_logits = logits_gradient(weights, cotangent, heads_first(v), inner)
    if mask is not None:  # a fully masked row has weights, but no gradient
        by_logits = select(allowed, by_logits, 0.0)
    by_logits = in_dtype(multiply(by_logits, scale_of(q, scale)), dtype)
    by_q = dot_general(by_logits, k_first, contract=[[3], [2]], batch=BATCH)
    by_k = dot_general(by_logits, rows, contract=[[2], [2]], batch=BATCH)
    return ungrouped(by_q, q), heads_first(by_k), heads_first(by_v)
