"""Normalization layers: layer, root-mean-square and batch normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.opdef import FLOAT, Arg, IllTyped, Ints, Kind, Sample, Trait
from graphc.ir.ops.along_axes import count, in_dtype, mean, wide_dtype, widen
from graphc.ir.ops.elementwise import add, divide, multiply, subtract
from graphc.ir.ops.reduction import reduce_sum
from graphc.ir.ops.shape import expand_axes
from graphc.ir.ops.transcendental import rsqrt, sqrt
from graphc.ir.register import composite
from graphc.ir.typerules import checked_axes, require
from graphc.ir.types import TensorType

_IN_FLOAT32 = "float16 and bfloat16 compute in float32"


def _check_parameters(
    name: str, x: TensorType, shape: Sequence[Dim], **parameters: TensorType
) -> None:
    """Parameters are of `shape` or rank 0, and as wide as x or as its arithmetic."""
    dtypes = (x.dtype, wide_dtype(x.dtype))
    for parameter, type in parameters.items():
        if type.shape not in ((), tuple(shape)) or type.dtype not in dtypes:
            wanted = TensorType(tuple(shape), x.dtype)
            raise GraphError(
                f"{name}: {parameter} must be {wanted} or of rank 0",
                received=f"{type} for {x}",
            )


def _others(x: Any, axes: Sequence[int]) -> list[int]:
    return [axis for axis in range(x.type.rank) if axis not in axes]


def _along(parameter: Any, x: Any, axes: Sequence[int]) -> Any:
    """A parameter of one element per position along `axes`, as large as `x`."""
    wide = widen(parameter)
    if not parameter.type.shape:
        return wide  # stretches by itself
    return expand_axes(wide, x.type.shape, _others(x, axes))


def _spread(statistic: Any, x: Any, axes: Sequence[int]) -> Any:
    """A statistic over `axes` of `x`, repeated along them."""
    return expand_axes(statistic, x.type.shape, axes)


# -- layer normalization ---------------------------------------------------------------


def _standardized(x: Any, axes: Ints, epsilon: float) -> tuple[Any, Any]:
    """`x` with mean 0 and variance 1 over `axes`, and what it was scaled by."""
    wide = widen(x)
    centered = subtract(wide, _spread(mean(wide, axes), x, axes))
    variance = mean(multiply(centered, centered), axes)
    scale = _spread(rsqrt(add(variance, epsilon)), x, axes)
    return multiply(centered, scale), scale


def _layer_norm_vjp(
    g: Any, y: Any, x: Any, scale: Any, offset: Any, axes: Ints, epsilon: float
) -> Any:
    standard, factor = _standardized(x, axes, epsilon)
    cotangent = widen(g)
    scaled = multiply(cotangent, _along(scale, x, axes))
    # The part of the cotangent that the mean and the variance took away.
    along = multiply(standard, _spread(mean(multiply(scaled, standard), axes), x, axes))
    level = _spread(mean(scaled, axes), x, axes)
    by_x = multiply(factor, subtract(subtract(scaled, level), along))
    rest = _others(x, axes)
    by_scale = reduce_sum(multiply(cotangent, standard), axes=rest)
    by_offset = reduce_sum(cotangent, axes=rest)
    return (
        in_dtype(by_x, x.type.dtype),
        in_dtype(by_scale, scale.type.dtype),
        in_dtype(by_offset, offset.type.dtype),
    )


def _normalized_shape(name: str, x: TensorType, axes: Ints) -> list[Dim]:
    checked_axes(name, axes, x.rank)
    require(list(axes) == sorted(axes), f"{name}: axes must ascend, not {list(axes)}")
    return [x.shape[axis] for axis in axes]


def _layer_norm_type(
    x: TensorType, scale: TensorType, offset: TensorType, *, axes: Ints, epsilon: float
) -> TensorType:
    shape = _normalized_shape("layer_norm", x, axes)
    _check_parameters("layer_norm", x, shape, scale=scale, offset=offset)
    return x


_LAST = {"axes": [1], "epsilon": 1e-3}


@composite(
    Kind.REDUCTION,
    infer=_layer_norm_type,
    vjp=_layer_norm_vjp,
    dtypes=FLOAT,
    traits=[Trait.ACCUMULATES],
    samples=(
        Sample(("f32[3,8]", "f32[8]", "f32[8]"), _LAST),
        Sample(("f32[3,8]", 1.0, 0.0), _LAST),
        Sample(("f32[2,3,4]", "f32[3,4]", "f32[]"), {"axes": [1, 2], "epsilon": 1e-5}),
        Sample(("f32[3,2,4]", "f32[3]", "f32[3]"), {"axes": [0], "epsilon": 1e-3}),
        Sample(("f64[3,8]", "f64[8]", "f64[8]"), _LAST),
        Sample(("f32[B,8]", "f32[8]", "f32[8]"), _LAST),
        Sample(("f32[2,T]", "f32[T]", "f32[T]"), _LAST),
    ),
    errors=(
        IllTyped(
            ("f32[3,8]", "f32[8]", "f32[8]"), "within 0..1", {**_LAST, "axes": [2]}
        ),
        IllTyped(("f32[3,8]", "f32[3]", "f32[8]"), "scale must be f32[8]", _LAST),
        IllTyped(("f32[3,8]", "f32[8]", "f32[1]"), "offset must be f32[8]", _LAST),
        IllTyped(("f32[3,8]", "f64[8]", "f32[8]"), "scale must be f32[8]", _LAST),
        IllTyped(
            ("f32[3,8]", "f32[]", "f32[]"), "must ascend", {**_LAST, "axes": [1, 0]}
        ),
        IllTyped(("f32[3,8]", "f32[8]"), "takes 3 operands", _LAST),
    ),
    ulp=32,
    numerics=_IN_FLOAT32,
)
def layer_norm(x: Any, scale: Any, offset: Any, *, axes: Ints, epsilon: float) -> Any:
    """Normalizes x to mean 0 and variance 1 over `axes`; times scale, plus offset.

    Scale and offset have the sizes of x along `axes`, or rank 0.
    """
    standard, _ = _standardized(x, axes, epsilon)
    scaled = multiply(standard, _along(scale, x, axes))
    return in_dtype(add(scaled, _along(offset, x, axes)), x.type.dtype)


# -- root-mean-square normalization ----------------------------------------------------


def _rms_factor(wide: Any, axes: Ints, epsilon: float) -> Any:
    square = mean(multiply(wide, wide), axes)
    return _spread(rsqrt(add(square, epsilon)), wide, axes)


def _rms_norm_vjp(
    g: Any, y: Any, x: Any, scale: Any, axes: Ints, epsilon: float
) -> Any:
    wide, cotangent = widen(x), widen(g)
    factor = _rms_factor(wide, axes, epsilon)
    standard = multiply(wide, factor)
    scaled = multiply(cotangent, _along(scale, x, axes))
    along = multiply(standard, _spread(mean(multiply(scaled, standard), axes), x, axes))
    by_x = multiply(factor, subtract(scaled, along))
    by_scale = reduce_sum(multiply(cotangent, standard), axes=_others(x, axes))
    return in_dtype(by_x, x.type.dtype), in_dtype(by_scale, scale.type.dtype)


def _rms_norm_type(
    x: TensorType, scale: TensorType, *, axes: Ints, epsilon: float
) -> TensorType:
    shape = _normalized_shape("rms_norm", x, axes)
    _check_parameters("rms_norm", x, shape, scale=scale)
    return x


@composite(
    Kind.REDUCTION,
    infer=_rms_norm_type,
    vjp=_rms_norm_vjp,
    dtypes=FLOAT,
    traits=[Trait.ACCUMULATES],
    samples=(
        Sample(("f32[3,8]", "f32[8]"), _LAST),
        Sample(("f32[3,8]", 1.0), _LAST),
        Sample(("f32[2,3,4]", "f32[3,4]"), {"axes": [1, 2], "epsilon": 1e-5}),
        Sample(("f64[3,8]", "f64[8]"), _LAST),
        Sample(("f32[B,T]", "f32[T]"), _LAST),
    ),
    errors=(
        IllTyped(("f32[3,8]", "f32[8]"), "within 0..1", {**_LAST, "axes": [2]}),
        IllTyped(("f32[3,8]", "f32[3]"), "scale must be f32[8]", _LAST),
        IllTyped(("i32[3,8]", "i32[8]"), "must be floating point", _LAST),
    ),
    ulp=32,
    numerics=_IN_FLOAT32,
)
def rms_norm(x: Any, scale: Any, *, axes: Ints, epsilon: float) -> Any:
    """Divides x by its root mean square over `axes`; times scale.

    Scale has the sizes of x along `axes`, or rank 0.
    """
    wide = widen(x)
    standard = multiply(wide, _rms_factor(wide, axes, epsilon))
    return in_dtype(multiply(standard, _along(scale, x, axes)), x.type.dtype)


# -- batch normalization ---------------------------------------------------------------


def _batch_norm_training_vjp(
    g: Any, y: Any, x: Any, scale: Any, offset: Any, feature_axis: int, epsilon: float
) -> Any:
    by_y, by_mean, by_variance = g
    _, average, variance = y
    axes = _others(x, [feature_axis])
    cotangent = widen(by_y)
    shifted = add(variance, epsilon)
    factor = rsqrt(shifted)
    centered = subtract(widen(x), _spread(average, x, axes))
    standard = multiply(centered, _spread(factor, x, axes))
    by_scale = reduce_sum(multiply(cotangent, standard), axes=axes)
    by_offset = reduce_sum(cotangent, axes=axes)
    # by_x = a * cotangent + b * standard + c with one a, b and c per feature: two
    # reductions and one pass over the elements.
    number = count(centered, axes)
    a = multiply(factor, widen(scale))
    b = multiply(multiply(by_variance, 2.0), sqrt(shifted))
    b = divide(subtract(b, multiply(a, by_scale)), number)
    c = divide(subtract(by_mean, multiply(a, by_offset)), number)
    by_x = add(
        multiply(cotangent, _spread(a, x, axes)),
        add(multiply(standard, _spread(b, x, axes)), _spread(c, x, axes)),
    )
    return (
        in_dtype(by_x, x.type.dtype),
        in_dtype(by_scale, scale.type.dtype),
        in_dtype(by_offset, offset.type.dtype),
    )


def _batch_norm_training_type(
    x: TensorType,
    scale: TensorType,
    offset: TensorType,
    *,
    feature_axis: int,
    epsilon: float,
) -> tuple[TensorType, ...]:
    name = "batch_norm_training"
    checked_axes(name, [feature_axis], x.rank)
    shape = (x.shape[feature_axis],)
    _check_parameters(name, x, shape, scale=scale, offset=offset)
    statistic = TensorType(shape, wide_dtype(x.dtype))
    return x, statistic, statistic


_FEATURES_LAST = {"feature_axis": 1, "epsilon": 1e-3}


@composite(
    Kind.REDUCTION,
    infer=_batch_norm_training_type,
    vjp=_batch_norm_training_vjp,
    dtypes=FLOAT,
    traits=[Trait.ACCUMULATES],
    samples=(
        Sample(("f32[6,3]", "f32[3]", "f32[3]"), _FEATURES_LAST),
        Sample(("f32[6,3]", 1.0, 0.0), _FEATURES_LAST),
        Sample(
            ("f32[2,3,4,5]", "f32[5]", "f32[5]"), {"feature_axis": 3, "epsilon": 1e-5}
        ),
        Sample(("f32[4,3,5]", "f32[3]", "f32[]"), _FEATURES_LAST),
        Sample(("f64[6,3]", "f64[3]", "f64[3]"), _FEATURES_LAST),
        Sample(
            ("f32[B,H,4]", "f32[4]", "f32[4]"), {"feature_axis": 2, "epsilon": 1e-3}
        ),
    ),
    errors=(
        IllTyped(
            ("f32[6,3]", "f32[3]", "f32[3]"),
            "within 0..1",
            {"feature_axis": 2, "epsilon": 1e-3},
        ),
        IllTyped(
            ("f32[6,3]", "f32[6]", "f32[3]"), "scale must be f32[3]", _FEATURES_LAST
        ),
        IllTyped(("f32[6,3]", "f32[3]"), "takes 3 operands", _FEATURES_LAST),
    ),
    ulp=32,
    numerics=f"the variance is the biased one, found in two passes; {_IN_FLOAT32}",
)
def batch_norm_training(
    x: Any, scale: Any, offset: Any, *, feature_axis: int, epsilon: float
) -> Any:
    """Normalizes x to mean 0 and variance 1 per feature; times scale, plus offset.

    The further results are the mean and the variance of each feature over all other
    axes; those of float16 and bfloat16 are float32. Scale and offset have one element
    per feature, or rank 0.
    """
    axes = _others(x, [feature_axis])
    wide = widen(x)
    average = mean(wide, axes)
    centered = subtract(wide, _spread(average, x, axes))
    variance = mean(multiply(centered, centered), axes)
    factor = multiply(rsqrt(add(variance, epsilon)), widen(scale))
    scaled = multiply(centered, _spread(factor, x, axes))
    shifted = add(scaled, _along(offset, x, [feature_axis]))
    return in_dtype(shifted, x.type.dtype), average, variance


def _batch_norm_inference_type(
    x: TensorType,
    scale: TensorType,
    offset: TensorType,
    mean: TensorType,
    variance: TensorType,
    *,
    feature_axis: int,
    epsilon: float,
) -> TensorType:
    name = "batch_norm_inference"
    checked_axes(name, [feature_axis], x.rank)
    shape = (x.shape[feature_axis],)
    _check_parameters(
        name, x, shape, scale=scale, offset=offset, mean=mean, variance=variance
    )
    return x


_VARIANCE = Arg("f32[3]", 0.5, 2.0)


@composite(
    Kind.OPAQUE,
    infer=_batch_norm_inference_type,
    dtypes=FLOAT,
    samples=(
        Sample(("f32[6,3]", "f32[3]", "f32[3]", "f32[3]", _VARIANCE), _FEATURES_LAST),
        Sample(("f32[4,3,2]", 1.0, 0.0, "f32[3]", _VARIANCE), _FEATURES_LAST),
        Sample(("f32[B,3]", "f32[3]", "f32[3]", "f32[3]", _VARIANCE), _FEATURES_LAST),
    ),
    errors=(
        IllTyped(
            ("f32[6,3]", "f32[3]", "f32[3]", "f32[6]", "f32[3]"),
            "mean must be f32[3]",
            _FEATURES_LAST,
        ),
        IllTyped(("f32[6,3]", "f32[3]"), "takes 5 operands", _FEATURES_LAST),
    ),
    ulp=32,
    numerics=f"one multiplication and one addition per element; {_IN_FLOAT32}",
)
def batch_norm_inference(
    x: Any,
    scale: Any,
    offset: Any,
    mean: Any,
    variance: Any,
    *,
    feature_axis: int,
    epsilon: float,
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, per feature.

    The parameters have one element per feature, or rank 0.
    """
    factor = multiply(rsqrt(add(widen(variance), epsilon)), widen(scale))
    level = subtract(widen(offset), multiply(widen(mean), factor))
    scaled = multiply(widen(x), _along(factor, x, [feature_axis]))
    return in_dtype(add(scaled, _along(level, x, [feature_axis])), x.type.dtype)
