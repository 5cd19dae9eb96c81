"""Probabilities from logits: softmax, its logarithms, cross-entropies, one-hot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphc.ir.opdef import FLOAT, INTEGER, Arg, IllTyped, Ints, Kind, Sample, Trait
from graphc.ir.ops.along_axes import at_index, in_dtype, index_dtype, widen
from graphc.ir.ops.bits import and_
from graphc.ir.ops.elementwise import (
    abs_,
    add,
    compare,
    convert,
    divide,
    maximum,
    multiply,
    negate,
    select,
    subtract,
)
from graphc.ir.ops.reduction import reduce_max, reduce_sum
from graphc.ir.ops.shape import dimension_size, expand_axes
from graphc.ir.ops.transcendental import exponential, log, log_plus_one, logistic
from graphc.ir.register import composite
from graphc.ir.typerules import checked_axes, reduced, require, same_type
from graphc.ir.types import DType, TensorType

# -- softmax ---------------------------------------------------------------------------


def summed(x: Any, axes: Sequence[int]) -> Any:
    """The sums of `x` over `axes`, repeated along them."""
    return expand_axes(reduce_sum(x, axes=axes), x.type.shape, axes)


def shifted(x: Any, axes: Sequence[int]) -> Any:
    """`x` minus its maximum over `axes`: its exponentials do not overflow."""
    return subtract(x, expand_axes(reduce_max(x, axes=axes), x.type.shape, axes))


def _axis_samples(low: float, high: float) -> tuple[Sample, ...]:
    return (
        Sample((Arg("f32[3,4]", low, high),), {"axis": 1}),
        Sample((Arg("f32[2,3,4]", low, high),), {"axis": 1}),
        Sample((Arg("f32[5]", low, high),), {"axis": 0}),
        Sample((Arg("f64[2,3]", low, high),), {"axis": 1}),
        Sample(("f32[B,4]",), {"axis": 1}),
        Sample(("f32[2,T]",), {"axis": 1}),
    )


_SAMPLES = (*_axis_samples(-2, 2), Sample((Arg("f32[2,3]", -300, 300),), {"axis": 1}))
_ERRORS = (
    IllTyped(("f32[3]",), "within 0..0", {"axis": 1}),
    IllTyped(("f32[3]",), "within 0..0", {"axis": -1}),
    IllTyped(("i32[3]",), "must be floating point", {"axis": 0}),
    IllTyped(("f32[3]",), "attribute 'axis' is missing"),
)


def _softmax_vjp(g: Any, y: Any, x: Any, axis: int) -> Any:
    weights, cotangent = widen(y), widen(g)
    inner = summed(multiply(cotangent, weights), [axis])
    found = multiply(weights, subtract(cotangent, inner))
    return (in_dtype(found, x.type.dtype),)


def _softmax_type(x: TensorType, *, axis: int) -> TensorType:
    checked_axes("softmax", [axis], x.rank)
    return x


@composite(
    Kind.REDUCTION,
    infer=_softmax_type,
    vjp=_softmax_vjp,
    dtypes=FLOAT,
    traits=[Trait.ACCUMULATES],
    samples=_SAMPLES,
    errors=_ERRORS,
    ulp=16,
    numerics="does not overflow; float16 and bfloat16 compute in float32",
)
def softmax(x: Any, *, axis: int) -> Any:
    """exp(x) divided by its sum along `axis`."""
    powers = exponential(shifted(widen(x), [axis]))
    return in_dtype(divide(powers, summed(powers, [axis])), x.type.dtype)


def _log_softmax_vjp(g: Any, y: Any, x: Any, axis: int) -> Any:
    cotangent = widen(g)
    flow = multiply(exponential(widen(y)), summed(cotangent, [axis]))
    return (in_dtype(subtract(cotangent, flow), x.type.dtype),)


def _log_softmax_type(x: TensorType, *, axis: int) -> TensorType:
    checked_axes("log_softmax", [axis], x.rank)
    return x


@composite(
    Kind.REDUCTION,
    infer=_log_softmax_type,
    vjp=_log_softmax_vjp,
    dtypes=FLOAT,
    traits=[Trait.ACCUMULATES],
    samples=_SAMPLES,
    errors=_ERRORS,
    ulp=16,
    numerics="does not overflow; float16 and bfloat16 compute in float32",
)
def log_softmax(x: Any, *, axis: int) -> Any:
    """The logarithm of softmax(x) along `axis`."""
    low = shifted(widen(x), [axis])
    return in_dtype(subtract(low, log(summed(exponential(low), [axis]))), x.type.dtype)


def _finite(x: Any) -> Any:
    """`x` with 0 put for the infinities, whose differences would be nan."""
    return select(compare(abs_(x), math.inf, direction="EQ"), 0.0, x)


def _logsumexp_vjp(g: Any, y: Any, x: Any, axes: Ints) -> Any:
    shape = x.type.shape
    wide = widen(x)
    total = y if wide is x else logsumexp(wide, axes=axes)
    total = expand_axes(_finite(total), shape, axes)
    weights = exponential(subtract(wide, total))
    found = multiply(expand_axes(widen(g), shape, axes), weights)
    return (in_dtype(found, x.type.dtype),)


@composite(
    Kind.REDUCTION,
    infer=lambda x, axes: reduced("logsumexp", x, axes),
    vjp=_logsumexp_vjp,
    dtypes=FLOAT,
    traits=[Trait.ACCUMULATES, Trait.RANGE_SENSITIVE],
    samples=(
        Sample(("f32[3,4]",), {"axes": [1]}),
        Sample(("f32[2,3,4]",), {"axes": [0, 2]}),
        Sample((Arg("f32[2,3]", -300, 300),), {"axes": [0, 1]}),
        Sample(("f64[5]",), {"axes": [0]}),
        Sample(("f32[B,4]",), {"axes": [0]}),
    ),
    errors=(
        IllTyped(("f32[3]",), "within 0..0", {"axes": [1]}),
        IllTyped(("f32[3]",), "axes must be distinct", {"axes": [0, 0]}),
        IllTyped(("i32[3]",), "must be floating point", {"axes": [0]}),
    ),
    ulp=16,
    numerics="does not overflow; -inf where all elements are -inf",
)
def logsumexp(x: Any, *, axes: Ints) -> Any:
    """The logarithm of the sum of exp(x) over `axes`."""
    wide = widen(x)
    top = _finite(reduce_max(wide, axes=axes))
    low = subtract(wide, expand_axes(top, x.type.shape, axes))
    total = log(reduce_sum(exponential(low), axes=axes))
    return in_dtype(add(total, top), x.type.dtype)


# -- integer labels --------------------------------------------------------------------


def _is_class(labels: Any, logits: Any) -> Any:
    """Whether each label names one of the classes along the last axis."""
    last = logits.type.rank - 1
    kind = index_dtype(labels.type.dtype)
    found = in_dtype(labels, kind)
    size = logits.type.shape[last]
    if not isinstance(size, int):
        size = in_dtype(dimension_size(logits, axis=last), kind)
    above = compare(found, 0, direction="GE")
    return and_(above, compare(found, size, direction="LT"))


def _cross_entropy_vjp(g: Any, y: Any, logits: Any, labels: Any) -> Any:
    return cross_entropy_gradient(g, logits, labels), None


def cross_entropy_gradient(g: Any, logits: Any, labels: Any) -> Any:
    """The gradient of the logits, given the gradient g of their `cross_entropy`."""
    shape, last = logits.type.shape, logits.type.rank - 1
    # As in the losses, whose maxima, powers and sums it shares then.
    chances = softmax(widen(logits), axis=last)
    hit = at_index(labels, shape, last)
    excess = select(hit, subtract(chances, 1.0), chances)
    weight = select(_is_class(labels, logits), widen(g), 0.0)
    found = multiply(excess, expand_axes(weight, shape, [last]))
    return in_dtype(found, logits.type.dtype)


def _cross_entropy_type(logits: TensorType, labels: TensorType) -> TensorType:
    require(
        logits.rank >= 1 and labels.shape == logits.shape[:-1],
        "cross_entropy: labels must have the shape of the logits without the last axis",
        logits,
        labels,
    )
    return logits.with_shape(labels.shape)


@composite(
    Kind.REDUCTION,
    infer=_cross_entropy_type,
    vjp=_cross_entropy_vjp,
    dtypes=(FLOAT, INTEGER),
    traits=[Trait.ACCUMULATES, Trait.RANGE_SENSITIVE],
    samples=(
        Sample(("f32[4,5]", Arg("i32[4]", 0, 4))),
        Sample(("f32[2,3,4]", Arg("i64[2,3]", -1, 4))),
        Sample((Arg("f32[3]", -300, 300), Arg("u8[]", 0, 2))),
        Sample(("f64[2,4]", Arg("i32[2]", 0, 3))),
        Sample(("f32[B,5]", Arg("i32[B]", 0, 4))),
        Sample(("f32[B,T]", Arg("i32[B]", 0, 4))),
    ),
    errors=(
        IllTyped(("f32[4,5]", "i32[3]"), "labels must have the shape of the logits"),
        IllTyped(("f32[4,5]", "i32[4,5]"), "labels must have the shape of the logits"),
        IllTyped(("f32[]", "i32[]"), "labels must have the shape of the logits"),
        IllTyped(("f32[4,5]", "f32[4]"), "labels must be an integer"),
        IllTyped(("i32[4,5]", "i32[4]"), "logits must be floating point"),
    ),
    ulp=16,
    numerics="a label that names no class gives loss 0 and no gradient",
)
def cross_entropy(logits: Any, labels: Any) -> Any:
    """For each example, minus the log of the softmax of the logits at its label.

    The classes lie along the last axis of the logits; labels count them from 0.
    """
    shape, last = logits.type.shape, logits.type.rank - 1
    wide = widen(logits)
    hit = at_index(labels, shape, last)
    # By the softmax, not logsumexp - logit: a small loss of large logits keeps its bits.
    low = log_softmax(wide, axis=last)
    found = negate(reduce_sum(select(hit, low, 0.0), axes=[last]))
    found = select(_is_class(labels, logits), found, 0.0)
    return in_dtype(found, logits.type.dtype)


# -- targets as probabilities ----------------------------------------------------------


def _softmax_cross_entropy_vjp(g: Any, y: Any, logits: Any, targets: Any) -> Any:
    shape, last = logits.type.shape, logits.type.rank - 1
    wide, goal = widen(logits), widen(targets)
    low = subtract(wide, expand_axes(logsumexp(wide, axes=[last]), shape, [last]))
    weight = expand_axes(widen(g), shape, [last])
    total = expand_axes(reduce_sum(goal, axes=[last]), shape, [last])
    by_logits = multiply(weight, subtract(multiply(exponential(low), total), goal))
    by_targets = negate(multiply(weight, low))
    dtype = logits.type.dtype
    return in_dtype(by_logits, dtype), in_dtype(by_targets, dtype)


def _softmax_cross_entropy_type(logits: TensorType, targets: TensorType) -> TensorType:
    require(
        logits.rank >= 1 and targets == logits,
        "softmax_cross_entropy: logits and targets must have the same type",
        logits,
        targets,
    )
    return logits.with_shape(logits.shape[:-1])


@composite(
    Kind.REDUCTION,
    infer=_softmax_cross_entropy_type,
    vjp=_softmax_cross_entropy_vjp,
    dtypes=FLOAT,
    traits=[Trait.ACCUMULATES, Trait.RANGE_SENSITIVE],
    samples=(
        Sample(("f32[4,5]", Arg("f32[4,5]", 0, 1))),
        Sample((Arg("f32[2,3,4]", -99, 99), Arg("f32[2,3,4]", 0, 1))),
        Sample(("f64[3]", Arg("f64[3]", 0, 1))),
        Sample(("f32[B,5]", Arg("f32[B,5]", 0, 1))),
    ),
    errors=(
        IllTyped(("f32[4,5]", "f32[4]"), "must have the same type"),
        IllTyped(("f32[4,5]", "f64[4,5]"), "must have the same type"),
        IllTyped(("f32[]", "f32[]"), "must have the same type"),
        IllTyped(("f32[4,5]", "i32[4,5]"), "targets must be floating point"),
    ),
    ulp=16,
)
def softmax_cross_entropy(logits: Any, targets: Any) -> Any:
    """For each example, minus the sum of targets times the log of the softmax.

    The classes lie along the last axis.
    """
    last = logits.type.rank - 1
    wide = widen(logits)
    total = expand_axes(logsumexp(wide, axes=[last]), logits.type.shape, [last])
    terms = multiply(widen(targets), subtract(total, wide))
    return in_dtype(reduce_sum(terms, axes=[last]), logits.type.dtype)


def _sigmoid_cross_entropy_vjp(g: Any, y: Any, logits: Any, targets: Any) -> Any:
    excess = subtract(logistic(logits), targets)
    return multiply(g, excess), negate(multiply(g, logits))


@composite(
    Kind.ELEMENTWISE,
    infer=lambda logits, targets: same_type("sigmoid_cross_entropy", logits, targets),
    vjp=_sigmoid_cross_entropy_vjp,
    dtypes=FLOAT,
    traits=[Trait.RANGE_SENSITIVE],
    samples=(
        Sample(("f32[3,4]", Arg("f32[3,4]", 0, 1))),
        Sample((Arg("f32[5]", -200, 200), Arg("f32[]", 0, 1))),
        Sample(("f32[]", Arg("f32[3]", 0, 1))),
        Sample(("f64[3]", Arg("f64[3]", 0, 1))),
    ),
    errors=(
        IllTyped(("f32[3]", "f32[4]"), "must have the same shape"),
        IllTyped(("f32[3]", "f64[3]"), "must have the same dtype"),
        IllTyped(("i32[3]", "f32[3]"), "logits must be floating point"),
    ),
    ulp=16,
)
def sigmoid_cross_entropy(logits: Any, targets: Any) -> Any:
    """-targets * log(logistic(logits)) - (1 - targets) * log(1 - logistic(logits))."""
    wide = widen(logits)
    rest = log_plus_one(exponential(negate(abs_(wide))))
    chosen = subtract(maximum(wide, 0.0), multiply(wide, widen(targets)))
    return in_dtype(add(chosen, rest), logits.type.dtype)


# -- encoding --------------------------------------------------------------------------


def _one_hot_type(indices: TensorType, *, depth: int, dtype: DType) -> TensorType:
    require(depth >= 0, f"one_hot: depth must not be negative, not {depth}")
    return TensorType((*indices.shape, depth), dtype)


@composite(
    Kind.OPAQUE,
    infer=_one_hot_type,
    vjp="integers have no gradient",
    dtypes=INTEGER,
    samples=(
        Sample((Arg("i32[4]", -1, 5),), {"depth": 5, "dtype": "f32"}),
        Sample((Arg("u8[2,3]", 0, 255),), {"depth": 300, "dtype": "bool"}),
        Sample((Arg("i64[]", 0, 3),), {"depth": 3, "dtype": "i32"}),
        Sample((Arg("i32[B]", 0, 3),), {"depth": 3, "dtype": "bf16"}),
    ),
    errors=(
        IllTyped(("f32[3]",), "must be an integer", {"depth": 3, "dtype": "f32"}),
        IllTyped(("i32[3]",), "must not be negative", {"depth": -1, "dtype": "f32"}),
        IllTyped(("i32[3]",), "'dtype' is missing", {"depth": 3}),
    ),
    numerics="an index outside 0..depth-1 gives zeros",
)
def one_hot(indices: Any, *, depth: int, dtype: DType) -> Any:
    """1 where the position along a new last axis of size `depth` is the index."""
    shape = (*indices.type.shape, depth)
    return convert(at_index(indices, shape, len(shape) - 1), dtype=dtype)
