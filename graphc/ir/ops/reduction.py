"""Primitives that combine elements along axes: reductions and scans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ml_dtypes import iinfo

from graphc.ir import types
from graphc.ir.differentiate import zeros
from graphc.ir.opdef import (
    BOOLEAN,
    COMPUTED,
    NUMBER,
    OPS,
    Arg,
    IllTyped,
    Ints,
    Kind,
    Sample,
    Trait,
)
from graphc.ir.ops.elementwise import add, compare, convert, divide, multiply, select
from graphc.ir.ops.shape import expand, expand_axes, iota, pad, reshape, transpose
from graphc.ir.register import primitive
from graphc.ir.typerules import checked_axes, reduced, require
from graphc.ir.types import I32, TensorType, product

_NOT_FLOAT = "its result is not a float"


def lowest(dtype: Any) -> Any:
    """The value below (or equal to) every other of a NumPy dtype: max starts there."""
    return -np.inf if types.dtype(dtype).is_float else iinfo(dtype).min


def highest(dtype: Any) -> Any:
    """The value above (or equal to) every other of a NumPy dtype: min starts there."""
    return np.inf if types.dtype(dtype).is_float else iinfo(dtype).max


# -- reductions ------------------------------------------------------------------------


def _reduce_samples(dtype: str = "f32") -> tuple[Sample, ...]:
    return (
        Sample((f"{dtype}[3,4]",), {"axes": [1]}),
        Sample((f"{dtype}[2,3,4]",), {"axes": [0, 2]}),
        Sample((f"{dtype}[5]",), {"axes": [0]}),
        Sample((f"{dtype}[3]",), {"axes": []}),
        Sample((f"{dtype}[0,2]",), {"axes": [0]}),
        Sample((f"{dtype}[B,3]",), {"axes": [0]}),
        Sample((f"{dtype}[B,3,T]",), {"axes": [1, 2]}),
    )


_NUMBER_SAMPLES = (*_reduce_samples(), Sample((Arg("i32[3,4]", -9, 9),), {"axes": [0]}))
_REDUCE_ERRORS = (
    IllTyped(("f32[3]",), "axes must be distinct", {"axes": [0, 0]}),
    IllTyped(("f32[3]",), "within 0..0", {"axes": [1]}),
    IllTyped(("bool[3]",), "must be a number", {"axes": [0]}),
    IllTyped(("f32[3]",), "attribute 'axes' is missing"),
)


def _sum_vjp(g: Any, y: Any, x: Any, axes: Any) -> Any:
    return (expand_axes(g, x.type.shape, axes),)


@primitive(
    Kind.REDUCTION,
    lambda x, axes: np.sum(x, axes, dtype=x.dtype),
    vjp=_sum_vjp,
    dtypes=NUMBER,
    traits=[Trait.ACCUMULATES],
    samples=_NUMBER_SAMPLES,
    errors=_REDUCE_ERRORS,
    ulp=1,
)
def reduce_sum(x: TensorType, *, axes: Ints) -> TensorType:
    """The sum over `axes`; 0 for no elements."""
    return reduced("reduce_sum", x, axes)


def _extreme_vjp(g: Any, y: Any, x: Any, axes: Any) -> Any:
    # Elements that tie share the cotangent equally.
    found = compare(x, expand_axes(y, x.type.shape, axes), direction="EQ")
    count = reduce_sum(convert(found, dtype=x.type.dtype), axes=axes)
    share = expand_axes(divide(g, count), x.type.shape, axes)
    return (select(found, share, 0.0),)


@primitive(
    Kind.REDUCTION,
    lambda x, axes: np.max(x, axes, initial=lowest(x.dtype)),
    vjp=_extreme_vjp,
    dtypes=NUMBER,
    samples=_NUMBER_SAMPLES,
    errors=_REDUCE_ERRORS,
    numerics="nan if an element is nan",
)
def reduce_max(x: TensorType, *, axes: Ints) -> TensorType:
    """The largest element over `axes`; the lowest value for no elements."""
    return reduced("reduce_max", x, axes)


@primitive(
    Kind.REDUCTION,
    lambda x, axes: np.min(x, axes, initial=highest(x.dtype)),
    vjp=_extreme_vjp,
    dtypes=NUMBER,
    samples=_NUMBER_SAMPLES,
    errors=_REDUCE_ERRORS,
    numerics="nan if an element is nan",
)
def reduce_min(x: TensorType, *, axes: Ints) -> TensorType:
    """The smallest element over `axes`; the highest value for no elements."""
    return reduced("reduce_min", x, axes)


def _shifted(x: Any, axis: int, by: int, fill: float) -> Any:
    """Element i of the result is element ``i - by`` of `x`."""
    low = [by if d == axis else 0 for d in range(x.type.rank)]
    return pad(x, fill, low=low, high=[-d for d in low])


def _prod_vjp(g: Any, y: Any, x: Any, axes: Any) -> Any:
    # The product of the others, without a division: of those before and behind.
    shape = x.type.shape
    kept = [d for d in range(len(shape)) if d not in axes]
    order = [*kept, *axes]
    lined = transpose(x, permutation=order)
    lined = reshape(
        lined, shape=[*(shape[d] for d in kept), product(shape[d] for d in axes)]
    )
    axis = len(kept)
    before = _shifted(cumulative_prod(lined, axis=axis), axis, 1, 1.0)
    behind = cumulative_prod(lined, axis=axis, reverse=True)
    others = multiply(before, _shifted(behind, axis, -1, 1.0))
    found = multiply(expand_axes(g, lined.type.shape, [axis]), others)
    found = reshape(found, shape=[shape[d] for d in order])
    return (transpose(found, permutation=[order.index(d) for d in range(len(shape))]),)


@primitive(
    Kind.REDUCTION,
    lambda x, axes: np.prod(x, axes, dtype=x.dtype),
    vjp=_prod_vjp,
    dtypes=NUMBER,
    traits=[Trait.RANGE_SENSITIVE],
    samples=_NUMBER_SAMPLES,
    errors=_REDUCE_ERRORS,
    ulp=1,
)
def reduce_prod(x: TensorType, *, axes: Ints) -> TensorType:
    """The product over `axes`; 1 for no elements."""
    return reduced("reduce_prod", x, axes)


_BOOL_ERRORS = (
    IllTyped(("f32[3]",), "must be bool", {"axes": [0]}),
    IllTyped(("bool[3]",), "within 0..0", {"axes": [1]}),
)


@primitive(
    Kind.REDUCTION,
    lambda x, axes: np.all(x, axes),
    vjp=_NOT_FLOAT,
    dtypes=BOOLEAN,
    samples=_reduce_samples("bool"),
    errors=_BOOL_ERRORS,
)
def reduce_and(x: TensorType, *, axes: Ints) -> TensorType:
    """Whether all elements over `axes` hold; true for no elements."""
    return reduced("reduce_and", x, axes)


@primitive(
    Kind.REDUCTION,
    lambda x, axes: np.any(x, axes),
    vjp=_NOT_FLOAT,
    dtypes=BOOLEAN,
    samples=_reduce_samples("bool"),
    errors=_BOOL_ERRORS,
)
def reduce_or(x: TensorType, *, axes: Ints) -> TensorType:
    """Whether any element over `axes` holds; false for no elements."""
    return reduced("reduce_or", x, axes)


_ARG_SAMPLES = (
    Sample(("f32[3,4]",), {"axis": 1}),
    Sample(("f32[5]",), {"axis": 0}),
    Sample((Arg("i32[4,3]", 0, 2),), {"axis": 0}),
    Sample(("f32[B,3]",), {"axis": 1}),
)
_ARG_ERRORS = (
    IllTyped(("f32[3]",), "within 0..0", {"axis": 1}),
    IllTyped(("f32[2,0]",), "1 to 2147483647 elements", {"axis": 1}),
    IllTyped((f"i8[{2**31}]",), "1 to 2147483647 elements", {"axis": 0}),
)


def _arg_type(name: str, x: TensorType, axis: int) -> TensorType:
    result = reduced(name, x, [axis])
    size = x.shape[axis]
    require(
        not isinstance(size, int) or 0 < size < 2**31,
        f"{name}: the axis must have 1 to 2147483647 elements",
        x,
    )
    return result.with_dtype(I32)


@primitive(
    Kind.REDUCTION,
    lambda x, axis: np.argmax(x, axis).astype(np.int32),
    vjp=_NOT_FLOAT,
    position_of=reduce_max,
    dtypes=COMPUTED,
    samples=_ARG_SAMPLES,
    errors=_ARG_ERRORS,
    numerics="the first of equal elements; nan counts as the largest",
)
def argmax(x: TensorType, *, axis: int) -> TensorType:
    """The position of the largest element along `axis`."""
    return _arg_type("argmax", x, axis)


@primitive(
    Kind.REDUCTION,
    lambda x, axis: np.argmin(x, axis).astype(np.int32),
    vjp=_NOT_FLOAT,
    position_of=reduce_min,
    dtypes=COMPUTED,
    samples=_ARG_SAMPLES,
    errors=_ARG_ERRORS,
    numerics="the first of equal elements; nan counts as the smallest",
)
def argmin(x: TensorType, *, axis: int) -> TensorType:
    """The position of the smallest element along `axis`."""
    return _arg_type("argmin", x, axis)


# -- scans -----------------------------------------------------------------------------

_SCAN_SAMPLES = (
    Sample(("f32[3,4]",), {"axis": 1}),
    Sample(("f32[5,2]",), {"axis": 0, "reverse": True}),
    Sample(("f32[1]",), {"axis": 0}),
    Sample((Arg("i32[4]", -9, 9),), {"axis": 0}),
    Sample(("f32[0,2]",), {"axis": 0}),
    Sample(("f32[B,3]",), {"axis": 1}),
)
_ALONG_SYMBOL = Sample(("f32[B,3]",), {"axis": 0})
_SCAN_ERRORS = (
    IllTyped(("f32[3]",), "within 0..0", {"axis": 1}),
    IllTyped(("bool[3]",), "must be a number", {"axis": 0}),
    IllTyped(("f32[3]",), "kind bool", {"axis": 0, "reverse": 1}),
)


def _scan(accumulate: Callable[[Any, int], Any]) -> Callable[..., Any]:
    def reference(x: Any, axis: int, reverse: bool) -> Any:
        if reverse:
            return np.flip(accumulate(np.flip(x, axis), axis), axis)
        return accumulate(x, axis)

    return reference


def _scan_type(name: str, x: TensorType, axis: int) -> TensorType:
    checked_axes(name, [axis], x.rank)
    return x


def _cumulative_sum_vjp(g: Any, y: Any, x: Any, axis: int, reverse: bool) -> Any:
    return (cumulative_sum(g, axis=axis, reverse=not reverse),)


@primitive(
    Kind.OPAQUE,
    _scan(lambda x, axis: np.cumsum(x, axis, dtype=x.dtype)),
    vjp=_cumulative_sum_vjp,
    dtypes=NUMBER,
    traits=[Trait.ACCUMULATES, Trait.ALONG_AXIS],
    samples=(*_SCAN_SAMPLES, _ALONG_SYMBOL),
    errors=_SCAN_ERRORS,
    ulp=1,
)
def cumulative_sum(x: TensorType, *, axis: int, reverse: bool = False) -> TensorType:
    """The sums of the elements up to each one along `axis`, from the end if reversed."""
    return _scan_type("cumulative_sum", x, axis)


def _cumulative_prod_vjp(g: Any, y: Any, x: Any, axis: int, reverse: bool) -> Any:
    # With p the product of the elements before (exclusive), the gradient is p * r
    # where r[i] = g[i] + x[i+1] * r[i+1]: no division, so zeros do no harm. The
    # recurrence is solved by doubling, which needs the number of steps.
    size = x.type.shape[axis]
    if not isinstance(size, int):
        return (_product_gradient(g, x, axis, reverse),)
    onward = 1 if reverse else -1
    total, factor = g, _shifted(x, axis, onward, 0.0)
    step = 1
    while step < size:
        total = add(total, multiply(factor, _shifted(total, axis, onward * step, 0.0)))
        factor = multiply(factor, _shifted(factor, axis, onward * step, 0.0))
        step *= 2
    return (multiply(_shifted(y, axis, -onward, 1.0), total),)


def _product_gradient(g: Any, x: Any, axis: int, reverse: bool) -> Any:
    """The gradient of a cumulative product along an axis of any size, quadratic in it.

    The products without element i stand in row i of a matrix, which has dimension
    `axis` for the elements and the one behind it for the results.
    """
    shape = [*x.type.shape[: axis + 1], *x.type.shape[axis:]]
    dims = [d for d in range(len(shape)) if d != axis]
    element = iota(shape=shape, axis=axis, dtype=I32)
    result = iota(shape=shape, axis=axis + 1, dtype=I32)
    itself = compare(element, result, direction="EQ")
    others = select(itself, 1.0, expand(x, shape, dims))
    products = cumulative_prod(others, axis=axis + 1, reverse=reverse)
    reached = compare(element, result, direction="GE" if reverse else "LE")
    terms = select(reached, multiply(expand(g, shape, dims), products), 0.0)
    return reduce_sum(terms, axes=[axis + 1])


@primitive(
    Kind.OPAQUE,
    _scan(lambda x, axis: np.cumprod(x, axis, dtype=x.dtype)),
    vjp=_cumulative_prod_vjp,
    dtypes=NUMBER,
    traits=[Trait.RANGE_SENSITIVE, Trait.ALONG_AXIS],
    samples=(*_SCAN_SAMPLES, _ALONG_SYMBOL),
    errors=_SCAN_ERRORS,
    ulp=1,
)
def cumulative_prod(x: TensorType, *, axis: int, reverse: bool = False) -> TensorType:
    """The products of the elements up to each one along `axis`."""
    return _scan_type("cumulative_prod", x, axis)


def _cumulative_max_vjp(g: Any, y: Any, x: Any, axis: int, reverse: bool) -> Any:
    # Each result is the latest element that reached the maximum; its cotangent is
    # added there.
    shape = x.type.shape
    places = iota(shape=shape, axis=axis, dtype=I32)
    reached = compare(x, y, direction="EQ")
    if reverse:
        end = OPS["dimension_size"](x, axis=axis)
        winner = cumulative_max(
            select(reached, OPS["subtract"](end, places), 0), axis=axis, reverse=True
        )
        winner = OPS["subtract"](end, winner)
    else:
        winner = cumulative_max(select(reached, places, 0), axis=axis)
    others = [d for d in range(len(shape)) if d != axis]
    return (
        OPS["scatter"](
            zeros(x.type),
            winner,
            g,
            update_window_dims=[],
            inserted_dims=[axis],
            index_map=[axis],
            index_axis=len(shape),
            operand_batching=others,
            indices_batching=others,
        ),
    )


@primitive(
    Kind.OPAQUE,
    _scan(np.maximum.accumulate),
    vjp=_cumulative_max_vjp,
    dtypes=NUMBER,
    traits=[Trait.ALONG_AXIS],
    samples=(*_SCAN_SAMPLES, _ALONG_SYMBOL),
    errors=_SCAN_ERRORS,
    numerics="nan from the first nan on; the last of equal elements has the gradient",
)
def cumulative_max(x: TensorType, *, axis: int, reverse: bool = False) -> TensorType:
    """The largest of the elements up to each one along `axis`."""
    return _scan_type("cumulative_max", x, axis)
