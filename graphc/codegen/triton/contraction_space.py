"""Which loops a kernel that multiplies matrices has: those of its dots and convolutions.

A convolution is a product of matrices of which the left one never is in memory: m are
the places of the result, n its features, k the places and features of a window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graphc.codegen.combining import accumulator
from graphc.codegen.triton.blocks import BLOCKS
from graphc.codegen.triton.contraction_schedule import Problem
from graphc.codegen.triton.products import PRODUCTS, Product
from graphc.codegen.triton.schedule import power_of_two
from graphc.ir.graph import Graph, Node
from graphc.ir.index import Axis, Index, flattened, unflattened, variable
from graphc.ir.opdef import Kind
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.types import BF16, F8E4M3FN, F8E5M2, F16, F32, F64, I8, DType
from graphc.ir.values import Operand, Value
from graphc.passes.coordinates import Coordinates, operand_coordinates, propagate

BATCH, M, N, K = "batch", "m", "n", "k"

FACTORS: Mapping[DType, str] = {
    BF16: "tl.bfloat16",
    F16: "tl.float16",
    # Every number of 8 bits is one of float16.
    F8E4M3FN: "tl.float16",
    F8E5M2: "tl.float16",
    F32: "tl.float32",
    F64: "tl.float64",
    I8: "tl.int8",
}
"""What ``tl.dot`` multiplies elements of each dtype as."""

LEAST_TERMS = 4
"""With fewer products per element, a kernel does little else than write its results."""

LEAST_SIDE = 16
"""Tiles are not smaller: a smaller matrix leaves part of them empty."""

LEAST_OF_GROUP = 4
"""A batch of products with fewer rows or columns is mostly empty tiles."""


@dataclass(frozen=True, slots=True)
class Contraction:
    """A node as products of matrices.

    Attributes:
        node: The node.
        product: Where the terms of an element come from.
        digits: The sizes of what a term's number consists of: the dimensions of a
            window, say, and the features in each place of it.
    """

    node: Node
    product: Product
    digits: tuple[int, ...]

    @property
    def terms(self) -> int:
        """The extent of k."""
        return self.product.terms

    @property
    def inner(self) -> int:
        """How many consecutive terms differ in the last digit alone."""
        return self.digits[-1]


@dataclass(frozen=True, slots=True)
class TileReduction:
    """A reduction of some rows of a tile each.

    Attributes:
        node: The node; it reduces axis 1 of ``[parts, rows, n]``.
        operand: What it reduces.
        rows: How many rows become one.
        part: The axis along the results.
    """

    node: Node
    operand: Value
    rows: int
    part: Axis


@dataclass(slots=True)
class ContractionSpace:
    """The loops of a kernel that multiplies matrices.

    Attributes:
        batch, m, n: The axes of the result.
        contractions: The nodes that are sums of products at the coordinates of the
            loops, in the order of the graph.
        reductions: Those of rows of the tiles that are computed from them.
        epilogue: How many ops compute results from the sums.
        places: Names for parts of m that positions consist of.
        coordinates: The element of each value at a point of the loops.
    """

    batch: Axis
    m: Axis
    n: Axis
    epilogue: int = 0
    places: dict[str, Index] = field(default_factory=dict[str, Index])
    contractions: list[Contraction] = field(default_factory=list[Contraction])
    reductions: list[TileReduction] = field(default_factory=list[TileReduction])
    coordinates: dict[Value, Coordinates] = field(
        default_factory=dict[Value, Coordinates]
    )

    def of_result(self, value: Operand) -> Coordinates | None:
        """The elements of a result that the loops own, or None if they do not fit."""
        if not isinstance(value, Value):
            return None
        size = self.batch.extent * self.m.extent * self.n.extent
        reduced = any(value is each.node.results[0] for each in self.reductions)
        if not reduced and math.prod(value.type.static_shape) != size:
            return None
        return self.coordinates.get(value)

    def problem(self, tf32: bool) -> Problem:
        """The sizes that a schedule depends on."""
        first = self.contractions[0]
        dtype = first.node.operands[0].type.dtype
        inner = first.inner if first.inner < first.terms else 0
        return Problem(
            m=self.m.extent,
            n=self.n.extent,
            k=max(each.terms for each in self.contractions),
            batch=self.batch.extent,
            bits=max(16, dtype.bits) if dtype.is_float else dtype.bits,
            tensor_cores=dtype.bits < 32 or (dtype is F32 and tf32),
            aligned=inner,
            products=len(self.contractions),
            epilogue=self.epilogue,
            rows=max((each.rows for each in self.reductions), default=1),
        )


# -- which kernels ---------------------------------------------------------------------


def contraction_space(graph: Graph, *, always: bool = False) -> ContractionSpace | None:
    """The loops of a kernel graph that is best computed by multiplying tiles.

    Args:
        graph: A kernel graph.
        always: Whether small matrices are multiplied on tiles as well.

    Returns:
        The loops, or None if there is no such contraction, or a result does not fit.
    """
    nodes = [node for node in graph.nodes if node.op.name in PRODUCTS]
    nodes.sort(key=lambda node: -_work(node))
    for node in nodes:
        if not _supports(node):
            continue
        space = _space_of(graph, node)
        if not space.contractions:
            continue
        if (always or _worthwhile(space)) and _owns(graph, space):
            return space
    return None


def _work(node: Node) -> int:
    shape = node.results[0].type.static_shape
    return math.prod(shape) * PRODUCTS[node.op.name](node).terms


def _supports(node: Node) -> bool:
    """Whether tiles of the operands can be multiplied."""
    dtype, result = node.operands[0].type.dtype, node.results[0].type
    held = accumulator(dtype)
    wanted = accumulator(result.dtype)
    return (
        dtype in FACTORS
        and math.prod(result.static_shape) > 0
        and PRODUCTS[node.op.name](node).terms > 1
        and (wanted is held or dtype is I8)
        and (not dtype.is_integer or result.dtype.bits <= 32)
    )


def _worthwhile(space: ContractionSpace) -> bool:
    """Whether tiles are better than a loop for each element, as for small groups."""
    terms = space.contractions[0].terms
    side = min(space.m.extent, space.n.extent)
    if side >= LEAST_SIDE:
        return terms >= LEAST_TERMS
    return terms >= LEAST_SIDE and (space.batch.extent == 1 or side >= LEAST_OF_GROUP)


def _space_of(graph: Graph, anchor: Node) -> ContractionSpace:
    space, index = _LOOPS[anchor.op.name](anchor)
    space.coordinates = propagate({anchor.results[0]: index}, graph.nodes)
    for node in graph.nodes:
        alike = node.op is anchor.op and node.attributes == anchor.attributes
        alone = not any(isinstance(o, Value) and _depends(o) for o in node.operands)
        if alike and alone and space.coordinates.get(node.results[0]) == index:
            product = PRODUCTS[node.op.name](node)
            space.contractions.append(Contraction(node, product, _digits(node)))
    for node in graph.nodes:
        reduction = _tile_reduction(node, space)
        if reduction is not None:
            space.reductions.append(reduction)
            place = variable(reduction.part), variable(space.n)
            space.coordinates[node.results[0]] = place
    space.epilogue = sum(
        node.op.kind is Kind.ELEMENTWISE and _depends(node.results[0])
        for node in graph.nodes
    )
    return space


def _tile_reduction(node: Node, space: ContractionSpace) -> TileReduction | None:
    """A node as a reduction of rows of tiles, which must be whole parts of tiles."""
    block, x = BLOCKS.get(node.op.name), node.operands[0] if node.operands else None
    if block is None or block.finds or block.keeps_axis or not isinstance(x, Value):
        return None
    shape, at = x.type.static_shape, space.coordinates.get(x)
    if at is None or len(shape) != 3 or list(node.attributes["axes"]) != [1]:
        return None
    parts, rows, _ = shape
    row_major = variable(space.m) * space.n.extent + variable(space.n)
    alike = flattened(at, shape) == row_major
    if space.batch.extent > 1 or not alike or rows != power_of_two(rows):
        return None
    return TileReduction(node, x, rows, Axis(f"part_of_{rows}", parts))


def _digits(node: Node) -> tuple[int, ...]:
    attributes = node.op.decode(node.attributes, None)
    if node.op.name == "convolution":
        of_kernel = parse_labels(attributes["labels"])[1]
        shape = node.operands[1].type.static_shape
        return tuple(shape[d] for d in (*of_kernel.spatial, of_kernel.inner))
    shape = node.operands[0].type.static_shape
    return tuple(shape[d] for d in attributes["contract"][0])


def _dot_loops(node: Node) -> tuple[ContractionSpace, Coordinates]:
    shape = node.results[0].type.static_shape
    attributes = node.op.decode(node.attributes, None)
    shared = len(attributes["batch"][0])
    rows = node.operands[0].type.rank - len(attributes["contract"][0])
    sides = (shape[:shared], shape[shared:rows], shape[rows:])
    batch, m, n = (
        Axis(name, math.prod(side))
        for name, side in zip((BATCH, M, N), sides, strict=True)
    )
    axes, space = (batch, m, n), ContractionSpace(batch, m, n)
    digits = zip(axes, sides, strict=True)
    index = [i for axis, side in digits for i in unflattened(variable(axis), side)]
    return space, tuple(index)


PLACES = ("plane", "row", "column")
"""What positions along spatial dimensions are called."""


def _convolution_loops(node: Node) -> tuple[ContractionSpace, Coordinates]:
    shape = node.results[0].type.static_shape
    how = node.op.decode(node.attributes, None)
    of_result = parse_labels(how["labels"])[2]
    features, spatial = of_result.inner, of_result.spatial
    groups = how["groups"] * how["batch_groups"]
    places = [size for d, size in enumerate(shape) if d != features]
    space = ContractionSpace(
        Axis("group", groups),
        Axis(M, math.prod(places)),
        Axis(N, shape[features] // groups),
    )
    index = list(unflattened(variable(space.m), places))
    for name, d in zip(PLACES[-len(spatial) :], spatial, strict=False):
        space.places[name] = index[d - (d > features)]
    feature = variable(space.batch) * space.n.extent + variable(space.n)
    index.insert(features, feature)
    return space, tuple(index)


_LOOPS: Mapping[str, Callable[[Node], tuple[ContractionSpace, Coordinates]]] = {
    "convolution": _convolution_loops,
    "dot_general": _dot_loops,
}


def _owns(graph: Graph, space: ContractionSpace) -> bool:
    """Whether all results are made of sums at the coordinates of the loops."""
    if min(space.m.extent, space.n.extent) < 2:
        return False
    places = {each.node.results[0]: each for each in space.contractions}
    asked: set[tuple[Operand, Coordinates]] = set()
    for value in graph.results:
        at = space.of_result(value)
        if at is None:
            return False
        asked.add((value, at))
    waiting = list(asked)
    reduced = {each.node.results[0]: each.operand for each in space.reductions}
    while waiting:
        value, at = waiting.pop()
        if value in reduced:
            operand = reduced[value]
            if at != space.coordinates[value]:
                return False
            waiting.append((operand, space.coordinates[operand]))
            continue
        if value in places:
            if at != space.coordinates[value]:
                return False
            continue
        for operand, place in _read(value, at):
            if place is None:
                return False
            if (operand, place) not in asked:
                asked.add((operand, place))
                waiting.append((operand, place))
    return True


def _read(value: Operand, at: Coordinates) -> list[tuple[Operand, Coordinates | None]]:
    """The operands that depend on contractions, and where `value` at `at` reads them."""
    node = value.node if isinstance(value, Value) else None
    if node is None:
        return []
    return [
        (operand, operand_coordinates(node, position, at))
        for position, operand in enumerate(node.operands)
        if isinstance(operand, Value) and _depends(operand)
    ]


def _depends(value: Value) -> bool:
    """Whether `value` is computed from a contraction."""
    waiting, seen = [value], {value}
    while waiting:
        node = waiting.pop().node
        if node is None:
            continue
        if node.op.name in PRODUCTS:
            return True
        new = {o for o in node.operands if isinstance(o, Value)} - seen
        seen |= new
        waiting += new
    return False
