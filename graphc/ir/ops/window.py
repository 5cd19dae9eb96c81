"""Primitives that combine the elements under a moving window."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from graphc.ir.differentiate import zeros
from graphc.ir.dims import Dim
from graphc.ir.errors import GraphError
from graphc.ir.opdef import (
    NUMBER,
    Arg,
    IllTyped,
    IntLists,
    Ints,
    Kind,
    Sample,
    Trait,
)
from graphc.ir.ops.bits import and_, not_, or_
from graphc.ir.ops.elementwise import add, compare, negate, select
from graphc.ir.ops.reduction import highest, lowest
from graphc.ir.ops.shape import pad, pad_array, require_length, slice_
from graphc.ir.register import primitive
from graphc.ir.typerules import require, shaped
from graphc.ir.types import TensorType, product

MAX_UNROLLED = 1024
"""The largest window whose positions become nodes one by one."""


# -- sizes -----------------------------------------------------------------------------


def dilated_size(size: Dim, dilation: int) -> Dim:
    """The size of a dimension with ``dilation - 1`` holes between its elements."""
    if isinstance(size, int) and size == 0:
        return 0
    return (size - 1) * dilation + 1


def window_count(size: Dim, window: Dim, stride: int) -> Dim:
    """How many windows, each `stride` behind the last, lie within `size` elements."""
    room = size - window
    if isinstance(room, int) and (room < 0 or size == 0):
        return 0
    return room // stride + 1


def padded_length(name: str, size: Dim, pair: Sequence[int]) -> Dim:
    """The length of a dimension after padding, which may be negative and crop it.

    Raises:
        GraphError: If it crops more than there is.
    """
    length = size + sum(pair)
    if isinstance(length, int) and length < 0:
        raise GraphError(
            f"{name}: the padding crops more than there is",
            received=f"padding {list(pair)} of {size} elements",
        )
    return length


def require_window(
    name: str, rank: int, padding: IntLists, **positive: Sequence[int]
) -> None:
    """Checks that padding holds pairs and that the other lists hold positive numbers.

    Raises:
        GraphError: If it does not, or if a list has not one entry per dimension.
    """
    require_length(name, "padding", padding, rank)
    require(
        all(len(pair) == 2 for pair in padding),
        f"{name}: padding must hold pairs [low, high]",
    )
    for attribute, value in positive.items():
        require_length(name, attribute, value, rank)
        if any(v < 1 for v in value):
            raise GraphError(
                f"{name}: {attribute} must be positive", received=str(list(value))
            )


def _ones(value: Any, rank: int) -> Any:
    return (1,) * rank if value is None else value


def window_type(
    name: str,
    x: TensorType,
    window: Ints,
    strides: Ints,
    padding: IntLists,
    dilation: Ints | None,
) -> TensorType:
    """The type of what is left when each window of `x` becomes one element.

    Raises:
        GraphError: If the attributes do not fit `x`.
    """
    spread = _ones(dilation, x.rank)
    require_window(
        name, x.rank, padding, window=window, strides=strides, dilation=spread
    )
    return shaped(
        x,
        [
            window_count(
                padded_length(name, size, pair), dilated_size(width, holes), stride
            )
            for size, pair, width, holes, stride in zip(
                x.shape, padding, window, spread, strides, strict=True
            )
        ],
    )


# -- reductions over windows -----------------------------------------------------------


def _reduce_reference(
    combine: Callable[[Any, Any], Any], initial: Callable[[Any], Any]
) -> Callable[..., Any]:
    def reference(
        x: Any, window: Any, strides: Any, padding: Any, dilation: Any
    ) -> Any:
        start = initial(x.dtype)
        result = pad_array(x, start, *zip(*padding, strict=True)) if x.ndim else x
        # A window is a product of intervals, so one dimension is reduced at a time.
        for axis, (width, stride, holes) in enumerate(
            zip(window, strides, _ones(dilation, x.ndim), strict=True)
        ):
            count = window_count(result.shape[axis], dilated_size(width, holes), stride)
            shape = (*result.shape[:axis], count, *result.shape[axis + 1 :])
            total = np.full(shape, start, x.dtype)
            for place in range(width if total.size else 0):
                first = place * holes
                taken = slice(first, first + (count - 1) * stride + 1, stride)
                part = result[(slice(None),) * axis + (taken,)]
                total = combine(total, part)
            result = total
        return result

    return reference


_POOL = {
    "window": [1, 2, 2, 1],
    "strides": [1, 2, 2, 1],
    "padding": [[0, 0], [0, 0], [0, 0], [0, 0]],
}
_SAMPLES = (
    Sample(("f32[2,4,6,3]",), _POOL),
    Sample(("f32[7]",), {"window": [3], "strides": [2], "padding": [[1, 1]]}),
    Sample(
        ("f32[5,6]",),
        {"window": [2, 3], "strides": [1, 2], "padding": [[1, 0], [-1, 2]]},
    ),
    Sample(
        ("f32[9,2]",),
        {
            "window": [3, 1],
            "strides": [2, 1],
            "padding": [[1, 2], [0, 0]],
            "dilation": [2, 1],
        },
    ),
    Sample(("f32[2]",), {"window": [5], "strides": [1], "padding": [[0, 0]]}),
    Sample(
        ("f32[5,4]",),
        {"window": [1, 1], "strides": [1, 1], "padding": [[-1, 0], [0, -2]]},
    ),
    Sample(("f32[]",), {"window": [], "strides": [], "padding": []}),
    Sample(
        (Arg("i32[6]", -9, 9),), {"window": [2], "strides": [2], "padding": [[0, 0]]}
    ),
    Sample(
        ("f32[B,5,2]",),
        {
            "window": [1, 3, 1],
            "strides": [1, 2, 1],
            "padding": [[0, 0], [1, 1], [0, 0]],
        },
    ),
    Sample(("f32[T]",), {"window": [2], "strides": [2], "padding": [[0, 1]]}),
)
_ERRORS = (
    IllTyped(
        ("f32[4]",),
        "window must have 1 entries",
        {"window": [2, 2], "strides": [1], "padding": [[0, 0]]},
    ),
    IllTyped(
        ("f32[4]",),
        "strides must be positive",
        {"window": [2], "strides": [0], "padding": [[0, 0]]},
    ),
    IllTyped(
        ("f32[4]",),
        "padding must hold pairs",
        {"window": [2], "strides": [1], "padding": [[0]]},
    ),
    IllTyped(
        ("f32[2]",),
        "crops more than there is",
        {"window": [1], "strides": [1], "padding": [[-1, -2]]},
    ),
    IllTyped(
        ("f32[4]",),
        "too large to address",
        {"window": [1], "strides": [1], "padding": [[2**62, 2**62]]},
    ),
    IllTyped(
        ("bool[4]",),
        "must be a number",
        {"window": [2], "strides": [1], "padding": [[0, 0]]},
    ),
)


def _sum_vjp(
    g: Any, y: Any, x: Any, window: Any, strides: Any, padding: Any, dilation: Any
) -> Any:
    # An element is in the windows that begin up to a window's length before it.
    low: list[Dim] = []
    high: list[Dim] = []
    spread = _ones(dilation, x.type.rank)
    for size, count, (before, _), width, stride, holes in zip(
        x.type.shape, y.type.shape, padding, window, strides, spread, strict=True
    ):
        low.append(dilated_size(width, holes) - before - 1)
        high.append(size + before - dilated_size(count, stride))
    interior = [stride - 1 for stride in strides]
    return (
        reduce_window_sum(
            pad(g, 0.0, low=low, high=high, interior=interior),
            window=window,
            strides=_ones(None, x.type.rank),
            padding=[(0, 0)] * x.type.rank,
            dilation=dilation,
        ),
    )


@primitive(
    Kind.OPAQUE,
    _reduce_reference(np.add, lambda dtype: 0),
    vjp=_sum_vjp,
    dtypes=NUMBER,
    traits=[Trait.ACCUMULATES, Trait.GATHERS],
    samples=_SAMPLES,
    errors=_ERRORS,
    ulp=1,
)
def reduce_window_sum(
    x: TensorType,
    *,
    window: Ints,
    strides: Ints,
    padding: IntLists,
    dilation: Ints | None = None,
) -> TensorType:
    """The sum under each window; padding counts as 0. Lists name all dimensions."""
    return window_type("reduce_window_sum", x, window, strides, padding, dilation)


def _max_vjp(
    g: Any, y: Any, x: Any, window: Any, strides: Any, padding: Any, dilation: Any
) -> Any:
    if dilation is None or all(d == 1 for d in dilation):
        return (
            select_and_scatter_add(
                x, g, window=window, strides=strides, padding=padding
            ),
        )
    walk = Windows(x.type, y.type, window, strides, padding, dilation)
    if walk.empty:
        return (zeros(x.type),)
    total: Any = None
    for hit, first in walk.winners(x, y):
        part = walk.put(select(hit, g, 0.0), first)
        total = part if total is None else add(total, part)
    return (walk.crop(total),)


@primitive(
    Kind.OPAQUE,
    _reduce_reference(np.maximum, lowest),
    vjp=_max_vjp,
    dtypes=NUMBER,
    traits=[Trait.GATHERS],
    samples=_SAMPLES,
    errors=_ERRORS,
    numerics="nan if an element is nan; the first of equal elements has the gradient",
)
def reduce_window_max(
    x: TensorType,
    *,
    window: Ints,
    strides: Ints,
    padding: IntLists,
    dilation: Ints | None = None,
) -> TensorType:
    """The largest element under each window; padding counts as the lowest value."""
    return window_type("reduce_window_max", x, window, strides, padding, dilation)


@primitive(
    Kind.OPAQUE,
    _reduce_reference(np.minimum, highest),
    vjp=lambda g, y, x, **attributes: _max_vjp(g, negate(y), negate(x), **attributes),
    dtypes=NUMBER,
    traits=[Trait.GATHERS],
    samples=_SAMPLES,
    errors=_ERRORS,
    numerics="nan if an element is nan; the first of equal elements has the gradient",
)
def reduce_window_min(
    x: TensorType,
    *,
    window: Ints,
    strides: Ints,
    padding: IntLists,
    dilation: Ints | None = None,
) -> TensorType:
    """The smallest element under each window; padding counts as the highest value."""
    return window_type("reduce_window_min", x, window, strides, padding, dilation)


# -- the gradient of a maximum over windows --------------------------------------------


class Windows:
    """The windows over `x`, place by place, as nodes of the graph being built."""

    def __init__(
        self,
        x: TensorType,
        result: TensorType,
        window: Ints,
        strides: Ints,
        padding: IntLists,
        dilation: Ints | None,
    ) -> None:
        if product(window) > MAX_UNROLLED:
            raise GraphError(
                f"the gradient of a window of more than {MAX_UNROLLED} elements is"
                " not known",
                received=f"a window of {list(window)}",
            )
        self.window = window
        self.strides = strides
        self.low = [low for low, _ in padding]
        self.high = [high for _, high in padding]
        self.dilation = _ones(dilation, x.rank)
        self.padded = [
            low + size + high
            for size, low, high in zip(x.shape, self.low, self.high, strict=True)
        ]
        self.reach = [
            (count - 1) * stride + 1
            for count, stride in zip(result.shape, strides, strict=True)
        ]
        self.empty = any(count == 0 for count in result.shape)

    def places(self) -> Iterator[list[int]]:
        """Where each element of the first window lies, in row-major order."""
        for place in itertools.product(*map(range, self.window)):
            yield [p * d for p, d in zip(place, self.dilation, strict=True)]

    def take(self, padded: Any, first: list[int]) -> Any:
        """The elements at one place of all windows."""
        limit = [f + r for f, r in zip(first, self.reach, strict=True)]
        return slice_(padded, start=first, limit=limit, strides=self.strides)

    def put(self, part: Any, first: list[int]) -> Any:
        """The transpose of `take`."""
        sizes = zip(self.padded, first, self.reach, strict=True)
        return pad(
            part,
            0.0,
            low=first,
            high=[size - f - reach for size, f, reach in sizes],
            interior=[stride - 1 for stride in self.strides],
        )

    def crop(self, padded: Any) -> Any:
        """`padded` without its padding."""
        return pad(
            padded, 0.0, low=[-low for low in self.low], high=[-h for h in self.high]
        )

    def winners(self, x: Any, y: Any) -> Iterator[tuple[Any, list[int]]]:
        """For each place, which windows have their first maximum `y` there."""
        padded = pad(x, float("nan"), low=self.low, high=self.high)  # equals nothing
        taken: Any = None
        for first in self.places():
            hit = compare(self.take(padded, first), y, direction="EQ")
            if taken is None:
                taken = hit
            else:
                hit = and_(hit, not_(taken))
                taken = or_(taken, hit)
            yield hit, first


def _scatter_reference(
    x: Any, source: Any, window: Any, strides: Any, padding: Any
) -> Any:
    low, high = zip(*padding, strict=True) if padding else ((), ())
    padded = pad_array(x, lowest(x.dtype), low, high)
    real = pad_array(np.ones(x.shape, bool), False, low, high)
    places = list(itertools.product(*map(range, window))) if source.size else []
    takes = [
        tuple(
            slice(p, p + (count - 1) * stride + 1, stride)
            for p, count, stride in zip(place, source.shape, strides, strict=True)
        )
        for place in places
    ]
    best = np.full(source.shape, lowest(x.dtype), x.dtype)
    winner = np.full(source.shape, -1)
    for number, take in enumerate(takes):
        better = real[take] & ((winner < 0) | (padded[take] > best))
        best = np.where(better, padded[take], best)
        winner = np.where(better, number, winner)
    total = np.zeros(padded.shape, x.dtype)
    for number, take in enumerate(takes):
        total[take] += np.where(winner == number, source, 0).astype(x.dtype)
    return pad_array(total, 0, [-d for d in low], [-d for d in high])


def _scatter_vjp(
    g: Any, y: Any, x: Any, source: Any, window: Any, strides: Any, padding: Any
) -> Any:
    walk = Windows(x.type, source.type, window, strides, padding, None)
    if walk.empty:
        return None, zeros(source.type)
    largest = reduce_window_max(x, window=window, strides=strides, padding=padding)
    padded = pad(g, 0.0, low=walk.low, high=walk.high)
    total: Any = None
    for hit, first in walk.winners(x, largest):
        part = select(hit, walk.take(padded, first), 0.0)
        total = part if total is None else add(total, part)
    return None, total


@primitive(
    Kind.OPAQUE,
    _scatter_reference,
    vjp=_scatter_vjp,
    dtypes=NUMBER,
    samples=(
        Sample(("f32[2,4,6,2]", "f32[2,2,3,2]"), _POOL),
        Sample(
            ("f32[7]", "f32[4]"), {"window": [3], "strides": [2], "padding": [[1, 1]]}
        ),
        Sample(
            ("f32[4,5]", "f32[4,2]"),
            {"window": [2, 3], "strides": [1, 2], "padding": [[1, 0], [-1, 2]]},
        ),
        Sample(
            ("f32[2]", "f32[0]"), {"window": [5], "strides": [1], "padding": [[0, 0]]}
        ),
        Sample(
            ("f32[B,4]", "f32[B,2]"),
            {"window": [1, 2], "strides": [1, 2], "padding": [[0, 0], [0, 0]]},
        ),
        Sample(
            (Arg("i32[6]", -9, 9), Arg("i32[3]", -9, 9)),
            {"window": [2], "strides": [2], "padding": [[0, 0]]},
        ),
    ),
    errors=(
        IllTyped(
            ("f32[4]", "f32[3]"),
            "source must be f32[2]",
            {"window": [2], "strides": [2], "padding": [[0, 0]]},
        ),
        IllTyped(
            ("f32[4]", "f32[2]"),
            "window must be positive",
            {"window": [0], "strides": [2], "padding": [[0, 0]]},
        ),
        IllTyped(
            ("bool[4]", "bool[2]"),
            "must be a number",
            {"window": [2], "strides": [2], "padding": [[0, 0]]},
        ),
    ),
    ulp=1,
    numerics="of equal elements the first wins; padding never wins",
)
def select_and_scatter_add(
    x: TensorType,
    source: TensorType,
    *,
    window: Ints,
    strides: Ints,
    padding: IntLists,
) -> TensorType:
    """Adds each element of `source` where its window of x has the first maximum.

    The result has the shape of x: the gradient of a maximum over windows.
    """
    name = "select_and_scatter_add"
    wanted = window_type(name, x, window, strides, padding, None)
    require(source == wanted, f"{name}: source must be {wanted}", x, source)
    return x
