"""Sums of exponentials that are computed while the largest exponent is still sought.

Softmax and the logarithm of a sum of exponentials subtract the largest element first.
In rows that no tile holds, each lane sums relative to the largest element that it has
seen, and corrects its sum where a larger one comes; so a row is read once for both.
This is the online normalizer of Milakov and Gimelshein, https://arxiv.org/abs/1805.02867.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.codegen.spellings import SPELLINGS
from graphc.codegen.triton.emitter import Emitter, name_of
from graphc.codegen.triton.reduction_space import ReductionSpace, depends_on
from graphc.codegen.triton.sums import ADD, Total
from graphc.ir.graph import Node
from graphc.ir.ops import (
    broadcast_in_dim,
    exponential,
    reduce_max,
    reduce_sum,
    reshape,
    subtract,
)
from graphc.ir.types import F32
from graphc.ir.values import Operand, Value
from graphc.passes.coordinates import Coordinates, operand_coordinates


@dataclass(frozen=True, slots=True)
class ShiftedSum:
    """A sum of exponentials of elements less a shift.

    Attributes:
        node: The sum.
        shift: What is subtracted.
        at: The element of it that a row subtracts.
    """

    node: Node
    shift: Operand
    at: Coordinates


def shifted_sum(node: Node, maximum: Node, space: ReductionSpace) -> ShiftedSum | None:
    """How to sum a node's terms along with a maximum of them, if that is what they are.

    Args:
        node: A reduction.
        maximum: A reduction that is computed in the pass before.
        space: The loops.
    """
    sought = maximum.operands[0]
    if node.op is not reduce_sum or maximum.op is not reduce_max:
        return None
    if sought.type.dtype is not F32:
        return None
    terms, at = _element(node.operands[0], space)
    shifted = _operand(terms, at, 0) if _is(terms, exponential) else None
    if shifted is None or not _is(shifted[0], subtract):
        return None
    element, shift = (_operand(*shifted, position) for position in (0, 1))
    if shift is None or not _is(shift[0], broadcast_in_dim):
        return None
    row = _operand(*shift, 0)
    if element is None or row is None or space.r in depends_on(row[1]):
        return None
    if _element(sought, space) != _moved(*element):
        return None
    return ShiftedSum(node, *row)


def _is(value: Operand, op: object) -> bool:
    return isinstance(value, Value) and value.node is not None and value.node.op is op


def _element(value: Operand, space: ReductionSpace) -> tuple[Operand, Coordinates]:
    """The element of a reduced value at a point of the loops."""
    assert isinstance(value, Value)
    return _moved(value, space.coordinates[value])


def _moved(value: Operand, at: Coordinates) -> tuple[Operand, Coordinates]:
    """An element where it lay before it was reshaped."""
    while _is(value, reshape):
        before = _operand(value, at, 0)
        if before is None:
            break
        value, at = before
    return value, at


def _operand(
    value: Operand, at: Coordinates, position: int
) -> tuple[Operand, Coordinates] | None:
    """The element of an operand that an element is computed from, if one is."""
    assert isinstance(value, Value)
    assert value.node is not None
    place = operand_coordinates(value.node, position, at)
    return None if place is None else (value.node.operands[position], place)


class ShiftedTotal:
    """A sum of exponentials of which a loop adds terms, lane by lane."""

    def __init__(
        self, emitter: Emitter, space: ReductionSpace, found: ShiftedSum
    ) -> None:
        self.node = found.node
        self._emitter = emitter
        self._found = found
        self._axes = frozenset({a for a in (space.x, space.r) if a.extent > 1})
        name = f"{name_of(found.node.results[0])}_terms"
        self._total = Total(emitter, ADD, F32, self._axes, name)

    def include(self, tile: str, best: str) -> None:
        """Writes how a tile is added, before the largest elements so far follow it.

        A lane that has seen nothing but negative infinities counts them; its factor is
        0 in the end, if the row has anything else.
        """
        factor = _exponential(f"-tl.abs({tile} - {best})")
        scale = self._emitter.writer.assign(
            "scale", f"tl.where({tile} == {best}, 1.0, {factor})", self._axes
        ).text
        total = self._total.tile.text
        self._emitter.writer.line(
            f"{total} = tl.where("
            f"{tile} > {best}, {total} * {scale} + 1.0, {total} + {scale})"
        )

    def terms(self, best: str) -> str:
        """Writes the sums of the lanes relative to the shift."""
        shift = self._emitter.value(self._found.shift, self._found.at)
        factor = _exponential(f"{best} - {shift.text}")
        text = f"{self._total.tile.text} * {factor}"
        return self._emitter.writer.assign("terms", text, self._axes).text


def _exponential(text: str) -> str:
    spelling = SPELLINGS[exponential.name].triton
    assert spelling is not None
    return spelling.format(text)
