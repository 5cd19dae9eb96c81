"""The inside of generated kernels: which loops suit the results of a kernel graph.

Results that one set of loops covers share it. Others get a section each: programs of
their own in the same launch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphc.codegen.triton import (
    movement,
    products,
    sums,
    updates,
    windows,
)
from graphc.codegen.triton.blocks import BLOCKS
from graphc.codegen.triton.emitter import Emitter
from graphc.codegen.triton.kernel import Tiles
from graphc.codegen.triton.pointwise import (
    PointwiseSpace,
    dimension_across,
    emit_pointwise,
    parts_of,
)
from graphc.codegen.triton.reduction import RowLoops, emit_reduction, is_reversed
from graphc.codegen.triton.reduction_space import ReductionSpace, reduction_space
from graphc.codegen.triton.schedule import (
    LEAST_BESIDE,
    MAX_ROW,
    Schedule,
    pointwise_schedule,
    reduction_schedule,
    tiled_schedule,
)
from graphc.codegen.triton.writer import Writer
from graphc.ir.graph import Graph, Node
from graphc.ir.index import Index, Modulo, flattened, variable
from graphc.ir.types import product
from graphc.ir.values import Operand, Value

PULLS = {
    **movement.PULLS,
    **products.PULLS,
    **sums.PULLS,
    **updates.PULLS,
    **windows.PULLS,
}
"""The ops that are more than one expression per element."""

WIDE = 2**31
"""From this many elements on, positions need 64 bits."""

Grid = tuple[tuple[Tiles, ...], ...]


@dataclass(frozen=True, slots=True)
class Body:
    """The inside of a kernel.

    Attributes:
        lines: The lines of its function.
        helpers: The helper functions that they call.
        grid: The programs to run.
        schedule: Its tile sizes and launch parameters.
        overwrites: The parameters whose memory a result may take, as positions of a
            parameter and a result.
        in_place: For results that overwrite a parameter, its position.
        zeroed: The results whose memory must be zero at the start.
    """

    lines: Sequence[str]
    helpers: frozenset[str]
    grid: Grid
    schedule: Schedule
    overwrites: tuple[tuple[int, int], ...] = ()
    in_place: dict[int, int] = field(default_factory=dict[int, int])
    zeroed: tuple[int, ...] = ()


@dataclass(slots=True)
class Section:
    """Results that share their loops.

    Attributes:
        positions: Which of the graph's results these are.
        nodes: What they need, in order.
        space: Their loops.
    """

    positions: list[int]
    nodes: list[Node]
    space: ReductionSpace | PointwiseSpace


def generated_body(graph: Graph, pointers: Sequence[str]) -> Body:
    """The body of a kernel graph whose loops follow from what it computes."""
    sections = sections_of(graph)
    if not sections:
        return Body(["    pass"], frozenset(), ((Tiles(1),),), Schedule())
    if len(sections) == 1:
        return _single_body(graph, pointers, sections[0])
    return _sectioned_body(graph, pointers, sections)


# -- sections --------------------------------------------------------------------------


def sections_of(graph: Graph) -> list[Section]:
    """The results of a kernel graph that have elements, in groups that share loops."""
    sizes = [product(value.type.static_shape) for value in graph.results]
    everything = [position for position, size in enumerate(sizes) if size]
    if not everything:
        return []
    # What fusion has put side by side would not share its loads in common loops.
    beside = graph.attributes.get("horizontal")
    whole = None if beside else _section(graph, everything)
    if whole is not None:
        return [whole]
    found: list[Section] = []
    for positions in _connected(graph, everything):
        section = _section(graph, positions)
        if section is not None:
            found.append(section)
            continue
        by_size: dict[int, list[int]] = {}
        for position in positions:
            size = product(graph.results[position].type.static_shape)
            by_size.setdefault(size, []).append(position)
        for same in by_size.values():
            section = _section(graph, same)
            assert section is not None
            found.append(section)
    return found


def _section(graph: Graph, positions: Sequence[int]) -> Section | None:
    """The results at `positions` as one section, if one set of loops covers them."""
    results = [graph.results[position] for position in positions]
    nodes = _needed(graph, results)
    space: ReductionSpace | PointwiseSpace | None = reduction_space(nodes, results)
    if space is None:
        whole = {product(value.type.static_shape) for value in results}
        stored = {product((parts_of(v) or (v,))[0].type.static_shape) for v in results}
        for sizes in (stored, whole):
            if space is None and len(sizes) == 1:
                space = PointwiseSpace(sizes.pop())
    return None if space is None else Section(list(positions), nodes, space)


def _needed(graph: Graph, results: Iterable[Operand]) -> list[Node]:
    """The nodes that results are computed by, in order."""
    found: set[Node] = set()
    waiting = [value.node for value in results if isinstance(value, Value)]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [o.node for o in node.operands if isinstance(o, Value)]
    return [node for node in graph.nodes if node in found]


def _connected(graph: Graph, positions: Sequence[int]) -> list[list[int]]:
    """`positions` in groups of results that need a node in common."""
    groups: list[tuple[set[Node], list[int]]] = []
    for position in positions:
        nodes = set(_needed(graph, [graph.results[position]]))
        members = [position]
        apart: list[tuple[set[Node], list[int]]] = []
        for others, there in groups:
            if nodes & others:
                nodes |= others
                members = there + members
            else:
                apart.append((others, there))
        groups = [*apart, (nodes, members)]
    return sorted((sorted(members) for _, members in groups), key=lambda g: g[0])


# -- one section -----------------------------------------------------------------------


def _single_body(graph: Graph, pointers: Sequence[str], section: Section) -> Body:
    space = section.space
    stores = stores_of(graph, pointers, section.positions)
    if isinstance(space, ReductionSpace):
        schedule = _schedule_of(space)
        loops = _row_loops(space, schedule.constants)
        emitter = _written(
            *(graph, pointers, 2),
            lambda to: emit_reduction(to, space, stores, loops, program(to.writer)),
        )
        return finished(emitter, ((Tiles(space.x.extent, "XBLOCK"),),), schedule)

    def written(space: PointwiseSpace, schedule: Schedule) -> Emitter:
        def write(emitter: Emitter) -> None:
            number = program(emitter.writer)
            emit_pointwise(emitter, space, stores, number, schedule.constants)

        return _written(graph, pointers, space.rank, write)

    schedule = pointwise_schedule(space.elements)
    emitter = written(space, schedule)
    across = dimension_across(space.elements, emitter.loads)
    if across is None:
        return finished(emitter, ((Tiles(space.elements, "XBLOCK"),),), schedule)
    rows, columns = across[0], space.elements // across[0]
    schedule = tiled_schedule(rows, columns)
    emitter = written(PointwiseSpace(space.elements, across), schedule)
    tiles = Tiles(rows, "YBLOCK"), Tiles(columns, "XBLOCK")
    return finished(emitter, (tiles,), schedule)


def _row_loops(
    space: ReductionSpace, constants: Mapping[str, int], suffix: str = ""
) -> RowLoops:
    """The loops of a reduction with tiles of the sizes whose names have a suffix."""
    block = constants[f"RBLOCK{suffix}"]
    whole = block >= space.r.extent
    return RowLoops(constants[f"XBLOCK{suffix}"], block, whole, suffix)


def _written(
    graph: Graph, pointers: Sequence[str], rank: int, write: Callable[[Emitter], None]
) -> Emitter:
    """An emitter that a body has been written with.

    What its positions repeatedly consist of is known once it has been written: if there
    is something, it is written again, with variables for that.
    """
    emitter = new_emitter(graph, pointers, rank)
    write(emitter)
    again = new_emitter(graph, pointers, rank)
    if not again.writer.name_repeated(emitter.writer):
        return emitter
    write(again)
    return again


def runs_along_rows(space: ReductionSpace) -> bool:
    """Whether reduced elements are next to each other in the largest operand.

    They are, too, where they lie in runs that are worth a read, as in a group of
    channels.
    """
    operand = space.reductions[0].operands[0]
    assert isinstance(operand, Value)
    at = space.coordinates[operand]
    position = flattened(at, operand.type.static_shape)
    run = next((atom for atom, factor in position.terms if factor == 1), None)
    if isinstance(run, Modulo):
        return run.by >= LEAST_BESIDE and run.of == variable(space.r)
    return run == space.r


# -- several sections ------------------------------------------------------------------


def _sectioned_body(
    graph: Graph, pointers: Sequence[str], sections: Sequence[Section]
) -> Body:
    """A body whose programs are divided among sections."""
    largest = max(_elements(section.space) for section in sections)
    schedule = pointwise_schedule(largest)
    warps = schedule.num_warps
    reduces = any(isinstance(each.space, ReductionSpace) for each in sections)
    constants = dict(schedule.constants)
    suffixes: dict[tuple[int, ...], str] = {}
    placed: list[_Placed] = []
    for section in sections:
        suffix = ""
        if isinstance(section.space, ReductionSpace):
            own_schedule = _schedule_of(section.space)
            warps = max(warps, own_schedule.num_warps)
            # Sections of the same tile sizes share the constants of these.
            sizes = tuple(own_schedule.constants.values())
            suffix = suffixes.setdefault(sizes, f"_{len(suffixes)}")
            for name, size in own_schedule.constants.items():
                constants[f"{name}{suffix}"] = size
        stores = stores_of(graph, pointers, section.positions)
        tiles = _section_tiles(section.space, suffix)
        placed.append(_Placed(section, stores, tiles, suffix))
    emitter = _written(
        *(graph, pointers, 2 if reduces else 1),
        lambda to: _write_sections(to, placed, constants),
    )
    first, *more = (each.tiles for each in placed)
    grid = ((Tiles(first.extent, first.block, tuple(more)),),)
    return finished(emitter, grid, Schedule(constants, warps))


@dataclass(frozen=True, slots=True)
class _Placed:
    """A section, the results that it stores, its programs and its tile sizes."""

    section: Section
    stores: Sequence[tuple[str, Operand]]
    tiles: Tiles
    suffix: str


def _write_sections(
    emitter: Emitter, sections: Sequence[_Placed], constants: Mapping[str, int]
) -> None:
    """Writes all sections, each for programs of its own."""
    writer = emitter.writer
    writer.base = 1
    number = writer.fresh("program")
    writer.line(f"{number} = {program(writer)}")
    start = "0"
    for position, each in enumerate(sections):
        end = writer.fresh(f"end_{position}")
        is_last = position == len(sections) - 1
        if not is_last:
            count = f"tl.cdiv({each.tiles.extent}, {each.tiles.block})"
            writer.line(f"{end} = {count if start == '0' else f'{start} + {count}'}")
        own = number if start == "0" else f"({number} - {start})"
        inside = f"{number} < {end}"
        if start != "0":
            inside = f"({number} >= {start}) & ({inside})"
        emitter.section = position
        with writer.block(f"if {number} >= {start}:" if is_last else f"if {inside}:"):
            space = each.section.space
            if isinstance(space, PointwiseSpace):
                emit_pointwise(emitter, space, each.stores, own, constants)
            else:
                loops = _row_loops(space, constants, each.suffix)
                emit_reduction(emitter, space, each.stores, loops, own)
        start = end


def _elements(space: ReductionSpace | PointwiseSpace) -> int:
    if isinstance(space, PointwiseSpace):
        return space.elements
    return space.x.extent * space.r.extent


def _section_tiles(space: ReductionSpace | PointwiseSpace, suffix: str) -> Tiles:
    """The programs of a section; a suffix tells its tile sizes from others."""
    if isinstance(space, PointwiseSpace):
        return Tiles(space.elements, "XBLOCK")
    return Tiles(space.x.extent, f"XBLOCK{suffix}")


def _schedule_of(space: ReductionSpace) -> Schedule:
    """The tile sizes of a reduction."""
    scans = [n for n in space.reductions if BLOCKS[n.op.name].keeps_axis]
    one_way = len({is_reversed(node) for node in scans}) == 1
    ordered = bool(scans) and not (one_way and space.r.extent > MAX_ROW)
    rows, sums = runs_along_rows(space), len(space.reductions)
    return reduction_schedule(space.x.extent, space.r.extent, rows, ordered, sums)


# -- shared by all bodies --------------------------------------------------------------


def new_emitter(graph: Graph, pointers: Sequence[str], rank: int) -> Emitter:
    """An emitter for a kernel whose tiles have `rank` dimensions."""
    values = [*graph.parameters, *(o for n in graph.nodes for o in n.results)]
    wide = any(product(value.type.static_shape) >= WIDE for value in values)
    writer = Writer(rank, "tl.int64" if wide else "tl.int32")
    writer.reserve(pointers)
    named = zip(graph.parameters, pointers, strict=False)
    return Emitter(graph, writer, dict(named), PULLS)


def stores_of(
    graph: Graph, pointers: Sequence[str], positions: Iterable[int]
) -> list[tuple[str, Operand]]:
    """The arguments that point to results, and the results."""
    outputs = pointers[len(graph.parameters) :]
    return [(outputs[position], graph.results[position]) for position in positions]


def program(writer: Writer) -> str:
    """The number of a program, in the dtype of positions."""
    return "tl.program_id(0).to(tl.int64)" if writer.is_wide else "tl.program_id(0)"


def finished(emitter: Emitter, grid: Grid, schedule: Schedule, **more: Any) -> Body:
    """The body that an emitter has written."""
    lines = emitter.writer.scopes[0].lines
    helpers = frozenset(emitter.writer.helpers)
    return Body(lines, helpers, grid, schedule, overwrites(emitter), **more)


def overwrites(emitter: Emitter) -> tuple[tuple[int, int], ...]:
    """The parameters whose memory a result may take, with that result.

    All that programs load of such a parameter is what they store of the result: they
    have loaded an element before they store to its place, and nobody else loads it.
    """
    loaded: dict[Operand, set[tuple[Index, int]]] = {}
    for load in emitter.loads:
        loaded.setdefault(load.value, set()).add((load.position, load.section))
    found: list[tuple[int, int]] = []
    results = list(emitter.graph.results)
    for store in emitter.stores:
        same = {(store.position, store.section)}
        numbers = [n for n, value in enumerate(results) if value is store.value]
        for parameter in emitter.graph.parameters:
            if parameter.type == store.value.type and loaded.get(parameter) == same:
                found += [(parameter.index, number) for number in numbers]
    return tuple(dict.fromkeys(found))


Template = Callable[[Graph, Sequence[str]], Body | None]
"""The body of a kernel graph, or None if it is not one that the template is for."""
