"""Maxima over small windows and their gradients as elementwise ops on strided slices.

Where kernels come from loops over elements, as those that XLA generates for CPUs do, a
window is a loop within the loop over the results, and its gradient searches every
window again and adds to memory at places that it computes. Written place by place, both
are elementwise ops, which become straight vector code.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import (
    add,
    broadcast_in_dim,
    compare,
    maximum,
    minimum,
    optimization_barrier,
    or_,
    pad,
    reduce_window_max,
    reduce_window_min,
    reshape,
    select,
    select_and_scatter_add,
)
from graphc.ir.ops.reduction import highest, lowest
from graphc.ir.ops.shape import interleaved
from graphc.ir.ops.window import Windows
from graphc.ir.types import I32
from graphc.ir.values import Literal
from graphc.passes.graph_pass import GraphPass, Option, register
from graphc.passes.numerics import EXACT, REASSOCIATES, Numerics
from graphc.passes.rewrite import Rewriter, size_problem

_EXTREMES: dict[Any, tuple[Any, Any]] = {
    reduce_window_max: (maximum, lowest),
    reduce_window_min: (minimum, highest),
}
"""What an op over windows makes of two elements, and the value that it starts from."""


@register
@final
@dataclass(frozen=True)
class UnrollWindows(GraphPass):
    """Writes maxima and minima over windows, and their gradients, place by place.

    The extreme is one of strided slices. For the gradient the number of the place that
    wins is found the same way; each element of x then adds what the windows around it
    have for its place. Of equal elements the first wins, as before.

    Attributes:
        most_places: The largest window that is unrolled.
    """

    name: ClassVar[str] = "unroll_windows"
    tuned: ClassVar[Mapping[str, tuple[Option, ...]]] = {"most_places": (4, 64)}
    numerics: ClassVar[Mapping[str, Numerics]] = {
        "extreme_of_slices": EXACT,
        "gradient_by_places": REASSOCIATES,
    }

    most_places: int = 16

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            if node.op in _EXTREMES:
                self._try(node, "extreme_of_slices", rewriter)
            elif node.op is select_and_scatter_add:
                self._try(node, "gradient_by_places", rewriter)
        return rewriter.ledger.count > made

    def _try(self, node: Node, rule: str, rewriter: Rewriter) -> None:
        reason = self._problem(node)
        if reason is not None:
            rewriter.refuse(node, rule, reason)
        elif node.op is select_and_scatter_add:
            rewriter.rewrite(node, lambda: (rule, [_gradient(node, rewriter)]))
        else:
            rewriter.rewrite(node, lambda: (rule, [_extreme(node)]))

    def _problem(self, node: Node) -> str | None:
        """Why the windows of a node are not unrolled, if so."""
        if reason := size_problem(node):
            return reason
        places = math.prod(node.attributes["window"])
        if places > self.most_places:
            return f"its windows have {places} elements, more than {self.most_places}"
        minor = [node.attributes[name][-1:] for name in ("window", "strides")]
        if node.op in _EXTREMES and minor not in ([[1], [1]], [[], []]):
            return "slices along the last dimension would not be read as vectors"
        return None


def _extreme(node: Node) -> Any:
    """The maximum or minimum of the elements at each place of all windows."""
    (x,) = node.operands
    combine, start = _EXTREMES[node.op]
    walk = Windows(x.type, node.result.type, **node.op.decode(node.attributes, None))
    filled = _filled(x, walk, start)
    found: Any = None
    for first in walk.places():
        taken = walk.take(filled, first)
        found = taken if found is None else combine(found, taken)
    return found


def _filled(x: Any, walk: Windows, start: Any) -> Any:
    """`x` with its padding, which never wins against an element."""
    if not any((*walk.low, *walk.high)):
        return x
    dtype = x.type.dtype
    return pad(x, Literal(start(dtype.numpy), dtype), low=walk.low, high=walk.high)


# -- the gradient ----------------------------------------------------------------------


def _gradient(node: Node, rewriter: Rewriter) -> Any:
    """For each element of x, the sum over windows that it wins."""
    x, source = node.operands
    attributes = node.op.decode(node.attributes, None)
    walk = Windows(x.type, source.type, **attributes, dilation=None)
    winner = _winner(x, walk, rewriter)
    if all(w <= s for w, s in zip(walk.window, walk.strides, strict=True)):
        found = _one_window_each(winner, source, walk, rewriter)
    else:
        # Each place reads the winners: they are not to be searched again for each.
        found = _many_windows_each(optimization_barrier(winner), source, walk)
    sizes = zip(x.type.static_shape, found.type.shape, walk.low, strict=True)
    high = [size + low - have for size, have, low in sizes]
    return pad(found, 0.0, low=[-low for low in walk.low], high=high)


def _winner(x: Any, walk: Windows, rewriter: Rewriter) -> Any:
    """The number of the place of each window that wins."""
    filled = _filled(x, walk, lowest)
    best: Any = None
    winner: Any = None
    for number, first in enumerate(walk.places()):
        taken = walk.take(filled, first)
        if best is None:
            best = taken
            winner = broadcast_in_dim(Literal(0, I32), shape=taken.type.shape, dims=[])
            continue
        better = compare(taken, best, direction="GT")
        entering = _entering(first, x.type.static_shape, taken.type.static_shape, walk)
        if entering is not None:
            held = rewriter.constant(entering, "entering")
            dims = list(range(taken.type.rank))
            held = broadcast_in_dim(held, shape=taken.type.shape, dims=dims)
            better = or_(better, held)
        best = select(better, taken, best)
        winner = select(better, number, winner)
    return winner


def _entering(
    place: Sequence[int], sizes: Sequence[int], counts: Sequence[int], walk: Windows
) -> np.ndarray[Any, Any] | None:
    """Of which windows `place` is the first that is not padding, if of any.

    There even what is not larger than the padding wins.
    """
    found = np.ones([1] * len(sizes), bool)
    for d, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        at = np.arange(count)[:, None] * walk.strides[d] - walk.low[d]
        at = at + np.arange(walk.window[d])
        real = (at >= 0) & (at < size)
        first = np.where(real.any(1), real.argmax(1), -1) == place[d]
        if first.all() or not first.any():
            first = first[:1]
        found = found & first.reshape([-1 if d == e else 1 for e in range(len(sizes))])
    return found if found.any() else None


def _one_window_each(
    winner: Any, source: Any, walk: Windows, rewriter: Rewriter
) -> Any:
    """The gradient where windows do not overlap: each window is as wide as a stride."""
    counts = source.type.static_shape
    places = np.full(walk.strides, -1, np.int32)
    for number, place in enumerate(walk.places()):
        places[tuple(place)] = number
    # Each dimension becomes two, the window and the place in it.
    shape = [size for pair in zip(counts, walk.strides, strict=True) for size in pair]
    windows, within = list(range(0, len(shape), 2)), list(range(1, len(shape), 2))
    place = broadcast_in_dim(
        rewriter.constant(places, "places"), shape=shape, dims=within
    )
    won = compare(
        broadcast_in_dim(winner, shape=shape, dims=windows), place, direction="EQ"
    )
    found = select(won, broadcast_in_dim(source, shape=shape, dims=windows), 0.0)
    sizes = [n * s for n, s in zip(counts, walk.strides, strict=True)]
    return reshape(found, shape=sizes)


def _many_windows_each(winner: Any, source: Any, walk: Windows) -> Any:
    """The gradient where windows overlap.

    Elements are sorted by their distance to the last window's start before them: those
    of one distance are at the same places of the windows around them.
    """
    counts = source.type.static_shape
    rank = len(counts)
    sizes = [
        count + (width - 1) // stride
        for count, width, stride in zip(counts, walk.window, walk.strides, strict=True)
    ]
    at: dict[tuple[int, ...], Any] = {}
    for number, place in enumerate(walk.places()):
        part = select(compare(winner, number, direction="EQ"), source, 0.0)
        low = [p // s for p, s in zip(place, walk.strides, strict=True)]
        high = [n - c - lo for n, c, lo in zip(sizes, counts, low, strict=True)]
        part = pad(part, 0.0, low=low, high=high)
        distance = tuple(p % s for p, s in zip(place, walk.strides, strict=True))
        at[distance] = add(at[distance], part) if distance in at else part
    # The distances of one dimension after the other are put between its windows.
    for d in reversed(range(rank)):
        groups: dict[tuple[int, ...], list[Any]] = {}
        for distance in itertools.product(*map(range, walk.strides[: d + 1])):
            groups.setdefault(distance[:d], []).append(at.get(distance))
        at = {key: interleaved(parts, d) for key, parts in groups.items()}
    return at[()]
