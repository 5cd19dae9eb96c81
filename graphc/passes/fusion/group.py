"""Groups: the nodes of one kernel, and the loops that compute them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from graphc.ir.graph import Node
from graphc.ir.index import ZERO, Axis, Index, flattened, unflattened, variable
from graphc.ir.types import TensorType
from graphc.ir.values import Value
from graphc.passes.coordinates import (
    UNKNOWN,
    Coordinates,
    operand_coordinates,
    substituted,
)


@dataclass(frozen=True)
class Space:
    """The loops of a kernel: over kept elements, and for each over reduced ones.

    Attributes:
        kept: How many elements the axis x runs over.
        reduced: How many elements the axis r runs over; 1 without reductions.
        position: The row-major position of an element that both axes choose, in the
            layout that the reduced tensor has.
    """

    kept: int
    reduced: int
    position: Index

    @property
    def size(self) -> int:
        """How many elements both axes have together."""
        return self.kept * self.reduced

    def holds(self, value: Value, at: Coordinates) -> bool:
        """Whether the loops compute each element of `value` once."""
        axes, times, is_full = _extent(at)
        if UNKNOWN in axes:
            return False
        whole = self.size if is_full else self.kept
        return value.type.size == whole == self._times(axes, times)

    def evaluations(self, at: Coordinates) -> int:
        """How often elements are computed that are read at `at`."""
        axes, times, _ = _extent(at)
        return self._times(axes, times)

    def _times(self, axes: frozenset[Axis], times: int) -> int:
        # An axis of one element is left out of coordinates, and r implies x.
        names = {axis.name for axis in axes}
        return times * self.kept if "r" in names and "x" not in names else times


def elements(shape: Sequence[int] = ()) -> Space:
    """The loop over the elements of tensors that have as many as one of `shape`."""
    count = math.prod(shape)
    return Space(count, 1, variable(Axis("x", count)))


def rows(type: TensorType, axes: Sequence[int]) -> Space:
    """The loops of a reduction of a tensor along `axes`."""
    kept, reduced = _sizes(type.static_shape, tuple(axes))
    at = row_coordinates(type.static_shape, tuple(axes))
    return Space(kept, reduced, flattened(at, type.static_shape))


@lru_cache(maxsize=4096)
def row_coordinates(shape: tuple[int, ...], axes: tuple[int, ...]) -> Coordinates:
    """The element that x and r choose in a tensor that is reduced along `axes`."""
    kept, reduced = _sizes(shape, axes)
    outer = [n for d, n in enumerate(shape) if d not in axes]
    inner = [n for d, n in enumerate(shape) if d in axes]
    x = iter(unflattened(variable(Axis("x", kept)), outer))
    r = iter(unflattened(variable(Axis("r", reduced)), inner))
    return tuple(next(r) if d in axes else next(x) for d in range(len(shape)))


@lru_cache(maxsize=4096)
def own_coordinates(shape: tuple[int, ...]) -> Coordinates:
    """The element at position x of a tensor."""
    if 0 in shape:
        return (ZERO,) * len(shape)
    return unflattened(variable(Axis("x", math.prod(shape))), shape)


def is_alias(node: Node) -> bool:
    """Whether the result is the operand's memory, with the same elements in order."""
    if node.op.write_index is None:
        return False
    own = own_coordinates(node.results[0].type.static_shape)
    of_operand = own_coordinates(node.operands[0].type.static_shape)
    return operand_coordinates(node, 0, own) == of_operand


def axes_of(at: Coordinates) -> frozenset[Axis]:
    """The axes that coordinates depend on."""
    return _extent(at)[0]


@lru_cache(maxsize=65536)
def _extent(at: Coordinates) -> tuple[frozenset[Axis], int, bool]:
    """The axes of coordinates, how many elements they have, and whether r is one."""
    axes = frozenset(axis for index in at for axis in index.axes)
    times = math.prod(axis.extent for axis in axes)
    return axes, times, any(axis.name == "r" for axis in axes)


