"""The cross-entropy of a linear layer's logits, as one op that need not keep them."""

from __future__ import annotations

from typing import Any

from graphc.ir.opdef import FLOAT, INTEGER, Arg, IllTyped, Kind, Sample, Trait
from graphc.ir.ops.along_axes import in_dtype, wide_dtype
from graphc.ir.ops.contraction import dot_general
from graphc.ir.ops.elementwise import add
from graphc.ir.ops.probability import cross_entropy, cross_entropy_gradient
from graphc.ir.ops.reduction import reduce_sum
from graphc.ir.ops.shape import expand_axes
from graphc.ir.register import composite
from graphc.ir.typerules import require
from graphc.ir.types import F32, F64, TensorType


def _losses_type(
    x: TensorType,
    w: TensorType,
    labels: TensorType,
    bias: TensorType | None = None,
    *,
    axis: int,
) -> TensorType:
    require(
        x.rank >= 1 and w.rank == 2 and axis in (0, 1),
        "linear_cross_entropy: w must be a matrix, axis one of its axes",
        x,
        w,
    )
    require(
        x.dtype is w.dtype and x.shape[-1] == w.shape[axis],
        f"linear_cross_entropy: x must have the dtype of w and along its last axis the"
        f" size of axis {axis} of w",
        x,
        w,
    )
    require(
        labels.shape == x.shape[:-1],
        "linear_cross_entropy: labels must have the shape of x without the last axis",
        x,
        labels,
    )
    classes = (w.shape[1 - axis],)
    require(
        bias is None or (bias.shape == classes and bias.dtype is w.dtype),
        "linear_cross_entropy: bias must have a number for each class, of the dtype of"
        " w",
        *(type for type in (w, bias) if type is not None),
    )
    return TensorType(labels.shape, wide_dtype(x.dtype))


def _logits(x: Any, w: Any, bias: Any, axis: int) -> Any:
    dtype, wide = x.type.dtype, wide_dtype(x.type.dtype)
    last = x.type.rank - 1
    found = dot_general(
        x, w, contract=[[last], [axis]], dtype=None if wide is dtype else wide
    )
    if bias is None:
        return found
    return add(found, expand_axes(in_dtype(bias, wide), found.type.shape, range(last)))


def _losses_vjp(
    g: Any,
    y: Any,
    x: Any,
    w: Any,
    labels: Any,
    *bias: Any,
    axis: int,
) -> Any:
    by_x, *sums = linear_cross_entropy_gradient(g, x, w, labels, *bias, axis=axis)
    by_w, *by_bias = sums
    return (by_x, by_w, None, *by_bias)


_LABELS = Arg("i32[4]", -1, 5)
_USES: tuple[tuple[tuple[str | Arg, ...], dict[str, Any]], ...] = (
    (("f32[4,3]", "f32[3,5]", _LABELS), {}),
    (("f32[4,3]", "f32[3,5]", _LABELS, "f32[5]"), {}),
    (("f32[2,4,3]", "f32[5,3]", Arg("i64[2,4]", 0, 4)), {"axis": 1}),
    (("f32[3]", "f32[3,5]", Arg("u8[]", 0, 4), "f32[5]"), {}),
    (("bf16[4,3]", "bf16[5,3]", _LABELS, "bf16[5]"), {"axis": 1}),
    (("f16[4,3]", "f16[5,3]", _LABELS, "f16[5]"), {"axis": 1}),
    (("f64[4,3]", "f64[3,5]", _LABELS, "f64[5]"), {}),
    (("f32[B,3]", "f32[3,5]", Arg("i32[B]", 0, 4)), {}),
)
"""Types of x, w, labels and the bias, and attributes, to sample."""

