"""Products of matrices on tiles: dots and convolutions, and what is fused with them.

A program owns a tile of m by n elements of the result and adds products of tiles along
k. What comes before is computed in the loop, on the tiles of the operands; what comes
after is computed on the accumulator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from graphc.codegen.combining import accumulator
from graphc.codegen.triton import dtypes
from graphc.codegen.triton.blocks import BLOCKS
from graphc.codegen.triton.bodies import (
    Body,
    finished,
    new_emitter,
    program,
    stores_of,
)
from graphc.codegen.triton.contraction_schedule import PROGRAMS, default_schedule
from graphc.codegen.triton.contraction_space import (
    FACTORS,
    PLACES,
    Contraction,
    ContractionSpace,
    K,
    M,
    N,
    contraction_space,
)
from graphc.codegen.triton.emitter import (
    NO_GUARD,
    Emitter,
    Guard,
    Place,
    name_of,
    stored_element,
)
from graphc.codegen.triton.kernel import Tiles
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.writer import Tile, TileAxis, axes_of
from graphc.ir.graph import Graph, Node
from graphc.ir.index import Axis, Index, flattened, unflattened, variable
from graphc.ir.types import BF16, F16, F32, F64, I8, DType
from graphc.ir.values import Operand, Value
from graphc.passes.coordinates import Coordinates

_RAW = frozenset({BF16, F16, F32, F64, I8})
"""The dtypes whose elements are multiplied as they are stored."""


def contraction_body(
    graph: Graph, pointers: Sequence[str], schedule: Schedule | None = None
) -> Body | None:
    """The body of a kernel graph that multiplies matrices; None for all others.

    Args:
        graph: A kernel graph. With the attribute ``{"tf32": true}`` factors of float32
            may be rounded to 10 bits of mantissa.
        pointers: The arguments that point to its parameters and results.
        schedule: The tiles' sizes, also for matrices that are too small to be worth
            tiles; chosen by their sizes unless given.
    """
    space = contraction_space(graph, always=schedule is not None)
    if space is None:
        return None
    tf32 = bool(graph.attributes.get("tf32"))
    schedule = schedule or default_schedule(space.problem(tf32))
    stores = stores_of(graph, pointers, range(len(graph.results)))

    def written(before: Emitter | None) -> Emitter:
        emitter = new_emitter(graph, pointers, 2)
        if before is not None and not emitter.writer.name_offsets(before.writer):
            return before
        start = program(emitter.writer)
        emit_contraction(emitter, space, stores, schedule, tf32=tf32, start=start)
        return emitter

    emitter = written(written(None))
    tiles = (
        Tiles(space.batch.extent),
        Tiles(space.m.extent, "BLOCK_M"),
        Tiles(space.n.extent, "BLOCK_N"),
    )
    if PROGRAMS in schedule.constants:
        count = math.prod(each.count(schedule.constants) for each in tiles)
        tiles = (Tiles(min(count, schedule.constants[PROGRAMS])),)
    return finished(emitter, (tiles,), schedule)


def emit_contraction(
    emitter: Emitter,
    space: ContractionSpace,
    stores: Sequence[tuple[str, Operand]],
    schedule: Schedule,
    *,
    tf32: bool = False,
    start: str = "tl.program_id(0)",
) -> None:
    """Writes the body of a kernel that multiplies matrices.

    Args:
        emitter: Of the kernel; its tiles have two dimensions.
        space: The loops.
        stores: The pointer to each result.
        schedule: The tile sizes.
        tf32: Whether factors may be rounded to 10 bits of mantissa.
        start: The number of the program.
    """
    writer = emitter.writer
    for axis in (M, N):
        writer.reserve([axis, f"tile_{axis}", f"tiles_{axis}", f"{axis}_inside"])
    writer.reserve([space.batch.name, "program", "tile", "k_start"])
    rows, columns = _write_counts(emitter, space, schedule.constants)
    if PROGRAMS not in schedule.constants:
        _write_program(emitter, space, stores, schedule, tf32, start)
        return
    counts = [*rows, *columns, *([str(space.batch.extent)] * (space.batch.extent > 1))]
    count = " * ".join(counts) or "1"
    number = "program" if space.batch.extent > 1 else "tile"
    # Where warps have parts of their own, loops are not made one.
    how = "warp_specialize" if schedule.warp_specialize else "flatten"
    header = f"for {number} in tl.range({start}, {count}, PROGRAMS, {how}=True):"
    with writer.block(header):
        _write_program(emitter, space, stores, schedule, tf32, number)


def _write_program(
    emitter: Emitter,
    space: ContractionSpace,
    stores: Sequence[tuple[str, Operand]],
    schedule: Schedule,
    tf32: bool,
    start: str,
) -> None:
    """Writes what computes one tile."""
    writer, sizes = emitter.writer, schedule.constants
    _write_tile(emitter, space, sizes, start)
    _declare(emitter, space.m, 0, sizes, "[:, None]")
    _declare(emitter, space.n, 1, sizes, "[None, :]")
    for name, digit in space.places.items():
        writer.name_digit(name, digit)
    for group in _groups(space):
        _write_loop(emitter, space, group, schedule, tf32)
    if space.reductions:
        _write_reductions(emitter, space, sizes)
    placed: list[tuple[str, Operand, Coordinates]] = []
    for pointer, value in stores:
        at = space.of_result(value)
        assert at is not None
        placed.append((pointer, value, at))
    emitter.store_all(placed)


def _write_reductions(
    emitter: Emitter, space: ContractionSpace, sizes: Mapping[str, int]
) -> None:
    """Writes the reductions of rows of the program's tile.

    Rows beyond the end fill whole parts, which are not stored, so nothing is masked.
    """
    writer = emitter.writer
    for part in dict.fromkeys(each.part for each in space.reductions):
        rows = space.m.extent // part.extent
        count = f"BLOCK_M // {rows}"
        start = f"tile_m * ({count}) + " if space.m.extent > sizes["BLOCK_M"] else ""
        writer.note(f"One result for each {rows} rows; another kernel combines them.")
        writer.line(f"{part.name} = {start}{writer.lanes(count, '[:, None]')}")
        mask = None
        if space.m.extent % sizes["BLOCK_M"]:
            mask = writer.fresh("part_inside")
            writer.line(f"{mask} = {part.name} < {part.extent}")
        writer.declare(part, TileAxis(0, count, mask))
    for each in space.reductions:
        node, axes = each.node, {space.m, space.n}
        x = each.operand
        tile = emitter.value(x, space.coordinates[x])
        terms = emitter.spread(tile, x.type.dtype, axes)
        shape = f"[BLOCK_M // {each.rows}, {each.rows}, BLOCK_N]"
        rows_of = writer.assign("rows", f"tl.reshape({terms}, {shape})", axes)
        emitter.note(node)
        found = BLOCKS[node.op.name].emit(emitter, node, rows_of.text, "")
        result = node.results[0]
        own = frozenset({each.part, space.n})
        made = writer.assign(
            name_of(result), f"tl.reshape({found}, {writer.shape(own)})", own
        )
        emitter.remember(result, space.coordinates[result], made)


def _write_counts(
    emitter: Emitter, space: ContractionSpace, sizes: Mapping[str, int]
) -> tuple[list[str], list[str]]:
    """Writes how many tiles there are along m and n, where that is asked for."""
    blocks = {axis: f"BLOCK_{axis.name.upper()}" for axis in (space.m, space.n)}
    several = [a for a, block in blocks.items() if a.extent > sizes[block]]
    if len(several) == 2 or space.batch.extent > 1 or PROGRAMS in sizes:
        for axis in several:
            count = f"tl.cdiv({axis.extent}, {blocks[axis]})"
            emitter.writer.line(f"tiles_{axis.name} = {count}")
    rows, columns = ([f"tiles_{a.name}"] * (a in several) for a in (space.m, space.n))
    return rows, columns


def _write_tile(
    emitter: Emitter, space: ContractionSpace, sizes: Mapping[str, int], start: str
) -> None:
    """Writes which tile of which product is the program's."""
    writer = emitter.writer
    rows = space.m.extent > sizes["BLOCK_M"]
    columns = space.n.extent > sizes["BLOCK_N"]
    of_one = " * ".join(["tiles_m"] * rows + ["tiles_n"] * columns)
    if rows and columns:
        of_one = f"({of_one})"
    tile = start
    if space.batch.extent > 1:
        batch = f"{start} // {of_one}" if of_one else start
        writer.line(f"{space.batch.name} = {batch}")
        writer.declare(space.batch, TileAxis())
        tile = f"{start} % {of_one}"
    if rows and columns:
        writer.line("# Programs that run together share tiles of both operands in L2.")
        if tile != "tile":
            writer.line(f"tile = {tile}")
        writer.line("tile_m, tile_n = tl.swizzle2d(")
        writer.line("    tile // tiles_n, tile % tiles_n, tiles_m, tiles_n, GROUP_M")
        writer.line(")")
    elif rows:
        writer.line(f"tile_m = {tile}")
    elif columns:
        writer.line(f"tile_n = {tile}")


