"""Scatters: kernels that run over updates and change an array in its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphc.codegen.triton import dtypes
from graphc.codegen.triton.bodies import Body, finished, new_emitter, program
from graphc.codegen.triton.emitter import Emitter
from graphc.codegen.triton.kernel import Tiles
from graphc.codegen.triton.movement import grid_axis, vector_place
from graphc.codegen.triton.pointwise import PointwiseSpace, declare
from graphc.codegen.triton.schedule import Schedule, pointwise_schedule, power_of_two
from graphc.codegen.triton.updates import COMBINED_BY, update_start
from graphc.codegen.triton.writer import Tile, axes_of
from graphc.ir.graph import Graph, Node
from graphc.ir.index import ZERO, Index, flattened, unflattened
from graphc.ir.ops.index_places import dims_except
from graphc.ir.types import product
from graphc.ir.values import Literal, Value

ATOMIC = ("f32", "f64", "i32", "i64", "u32", "u64")
"""The dtypes that GPUs add to memory in one step."""

MANY_UPDATES = 64
"""From this many on, updates are added at once, in no fixed order."""


def scatter_body(graph: Graph, pointers: Sequence[str]) -> Body | None:
    """The body of a graph that returns one scatter, or None for other graphs.

    The array is overwritten where it is a parameter; where it is all zeros, the memory
    of the result is. Sums of many updates are atomic additions, whose rounding depends
    on their order; everything else goes update by update, in order.
    """
    if len(graph.results) != 1:
        return None
    value = graph.results[0]
    node = value.node if isinstance(value, Value) else None
    if node is None or node.op.name != "scatter":
        return None
    x, indices, updates = node.operands
    if not isinstance(updates, Value) or product(value.type.static_shape) == 0:
        return None
    if product(updates.type.static_shape) == 0 or isinstance(indices, Literal):
        return None
    fresh = _is_zeros(x)
    if not fresh and x not in graph.parameters:
        return None
    emitter = new_emitter(graph, pointers, 1)
    if fresh:
        target, changed = pointers[-1], {"zeroed": (0,)}
    else:
        assert isinstance(x, Value)
        target, changed = pointers[x.index], {"in_place": {0: x.index}}
    scatter = _Scatter(emitter, node, target)
    schedule = scatter.emit_atomic() if scatter.is_atomic else scatter.emit_ordered()
    tiles = Tiles(scatter.parallel, "XBLOCK")
    return finished(emitter, ((tiles,),), schedule, **changed)


def _is_zeros(x: Any) -> bool:
    """Whether all elements of an operand are known to be 0."""
    while isinstance(x, Value):
        if x.node is None or x.node.op.read_index is None:
            return False
        x = x.node.operands[0]
    return x.value == 0 and math.copysign(1, float(x.value)) > 0


class _Scatter:
    """The updates of a scatter node, and where they go."""

    def __init__(self, emitter: Emitter, node: Node, target: str) -> None:
        self._emitter = emitter
        self._node = node
        self._target = target
        x, _, updates = node.operands
        how = node.op.decode(node.attributes, None)
        self._how = how
        self._shape = x.type.static_shape
        self._updates = updates.type.static_shape
        self._windows = how["update_window_dims"]
        self._grid = dims_except(len(self._updates), self._windows)
        self._mode = how["mode"]
        self._count = math.prod(self._updates[d] for d in self._grid)

    @property
    def is_atomic(self) -> bool:
        """Whether updates are added to memory at once."""
        dtype = self._node.results[0].type.dtype
        many = self._count >= MANY_UPDATES
        return self._mode == "add" and many and dtype.name in ATOMIC

    @property
    def parallel(self) -> int:
        """How many updates run beside each other."""
        elements = math.prod(self._updates)
        return elements if self.is_atomic else elements // self._count

    def emit_atomic(self) -> Schedule:
        """Writes one atomic addition for each element of the updates."""
        emitter = self._emitter
        space, schedule = (
            PointwiseSpace(self.parallel),
            pointwise_schedule(self.parallel),
        )
        flat = declare(emitter, space, program(emitter.writer), schedule.constants)
        place = unflattened(flat, self._updates)
        address, mask, update = self._update(place)
        masked = f", mask={mask}" if mask else ""
        emitter.writer.line(f"tl.atomic_add({address}, {update.text}{masked})")
        return schedule

    def emit_ordered(self) -> Schedule:
        """Writes a loop over windows; each lane has its element of all windows."""
        emitter, writer = self._emitter, self._emitter.writer
        block = min(256, power_of_two(self.parallel))
        schedule = Schedule({"XBLOCK": block}, num_warps=max(1, block // 64))
        space = PointwiseSpace(self.parallel)
        flat = declare(emitter, space, program(writer), schedule.constants)
        within = unflattened(flat, [self._updates[d] for d in self._windows])
        dtype = self._node.results[0].type.dtype
        combiner = COMBINED_BY[self._mode]
        with writer.loop(self._count, "k") as k:
            grid = unflattened(k, [self._updates[d] for d in self._grid])
            place = [ZERO] * len(self._updates)
            for d, index in zip(self._windows, within, strict=True):
                place[d] = index
            for d, index in zip(self._grid, grid, strict=True):
                place[d] = index
            address, mask, update = self._update(tuple(place))
            masked = f", mask={mask}" if mask else ""
            new = update.text
            if combiner is not None:
                stored = writer.assign("stored", f"tl.load({address}{masked})", ())
                old = dtypes.widened(stored.text, dtype)
                writer.helpers.update(old.helpers)
                text = combiner.text.format(old.text, new)
                new = writer.assign("combined", text, ()).text
            narrow = dtypes.narrowed(new, dtype)
            writer.helpers.update(narrow.helpers)
            writer.line(f"tl.store({address}, {narrow.text}{masked})")
        return schedule

    def _update(self, place: tuple[Index, ...]) -> tuple[str, str, Tile]:
        """Where an update goes, when it does, and its value."""
        emitter, how = self._emitter, self._how
        _, indices, updates = self._node.operands
        grid = tuple(place[d] for d in self._grid)
        taken = (*how["inserted_dims"], *how["operand_batching"])
        window_dims = dims_except(len(self._shape), taken)
        offsets = {d: place[u] for d, u in zip(window_dims, self._windows, strict=True)}
        sizes = {
            d: self._updates[u] for d, u in zip(window_dims, self._windows, strict=True)
        }
        at: list[Index] = []
        conditions: list[str] = []
        for d, extent in enumerate(self._shape):
            index = offsets.get(d, ZERO)
            if d in how["operand_batching"]:
                dims = how["operand_batching"], how["indices_batching"]
                index = grid[grid_axis(d, *dims, how["index_axis"])]
            elif d in how["index_map"]:
                component = list(how["index_map"]).index(d)
                read = vector_place(
                    indices.type.rank, grid, how["index_axis"], component
                )
                last = extent - sizes.get(d, 1)
                first, fits = update_start(emitter, indices, read, frozenset(), last)
                conditions += fits
                index = index + first
            at.append(index)
        position = flattened(at, self._shape)
        update = emitter.value(updates, place)
        own = emitter.writer.masks(axes_of([position, *place]))
        mask = " & ".join([*own, *conditions])
        text = emitter.writer.position(position)
        address = f"{self._target} + {text}"
        if not emitter.writer.tiled(position.axes):
            axes = axes_of(place)
            address = f"{self._target} + {emitter.broadcast(text, position, axes)}"
        return address, mask, update
