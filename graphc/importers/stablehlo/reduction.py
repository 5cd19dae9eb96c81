"""Reductions over dimensions and windows, and sorting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jax.extend.mlir import ir

from graphc.importers.stablehlo.combiners import (
    Key,
    combination,
    extreme_position,
    selection,
    sort_keys,
)
from graphc.importers.stablehlo.elementwise import total_order
from graphc.importers.stablehlo.function import (
    Importer,
    Operation,
    captured_values,
    region_graph,
)
from graphc.ir import Graph, ops
from graphc.ir.opdef import OPS
from graphc.ir.ops.shape import expand
from graphc.ir.types import BOOL, I32, U8, DType
from graphc.ir.values import Literal, Operand, Value

_REDUCTIONS = {
    "add": "reduce_sum",
    "multiply": "reduce_prod",
    "maximum": "reduce_max",
    "minimum": "reduce_min",
}
_REDUCTIONS_OF_BOOL = {"and": "reduce_and", "or": "reduce_or"}


def is_neutral(combining: str, initial: Operand) -> bool:
    """Whether combining an element with `initial` leaves it as it is."""
    if not isinstance(initial, Literal):
        return False
    value, dtype = initial.value, initial.dtype
    if combining in ("maximum", "minimum"):
        return value == _extreme(dtype, lowest=combining == "maximum")
    if combining == "add":
        return value == 0
    return value == {"multiply": 1, "and": True, "or": False}.get(combining)


def _extreme(dtype: DType, lowest: bool) -> float | int | bool:
    if dtype.is_float:
        return -math.inf if lowest else math.inf
    if dtype is BOOL:
        return not lowest
    if dtype.kind == "uint":
        return 0 if lowest else 2**dtype.bits - 1
    return -(2 ** (dtype.bits - 1)) if lowest else 2 ** (dtype.bits - 1) - 1


def combiner_graph(op: Operation, region: ir.Region) -> Graph:
    """The graph of a region that combines scalars."""
    captured = captured_values([region])
    if any(isinstance(op.reader.values[value], Value) for value in captured):
        raise op.refuse("the combining region reads values from outside of it")
    return region_graph(op, region, "combine", captured)


# -- over dimensions -------------------------------------------------------------------


def reduce(op: Operation, *operands: Operand) -> Any:
    """A reduction by one binary operation, or the position of an extreme."""
    axes = op.attribute("dimensions")
    count = len(operands) // 2
    (region,) = op.raw.regions
    if count == 1:
        combining = combination(region)
        x, initial = operands
        table = _REDUCTIONS_OF_BOOL if x.type.dtype is BOOL else _REDUCTIONS
        if combining in table:
            found = OPS[table[combining]](x, axes=axes)
            if is_neutral(combining, initial):
                return found
            return OPS[combining](found, initial)
    elif count == 2 and len(axes) == 1:
        found = _position(op, axes[0], operands)
        if found is not None:
            return found
    return ops.reduce(*operands, graph=combiner_graph(op, region), axes=axes)


def _position(op: Operation, axis: int, operands: Sequence[Operand]) -> Any:
    """The extreme and its position, where values and positions are reduced together."""
    x, positions, initial, first = operands
    name = extreme_position(op.raw.regions[0])
    if name is None or not _counts_along(positions, axis) or x.type.shape[axis] == 0:
        return None
    combining = "maximum" if name == "argmax" else "minimum"
    zero = isinstance(first, Literal) and first.value == 0
    if not zero or not is_neutral(combining, initial):
        return None
    value, dtype = x, positions.type.dtype
    if x.type.dtype is BOOL:
        value = ops.convert(x, dtype=U8)
    extreme = OPS["reduce_max" if name == "argmax" else "reduce_min"](
        value, axes=[axis]
    )
    if x.type.dtype is BOOL:
        extreme = ops.convert(extreme, dtype=BOOL)
    position = OPS[name](x, axis=axis)
    if dtype is not I32:
        position = ops.convert(position, dtype=dtype)
    return extreme, position


def _counts_along(positions: Operand, axis: int) -> bool:
    """Whether the elements are their positions along `axis`."""
    if not isinstance(positions, Value) or positions.node is None:
        return False
    node = positions.node
    return node.op is ops.iota and node.attributes["axis"] == axis


# -- over windows ----------------------------------------------------------------------

_WINDOWS = {
    "add": "reduce_window_sum",
    "maximum": "reduce_window_max",
    "minimum": "reduce_window_min",
}
_SCANS = {
    "add": "cumulative_sum",
    "multiply": "cumulative_prod",
    "maximum": "cumulative_max",
}


def reduce_window(op: Operation, *operands: Operand) -> Any:
    """A reduction of every window, or of all that stands before each element."""
    xs = operands[: len(operands) // 2]
    initials = operands[len(xs) :]
    shape = Windows(
        window=op.attribute("window_dimensions"),
        strides=op.attribute("window_strides", [1] * xs[0].type.rank),
        base=op.attribute("base_dilations", [1] * xs[0].type.rank),
        dilation=op.attribute("window_dilations", [1] * xs[0].type.rank),
        padding=op.attribute("padding", [[0, 0]] * xs[0].type.rank),
    )
    (region,) = op.raw.regions
    combining = combination(region) if len(xs) == 1 else None
    if xs[0].type.dtype is BOOL or combining not in {*_WINDOWS, *_SCANS}:
        return shape.combine(op, region, xs, initials)
    neutral = is_neutral(combining, initials[0])
    found = shape.scan(combining, xs[0]) if neutral else None
    if found is not None:
        return found
    if combining not in _WINDOWS:
        return shape.combine(op, region, xs, initials)
    found = shape.reduce(combining, xs[0], initials[0], neutral)
    return found if neutral else OPS[combining](found, initials[0])


@dataclass(frozen=True)
class Windows:
    """Where the windows of a reduction lie; lists name all dimensions."""

    window: list[int]
    strides: list[int]
    base: list[int]
    dilation: list[int]
    padding: list[list[int]]

    def padded(self, x: Any, initial: Operand) -> Any:
        """`x` with `initial` around and between its elements."""
        pairs = self.padding
        if not any(map(any, pairs)) and all(step == 1 for step in self.base):
            return x
        return ops.pad(
            x,
            initial,
            low=[low for low, _ in pairs],
            high=[high for _, high in pairs],
            interior=[step - 1 for step in self.base],
        )

    def reduce(self, combining: str, x: Any, initial: Operand, neutral: bool) -> Any:
        """The reduction by a primitive, in which padding counts as neutral."""
        padding = self.padding
        if not neutral or any(step > 1 for step in self.base):
            x, padding = self.padded(x, initial), [[0, 0]] * x.type.rank
        return OPS[_WINDOWS[combining]](
            x,
            window=self.window,
            strides=self.strides,
            padding=padding,
            dilation=self.dilation if any(d > 1 for d in self.dilation) else None,
        )

    def scan(self, combining: str, x: Any) -> Any:
        """The scan that windows over everything up to each element are, or None."""
        steps = [*self.strides, *self.base, *self.dilation]
        long = [d for d, size in enumerate(self.window) if size > 1]
        if combining not in _SCANS or len(long) != 1 or any(s > 1 for s in steps):
            return None
        (axis,) = long
        size = self.window[axis]
        others = [pair for d, pair in enumerate(self.padding) if d != axis]
        if size != x.type.shape[axis] or any(map(any, others)):
            return None
        if self.padding[axis] not in ([size - 1, 0], [0, size - 1]):
            return None
        reverse = self.padding[axis][0] == 0
        return OPS[_SCANS[combining]](x, axis=axis, reverse=reverse)

    def combine(
        self, op: Operation, region: ir.Region, xs: Sequence[Any], initials: Any
    ) -> Any:
        """The reduction by a region, in which padding counts as the initial values."""
        padding = self.padding
        if any(step > 1 for step in self.base):
            xs = [self.padded(x, start) for x, start in zip(xs, initials, strict=True)]
            padding = [[0, 0]] * len(self.window)
        return ops.reduce_window(
            *xs,
            *initials,
            graph=combiner_graph(op, region),
            window=self.window,
            strides=self.strides,
            padding=padding,
            dilation=self.dilation if any(d > 1 for d in self.dilation) else None,
        )


def select_and_scatter(op: Operation, x: Operand, source: Any, initial: Any) -> Any:
    """The gradient of a maximum over windows; of a minimum that of the opposite."""
    rank = x.type.rank
    select, scatter = op.raw.regions
    preferred = selection(select)
    of_bool = x.type.dtype is BOOL
    combining = "or" if of_bool else "add"
    if preferred is None or combination(scatter) != combining:
        raise op.refuse("the selecting or scattering region is not supported")
    if of_bool:
        x, source = ops.convert(x, dtype=I32), ops.convert(source, dtype=I32)
    if preferred == "LE":
        x = ops.negate(x) if x.type.dtype.is_float else ops.not_(x)
    found = ops.select_and_scatter_add(
        x,
        source,
        window=op.attribute("window_dimensions", [1] * rank),
        strides=op.attribute("window_strides", [1] * rank),
        padding=op.attribute("padding", [[0, 0]] * rank),
    )
    if of_bool:
        found = ops.compare(found, 0, direction="NE")
    return found if is_neutral(combining, initial) else OPS[combining](found, initial)


# -- sorting ---------------------------------------------------------------------------


def sort(op: Operation, *operands: Operand) -> Any:
    """A stable sort by all keys, or one for each where their directions differ."""
    axis = op.attribute("dimension")
    op.attribute("is_stable")
    (region,) = op.raw.regions
    keys = sort_keys(region)
    if keys is None:
        raise op.refuse("the comparator is not supported", str(region.blocks[0]))
    found: Sequence[Any] = [
        expand(x, type.shape, []) for x, type in zip(operands, op.types, strict=True)
    ]
    if len({key.descending for key in keys}) == 1:
        return _sorted(found, keys, axis)
    for key in reversed(keys):  # the sort is stable: the last one decides first
        found = _sorted(found, [key], axis)
    return found


def _sorted(operands: Sequence[Any], keys: Sequence[Key], axis: int) -> list[Any]:
    """`operands` in the order of `keys`, which are put before what they order."""
    by = [
        total_order(operands[key.operand])
        if key.total and operands[key.operand].type.dtype.is_float
        else operands[key.operand]
        for key in keys
    ]
    others = [x for x in operands if not any(x is key for key in by)]
    given = [*by, *others]
    found = ops.sort(*given, axis=axis, descending=keys[0].descending, keys=len(keys))
    results = list(found) if isinstance(found, tuple) else [found]
    return [
        next(y for g, y in zip(given, results, strict=True) if g is x) for x in operands
    ]


IMPORTERS: dict[str, Importer] = {
    "stablehlo.reduce": reduce,
    "stablehlo.reduce_window": reduce_window,
    "stablehlo.select_and_scatter": select_and_scatter,
    "stablehlo.sort": sort,
}