def _declare(
    emitter: Emitter, axis: Axis, dimension: int, sizes: Mapping[str, int], spread: str
) -> None:
    """Writes the positions of the program's tile along an axis of the result."""
    writer = emitter.writer
    block = f"BLOCK_{axis.name.upper()}"
    start = f"tile_{axis.name} * {block} + " if axis.extent > sizes[block] else ""
    if not start and writer.index_type == "tl.int64":
        writer.line(f"{axis.name} = tl.arange(0, {block}).to(tl.int64){spread}")
    else:
        writer.line(f"{axis.name} = {start}tl.arange(0, {block}){spread}")
    mask = None
    if axis.extent % sizes[block]:
        mask = f"{axis.name}_inside"
        writer.line(f"{mask} = {axis.name} < {axis.extent}")
    writer.declare(axis, TileAxis(dimension, block, mask))


def _groups(space: ContractionSpace) -> list[list[Contraction]]:
    """The contractions whose sums have the same terms, which one loop adds."""
    found: dict[tuple[int, int], list[Contraction]] = {}
    for each in space.contractions:
        found.setdefault((each.terms, each.inner), []).append(each)
    return list(found.values())


def _write_loop(
    emitter: Emitter,
    space: ContractionSpace,
    group: Sequence[Contraction],
    schedule: Schedule,
    tf32: bool,
) -> None:
    """Writes the loop along k."""
    writer = emitter.writer
    totals: list[str] = []
    for each in group:
        result = each.node.results[0]
        totals.append(writer.fresh(name_of(result)))
        shape = writer.shape([space.m, space.n])
        writer.line(f"{totals[-1]} = tl.zeros({shape}, {_accumulated(each.node)})")
    terms = group[0].terms
    block = schedule.constants["BLOCK_K"]
    steps = f"range(0, {terms}, BLOCK_K)"
    if schedule.warp_specialize and PROGRAMS not in schedule.constants:
        steps = f"tl.range(0, {terms}, BLOCK_K, warp_specialize=True)"
    with writer.block(f"for k_start in {steps}:") as scope:
        columns, rows, term = _declare_terms(emitter, group[0], block)
        lines = len(scope.lines)
        tiles: dict[Operand, str] = {}
        for each, total in zip(group, totals, strict=True):
            at = space.coordinates[each.node.results[0]]
            first, second = each.node.operands
            left, conditions = each.product.left(emitter, at, term(columns))
            right, _ = each.product.right(emitter, at, term(rows))
            if first not in tiles:
                sides = (space.m, columns)
                a = _described(emitter, first, left, *sides, schedule)
                a = a or _factor(emitter, first, left, conditions, *sides)
                tiles[first] = a
            b = _described(emitter, second, right, space.n, rows, schedule)
            b = b or _factor(emitter, second, right, [], space.n, rows)
            writer.line(f"{total} = {_dot(each.node, tiles[first], b, total, tf32)}")
        k, _, _ = columns.name.partition("[")
        if not any(f"{k}[" in line for line in scope.lines):
            # All tiles come by descriptors, which need no positions.
            del scope.lines[:lines]
    for each, total in zip(group, totals, strict=True):
        result = each.node.results[0]
        axes = frozenset({space.m, space.n})
        tile, held = Tile(total, axes), dtypes.held(result.type.dtype)
        if held != _accumulated(each.node):
            tile = writer.assign(name_of(result), f"{total}.to({held})", axes)
        emitter.remember(result, space.coordinates[result], tile)


