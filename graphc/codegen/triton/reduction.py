"""Kernels that reduce: passes over tiles of kept by reduced elements."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from graphc.codegen.combining import accumulator
from graphc.codegen.triton import dtypes
from graphc.codegen.triton.blocks import BLOCKS
from graphc.codegen.triton.emitter import Emitter, name_of, stored_element
from graphc.codegen.triton.reduction_space import (
    R,
    ReductionSpace,
    X,
    depends_on,
    value_of,
)
from graphc.codegen.triton.shifted_sums import ShiftedTotal, shifted_sum
from graphc.codegen.triton.sums import MAXIMUM, Total
from graphc.codegen.triton.writer import Tile, TileAxis, axes_of
from graphc.ir.graph import Node
from graphc.ir.index import Axis, variable
from graphc.ir.types import BF16, BOOL, F16, F32, F64, I32
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.coordinates import Coordinates

_FILLED = (BOOL, BF16, F16, F32, F64, I32)
"""The dtypes whose neutral elements loads can put where they are masked."""

Stores = Sequence[tuple[str, Operand]]
"""The arguments that point to results, and the results."""


@dataclass(frozen=True, slots=True)
class RowLoops:
    """How a reduction kernel runs over its axes.

    Attributes:
        x_block: The size of tiles along `x`.
        r_block: The size of tiles along `r`.
        whole: Whether one tile holds the whole of `r`.
        suffix: What the names of the tile sizes end with.
    """

    x_block: int
    r_block: int
    whole: bool
    suffix: str = ""


def declare_x(emitter: Emitter, x: Axis, loops: RowLoops, program: str) -> None:
    """Writes which kept elements a program owns."""
    writer = emitter.writer
    if x.extent <= 1:
        return
    block = f"XBLOCK{loops.suffix}"
    writer.line(f"{x.name} = {program} * {block} + {writer.lanes(block, '[:, None]')}")
    mask = None
    if x.extent % loops.x_block:
        mask = "inside_x"
        writer.line(f"inside_x = {x.name} < {x.extent}")
    writer.declare(x, TileAxis(0, block, mask))


def emit_reduction(
    emitter: Emitter,
    space: ReductionSpace,
    stores: Stores,
    loops: RowLoops,
    program: str = "tl.program_id(0)",
) -> None:
    """Writes the body of a kernel that reduces."""
    emitter.writer.reserve([X, R, "inside_x", "inside_r", "r_start"])
    declare_x(emitter, space.x, loops, program)
    if loops.whole or space.r.extent <= 1:
        declare_r(emitter, space.r, loops, "")
        for node in _ordered(space.reductions):
            _reduce_whole(emitter, space, node)
        emitter.store_all(_placed(space, stores))
    else:
        _emit_passes(emitter, space, stores, loops)


def declare_r(emitter: Emitter, r: Axis, loops: RowLoops, start: str) -> None:
    """Writes which reduced elements a tile holds."""
    writer = emitter.writer
    if r.extent <= 1:
        return
    block = f"RBLOCK{loops.suffix}"
    writer.line(f"{r.name} = {start}{writer.lanes(block, '[None, :]')}")
    mask = None
    if r.extent % loops.r_block:
        mask = "inside_r"
        writer.line(f"inside_r = {r.name} < {r.extent}")
    writer.declare(r, TileAxis(1, block, mask))


def _ordered(nodes: Iterable[Node]) -> list[Node]:
    wanted = set(nodes)
    first = next(iter(wanted), None)
    if first is None or first.graph is None:
        return []
    return [node for node in first.graph.nodes if node in wanted]


def _placed(
    space: ReductionSpace, stores: Stores
) -> list[tuple[str, Operand, Coordinates]]:
    """The results with the elements of them that the loops own."""
    placed: list[tuple[str, Operand, Coordinates]] = []
    for pointer, value in stores:
        at = space.of_result(value)
        assert at is not None
        placed.append((pointer, value, at))
    return placed


def _reduce_whole(emitter: Emitter, space: ReductionSpace, node: Node) -> None:
    """Writes a reduction of a tile that holds all of `r`."""
    x = value_of(node.operands[0])
    result = node.results[0]
    block = BLOCKS[node.op.name]
    at = space.coordinates[result]
    if space.r.extent == 0:
        literal = block.combiner.neutral(x.type.dtype)
        emitter.remember(result, at, Tile(dtypes.literal(literal)))
    elif space.r.extent == 1 and not block.finds:
        emitter.remember(result, at, emitter.value(x, space.coordinates[x]))
    else:
        tile = _terms(emitter, space, node)
        position = emitter.writer.position(variable(space.r))
        _finish(emitter, space, node, tile.text, position)


def _terms(emitter: Emitter, space: ReductionSpace, node: Node) -> Tile:
    """A tile of what is reduced that holds the neutral element outside of `r`."""
    x = value_of(node.operands[0])
    dtype = x.type.dtype
    writer = emitter.writer
    axes = [space.r] if space.r.extent > 1 else []
    masks = writer.masks(axes)
    neutral = BLOCKS[node.op.name].combiner.neutral(dtype)
    if masks and dtype in _FILLED:
        stored = stored_element(emitter.pointers, x, space.coordinates[x])
        if stored is not None and space.r in axes_of(stored[1]):
            other = dtypes.plain(dtypes.literal(neutral))
            tile = emitter.filled(*stored, other)
            if tile is not None:
                return tile
    term = emitter.value(x, space.coordinates[x])
    spread = emitter.spread(term, dtype, axes)
    if masks:
        spread = f"tl.where({masks[0]}, {spread}, {dtypes.literal(neutral)})"
    if spread.isidentifier():
        return Tile(spread, term.axes)
    return writer.once("terms", spread, term.axes | {space.r})


def _finish(
    emitter: Emitter, space: ReductionSpace, node: Node, tile: str, position: str
) -> None:
    """Writes the reduction of a tile and lets its result be found."""
    result = node.results[0]
    block = BLOCKS[node.op.name]
    emitter.note(node)
    text = block.emit(emitter, node, tile, position)
    if result.type.dtype.is_integer and result.type.dtype.bits < 32:
        text = f"{text}.to({dtypes.held(result.type.dtype)})"
    axes = {axis for axis in (space.x,) if axis.extent > 1}
    if block.keeps_axis:
        axes.add(space.r)
    made = emitter.writer.assign(name_of(result), text, axes)
    emitter.remember(result, space.coordinates[result], made)


# -- rows that do not fit a tile -------------------------------------------------------


def _emit_passes(
    emitter: Emitter,
    space: ReductionSpace,
    stores: Stores,
    loops: RowLoops,
) -> None:
    """Writes a pass over `r` for each level of reductions, and one for the results."""
    emitter.writer.axes[space.r] = TileAxis(1, f"RBLOCK{loops.suffix}", None)
    done: set[Node] = set()
    scans: list[Node] = []
    levels = _levels(space.reductions)
    for level, following in zip(levels, [*levels[1:], []], strict=True):
        own = [n for n in level if BLOCKS[n.op.name].keeps_axis]
        totals = [_Running(emitter, space, n) for n in level if n not in {*done, *own}]
        for total in totals:
            done.update(total.take([n for n in following if n not in done]))
        if totals:
            with _chunks(emitter, space, loops, scans):
                for total in totals:
                    total.include()
        scans += own
        for total in totals:
            total.finish()
        for total in totals:
            total.finish_taken()
    placed = _placed(space, stores)
    whole = [each for each in placed if space.r in depends_on(each[2])]
    kept = [each for each in placed if each not in whole]
    for _, value, at in kept:
        emitter.value(value, at)
    if whole:
        with _chunks(emitter, space, loops, scans):
            emitter.store_all(whole)
    emitter.store_all(kept)


@contextmanager
def _chunks(
    emitter: Emitter, space: ReductionSpace, loops: RowLoops, scans: Sequence[Node]
) -> Generator[None]:
    """A loop over tiles along `r`, in which the results of `scans` are known."""
    running = [_RunningScan(emitter, space, node) for node in scans]
    steps = f"range(0, {space.r.extent}, RBLOCK{loops.suffix})"
    is_reverse = any(is_reversed(node) for node in scans)
    with emitter.writer.block(f"for r_{'end' if is_reverse else 'start'} in {steps}:"):
        if is_reverse:
            last = (space.r.extent - 1) // loops.r_block * loops.r_block
            emitter.writer.line(f"r_start = {last} - r_end")
        declare_r(emitter, space.r, loops, "r_start + ")
        for each in running:
            end = "r_start" if is_reverse else f"r_start + RBLOCK{loops.suffix} - 1"
            each.include(end)
        yield


def is_reversed(node: Node) -> bool:
    """Whether a scan begins at the end."""
    return bool(node.op.decode(node.attributes, None)["reverse"])


class _RunningScan:
    """A scan that goes on from tile to tile, along with what came before each."""

    def __init__(self, emitter: Emitter, space: ReductionSpace, node: Node) -> None:
        self._emitter = emitter
        self._space = space
        self._node = node
        self._block = BLOCKS[node.op.name]
        self._dtype = accumulator(node.operands[0].type.dtype)
        axes = frozenset({axis for axis in (space.x,) if axis.extent > 1})
        name = f"{name_of(node.results[0])}_before"
        total = Total(emitter, self._block.combiner, self._dtype, axes, name)
        self._before = total.tile.text

    def include(self, end: str) -> None:
        """Writes the scan of a tile, whose last lane is that of position `end`."""
        emitter, node, space = self._emitter, self._node, self._space
        tile = _terms(emitter, space, node).text
        position = emitter.writer.position(variable(space.r))
        emitter.note(node)
        scan = self._block.emit(emitter, node, tile, position)
        text = self._block.combiner.text.format(self._before, scan)
        axes = {axis for axis in (space.x, space.r) if axis.extent > 1}
        made = emitter.writer.assign(name_of(node.results[0]), self._typed(text), axes)
        emitter.remember(node.results[0], space.coordinates[node.results[0]], made)
        nothing = dtypes.literal(Literal(0, self._dtype))
        lane = f"tl.where({position} == {end}, {made.text}, {nothing})"
        last = self._typed(f"tl.sum({lane}, 1, keep_dims=True)")
        emitter.writer.line(f"{self._before} = {last}")

    def _typed(self, text: str) -> str:
        narrow = self._dtype.is_integer and self._dtype.bits < 32
        return f"({text}).to({dtypes.held(self._dtype)})" if narrow else text


class _Running:
    """A reduction that a loop over tiles adds to, lane by lane."""

    def __init__(self, emitter: Emitter, space: ReductionSpace, node: Node) -> None:
        self._emitter = emitter
        self._space = space
        self._node = node
        writer = emitter.writer
        x = node.operands[0]
        name = name_of(node.results[0])
        axes = frozenset({a for a in (space.x, space.r) if a.extent > 1})
        self._block = BLOCKS[node.op.name]
        self._total = Total(
            emitter,
            self._block.combiner,
            accumulator(x.type.dtype),
            axes,
            f"{name}_terms",
        )
        self._taken: list[ShiftedTotal] = []
        self._places = ""
        if self._block.finds:
            self._places = writer.fresh(f"{name}_places")
            zero = writer.full("0", writer.index_type, axes)
            writer.line(f"{self._places} = {zero}")

    def take(self, following: Sequence[Node]) -> list[Node]:
        """Declares the sums of the next pass that can be computed in this one."""
        found = [shifted_sum(node, self._node, self._space) for node in following]
        self._taken = [
            ShiftedTotal(self._emitter, self._space, each)
            for each in found
            if each is not None
        ]
        return [total.node for total in self._taken]

    def include(self) -> None:
        """Writes how a tile of terms is added."""
        node, writer = self._node, self._emitter.writer
        terms = _terms(self._emitter, self._space, node)
        tile, dtype = terms.text, node.operands[0].type.dtype
        best = self._total.tile.text
        if not self._block.finds:
            for taken in self._taken:
                taken.include(tile, best)
            self._total.include(tile)
            return
        sign = ">" if self._block.combiner is MAXIMUM else "<"
        better = f"{tile} {sign} {best}"
        if dtype.is_float:
            better = f"({better}) | (({tile} != {tile}) & ({best} == {best}))"
        found = writer.assign("better", better, terms.axes | {self._space.r})
        position = writer.position(variable(self._space.r))
        writer.line(
            f"{self._places} = tl.where({found.text}, {position}, {self._places})"
        )
        writer.line(f"{best} = tl.where({found.text}, {tile}, {best})")

    def finish(self) -> None:
        """Writes how the lanes become one."""
        total = self._total.tile.text
        _finish(self._emitter, self._space, self._node, total, self._places)

    def finish_taken(self) -> None:
        """Writes the results of the sums that were computed in the same pass."""
        for taken in self._taken:
            terms = taken.terms(self._total.tile.text)
            _finish(self._emitter, self._space, taken.node, terms, "")


def _levels(reductions: Sequence[Node]) -> list[list[Node]]:
    """The reductions, each after the levels of those it needs the results of."""
    nodes = _ordered(reductions)
    wanted = set(nodes)
    depth: dict[Value, int] = {}
    levels: dict[int, list[Node]] = {}
    graph = nodes[0].graph if nodes else None
    for node in graph.nodes if graph is not None else ():
        values = [o for o in node.operands if isinstance(o, Value)]
        level = max((depth.get(value, 0) for value in values), default=0)
        if node in wanted:
            levels.setdefault(level, []).append(node)
            level += 1
        depth.update(dict.fromkeys(node.results, level))
    return [levels[level] for level in sorted(levels)]
