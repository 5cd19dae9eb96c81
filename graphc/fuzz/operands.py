"""Operands of a wanted type and range, made from the values that there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphc.fuzz.growth import Growth, extent, literal_of
from graphc.ir.dims import Dim
from graphc.ir.ops import (
    abs_,
    add,
    broadcast_in_dim,
    clamp,
    compare,
    constant,
    convert,
    iota,
    logistic,
    multiply,
    pad,
    reduce_and,
    reduce_max,
    reduce_min,
    reduce_or,
    reduce_sum,
    remainder,
    reshape,
    reverse,
    sine,
    slice_,
)
from graphc.ir.random_inputs import random_array
from graphc.ir.types import DType, TensorType
from graphc.ir.values import Operand, Value


def operand(
    growth: Growth, type: TensorType, low: float, high: float, bounded: bool
) -> Operand | None:
    """A value of `type`, or a literal; None if none could be made.

    Args:
        growth: The graph that reads it.
        type: The type that it must have.
        low: What its elements are at least.
        high: What its elements are at most; integers are below.
        bounded: Whether elements of what there is must be within the range, too.
    """
    choices = growth.choices
    value: Value | None = None
    same = [v for v in growth.values if v.type == type]
    if same and choices.chance(75):
        value = choices.recent(same)
    elif growth.arrays and choices.chance(70):
        value = adapted(growth, choices.recent(growth.values), type)
    elif not type.shape and choices.chance(60):
        return growth.literal(type.dtype, low, high)
    if value is not None and bounded:
        value = within(growth, value, low, high)
    return leaf(growth, type, low, high) if value is None else value


def leaf(growth: Growth, type: TensorType, low: float, high: float) -> Operand | None:
    """A value of `type` that depends on no other: a parameter, a constant, numbers."""
    choices, graph = growth.choices, growth.graph
    room = growth.depth == 0 and len(graph.parameters) < growth.scope.parameters
    if room and choices.chance(80):
        return growth.parameter(type, low, high)
    literal = growth.literal(type.dtype, low, high)
    if not type.shape:
        return literal
    if choices.chance(60) and not type.symbols:
        return stored(growth, type, low, high)
    if choices.chance(60) and type.dtype.is_float:
        axis = choices.integer(0, type.rank - 1)
        counted = growth.apply(iota, shape=type.shape, axis=axis, dtype=type.dtype)
        return within(growth, counted, low, high) if counted else None
    return growth.apply(broadcast_in_dim, literal, shape=type.shape, dims=[])


def stored(growth: Growth, type: TensorType, low: float, high: float) -> Value | None:
    """A constant of the module, of a type without symbols."""
    choices = growth.choices
    rng = np.random.default_rng(choices.integer(0, 2**20))
    step = 0.5 * choices.integer(0, 1)
    array = random_array(type, rng, low, high, step)
    name = growth.graph.module.add_constant(array)
    return growth.apply(constant, name=name)


# -- ranges ----------------------------------------------------------------------------


def within(growth: Growth, value: Value, low: float, high: float) -> Value | None:
    """`value`, or a function of it whose elements are in a range."""
    found = extent(growth.arrays[value])
    dtype = value.dtype
    top = high if dtype.is_float else max(high - 1, low)
    if dtype.kind == "bool" or found is None or low <= found[0] <= found[1] <= top:
        return value
    if dtype.is_float:
        return growth.choices.pick(_SQUASHES)(growth, value, low, high)
    first, last = literal_of(low, dtype), literal_of(top, dtype)
    if growth.choices.chance(50) or high - low < 2:
        return growth.apply(clamp, first, value, last)
    rest = growth.apply(remainder, value, literal_of(high - low, dtype))
    if rest is not None and dtype.kind == "int":
        rest = growth.apply(abs_, rest)
    return growth.apply(add, rest, first) if rest is not None else None


def _clamped(growth: Growth, value: Value, low: float, high: float) -> Value | None:
    return growth.apply(clamp, low, value, high)


def _logistic(growth: Growth, value: Value, low: float, high: float) -> Value | None:
    return _affine(growth, growth.apply(logistic, value), high - low, low)


def _wave(growth: Growth, value: Value, low: float, high: float) -> Value | None:
    half = (high - low) / 2
    return _affine(growth, growth.apply(sine, value), half, low + half)


def _affine(
    growth: Growth, value: Value | None, factor: float, offset: float
) -> Value | None:
    scaled = growth.apply(multiply, value, factor) if value is not None else None
    return growth.apply(add, scaled, offset) if scaled is not None else None


_SQUASHES: list[Callable[[Growth, Value, float, float], Value | None]] = [
    _clamped,
    _logistic,
    _wave,
]


# -- types -----------------------------------------------------------------------------


def adapted(growth: Growth, value: Value, type: TensorType) -> Value | None:
    """A value of `type` whose elements come from `value`; None if none could be made."""
    found: Value | None = value
    if value.dtype is not type.dtype:
        found = converted(growth, value, type.dtype)
    steps = (_drop_axes, _flow, _resize, _stretch)
    for step in steps:
        if found is None or found.shape == type.shape:
            break
        found = step(growth, found, type.shape)
    return found if found is not None and found.type == type else None


def converted(growth: Growth, value: Value, dtype: DType) -> Value | None:
    """`value` in another dtype; as bool, how it compares with a number."""
    found = extent(growth.arrays[value])
    if dtype.kind == "bool" and value.dtype.kind != "bool" and found:
        middle = literal_of((found[0] + found[1]) / 2, value.dtype)
        direction = growth.choices.pick(["GT", "LE", "LT", "NE"])
        compared = growth.apply(compare, value, middle, direction=direction)
        if compared is not None:
            return compared
    return growth.apply(convert, value, dtype=dtype)


def _drop_axes(growth: Growth, value: Value, shape: Sequence[Dim]) -> Value | None:
    """Reduces axes away until there are no more than in `shape`."""
    extra = value.type.rank - len(shape)
    if extra <= 0:
        return value
    axes = sorted(growth.choices.shuffled(range(value.type.rank))[:extra])
    return _reduced(growth, value, axes)


def _reduced(growth: Growth, value: Value, axes: Sequence[int]) -> Value | None:
    reductions = [op for op in _REDUCTIONS if value.dtype in op.dtypes[0]]
    if not reductions:
        return None
    return growth.apply(growth.choices.pick(reductions), value, axes=axes)


_REDUCTIONS = (reduce_sum, reduce_max, reduce_min, reduce_and, reduce_or)


def _flow(growth: Growth, value: Value, shape: Sequence[Dim]) -> Value | None:
    """Reshapes where the number of elements is the same, or cut to be so."""
    count, wanted = growth.size(value.shape), growth.size(shape)
    symbols = value.type.symbols | TensorType(tuple(shape), value.dtype).symbols
    if symbols or count < wanted or growth.choices.chance(50):
        return value
    flat = growth.apply(reshape, value, shape=[count])
    if flat is not None and count > wanted:
        start = growth.choices.integer(0, count - wanted)
        flat = growth.apply(slice_, flat, start=[start], limit=[start + wanted])
    return growth.apply(reshape, flat, shape=shape) if flat is not None else None


def _resize(growth: Growth, value: Value, shape: Sequence[Dim]) -> Value | None:
    """Makes each axis as long as the one of `shape` it will be, or of length 1."""
    wanted = shape[len(shape) - value.type.rank :]
    found: Value | None = value
    for axis, dim in enumerate(wanted):
        if found is not None and found.shape[axis] != dim:
            found = _resized_axis(growth, found, axis, dim)
    return found


def _resized_axis(growth: Growth, value: Value, axis: int, to: Dim) -> Value | None:
    size, rank = value.shape[axis], value.type.rank
    choices = growth.choices
    if isinstance(size, int) and isinstance(to, int):
        if size > to:
            start = choices.integer(0, size - to)
            starts, limits = [0] * rank, list(value.shape)
            starts[axis], limits[axis] = start, start + to
            return growth.apply(slice_, value, start=starts, limit=limits)
        if size != 1 or choices.chance(30):
            before = choices.integer(0, to - size)
            low, high = [0] * rank, [0] * rank
            low[axis], high[axis] = before, to - size - before
            filler = growth.literal(value.dtype, -2, 2)
            return growth.apply(pad, value, filler, low=low, high=high)
        return value
    if size == 1:
        return value
    reduced = _reduced(growth, value, [axis])
    kept = [1 if i == axis else d for i, d in enumerate(value.shape)]
    return growth.apply(reshape, reduced, shape=kept) if reduced is not None else None


def _stretch(growth: Growth, value: Value, shape: Sequence[Dim]) -> Value | None:
    """Broadcasts to `shape`, whose last dims are those of the value or stretch them."""
    first = len(shape) - value.type.rank
    dims = list(range(first, len(shape)))
    made = growth.apply(broadcast_in_dim, value, shape=shape, dims=dims)
    if made is not None and shape and growth.choices.chance(10):
        return growth.apply(reverse, made, axes=[len(shape) - 1])
    return made
