"""Rules for ops whose results lie at places that depend on sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphc.ir.dims import Dim, substitute
from graphc.ir.opdef import OpDef
from graphc.ir.ops import (
    broadcast_in_dim,
    concatenate,
    convert,
    dimension_size,
    dynamic_slice,
    dynamic_update_slice,
    gather,
    iota,
    minimum,
    pad,
    reshape,
    reverse,
    slice_,
    subtract,
    transpose,
)
from graphc.ir.ops.shape import concatenated
from graphc.ir.types import I32, I64, DType
from graphc.ir.values import Literal, Operand
from graphc.passes.padding.axes import PaddedAxis, State, padded, regrouped, varies
from graphc.passes.padding.step import Rule, Step
from graphc.passes.padding.trials import Axis

_LARGEST = 2**31 - 1
"""Indices are i32 at least."""


def _dimension_size(step: Step) -> list[State]:
    dim = step.node.operands[0].type.shape[step.attributes["axis"]]
    step.rewrite("size", lambda: step.amount(dim))
    return [{}]


def _iota(step: Step) -> list[State]:
    along, type = step.attributes["axis"], step.node.result.type
    return [
        {
            axis: PaddedAxis((type.shape[axis],) if axis == along else None)
            for axis in padded(type, step.symbols)
        }
    ]


def _broadcast_in_dim(step: Step) -> list[State]:
    operand, type = step.node.operands[0], step.node.result.type
    came_from = {to: axis for axis, to in enumerate(step.attributes["dims"])}
    fill = operand if isinstance(operand, Literal) else None
    state: dict[int, PaddedAxis] = {}
    for axis in padded(type, step.symbols):
        known = step.read[0].get(came_from.get(axis, -1))
        state[axis] = known or PaddedAxis(None, fill)
    return [state]


def _transpose(step: Step) -> list[State]:
    order = step.attributes["permutation"]
    return [{i: step.read[0][d] for i, d in enumerate(order) if d in step.read[0]}]


def _reshape(step: Step) -> list[State]:
    operand, state = step.node.operands[0].type, step.read[0]
    factors: list[Dim] = []
    for axis, dim in enumerate(operand.shape):
        known = state[axis].factors if axis in state else None
        factors += known or (dim,)
    type = step.node.result.type
    found = regrouped(factors, type.shape, step.symbols)
    if found is None:
        step.refuse(f"elements of {operand} lie elsewhere in {type}")
    fills = {each.fill for each in state.values()}
    fill = fills.pop() if len(fills) == 1 else None
    return [
        {
            axis: PaddedAxis(factors, fill)
            for axis, factors in enumerate(found)
            if varies(type.shape[axis], step.symbols)
        }
    ]


# -- cutting ---------------------------------------------------------------------------


def _slice(step: Step) -> list[State]:
    type, state = step.node.operands[0].type, step.read[0]
    start, limit = step.attributes["start"], step.attributes["limit"]
    strides = step.attributes["strides"] or (1,) * type.rank
    found: dict[int, PaddedAxis] = {}
    for axis, dim in enumerate(type.shape):
        whole = (start[axis], limit[axis], strides[axis]) == (0, dim, 1)
        if axis in state and not whole:
            step.prefix(0, axis)
        size = step.node.result.type.shape[axis]
        if not varies(size, step.symbols):
            continue
        tail = axis in state and limit[axis] == dim and strides[axis] == 1
        known = state[axis] if axis in state else PaddedAxis((size,))
        fill = known.fill if tail and not varies(start[axis], step.symbols) else None
        factors = known.factors if whole else known.factors and (size,)
        found[axis] = PaddedAxis(factors, fill)
    if any(varies(first, step.symbols) for first in start):
        _slice_from(step, start, limit, strides)
    return [found]


def _slice_from(
    step: Step, start: Sequence[Dim], limit: Sequence[Dim], strides: Sequence[int]
) -> None:
    """A slice that starts at a place known when it runs."""
    least = dict.fromkeys(step.symbols, 1)
    for first in start:
        if _less(step.bind(first), substitute(first, least)):
            step.refuse("it starts the earlier the larger the input is")
    sizes = [step.bind(end - first) for first, end in zip(start, limit, strict=True)]

    def cut() -> Any:
        (x,) = step.bound.operands
        found = dynamic_slice(x, *map(step.amount, start), sizes=sizes)
        if all(stride == 1 for stride in strides):
            return found
        return slice_(found, start=[0] * len(sizes), limit=sizes, strides=strides)

    step.rewrite("slice", cut)


def _less(a: Dim, b: Dim) -> bool:
    difference = a - b
    return isinstance(difference, int) and difference < 0


def _dynamic_slice(step: Step) -> list[State]:
    type, state = step.node.operands[0].type, step.read[0]
    sizes = step.attributes["sizes"]
    found: dict[int, PaddedAxis] = {}
    limits: dict[int, Dim] = {}
    for axis, (dim, size) in enumerate(zip(type.shape, sizes, strict=True)):
        if size == dim:
            if axis in state:
                found[axis] = state[axis]
        elif axis in state:
            step.prefix(0, axis)
            limits[axis] = dim - size
            if varies(size, step.symbols):
                found[axis] = PaddedAxis((size,))
        elif varies(size, step.symbols):
            step.refuse(f"where it may start along axis {axis} depends on the padding")
    _clamp_starts(step, 1, limits)
    return [found]


def _clamp_starts(step: Step, first: int, limits: Mapping[int, Dim]) -> None:
    """Keeps starts from what is padding, as without it the op itself would."""
    if not limits:
        return
    bound = step.bound

    def clamped() -> Any:
        operands = list(bound.operands)
        for axis, limit in limits.items():
            operands[first + axis] = _at_most(step, operands[first + axis], limit)
        return bound.op(*operands, **bound.op.decode(bound.attributes, None))

    step.rewrite("clamp", clamped)


def _at_most(step: Step, start: Operand, limit: Dim) -> Operand:
    dtype = start.type.dtype
    if dtype not in (I32, I64):  # such narrow or unsigned numbers may not hold sizes
        largest = min(2**31, 2**dtype.bits) - 1
        start, dtype = convert(minimum(start, largest), dtype=I32), I32
    return minimum(start, _in(dtype, step.amount(limit)))


def _in(dtype: DType, number: Operand) -> Operand:
    if isinstance(number, Literal):
        return Literal(number.value, dtype)
    return number if number.type.dtype is dtype else convert(number, dtype=dtype)


def _dynamic_update_slice(step: Step) -> list[State]:
    x, update = (operand.type for operand in step.node.operands[:2])
    found: dict[int, PaddedAxis] = dict(step.read[0])
    limits: dict[int, Dim] = {}
    for axis, (dim, size) in enumerate(zip(x.shape, update.shape, strict=True)):
        if size == dim:
            if axis in found:
                found[axis] = step.joined(step.read[:2], axis)
        elif varies(size, step.symbols):
            step.refuse(f"along axis {axis} it would write padding")
        elif axis in found:
            step.prefix(0, axis)
            limits[axis] = dim - size
            found[axis] = PaddedAxis((dim,), found[axis].fill)
    _clamp_starts(step, 2, limits)
    return [found]


def _gather(step: Step) -> list[State]:
    """Indices are kept from padding; the rest is what trials tell."""
    attributes, state = step.attributes, step.read[0]
    mapped: Sequence[int] = attributes["start_index_map"]
    if not any(axis in state for axis in mapped):
        return step.tried()
    for axis in mapped:
        if axis in state:
            step.prefix(0, axis)
    shape, sizes = step.node.operands[0].type.shape, attributes["slice_sizes"]
    along, dtype = attributes["index_axis"], step.node.operands[1].type.dtype

    def clamp(operands: list[Operand]) -> list[Operand]:
        x, indices = operands
        if dtype not in (I32, I64):
            indices = _at_most(step, indices, _LARGEST)
        into = indices.type.dtype
        limits = [
            _in(
                into,
                step.amount(shape[axis] - sizes[axis] if axis in state else _LARGEST),
            )
            for axis in mapped
        ]
        limit = limits[0]
        if along < indices.type.rank:
            each = [broadcast_in_dim(limit, shape=(1,), dims=()) for limit in limits]
            line = concatenated(each, 0)
            limit = broadcast_in_dim(line, shape=indices.type.shape, dims=(along,))
        return [x, minimum(indices, limit)]

    return step.tried(clamp)


# -- joining and turning round -----------------------------------------------------------


def _put(step: Step, canvas: Operand, part: Operand, starts: Mapping[int, Dim]) -> Any:
    """`part` written over `canvas` at places known when it runs."""
    rank = canvas.type.rank
    places = [step.amount(starts.get(axis, 0)) for axis in range(rank)]
    return dynamic_update_slice(canvas, part, *places)


def _concatenate(step: Step) -> list[State]:
    along, type = step.attributes["axis"], step.node.result.type
    found: dict[int, PaddedAxis] = {}
    for axis in padded(type, step.symbols):
        if axis != along:
            found[axis] = step.joined(step.read, axis)
            continue
        for number, state in enumerate(step.read):
            if axis in state:
                step.prefix(number, axis)
        last = step.read[-1].get(axis)
        found[axis] = PaddedAxis((type.shape[axis],), last.fill if last else None)
    if not any(along in state for state in step.read[:-1]):
        return [found]
    sizes = [operand.type.shape[along] for operand in step.node.operands]

    def joined() -> Any:
        (result,) = step.bound.results
        blank = broadcast_in_dim(_zero(result.dtype), shape=result.shape, dims=())
        start: Dim = 0
        for part, size in zip(step.bound.operands, sizes, strict=True):
            blank = _put(step, blank, part, {along: start})
            start = start + size
        return blank

    step.rewrite("join", joined)
    if along in found:
        found[along] = found[along].unfilled
    return [found]


def _reverse(step: Step) -> list[State]:
    type, state = step.node.operands[0].type, dict(step.read[0])
    turned = [
        axis
        for axis in step.attributes["axes"]
        if axis in state and state[axis].factors is not None
    ]
    if not turned:
        return [state]
    for axis in turned:
        step.prefix(0, axis)
        state[axis] = state[axis].unfilled

    def made() -> Any:
        """The padding, which comes first then, is cut away."""
        (x,) = step.bound.operands
        shape = x.type.shape
        more = [size if axis in turned else 0 for axis, size in enumerate(shape)]
        starts: list[Operand] = [Literal(0, I32) for _ in shape]
        for axis in turned:
            dim = type.shape[axis]
            starts[axis] = subtract(step.bind(dim), step.amount(dim))
        found = reverse(x, axes=step.attributes["axes"])
        found = pad(found, _zero(x.type.dtype), low=[0] * len(shape), high=more)
        return dynamic_slice(found, *starts, sizes=shape)

    step.rewrite("reverse", made)
    return [state]


def _pad(step: Step) -> list[State]:
    type, value = step.node.operands[0].type, step.node.operands[1]
    low, high = step.attributes["low"], step.attributes["high"]
    gaps = step.attributes["interior"] or (0,) * type.rank
    known = value if isinstance(value, Literal) else None
    found: dict[int, PaddedAxis] = {}
    fills: dict[Axis, Operand] = {}
    moved: dict[int, Dim] = {}
    for axis in range(type.rank):
        put = (low[axis], high[axis], gaps[axis])
        if axis in step.read[0] and put == (0, 0, 0):
            found[axis] = step.read[0][axis]
            continue
        crops = isinstance(high[axis], int) and high[axis] <= 0 and not gaps[axis]
        if axis in step.read[0]:
            step.prefix(0, axis)
            before = step.read[0][axis]
            if not crops and (known is None or before.fill != known):
                fills[0, axis] = step.bound.operands[1]
        if varies(low[axis], step.symbols):
            moved[axis] = low[axis]
            _require_room(step, low[axis], high[axis])
        size = step.node.result.type.shape[axis]
        if varies(size, step.symbols):
            found[axis] = PaddedAxis((size,), None if crops else known)
    if moved:
        _pad_from(step, fills, moved, gaps)
    else:
        step.refill(fills)
    return [found]


def _require_room(step: Step, low: Dim, high: Dim) -> None:
    """Refuses where elements are cropped by as many as there are of something."""
    least = dict.fromkeys(step.symbols, 1)
    if min(substitute(low, least), substitute(high, least), step.bind(high)) < 0:
        step.refuse("what it crops depends on the size")


def _pad_from(
    step: Step,
    fills: Mapping[Axis, Operand],
    moved: Mapping[int, Dim],
    gaps: Sequence[int],
) -> None:
    """Padding in front whose width is known when it runs."""
    bound = step.bound
    before, behind = bound.attributes["low"], bound.attributes["high"]

    def made() -> Any:
        x, value = bound.operands
        low, high = list(before), list(behind)
        for axis in moved:
            low[axis] = high[axis] = 0
        part = pad(step.filled(x, fills, 0), value, low=low, high=high, interior=gaps)
        canvas = broadcast_in_dim(value, shape=bound.result.shape, dims=())
        return _put(step, canvas, part, moved)

    step.rewrite("pad", made)


def _zero(dtype: DType) -> Literal:
    return Literal(dtype.kind == "float" and 0.0, dtype)


SHAPE_RULES: Mapping[OpDef, Rule] = {
    broadcast_in_dim: _broadcast_in_dim,
    concatenate: _concatenate,
    dimension_size: _dimension_size,
    dynamic_slice: _dynamic_slice,
    dynamic_update_slice: _dynamic_update_slice,
    gather: _gather,
    iota: _iota,
    pad: _pad,
    reshape: _reshape,
    reverse: _reverse,
    slice_: _slice,
    transpose: _transpose,
}
"""The ops that have a rule here."""
