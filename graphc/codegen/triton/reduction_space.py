"""The loops of kernels that reduce, and which elements of each value they own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from graphc.codegen.triton.blocks import BLOCKS
from graphc.ir.graph import Node
from graphc.ir.index import Axis, Index, flattened, unflattened, variable
from graphc.ir.values import Operand, Value
from graphc.passes.coordinates import Coordinates, propagate

X, R = "x", "r"


@dataclass(slots=True)
class ReductionSpace:
    """The loops of a kernel that reduces: kept elements `x` by reduced elements `r`.

    Attributes:
        x, r: The axes.
        reductions: The nodes that reduce the whole of `r` at kept coordinates.
        coordinates: The element of each value at a point of the loops.
    """

    x: Axis
    r: Axis
    reductions: list[Node] = field(default_factory=list[Node])
    coordinates: dict[Value, Coordinates] = field(
        default_factory=dict[Value, Coordinates]
    )

    def of_result(self, value: Operand) -> Coordinates | None:
        """The elements of a result that the loops own, or None if they do not fit."""
        shape = value.type.static_shape
        known = self.coordinates.get(value) if isinstance(value, Value) else None
        size = math.prod(shape)
        if size == self.x.extent:
            if known is not None and depends_on(known) <= {self.x}:
                return known
            return unflattened(variable(self.x), shape)
        if size == self.x.extent * self.r.extent:
            if known is not None:
                return known
            both = variable(self.x) * self.r.extent + variable(self.r)
            return unflattened(both, shape)
        return None


def depends_on(coordinates: Iterable[Index]) -> frozenset[Axis]:
    """The axes along which the elements at `coordinates` differ."""
    return frozenset(axis for index in coordinates for axis in index.axes)


def reduction_space(
    nodes: Sequence[Node], results: Sequence[Operand]
) -> ReductionSpace | None:
    """The loops that most suit the reductions among `nodes`, if any fit.

    Args:
        nodes: What `results` need, in order.
        results: What the kernel computes.
    """
    candidates = [node for node in nodes if node.op.name in BLOCKS]
    candidates.sort(key=lambda node: -math.prod(node.operands[0].type.static_shape))
    for anchor in candidates:
        space = _space_of(nodes, anchor)
        if all(space.of_result(value) is not None for value in results):
            return space
    return None


def _space_of(nodes: Sequence[Node], anchor: Node) -> ReductionSpace:
    kept, reduced = _sizes(anchor)
    space = ReductionSpace(Axis(X, math.prod(kept)), Axis(R, math.prod(reduced)))
    seeds: dict[Value, Coordinates] = {}
    _seed(anchor, space, seeds)
    while True:
        space.coordinates = propagate(seeds, nodes)
        fresh = [
            node
            for node in nodes
            if node.op.name in BLOCKS
            and node not in space.reductions
            and _fits(node, space)
        ]
        if not fresh:
            apart = _unconnected(nodes, space)
            if apart is None:
                return space
            _seed(apart, space, seeds)
        for node in fresh:
            space.reductions.append(node)
            axes = reduced_axes(node)
            full = space.coordinates[value_of(node.operands[0])]
            rows = BLOCKS[node.op.name].keeps_axis
            seeds[node.results[0]] = tuple(
                index for d, index in enumerate(full) if rows or d not in axes
            )


def _sizes(node: Node) -> tuple[list[int], list[int]]:
    """The sizes of the dimensions that a reduction keeps, and of the others."""
    shape = node.operands[0].type.static_shape
    axes = reduced_axes(node)
    kept = [size for d, size in enumerate(shape) if d not in axes]
    return kept, [shape[d] for d in axes]


def _seed(node: Node, space: ReductionSpace, seeds: dict[Value, Coordinates]) -> None:
    """Lets the loops run over the operand of a reduction."""
    operand = node.operands[0]
    kept, reduced = _sizes(node)
    outer = iter(unflattened(variable(space.x), kept))
    inner = iter(unflattened(variable(space.r), reduced))
    axes = reduced_axes(node)
    if isinstance(operand, Value):
        rank = operand.type.rank
        seeds[operand] = tuple(next(inner if d in axes else outer) for d in range(rank))


def _unconnected(nodes: Sequence[Node], space: ReductionSpace) -> Node | None:
    """A reduction with loops of the same lengths that no values connect with `space`."""
    for node in nodes:
        operand = node.operands[0] if node.operands else None
        if node.op.name not in BLOCKS or node in space.reductions:
            continue
        if not isinstance(operand, Value) or operand in space.coordinates:
            continue
        kept, reduced = _sizes(node)
        lengths = (math.prod(kept), math.prod(reduced))
        if lengths == (space.x.extent, space.r.extent):
            return node
    return None


def value_of(operand: Operand) -> Value:
    """An operand that is no literal."""
    assert isinstance(operand, Value)
    return operand


def _fits(node: Node, space: ReductionSpace) -> bool:
    """Whether a node reduces exactly `r`, for each `x`."""
    operand = node.operands[0]
    if not isinstance(operand, Value) or operand not in space.coordinates:
        return False
    at = space.coordinates[operand]
    axes = reduced_axes(node)
    shape = operand.type.static_shape
    inner = [at[d] for d in axes]
    outer = [index for d, index in enumerate(at) if d not in axes]
    ordered = not BLOCKS[node.op.name].ordered or flattened(
        inner, [shape[d] for d in axes]
    ) == variable(space.r)
    return (
        ordered
        and math.prod(shape[d] for d in axes) == space.r.extent
        and math.prod(shape) == space.r.extent * space.x.extent
        and depends_on(inner) <= {space.r}
        and depends_on(outer) <= {space.x}
    )


def reduced_axes(node: Node) -> list[int]:
    """The dimensions that a reduction takes away, in order."""
    attributes = node.op.decode(node.attributes, None)
    return sorted(attributes["axes"] if "axes" in attributes else [attributes["axis"]])