@dataclass(frozen=True)
class Change:
    """How coordinates of one space are said in another."""

    axis: Axis | None = None
    by: Index = field(default_factory=Index)

    def __call__(self, at: Coordinates) -> Coordinates:
        """`at` in the other space."""
        if self.axis is None:
            return at
        axis = self.axis
        return tuple(substituted(index, axis, self.by) for index in at)


SAME = Change()


def joint(a: Space, b: Space) -> tuple[Space, Change, Change] | None:
    """A space for what two groups compute, and how each one's coordinates change."""
    if (a.kept, a.reduced) == (b.kept, b.reduced):
        return a, SAME, SAME
    if b.reduced == 1:
        change = _into(b, a)
        return None if change is None else (a, SAME, change)
    if a.reduced == 1:
        change = _into(a, b)
        return None if change is None else (b, change, SAME)
    return None


def _into(small: Space, large: Space) -> Change | None:
    """How coordinates in a space without reductions are said in one with them."""
    if small.kept == large.kept:
        return SAME
    if small.kept == large.size:
        return Change(Axis("x", small.kept), large.position)
    return None


def _sizes(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, int]:
    reduced = math.prod(n for d, n in enumerate(shape) if d in axes)
    return math.prod(n for d, n in enumerate(shape) if d not in axes), reduced


KERNELS_OF_ELEMENTS = ("pointwise", "reduction", "contraction")
"""The kinds of kernels whose loops run over elements of results."""


class Group:
    """Nodes that become one kernel, or one node that becomes none.

    Attributes:
        kind: What the kernel is built around; None for a node that is in no kernel.
        space: Its loops.
        members: The nodes whose results it computes for others, the last one first,
            and the elements of them that it computes.
        inlined: Nodes that do arithmetic and are computed again where they are read.
        copies: Nodes that it computes for itself, though others may as well: those
            that are inlined, and those that move elements.
        reads: The values that its nodes read, and at which coordinates.
        is_registered: Whether the values that it reads know that it does.
        sections: Further groups that the kernel computes as well, beside its own nodes.
        bits: The numbers of the groups that have become this one, as a set of bits.
        below: The numbers of all groups that wait for it.
        work: The cost of its arithmetic for each element of its space.
        repeated: That part of the work that other elements or groups do as well.
    """

    def __init__(self, kind: str | None, space: Space, bits: int) -> None:
        self.kind = kind
        self.space = space
        self.members: dict[Node, Coordinates] = {}
        self.inlined: set[Node] = set()
        self.copies: dict[Node, None] = {}
        self.reads: dict[Value, dict[Coordinates | None, None]] = {}
        self.is_registered = False
        self.sections: list[Group] = []
        self.bits = bits
        self.below = 0
        self.work = 0.0
        self.repeated = 0.0

    @property
    def parts(self) -> list[Group]:
        """The group itself and its sections."""
        return [self, *self.sections]

    @property
    def size(self) -> int:
        """How many nodes it has."""
        return len(self.members) + len(self.copies)

    def nodes(self) -> Iterable[Node]:
        """Its members and those of its sections."""
        return (node for part in self.parts for node in part.members)

    def results(self) -> Iterable[Value]:
        """The results of its members, and those of its sections."""
        return (result for node in self.nodes() for result in node.results)

    def computes(self, value: Value) -> bool:
        """Whether the loops run over the elements of `value`, which is read, once."""
        places = self.reads[value]
        return (
            self.kind in KERNELS_OF_ELEMENTS
            and len(places) == 1
            and all(at is not None and self.space.holds(value, at) for at in places)
        )

    def take_over(self, other: Group) -> None:
        """Takes what `other` copies and costs, whose members have become its own."""
        self.copies |= other.copies
        self.inlined |= other.inlined
        self.work += other.work
        self.repeated += other.repeated
        self.bits |= other.bits
        self.below |= other.below
        if other.kind == "reduction":
            self.kind = "reduction"

    def change(self, space: Space, change: Change) -> None:
        """Says all coordinates in another space."""
        self.space = space
        if change is not SAME:
            self.reads = {
                value: {at and change(at): None for at in places}
                for value, places in self.reads.items()
            }
            self.members = {node: change(at) for node, at in self.members.items()}
