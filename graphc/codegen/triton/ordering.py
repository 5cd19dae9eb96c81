"""Sorting: kernels that hold whole rows and put their elements in order.

Keys become unsigned integers of 32 bits that have the keys' order, 64-bit keys two of
them. A pass sorts one of these together with places, which keeps equal keys in order;
so passes from the last key to the first sort by all of them (least significant digit
first: Knuth, The Art of Computer Programming 3, 5.2.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.codegen.triton.bodies import (
    Body,
    finished,
    new_emitter,
    program,
    stores_of,
)
from graphc.codegen.triton.emitter import Emitter
from graphc.codegen.triton.kernel import Tiles
from graphc.codegen.triton.reduction import RowLoops, declare_r, declare_x
from graphc.codegen.triton.reduction_space import R, X
from graphc.codegen.triton.schedule import Schedule, power_of_two
from graphc.codegen.triton.writer import Tile
from graphc.ir.errors import UnsupportedError
from graphc.ir.graph import Graph, Node
from graphc.ir.index import Axis, Index, unflattened, variable
from graphc.ir.types import DType, product
from graphc.ir.values import Operand, Value

MAX_ROW = 8192
"""The longest row that is sorted in one tile, in elements."""

ORDERED = frozenset({"sort", "top_k"})
"""The ops that these kernels are for."""


def ordering_body(graph: Graph, pointers: Sequence[str]) -> Body | None:
    """The body of a graph whose results are those of one node that orders elements.

    Raises:
        UnsupportedError: If rows are longer than `MAX_ROW`.
    """
    nodes = {v.node for v in graph.results if isinstance(v, Value)}
    node = nodes.pop() if len(nodes) == 1 else None
    if node is None or node.op.name not in ORDERED:
        return None
    how = node.op.decode(node.attributes, None)
    shape = node.operands[0].type.static_shape
    axis = how.get("axis", len(shape) - 1)
    if product(graph.results[0].type.static_shape) == 0:
        return None
    size = shape[axis]
    if size > MAX_ROW:
        raise UnsupportedError(
            f"{node.op.name}: Triton kernels sort rows of at most {MAX_ROW} elements",
            received=str(node.operands[0].type),
            location=node.location,
            hint="target='xla' sorts rows of any length",
        )
    return _Ordering(graph, pointers, node, axis).body()


class _Ordering:
    """A kernel that sorts along one dimension of the operands of a node."""

    def __init__(
        self, graph: Graph, pointers: Sequence[str], node: Node, axis: int
    ) -> None:
        self._emitter = new_emitter(graph, pointers, 2)
        self._stores = stores_of(graph, pointers, range(len(graph.results)))
        self._node = node
        self._axis = axis
        how = node.op.decode(node.attributes, None)
        self._selects = "k" in how
        self._descending = how.get("descending", True)
        self._keys = node.operands[: how.get("keys", 1)]
        self._shape = node.operands[0].type.static_shape
        size = self._shape[axis]
        kept = math.prod(self._shape) // size
        self._x, self._r = Axis(X, kept), Axis(R, size)
        self._count = how.get("k", size)

    def body(self) -> Body:
        """Writes the kernel."""
        emitter, writer = self._emitter, self._emitter.writer
        writer.reserve([X, R, "inside_x", "inside_r"])
        block = power_of_two(self._r.extent)
        x_block = max(1, min(512 // block, power_of_two(self._x.extent)))
        loops = RowLoops(x_block, block, whole=True)
        declare_x(emitter, self._x, loops, program(writer))
        declare_r(emitter, self._r, loops, "")
        order = self._order()
        for pointer, value in self._stores:
            self._store(pointer, value, order)
        warps = max(1, min(8, block * x_block // 256))
        schedule = Schedule({"XBLOCK": x_block, "RBLOCK": block}, warps)
        return finished(emitter, ((Tiles(self._x.extent, "XBLOCK"),),), schedule)

    def _at(self, along: Index) -> tuple[Index, ...]:
        """The element of an operand at a place along the sorted dimension."""
        rest = [n for d, n in enumerate(self._shape) if d != self._axis]
        outer = unflattened(variable(self._x), rest)
        return (*outer[: self._axis], along, *outer[self._axis :])

    def _order(self) -> Tile:
        """For each place in the sorted row the place that its element comes from."""
        writer = self._emitter.writer
        axes = frozenset({a for a in (self._x, self._r) if a.extent > 1})
        if self._r.extent == 1:
            return Tile(writer.full("0", "tl.int32", axes), axes)
        places = writer.fresh("places")
        spread = f"tl.broadcast_to({R}, {writer.shape(axes)})"
        writer.line(f"{places} = {spread}")
        order: str | None = None
        parts = [part for key in self._keys for part in self._parts(key)]
        for part in reversed(parts):
            if order is not None:
                part = f"tl.gather({part}, {order}, 1)"
            packed = f"({part}.to(tl.uint64) << 32) | {places}.to(tl.uint64)"
            sorted_ = writer.assign("packed", packed, axes).text
            writer.line(f"{sorted_} = tl.sort({sorted_}, 1)")
            found = f"({sorted_} & 0xFFFFFFFF).to(tl.int32)"
            if order is not None:
                found = f"tl.gather({order}, {found}, 1)"
            order = writer.assign("order", found, axes).text
        assert order is not None
        return Tile(order, axes)

    def _parts(self, key: Operand) -> list[str]:
        """A key as integers of 32 bits that have its order, the first the highest."""
        emitter, writer = self._emitter, self._emitter.writer
        dtype = key.type.dtype
        tile = emitter.value(key, self._at(variable(self._r)))
        text = emitter.spread(tile, dtype, [self._r, *self._some_x()])
        bits = _ordered_bits(emitter, text, dtype, zeros_tie=not self._selects)
        if self._descending:
            bits = f"~{bits}"
        outside = "0xFFFFFFFF" if dtype.bits <= 32 else "0xFFFFFFFFFFFFFFFF"
        masks = writer.masks([self._r])
        axes = frozenset({self._r, *self._some_x()})
        if masks:
            bits = f"tl.where({masks[0]}, {bits}, {outside})"
        whole = writer.assign("key", bits, axes).text
        if dtype.bits <= 32:
            return [whole]
        return [f"({whole} >> 32).to(tl.uint32)", f"{whole}.to(tl.uint32)"]

    def _some_x(self) -> list[Axis]:
        return [self._x] if self._x.extent > 1 else []

    def _store(self, pointer: str, value: Operand, order: Tile) -> None:
        """Writes a result: places, or an operand's elements in order."""
        emitter, writer = self._emitter, self._emitter.writer
        size = self._r.extent
        known = order.text.isidentifier()
        from_ = writer.loaded(order, 0, size - 1) if known else Index()
        short = self._count < size
        guard = (
            frozenset({emitter.condition(f"{R} < {self._count}", frozenset({self._r}))})
            if short
            else frozenset[Tile]()
        )
        number = self._node.results.index(value)
        if self._selects and number == 1:
            tile = order
        else:
            operand = self._node.operands[number]
            tile = emitter.value(operand, self._at(from_))
        at = self._at(variable(self._r))
        emitter.store(pointer, value, at, tile, guard)


def _ordered_bits(emitter: Emitter, text: str, dtype: DType, zeros_tie: bool) -> str:
    """Unsigned integers that are ordered as the elements are."""
    writer = emitter.writer
    bits = 64 if dtype.bits > 32 else 32
    unsigned, top = f"tl.uint{bits}", hex(1 << (bits - 1))
    if dtype.kind in ("bool", "uint"):
        return f"{text}.to({unsigned})"
    if not dtype.is_float:
        return f"({text}.to(tl.int{bits}).to({unsigned}, bitcast=True) ^ {top})"
    name = writer.fresh("number")
    same = f"tl.where({text} == 0, 0.0, {text})" if zeros_tie else text
    writer.line(f"{name} = {same}")
    raw = writer.fresh("bits")
    writer.line(f"{raw} = {name}.to({unsigned}, bitcast=True)")
    turned = f"tl.where(({raw} >> {bits - 1}) == 1, ~{raw}, {raw} | {top})"
    largest = "0xFFFFFFFF" if bits == 32 else "0xFFFFFFFFFFFFFFFF"
    return f"tl.where({name} != {name}, {largest}, {turned})"
