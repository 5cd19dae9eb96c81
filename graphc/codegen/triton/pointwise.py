"""Kernels whose results' elements are computed each for itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from graphc.codegen.triton.emitter import Access, Emitter, Place
from graphc.codegen.triton.writer import Tile, TileAxis
from graphc.ir.index import (
    Axis,
    Index,
    Modulo,
    Quotient,
    unflattened,
    variable,
)
from graphc.ir.types import product
from graphc.ir.values import Operand, Value
from graphc.passes.coordinates import part_coordinates, stored_parts

X, Y = "x", "y"
COLUMNS, ROWS = "XBLOCK", "YBLOCK"
"""The constants that hold the tiles' sizes along x and y."""

LEAST_TILED = 16
"""Shorter runs of elements are not worth a dimension of tiles."""


@dataclass(frozen=True, slots=True)
class PointwiseSpace:
    """The loops of a pointwise kernel over the elements of its results.

    Attributes:
        elements: How many each result has, or each part of one that is stored so.
        across: The dimension along which operands run that are stored in another
            order, as its size and its stride in results; tiles have a dimension of
            their own along it. None if there is no such operand.
    """

    elements: int
    across: tuple[int, int] | None = None

    @property
    def rank(self) -> int:
        """The number of dimensions of tiles."""
        return 1 if self.across is None else 2


def emit_pointwise(
    emitter: Emitter,
    space: PointwiseSpace,
    stores: Sequence[tuple[str, Operand]],
    program: str,
    sizes: Mapping[str, int],
) -> None:
    """Writes the body of a kernel that computes each element of its results.

    Args:
        emitter: Where to write.
        space: The loops.
        stores: The results and the arguments that point to them.
        program: The number of the program among those of this body.
        sizes: The tiles' sizes: without those that extents are multiples of there are
            masks.
    """
    flat = declare(emitter, space, program, sizes)
    placed: list[tuple[str, Operand, Place, Tile]] = []
    for pointer, value in stores:
        is_whole = product(value.type.static_shape) == space.elements
        for position, part in enumerate([value] if is_whole else parts_of(value)):
            at = unflattened(flat, part.type.static_shape)
            place = at if is_whole else part_coordinates(value, position, at)
            placed.append((pointer, value, place, emitter.value(part, at)))
    for each in placed:
        emitter.store(*each)


def parts_of(value: Operand) -> tuple[Operand, ...]:
    """The values that a result is stored as, if nothing else in its graph reads it."""
    if not isinstance(value, Value) or value.node is None or value.graph is None:
        return ()
    is_read = value.users != [value.graph.return_node]
    return () if is_read else stored_parts(value.node)


def declare(
    emitter: Emitter, space: PointwiseSpace, program: str, sizes: Mapping[str, int]
) -> Index:
    """Writes which elements a program owns; returns their row-major position."""
    writer = emitter.writer
    writer.reserve([X, Y, "inside_x", "inside_y", "program_x", "program_y"])
    if space.across is None:
        x = Axis(X, space.elements)
        if x.extent > 1:
            spread = "[:, None]" if writer.rank == 2 else ""
            lanes = writer.lanes(COLUMNS, spread)
            writer.line(f"{X} = {program} * {COLUMNS} + {lanes}")
            _declare_axis(emitter, x, 0, COLUMNS, sizes)
        return variable(x)
    size, stride = space.across
    x, y = Axis(X, space.elements // size), Axis(Y, size)
    writer.line(f"program_y = {program} % tl.cdiv({y.extent}, {ROWS})")
    writer.line(f"program_x = {program} // tl.cdiv({y.extent}, {ROWS})")
    writer.line(f"{Y} = program_y * {ROWS} + tl.arange(0, {ROWS})[:, None]")
    writer.line(f"{X} = program_x * {COLUMNS} + tl.arange(0, {COLUMNS})[None, :]")
    _declare_axis(emitter, y, 0, ROWS, sizes)
    _declare_axis(emitter, x, 1, COLUMNS, sizes)
    along = variable(x)
    outer, inner = along // stride, along % stride
    return outer * (size * stride) + variable(y) * stride + inner


def _declare_axis(
    emitter: Emitter, axis: Axis, dimension: int, block: str, sizes: Mapping[str, int]
) -> None:
    """Writes which lanes are inside of an axis, if not all of all tiles are."""
    mask = None
    if axis.extent % sizes[block]:
        mask = f"inside_{axis.name}"
        emitter.writer.line(f"{mask} = {axis.name} < {axis.extent}")
    emitter.writer.declare(axis, TileAxis(dimension, block, mask))


def dimension_across(elements: int, loads: Iterable[Access]) -> tuple[int, int] | None:
    """The dimension of results along which large operands are contiguous.

    Args:
        elements: How many elements each result has.
        loads: What a kernel with loops over one axis `x` loads, and where.

    Returns:
        The size and the stride of the dimension; None if it is the last one.
    """
    found: dict[tuple[int, int], int] = {}
    for load in loads:
        size = product(load.value.type.static_shape)
        for atom, factor in load.position.terms:
            if factor != 1:
                continue
            digit = _digit(atom, elements)
            large = 2 * size >= elements
            if digit is not None and large and min(digit) >= LEAST_TILED:
                found[digit] = found.get(digit, 0) + size
    return max(found, key=lambda key: (found[key], key), default=None)


def _digit(atom: object, elements: int) -> tuple[int, int] | None:
    """The dimension of results that ``x // stride % size`` runs along."""
    if isinstance(atom, Modulo):
        inner = atom.of.terms
        if len(inner) == 1 and inner[0][1] == 1 and isinstance(inner[0][0], Quotient):
            quotient = inner[0][0]
            if _is_x(quotient.of):
                return atom.by, quotient.by
    if isinstance(atom, Quotient) and _is_x(atom.of):
        return elements // atom.by, atom.by
    return None


def _is_x(index: Index) -> bool:
    atoms = [atom for atom, _ in index.terms]
    return len(atoms) == 1 and isinstance(atoms[0], Axis) and not index.constant
