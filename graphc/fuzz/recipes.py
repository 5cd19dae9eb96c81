"""Uses of ops whose samples say too little: movement, constants, dots."""

from __future__ import annotations

from typing import Any

from graphc.fuzz.calls import CALLING, Recipe
from graphc.fuzz.growth import Growth
from graphc.fuzz.operands import operand, stored
from graphc.ir.dims import Dim
from graphc.ir.opdef import OpDef
from graphc.ir.ops import (
    broadcast_in_dim,
    concatenate,
    constant,
    dot_general,
    iota,
    reshape,
    slice_,
)
from graphc.ir.types import TensorType
from graphc.ir.values import Value

# -- movement --------------------------------------------------------------------------


def reshape_any(growth: Growth) -> Value | None:
    """Splits and merges axes."""
    x = growth.choices.recent(growth.values)
    shape: list[Dim] = []
    for dim in x.shape:
        divisors = [n for n in (1, 2, 3, 4, 5) if isinstance(dim, int) and dim % n == 0]
        if divisors and growth.choices.chance(40):
            divisor = growth.choices.pick(divisors)
            assert isinstance(dim, int)
            shape += [divisor, dim // divisor]
        elif shape and growth.choices.chance(40):
            shape[-1] = shape[-1] * dim
        else:
            shape.append(dim)
    if growth.choices.chance(20):
        shape.insert(growth.choices.integer(0, len(shape)), 1)
    return growth.apply(reshape, x, shape=shape)


def broadcast_any(growth: Growth) -> Value | None:
    """New axes, and axes of length 1 stretched."""
    choices = growth.choices
    x = choices.recent(growth.values)
    rank = x.type.rank + choices.integer(0, 2)
    dims = choices.shuffled(range(rank))[: x.type.rank]
    if choices.chance(70):
        dims.sort()
    shape = [growth.dim() for _ in range(rank)]
    for dim, size in zip(dims, x.shape, strict=True):
        if size != 1 or choices.chance(50):
            shape[dim] = size
    return growth.apply(broadcast_in_dim, x, shape=shape, dims=dims)


def slice_any(growth: Growth) -> Value | None:
    """A part of each axis, with steps."""
    choices = growth.choices
    x = choices.recent(growth.values)
    start: list[Dim] = []
    limit: list[Dim] = []
    for dim in x.shape:
        if isinstance(dim, int):
            start.append(choices.integer(0, dim))
            limit.append(choices.integer(int(start[-1]), dim))
        else:
            start.append(0)
            limit.append(dim)
    strides = None
    if choices.chance(40):
        strides = [choices.integer(1, 3) for _ in start]
    return growth.apply(slice_, x, start=start, limit=limit, strides=strides)


def concatenate_any(growth: Growth) -> Value | None:
    """Some values, made to fit beside one another."""
    choices = growth.choices
    x = choices.recent(growth.values)
    if not x.shape:
        return None
    axis = choices.integer(0, x.type.rank - 1)
    parts: list[Any] = [x]
    for _ in range(choices.integer(0, 3)):
        shape = list(x.shape)
        if isinstance(shape[axis], int):
            shape[axis] = choices.integer(0, 5)
        part = operand(growth, x.type.with_shape(shape), -2, 2, False)
        if isinstance(part, Value):
            parts.append(part)
    return growth.apply(concatenate, *choices.shuffled(parts), axis=axis)


def iota_any(growth: Growth) -> Value | None:
    """Numbers that count along an axis."""
    shape = [growth.dim() for _ in range(growth.choices.integer(1, 3))]
    axis = growth.choices.integer(0, len(shape) - 1)
    return growth.apply(iota, shape=shape, axis=axis, dtype=growth.dtype())


def constant_any(growth: Growth) -> Value | None:
    """Numbers of the module."""
    choices = growth.choices
    shape = tuple(choices.integer(0, 5) for _ in range(choices.integer(0, 3)))
    return stored(growth, TensorType(shape, growth.dtype()), -2, 2)


# -- dots ------------------------------------------------------------------------------


def dot_any(growth: Growth) -> Value | None:
    """A dot of a value with another one, over any axes of it."""
    choices = growth.choices
    x = choices.recent(growth.values)
    axes = choices.shuffled(range(x.type.rank))
    batched = choices.integer(0, min(1, len(axes)))
    contracted = choices.integer(0, min(2, len(axes) - batched))
    left = [axes[:batched], axes[batched : batched + contracted]]
    roles = choices.shuffled(range(batched + contracted + choices.integer(0, 1)))
    shape = [growth.dim() for _ in roles]
    for place, axis in enumerate(left[0] + left[1]):
        shape[roles[place]] = x.shape[axis]
    other = operand(growth, x.type.with_shape(shape), -2, 2, False)
    return growth.apply(
        dot_general,
        x,
        other,
        batch=[left[0], roles[:batched]],
        contract=[left[1], roles[batched : batched + contracted]],
    )


RECIPES: dict[OpDef, Recipe] = {
    reshape: reshape_any,
    broadcast_in_dim: broadcast_any,
    slice_: slice_any,
    concatenate: concatenate_any,
    iota: iota_any,
    constant: constant_any,
    dot_general: dot_any,
    **CALLING,
}
"""What to do for an op instead of varying its samples."""
