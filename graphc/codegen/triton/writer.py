"""The lines of a kernel as they grow: names, loops, tiles, and where they are known."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from graphc.codegen.triton.wrapping import INDENT, wrapped
from graphc.ir.index import (
    Atom,
    Axis,
    Index,
    Loaded,
    Modulo,
    Quotient,
    released,
    variable,
)
from graphc.ir.index import text as index_text
from graphc.ir.values import Value, sanitize_name

RESERVED = {*keyword.kwlist, "tl", "triton", "range", "float", "int", "max", "min"}
"""What no variable and no function may be called."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The elements of a value that one program holds at one time.

    Attributes:
        text: A variable, or a literal.
        axes: The axes along which its elements differ. It has one dimension for every
            dimension of the kernel's tiles, of size 1 where none of these run, or no
            dimension at all.
    """

    text: str
    axes: frozenset[Axis] = frozenset()


@dataclass(frozen=True, slots=True)
class TileAxis:
    """How a loop axis runs through tiles.

    Attributes:
        dimension: The dimension of tiles that it runs along; None for an axis that has
            one value at a time.
        block: The constant that holds the tile's size along it, or None if its size
            is 1.
        mask: The variable that is true inside of the axis' extent; None if a tile
            never reaches beyond.
    """

    dimension: int | None = None
    block: str | None = None
    mask: str | None = None


Memo = dict[tuple[Value, tuple[Index, ...], frozenset[Tile]], Tile]


@dataclass(slots=True)
class Scope:
    """A block of lines: the kernel's body, or that of a loop in it.

    Attributes:
        axes: The axes that have a value in it.
        depth: How far its lines are indented.
        lines: Its lines.
        memo: The tiles that are known in it, by value, index and conditions.
        note: The last comment in it.
        named: The parts of positions that variables of it hold.
        once: The variables that hold expressions without loads.
    """

    axes: frozenset[Axis]
    depth: int
    lines: list[str] = field(default_factory=list[str])
    memo: Memo = field(default_factory=Memo)
    note: str = ""
    named: dict[Atom, Axis] = field(default_factory=dict[Atom, Axis])
    once: dict[str, Tile] = field(default_factory=dict[str, Tile])


class Writer:
    """The text of one kernel's function.

    Attributes:
        rank: How many dimensions tiles have.
        axes: How each loop axis runs through tiles.
        scopes: The blocks that are open, outermost first.
        base: From which of them on what is asked for is computed: the blocks around
            it belong to other programs as well.
        helpers: The helper functions that the text calls.
        index_type: The dtype of positions.
    """

    def __init__(self, rank: int, index_type: str = "tl.int32") -> None:
        self.rank = rank
        self.index_type = index_type
        self.axes: dict[Axis, TileAxis] = {}
        self.scopes: list[Scope] = [Scope(frozenset(), 1)]
        self.base = 0
        self.helpers: set[str] = set()
        self._current = self.scopes[0]
        self._numbers: dict[str, int] = {}
        self._taken: set[str] = set(RESERVED)
        self._digits: dict[Atom, str] = {}
        self._uses: Counter[Quotient | Modulo] = Counter()
        self._offsets: Counter[Index] = Counter()
        self._named_offsets: frozenset[Index] = frozenset()

    @property
    def is_wide(self) -> bool:
        """Whether positions need 64 bits."""
        return self.index_type == "tl.int64"

    def lanes(self, block: str, spread: str = "") -> str:
        """The numbers of a tile's lanes, such as ``tl.arange(0, XBLOCK)[:, None]``."""
        wide = f".to({self.index_type})" if self.is_wide else ""
        return f"tl.arange(0, {block}){spread}{wide}"

    # -- names ---------------------------------------------------------------------

    def fresh(self, wanted: str) -> str:
        """A variable's name: `wanted`, with a number behind it if that is taken."""
        base = sanitize_name(wanted).replace(".", "_").strip("_").lower() or "value"
        if base[0].isdigit():
            base = f"v{base}"
        name, number = base, self._numbers.get(base, 0)
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._numbers[base] = number
        self._taken.add(name)
        return name

    def reserve(self, names: Iterable[str]) -> None:
        """Keeps variables from getting any of `names`."""
        self._taken.update(names)

    # -- lines ---------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Writes a line to the block that is being written to."""
        scope = self._current
        scope.lines += wrapped(text, INDENT * scope.depth)

    def note(self, text: str) -> None:
        """Writes a comment, unless it is the last one in this block."""
        scope = self._current
        if text and text != scope.note:
            scope.lines.append(f"{INDENT * scope.depth}# {text}")
            scope.note = text

    def assign(self, wanted: str, expression: str, axes: Iterable[Axis]) -> Tile:
        """Writes ``name = expression`` and returns the tile of that name."""
        name = self.fresh(wanted)
        self.line(f"{name} = {expression}")
        return Tile(name, frozenset(axes))

    def unpack(
        self, wanted: Sequence[str | None], expression: str, axes: frozenset[Axis]
    ) -> dict[int, Tile]:
        """Writes ``a, _, b = expression``: the tiles by place, none for None."""
        tiles = {i: Tile(self.fresh(n), axes) for i, n in enumerate(wanted) if n}
        names = (tiles[i].text if i in tiles else "_" for i in range(len(wanted)))
        self.line(f"{', '.join(names)} = {expression}")
        return tiles

    def once(self, wanted: str, expression: str, axes: Iterable[Axis]) -> Tile:
        """A tile that holds an expression; one that is at hand already if there is.

        The expression must not load, nor name what is assigned to again.
        """
        for scope in self._visible():
            if expression in scope.once:
                return scope.once[expression]
        made = self._current.once[expression] = self.assign(wanted, expression, axes)
        return made

    def _visible(self) -> list[Scope]:
        """The blocks whose variables can be read here."""
        return self.scopes[: self.scopes.index(self._current) + 1]

    @property
    def memo(self) -> Memo:
        """The tiles that are known in the block that is being written to."""
        return self._current.memo

    def known(
        self, value: Value, index: tuple[Index, ...], guard: frozenset[Tile]
    ) -> Tile | None:
        """A tile that holds `value` at `index` and can be read here."""
        for scope in self._visible():
            for conditions in (guard, frozenset[Tile]()):
                found = scope.memo.get((value, index, conditions))
                if found is not None:
                    return found
        return None

    @contextmanager
    def outermost(self, axes: frozenset[Axis]) -> Generator[None]:
        """Writes to the outermost block in which all of `axes` have a value.

        So what does not change in a loop is computed before it.
        """
        before = self._current
        scopes = self.scopes[self.base :]
        self._current = next(scope for scope in scopes if axes <= scope.axes)
        try:
            yield
        finally:
            self._current = before

    @contextmanager
    def block(self, header: str, axes: Iterable[Axis] = ()) -> Generator[Scope]:
        """A block of lines under `header`, in which `axes` have a value as well."""
        outer = self._current
        depth = self.scopes.index(outer)
        inner_scopes, self.scopes = self.scopes, self.scopes[: depth + 1]
        scope = Scope(outer.axes | frozenset(axes), outer.depth + 1)
        self.scopes.append(scope)
        self._current = scope
        try:
            yield scope
        finally:
            self.scopes, self._current = inner_scopes, outer
        self.line(header)
        outer.lines += scope.lines

    @contextmanager
    def loop(self, extent: int, wanted: str) -> Generator[Index]:
        """A loop over a new axis of one value at a time; yields its value."""
        axis = Axis(self.fresh(wanted), extent)
        self.axes[axis] = TileAxis()
        counter = self.fresh(f"{wanted}_counter") if self.is_wide else axis.name
        with self.block(f"for {counter} in range({extent}):", [axis]):
            if self.is_wide:
                zero = f"tl.full([], 0, {self.index_type})"
                self.line(f"{axis.name} = {counter} + {zero}")
            yield variable(axis)

    # -- tiles ---------------------------------------------------------------------

    def declare(self, axis: Axis, how: TileAxis) -> None:
        """Gives a loop axis a value in the block that is being written to."""
        self.axes[axis] = how
        self._current.axes |= {axis}

    def shape(self, axes: Iterable[Axis]) -> str:
        """The shape of a tile that differs along `axes`."""
        sizes = ["1"] * self.rank
        for axis in axes:
            how = self.axes[axis]
            if how.dimension is not None and how.block is not None:
                sizes[how.dimension] = how.block
        return f"[{', '.join(sizes)}]"

    def tiled(self, axes: Iterable[Axis]) -> frozenset[Axis]:
        """Those of `axes` that run through tiles."""
        return frozenset(a for a in axes if self.axes[a].dimension is not None)

    def position(self, index: Index) -> str:
        """An index as an expression."""
        index = released(index)
        self._uses.update(_digits_of(index))
        return (
            index_text(self._with_names(index)) if self._digits else index_text(index)
        )

    def offset(self, index: Index) -> str:
        """An index as an expression: by a variable where it is needed repeatedly."""
        index = released(index)
        base = Index(0, index.terms)
        if not _is_long(base):
            return self.position(index)
        self._offsets[base] += 1
        if base in self._named_offsets:
            with self.outermost(base.axes):
                name = self.once("offset", self.position(base), base.axes).text
            return index_text(Index(index.constant, ((Axis(name, 1), 1),)))
        uses = self._uses.copy()
        found = self.position(index)
        if self._offsets[base] > 1:
            self._uses = uses  # One variable has it.
        return found

    def name_offsets(self, before: Writer) -> bool:
        """Gives variables to positions that another text has repeatedly.

        Returns:
            Whether there are any.
        """
        repeated = (base for base, count in before._offsets.items() if count > 1)
        self._named_offsets = frozenset(repeated)
        return bool(self._named_offsets)

    def name_repeated(self, before: Writer) -> bool:
        """Gives variables to positions, and to parts of them, that another text repeats.

        Returns:
            Whether there are any.
        """
        self.name_offsets(before)
        for digit, count in before._uses.items():
            if count > 1:
                kind = "part_of" if isinstance(digit, Quotient) else "place_in"
                self._digits[digit] = f"{kind}_{digit.by}"
        return bool(self._digits or self._named_offsets)

    def name_digit(self, wanted: str, digit: Index) -> None:
        """Gives a variable to a part of positions, once one of them has that part."""
        if len(digit.terms) == 1 and isinstance(digit.terms[0][0], (Quotient, Modulo)):
            self._digits.setdefault(digit.terms[0][0], wanted)

    def _with_names(self, index: Index) -> Index:
        terms = ((self._with_name(atom), factor) for atom, factor in index.terms)
        return Index(index.constant, tuple(terms))

    def _with_name(self, atom: Atom) -> Atom:
        if not isinstance(atom, (Quotient, Modulo)):
            return atom
        for scope in self._visible():
            if atom in scope.named:
                return scope.named[atom]
        if atom not in self._digits:
            return type(atom)(self._with_names(atom.of), atom.by)
        with self.outermost(atom.of.axes):
            inner = type(atom)(self._with_names(atom.of), atom.by)
            name = self.fresh(self._digits[atom])
            self.line(f"{name} = {index_text(Index(0, ((inner, 1),)))}")
            found = self._current.named[atom] = Axis(name, atom.bounds[1] + 1)
        return found

    def masks(self, axes: Iterable[Axis]) -> list[str]:
        """The conditions under which all of `axes` are inside of their extents."""
        found = {self.axes[axis].mask for axis in axes}
        return sorted(mask for mask in found if mask is not None)

    def mask(self, axes: Iterable[Axis], guard: Iterable[Tile] = ()) -> str:
        """One condition for `axes` and `guard`; empty if it always holds."""
        conditions = sorted({tile.text for tile in guard})
        return " & ".join([*self.masks(axes), *conditions])

    def loaded(
        self, tile: Tile, low: int, high: int, of: Iterable[Axis] | None = None
    ) -> Index:
        """An integer tile as an index, which is within `low` and `high`."""
        axes = tile.axes if of is None else frozenset(of)
        return variable(Loaded(tile.text, low, high, axes))

    def full(self, value: str, dtype: str, axes: Iterable[Axis]) -> str:
        """A tile with the same value everywhere."""
        if value == "0":
            return f"tl.zeros({self.shape(axes)}, {dtype})"
        return f"tl.full({self.shape(axes)}, {value}, {dtype})"


def _is_long(index: Index) -> bool:
    """Whether an index is worth a variable, and follows from axes."""
    words = sum(1 + isinstance(a, (Quotient, Modulo)) for a, _ in index.terms)
    return words > 2 and not _is_loaded(index)


def _digits_of(index: Index) -> Generator[Quotient | Modulo]:
    """The parts of an index that are divided by something, and follow from axes."""
    for atom, _ in index.terms:
        if isinstance(atom, (Quotient, Modulo)):
            if not _is_loaded(atom.of):
                yield atom
            yield from _digits_of(atom.of)


def _is_loaded(index: Index) -> bool:
    """Whether an index depends on what is read from memory."""
    return any(
        isinstance(atom, Loaded)
        or (isinstance(atom, (Quotient, Modulo)) and _is_loaded(atom.of))
        for atom, _ in index.terms
    )


def axes_of(index: Sequence[Index], guard: Iterable[Tile] = ()) -> frozenset[Axis]:
    """The axes that an index and conditions depend on."""
    found: set[Axis] = set()
    for each in index:
        found |= each.axes
    for tile in guard:
        found |= tile.axes
    return frozenset(found)