def _accumulated(node: Node) -> str:
    dtype = node.operands[0].type.dtype
    return "tl.int32" if dtype is I8 else dtypes.held(accumulator(dtype))


def _dot(node: Node, a: str, b: str, total: str, tf32: bool) -> str:
    dtype = node.operands[0].type.dtype
    if dtype is F32:
        precision = "tf32" if tf32 else "ieee"
        return f'tl.dot({a}, {b}, {total}, input_precision="{precision}")'
    if dtype is F64 or dtype is I8:
        return f"tl.dot({a}, {b}, {total}, out_dtype={_accumulated(node)})"
    return f"tl.dot({a}, {b}, {total})"


Terms = Callable[[Axis], Index]
"""The number of a term by the axis that runs through the lanes of a tile."""


def _declare_terms(
    emitter: Emitter, contraction: Contraction, block: int
) -> tuple[Axis, Axis, Terms]:
    """Writes the positions of a tile along k.

    Returns:
        The axis along the columns of the left tile, the same along the rows of the
        right one, and the number of a term by either.
    """
    writer = emitter.writer
    inner, terms = contraction.inner, contraction.terms
    k, mask, place, extent = writer.fresh(K), None, Index(), terms
    lanes = "tl.arange(0, BLOCK_K)"
    if writer.index_type == "tl.int64":
        lanes = f"{lanes}.to(tl.int64)"
    if inner < terms and inner % block == 0:
        # A tile lies in one place of a window: where, is the same for all its lanes.
        window = Axis(writer.fresh("window"), terms // inner)
        place_text = f"k_start // {inner}"
        if writer.index_type == "tl.int64":
            place_text = f"tl.full([], {place_text}, tl.int64)"
        writer.line(f"{window.name} = {place_text}")
        # Not k_start % inner, of which older compilers do not see what divides it.
        writer.line(f"{k} = k_start - {window.name} * {inner} + {lanes}")
        writer.declare(window, TileAxis())
        place, extent = variable(window), inner
    else:
        writer.line(f"{k} = k_start + {lanes}")
        if terms % block:
            mask = writer.fresh("k_inside")
            writer.line(f"{mask} = {k} < {terms}")
    axes: list[Axis] = []
    for spread, dimension in (("[None, :]", 1), ("[:, None]", 0)):
        axis = Axis(f"{k}{spread}", extent)
        inside = mask and f"{mask}{spread}"
        writer.declare(axis, TileAxis(dimension, "BLOCK_K", inside))
        axes.append(axis)

    def term(axis: Axis) -> Index:
        return place * extent + variable(axis)

    if contraction.node.op.name == "convolution":
        *window_digits, _ = unflattened(term(axes[0]), contraction.digits)
        for name, digit in zip(
            PLACES[-len(window_digits) :], window_digits, strict=False
        ):
            writer.name_digit(f"window_{name}", digit)
    return axes[0], axes[1], term


def _factor(
    emitter: Emitter,
    operand: Operand,
    place: Place | None,
    conditions: Sequence[str],
    side: Axis,
    lanes: Axis,
) -> str:
    """A tile of an operand, with zeros for terms that there are none of."""
    writer = emitter.writer
    dtype = operand.type.dtype
    factor = FACTORS[dtype]
    if place is None:
        return writer.full("0", factor, [side, lanes])
    guard: Guard = NO_GUARD
    if conditions:
        guard |= {emitter.condition(" & ".join(conditions), axes_of(place))}
    stored = stored_element(emitter.pointers, operand, place)
    if stored is not None and dtype in _RAW and lanes in axes_of(stored[1]):
        tile = emitter.raw(*stored, guard, other="0")
        return _broadcast(emitter, tile, dtype, [side, lanes])
    tile = emitter.value(operand, place, guard)
    text = emitter.spread(tile, dtype, [side, lanes])
    inside = [*writer.masks([lanes]), *(each.text for each in guard)]
    if inside:
        text = f"tl.where({' & '.join(inside)}, {text}, 0)"
    if factor != dtypes.held(dtype):
        text = f"{text}.to({factor})"
    if text.isidentifier():
        return text
    return writer.assign(name_of_factor(operand), text, {side, lanes}).text


def _described(
    emitter: Emitter,
    operand: Operand,
    place: Place | None,
    side: Axis,
    lanes: Axis,
    schedule: Schedule,
) -> str | None:
    """A tile of an operand, read by a tensor descriptor; None if that is not possible.

    It is for matrices whose rows are in one piece and start at multiples of 16 bytes.
    What is beyond the matrix is read as zeros.
    """
    writer = emitter.writer
    dtype = operand.type.dtype
    if place is None or not schedule.descriptors or dtype not in _RAW:
        return None
    stored = stored_element(emitter.pointers, operand, place)
    if stored is None:
        return None
    value, at = stored
    position = flattened(at, value.type.static_shape)
    strides = dict(position.terms)
    along = strides.pop(side, 0), strides.pop(lanes, 0)
    outer, inner = (side, lanes) if along[1] == 1 else (lanes, side)
    start = Index(position.constant, tuple(strides.items()))
    multiples = [max(along), start.constant, *strides.values()]
    if (
        min(along) != 1
        or max(along) < inner.extent
        or any(each * dtype.bits % 128 for each in multiples)
        or not start.axes <= writer.scopes[-2].axes
        # A descriptor is not made anew for each of several tiles.
        or (start.axes and PROGRAMS in schedule.constants)
        or writer.index_type == "tl.int64"
    ):
        return None
    blocks = [str(writer.axes[axis].block) for axis in (outer, inner)]
    with writer.outermost(start.axes):
        pointer = emitter.pointers[value]
        if start != Index():
            pointer = f"{pointer} + {writer.position(start)}"
        shape = f"[{outer.extent}, {inner.extent}], [{max(along)}, 1]"
        made = f"tl.make_tensor_descriptor({pointer}, {shape}, [{', '.join(blocks)}])"
        tiles = writer.assign(f"{name_of(value)}_tiles", made, start.axes)
    sizes = schedule.constants
    block = f"BLOCK_{side.name.upper()}"
    first = f"tile_{side.name} * {block}" if side.extent > sizes[block] else "0"
    places = {lanes: "k_start", side: first}
    read = f"{tiles.text}.load([{places[outer]}, {places[inner]}])"
    if writer.axes[outer].dimension == 1:
        read = f"tl.trans({read})"
    return writer.assign(name_of(value), read, {side, lanes}).text


def name_of_factor(operand: Operand) -> str:
    """A name for a tile of an operand."""
    return name_of(operand) if isinstance(operand, Value) else "factor"


def _broadcast(emitter: Emitter, tile: Tile, dtype: DType, axes: Sequence[Axis]) -> str:
    if frozenset(axes) <= tile.axes:
        return tile.text
    return f"tl.broadcast_to({tile.text}, {emitter.writer.shape(axes)})"