_ERRORS = (
    IllTyped(("f32[4,3]", "f32[3]", "i32[4]"), "w must be a matrix"),
    IllTyped(("f32[4,3]", "f32[3,5]", "i32[4]"), "one of its axes", {"axis": 2}),
    IllTyped(("f32[4,3]", "f32[5,3]", "i32[4]"), "the size of axis 0 of w"),
    IllTyped(("f32[4,3]", "f64[3,5]", "i32[4]"), "the dtype of w"),
    IllTyped(("f32[4,3]", "f32[3,5]", "i32[3]"), "labels must have the shape of x"),
    IllTyped(("f32[4,3]", "f32[3,5]", "i32[4]", "f32[4]"), "a number for each class"),
    IllTyped(("f32[4,3]", "f32[3,5]", "f32[4]"), "labels must be an integer"),
)


@composite(
    Kind.CONTRACTION,
    infer=_losses_type,
    vjp=_losses_vjp,
    dtypes=(FLOAT, FLOAT, INTEGER, FLOAT),
    traits=[Trait.ACCUMULATES, Trait.RANGE_SENSITIVE],
    samples=tuple(Sample(types, attributes) for types, attributes in _USES),
    errors=_ERRORS,
    ulp=16,
    numerics="float16 and bfloat16 have float32 logits; a label that names no class"
    " gives loss 0 and no gradient",
)
def linear_cross_entropy(
    x: Any,
    w: Any,
    labels: Any,
    bias: Any = None,
    *,
    axis: int = 0,
) -> Any:
    """The cross-entropy of the logits x w + bias, for each example.

    x is [..., depth], w a matrix with the depth along `axis` and the classes along the
    other, labels [...], bias [classes]. The result is in float32 for narrower x.
    """
    return cross_entropy(_logits(x, w, bias, axis), labels)


def _gradient_type(
    g: TensorType,
    x: TensorType,
    w: TensorType,
    labels: TensorType,
    bias: TensorType | None = None,
    *,
    axis: int,
) -> tuple[TensorType, ...]:
    wanted = _losses_type(x, w, labels, bias, axis=axis)
    require(
        g == wanted, f"linear_cross_entropy_gradient: g must be {wanted} like losses", g
    )
    return (x, w) if bias is None else (x, w, bias)


def _gradient_sample(
    types: tuple[str | Arg, ...], attributes: dict[str, Any]
) -> Sample:
    dtype, sizes = str(types[0]).rstrip("]").split("[")
    wide = "f64" if dtype == "f64" else "f32"
    g = f"{wide}[{','.join(sizes.split(',')[:-1])}]"
    # Second derivatives are sums that cancel: differences tell them in float64 alone.
    return Sample((g, *types), attributes, smooth=dtype == "f64")


@composite(
    Kind.CONTRACTION,
    infer=_gradient_type,
    dtypes=(frozenset({F32, F64}), FLOAT, FLOAT, INTEGER, FLOAT),
    traits=[Trait.ACCUMULATES, Trait.RANGE_SENSITIVE],
    samples=tuple(_gradient_sample(*use) for use in _USES),
    errors=(
        *(
            IllTyped(("f32[4]", *error.operands), error.message, error.attributes)
            for error in _ERRORS
        ),
        IllTyped(("f32[3]", "f32[4,3]", "f32[3,5]", "i32[4]"), "g must be f32[4]"),
    ),
    ulp=64,
)
def linear_cross_entropy_gradient(
    g: Any,
    x: Any,
    w: Any,
    labels: Any,
    bias: Any = None,
    *,
    axis: int = 0,
) -> Any:
    """The gradients of x, w and the bias, given the gradient g of the losses.

    The logits are computed again. The operands are g and those of
    `linear_cross_entropy`.
    """
    last, dtype = x.type.rank - 1, x.type.dtype
    by_logits = cross_entropy_gradient(g, _logits(x, w, bias, axis), labels)
    narrow = in_dtype(by_logits, dtype)
    by_x = dot_general(narrow, w, contract=[[last], [1 - axis]])
    examples = list(range(last))
    sides = (x, narrow) if axis == 0 else (narrow, x)
    by_w = dot_general(*sides, contract=[examples, examples])
    if bias is None:
        return by_x, by_w
    return by_x, by_w, in_dtype(reduce_sum(by_logits, axes=examples), dtype)
