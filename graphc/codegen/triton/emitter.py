"""The values of a kernel graph at any index, as tiles: computed where they are asked for.

A kernel asks for its results at the elements that a program owns; each node asks for
its operands at the elements that it needs. So moving elements (transposing, slicing,
padding, gathering) becomes arithmetic on indices and never touches memory.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from graphc.codegen.triton import dtypes
from graphc.codegen.triton.elementwise import Expression, expression
from graphc.codegen.triton.writer import Tile, Writer, axes_of
from graphc.ir.errors import UnsupportedError
from graphc.ir.graph import Graph, Node
from graphc.ir.index import Axis, Index, flattened, released
from graphc.ir.opdef import Kind
from graphc.ir.types import DType
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.coordinates import Coordinates, operand_coordinates

Guard = frozenset[Tile]
"""Conditions under which a value is asked for; elsewhere it may be anything."""

NO_GUARD: Guard = frozenset()

Place = tuple[Index, ...]
"""The index of an element of a value."""

_ORIGINS = ("gradient of ", "decomposed from ")
"""How those origins of a node start that say what it computes."""

Pull = Callable[..., Tile]
"""``(emitter, node, result position, index, guard, **attributes)`` to a tile."""


@dataclass(frozen=True, slots=True)
class Access:
    """Elements that are loaded or stored.

    Attributes:
        value: The parameter or result.
        position: Where in it, in row-major order.
        section: The section whose programs do so.
    """

    value: Operand
    position: Index
    section: int


class Emitter:
    """Tiles of the values of one kernel graph.

    Attributes:
        graph: The kernel graph.
        writer: The kernel's text.
        pointers: The argument that points to each parameter.
        pulls: How the ops compute that are more than one expression per element.
        pinned: Whether everything is computed in the block that is being written to,
            because the graph's parameters change in it.
        section: The section that is being written: each has programs of its own.
        loads: The parameters that have been loaded, and where.
        stores: The results that have been stored, and where.
    """

    def __init__(
        self,
        graph: Graph,
        writer: Writer,
        pointers: Mapping[Value, str],
        pulls: Mapping[str, Pull],
    ) -> None:
        self.graph = graph
        self.writer = writer
        self.pointers = dict(pointers)
        self.pulls = pulls
        self.pinned = False
        self.section = 0
        self.loads: list[Access] = []
        self.stores: list[Access] = []

    # -- values --------------------------------------------------------------------

    def value(
        self, operand: Operand, index: Sequence[Index], guard: Guard = NO_GUARD
    ) -> Tile:
        """`operand` at `index`, in the dtype that its elements are held in."""
        if isinstance(operand, Literal):
            return Tile(dtypes.literal(operand))
        place = tuple(index)
        if operand in self.pointers and operand.type.size and is_fixed(place):
            guard = NO_GUARD  # It is there, whether it is needed or not.
        known = self.writer.known(operand, place, guard)
        if known is not None:
            return known
        with self._where_known(axes_of(place, guard)):
            if operand in self.pointers:
                tile = self._load(operand, place, guard)
            else:
                assert operand.node is not None
                tile = self._computed(operand.node, operand, place, guard)
            self.writer.memo[operand, place, guard] = tile
        return tile

    def _where_known(self, axes: frozenset[Axis]) -> AbstractContextManager[None]:
        return nullcontext() if self.pinned else self.writer.outermost(axes)

    def remember(self, value: Value, index: Sequence[Index], tile: Tile) -> None:
        """Lets `value` at `index` be read from `tile`."""
        self.writer.memo[value, tuple(index), NO_GUARD] = tile

    def _computed(
        self, node: Node, value: Value, index: tuple[Index, ...], guard: Guard
    ) -> Tile:
        if node.op.name in self.pulls:
            attributes = node.op.decode(node.attributes, node_module(node))
            pull = self.pulls[node.op.name]
            return pull(self, node, value.index, index, guard, **attributes)
        if node.op.read_index is not None:
            read = operand_coordinates(node, 0, index)
            assert read is not None
            return self.value(node.operands[0], read, guard)
        if node.op.kind is Kind.ELEMENTWISE:
            return self._elementwise(node, value.index, index, guard)
        raise UnsupportedError(
            f"{node.op.name} has no Triton form",
            received=node.op.no_kernel or None,
            location=node.location,
        )

    def _elementwise(
        self, node: Node, result: int, index: tuple[Index, ...], guard: Guard
    ) -> Tile:
        operands = [
            self.value(operand, index if operand.type.rank else (), guard)
            for operand in node.operands
        ]
        made = expression(node, [tile.text for tile in operands])
        axes = frozenset[Axis]().union(*(tile.axes for tile in operands))
        self.note(node)
        if len(node.results) == 1:
            return self.assign(name_of(node.results[0]), made, axes)
        self.writer.helpers.update(made.helpers)
        names = [name_of(each) if each.uses else None for each in node.results]
        tiles = self.writer.unpack(names, made.text, axes)
        for each, tile in tiles.items():
            self.writer.memo[node.results[each], index, guard] = tile
        return tiles[result]

    def note(self, node: Node) -> None:
        """Writes a comment that says where `node` comes from, if that is news."""
        if node.location is not None:
            origin = (node.location.origin or "").partition(",")[0]
            if not origin.startswith(_ORIGINS):
                origin = ""
            self.writer.note(": ".join(filter(None, [node.location.path, origin])))

    def assign(self, wanted: str, made: Expression, axes: frozenset[Axis]) -> Tile:
        """Writes an expression to a variable; a variable's name stays what it is."""
        self.writer.helpers.update(made.helpers)
        if made.text.isidentifier():
            return Tile(made.text, axes)
        return self.writer.assign(wanted, made.text, axes)

    # -- memory --------------------------------------------------------------------

    def _load(
        self,
        value: Value,
        index: tuple[Index, ...],
        guard: Guard,
        other: str | None = None,
    ) -> Tile:
        raw = self.raw(value, index, guard, other)
        return self.assign(
            name_of(value), dtypes.widened(raw.text, value.type.dtype), raw.axes
        )

    def raw(
        self,
        value: Value,
        index: Sequence[Index],
        guard: Guard = NO_GUARD,
        other: str | None = None,
    ) -> Tile:
        """The elements of a parameter as they are stored.

        Args:
            value: A parameter of the graph.
            index: The element.
            guard: Where to load.
            other: What to hold where nothing is loaded; by default 0 under a guard.
        """
        address, mask, axes = self.address(value, index, guard)
        arguments = [address]
        if mask:
            arguments.append(f"mask={mask}")
            if other is not None or guard:
                arguments.append(f"other={other or 0}")
        text = f"tl.load({', '.join(arguments)})"
        return self.writer.assign(name_of(value), text, axes)

    def filled(self, value: Value, index: Sequence[Index], other: str) -> Tile | None:
        """The elements of a parameter, and `other` where its mask leaves lanes out.

        Returns:
            The tile, or None if they have been loaded without it.
        """
        place = tuple(index)
        if self.writer.known(value, place, NO_GUARD) is not None:
            return None
        with self._where_known(axes_of(place)):
            tile = self._load(value, place, NO_GUARD, other)
            self.writer.memo[value, place, NO_GUARD] = tile
        return tile

    def address(
        self, value: Value, index: Sequence[Index], guard: Guard = NO_GUARD
    ) -> tuple[str, str, frozenset[Axis]]:
        """The address of an element, the condition to access it, and their axes."""
        position = released(flattened(index, value.type.static_shape))
        self.loads.append(Access(value, position, self.section))
        axes = axes_of([position], guard)
        own = self.writer.tiled(position.axes)
        text = self.writer.offset(position)
        if text == "0" and not guard:
            return self.pointers[value], "", axes
        if guard and (not own or own < self.writer.tiled(axes)):
            # A mask may not have more dimensions than what it masks.
            text = self.broadcast(text, position, axes)
        mask = self.writer.mask(position.axes if not guard else axes, guard)
        return f"{self.pointers[value]} + {text}", mask, axes

    def broadcast(self, text: str, position: Index, axes: frozenset[Axis]) -> str:
        """The text of a position as a tile that has the shape of `axes`."""
        if position.is_constant:
            return self.writer.full(text, self.writer.index_type, axes)
        if not self.writer.tiled(position.axes):
            # In the interpreter the variable of a loop is no tensor.
            return f"{text} + {self.writer.full('0', self.writer.index_type, axes)}"
        return f"tl.broadcast_to({text}, {self.writer.shape(axes)})"

    def store(
        self,
        pointer: str,
        value: Operand,
        index: Sequence[Index],
        tile: Tile,
        guard: Guard = NO_GUARD,
    ) -> None:
        """Writes the elements of a result, where all conditions of `guard` hold."""
        position = flattened(index, value.type.static_shape)
        self.stores.append(Access(value, position, self.section))
        text = self.writer.offset(position)
        if not self.writer.tiled(position.axes):
            text = self.broadcast(text, position, position.axes)
        narrow = dtypes.narrowed(tile.text, value.type.dtype)
        self.writer.helpers.update(narrow.helpers)
        mask = self.writer.mask(position.axes, guard)
        masked = f", mask={mask}" if mask else ""
        self.writer.line(f"tl.store({pointer} + {text}, {narrow.text}{masked})")

    def store_all(self, stores: Sequence[tuple[str, Operand, Sequence[Index]]]) -> None:
        """Writes results, by pointer and index, after all of them are computed.

        So a result may take the memory of what other results are computed from.
        """
        tiles = [self.value(value, index) for _, value, index in stores]
        for (pointer, value, index), tile in zip(stores, tiles, strict=True):
            self.store(pointer, value, index, tile)

    # -- integers ------------------------------------------------------------------

    def index_value(self, index: Index, dtype: DType, wanted: str) -> Tile:
        """The value of an index as elements of `dtype`."""
        if index.is_constant:
            return Tile(dtypes.literal(Literal(index.constant, dtype)))
        tiled = self.writer.tiled(index.axes)
        text = self.writer.position(index)
        if not tiled:
            zero = self.writer.full("0", self.writer.index_type, index.axes)
            text = f"{text} + {zero}"
        held = dtypes.held(dtype)
        if held != self.writer.index_type:
            text = (
                f"{text}.to({held})" if text.isidentifier() else f"({text}).to({held})"
            )
        if text.isidentifier():
            return Tile(text, index.axes)
        return self.writer.once(wanted, text, index.axes)

    def index_of(
        self,
        operand: Operand,
        index: Sequence[Index],
        guard: Guard,
        low: int,
        high: int,
    ) -> Index:
        """Integers read from `operand`, clamped to ``low .. high``, as an index."""
        if isinstance(operand, Literal):
            return Index(min(max(int(operand.value), low), high))
        if low == high:
            return Index(low)
        tile = self.value(operand, index, guard)
        dtype = operand.type.dtype
        with self.writer.outermost(tile.axes):
            clamped = self._clamped(dtypes.typed(tile.text, dtype), dtype, low, high)
            found = self.writer.assign("start", clamped, tile.axes)
        return self.writer.loaded(found, low, high)

    def _clamped(self, text: str, dtype: DType, low: int, high: int) -> str:
        """An integer tile as positions; clamped before it is narrowed."""
        wide, held = self.writer.index_type, dtypes.held(dtype)
        if dtype.kind == "uint":
            return f"tl.minimum({text}.to(tl.uint64), {high}).to({wide})"
        if dtype.bits < 32:
            text, held = f"{text}.to(tl.int32)", "tl.int32"
        clamped = f"tl.minimum(tl.maximum({text}, {low}), {high})"
        return clamped if held == wide else f"{clamped}.to({wide})"

    def condition(self, text: str, axes: frozenset[Axis]) -> Tile:
        """A new condition."""
        alone = text.startswith("(") and text.endswith(")") and text.count("(") == 1
        with self._where_known(axes):
            return self.writer.once("inside", text[1:-1] if alone else text, axes)

    def within(self, index: Index, low: int, high: int) -> list[str]:
        """The comparisons that say that ``low <= index < high``, if not certain."""
        least, greatest = index.bounds
        first = index.constant
        moving = index - first
        found: list[str] = []
        if least < low:
            found.append(f"({self.writer.position(moving)} >= {low - first})")
        if greatest >= high:
            found.append(f"({self.writer.position(moving)} < {high - first})")
        return found

    def all_of(self, conditions: Sequence[str], axes: frozenset[Axis]) -> Tile:
        """A new condition that holds where all of `conditions` hold."""
        if conditions:
            return self.condition(" & ".join(conditions), axes)
        return self.condition(self.writer.full("1", "tl.int1", ()), frozenset())

    def spread(self, tile: Tile, dtype: DType, axes: Iterable[Axis]) -> str:
        """`tile` with all elements along `axes`, those along which it is the same."""
        wanted = frozenset(axes) | tile.axes
        if self.writer.tiled(wanted) == self.writer.tiled(tile.axes) and tile.axes:
            return tile.text
        if not dtypes.is_literal(tile.text):
            return f"tl.broadcast_to({tile.text}, {self.writer.shape(wanted)})"
        return self.writer.full(tile.text, dtypes.held(dtype), wanted)


def is_fixed(place: Place) -> bool:
    """Whether a place is the same element for all lanes of all programs."""
    return all(index.is_constant for index in place)


def stored_element(
    parameters: Container[Value], operand: Operand, place: Coordinates
) -> tuple[Value, Coordinates] | None:
    """The parameter's element that an operand's element is, if it only was moved."""
    at: Coordinates | None = place
    while isinstance(operand, Value) and at is not None:
        if operand in parameters:
            return operand, at
        node = operand.node
        if node is None or node.op.read_index is None:
            return None
        at = operand_coordinates(node, 0, at)
        operand = node.operands[0]
    return None


def node_module(node: Node) -> Any:
    """The module of the graph that a node is in."""
    return node.graph.module if node.graph else None


def name_of(value: Value) -> str:
    """A name for what a value holds."""
    if value.name:
        return value.name
    return value.node.op.name if value.node is not None else f"x{value.index}"
