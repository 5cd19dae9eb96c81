"""Identities of gathers: products that are some, work and movement carried past them."""

from __future__ import annotations

from graphc.ir.dims import Dim
from graphc.ir.graph import Node
from graphc.ir.opdef import Kind
from graphc.ir.ops import (
    and_,
    broadcast_in_dim,
    clamp,
    compare,
    concatenate,
    convert,
    dot_general,
    gather,
    multiply,
    one_hot,
    select,
    slice_,
)
from graphc.ir.types import I32, DType
from graphc.ir.values import Literal, Operand
from graphc.passes.identities.matching import again, attribute, only_use, producer
from graphc.passes.rule import Replacement, RuleSet, approx, example

RULES = RuleSet()

_ROWS = {
    "offset_dims": [1],
    "collapsed_dims": [0],
    "start_index_map": [0],
    "index_axis": 1,
    "slice_sizes": [1, 3],
}
"""Rows of a matrix of three columns, by a vector of their numbers."""


@RULES.rule(
    "gather",
    reads_any=(Kind.ELEMENTWISE,),
    late=True,
    examples=[
        *example(
            lambda x, i: gather(convert(x, dtype="bf16"), i, **_ROWS),
            "f32[9,3]",
            "i32[4]",
        ),
        *example(
            lambda x, s, i: gather(multiply(s, x), i, **_ROWS),
            "f32[9,3]",
            "f32[]",
            "i32[4]",
        ),
    ],
)
def gather_computed(node: Node) -> Replacement:
    """`gather(f(x)) = f(gather(x))` if fewer elements are gathered than there are."""
    operand, indices = node.operands
    if isinstance(operand, Literal) or operand.node is None or not only_use(operand):
        return None
    inner = operand.node
    shaped = [o for o in inner.operands if o.type.shape]
    whole, part = operand.type.size, node.result.type.size
    if inner.op.kind is not Kind.ELEMENTWISE or len(inner.results) != 1:
        return None
    if len(shaped) != 1 or not isinstance(whole, int) or not isinstance(part, int):
        return None
    if part >= whole:
        return None
    return again(
        inner,
        [again(node, [o, indices]) if o.type.shape else o for o in inner.operands],
    )


@RULES.rule(
    "dot_general",
    reads=("one_hot",),
    numerics=approx(1),
    examples=[
        *example(
            lambda i, w: dot_general(
                one_hot(i, depth=5, dtype="f32"), w, contract=[[1], [0]]
            ),
            "i32[4]",
            "f32[5,3]",
        ),
        *example(
            lambda i, w: dot_general(
                one_hot(i, depth=2, dtype="bf16"), w, contract=[[2], [0]], dtype="f32"
            ),
            "i8[2,3]",
            "bf16[2,3]",
        ),
    ],
)
def dot_of_one_hot(node: Node) -> Replacement:
    """A product with a one-hot operand gathers rows; 0 where an index is none.

    It is not exact only because 0 times an infinity in another row is NaN.
    """
    chosen, rows = producer(node.operands[0], one_hot), node.operands[1]
    if chosen is None or rows.type.rank != 2 or attribute(node, "batch") != ((), ()):
        return None
    indices, last = chosen.operands[0], chosen.result.type.rank - 1
    depth, width = rows.type.shape
    if attribute(node, "contract") != ((last,), (0,)) or not last:
        return None
    if not (isinstance(depth, int) and isinstance(width, int)):
        return None
    if not 0 < depth <= _largest(indices.type.dtype):
        return None
    low, high = (Literal(end, indices.type.dtype) for end in (0, depth - 1))
    inside = and_(
        compare(indices, low, direction="GE"), compare(indices, high, direction="LE")
    )
    found = gather(
        rows,
        convert(clamp(low, indices, high), dtype=I32),
        offset_dims=[last],
        collapsed_dims=[0],
        start_index_map=[0],
        index_axis=last,
        slice_sizes=[1, width],
    )
    type = node.result.type
    return select(
        broadcast_in_dim(inside, shape=type.shape, dims=range(last)),
        found if found.type == type else convert(found, dtype=type.dtype),
        broadcast_in_dim(Literal(0, type.dtype), shape=type.shape, dims=()),
    )


def _largest(dtype: DType) -> int:
    """The largest number that an integer dtype and i32 hold."""
    return 2 ** min(31, dtype.bits - (dtype.kind == "int")) - 1


@RULES.rule(
    "concatenate",
    reads=("gather",),
    examples=example(
        lambda x, i, j: concatenate(
            gather(x, i, **_ROWS), gather(x, j, **_ROWS), axis=0
        ),
        "T[5,3]",
        "i32[4]",
        "i32[2]",
    ),
)
def concatenate_gathered(node: Node) -> Replacement:
    """What is gathered from one operand in parts is gathered at once."""
    parts = [producer(operand, gather) for operand in node.operands]
    first = parts[0]
    if first is None or len(parts) < 2 or not all(map(only_use, node.operands)):
        return None
    place = _index_dims(first).get(attribute(node, "axis"))
    if place is None:
        return None
    x, like = first.operands[0], first.operands[1].type.dtype
    indices: list[Operand] = []
    for part in parts:
        if part is None or part.attributes != first.attributes:
            return None
        if part.operands[0] != x or part.operands[1].type.dtype is not like:
            return None
        indices.append(part.operands[1])
    return again(first, [x, concatenate(*indices, axis=place)])


@RULES.rule(
    "slice",
    reads=("gather",),
    examples=example(
        lambda x, i: slice_(
            gather(x, i, **_ROWS), start=[1, 0], limit=[4, 3], strides=[2, 1]
        ),
        "T[5,3]",
        "i32[4]",
    ),
)
def slice_gathered(node: Node) -> Replacement:
    """A slice of what is gathered, and nothing else reads, is gathered by a slice."""
    inner = producer(node.operands[0], gather)
    if inner is None or not only_use(inner.result):
        return None
    x, indices = inner.operands
    start: list[Dim] = [0] * indices.type.rank
    limit: list[Dim] = [*indices.type.shape]
    strides = [1] * indices.type.rank
    places = _index_dims(inner)
    given = attribute(node, "strides") or (1,) * inner.result.type.rank
    cuts = zip(attribute(node, "start"), attribute(node, "limit"), given, strict=True)
    for axis, (first, end, step) in enumerate(cuts):
        if axis in places:
            place = places[axis]
            start[place], limit[place], strides[place] = first, end, step
        elif node.result.type.shape[axis] != inner.result.type.shape[axis]:
            return None
    return again(inner, [x, slice_(indices, start=start, limit=limit, strides=strides)])


def _index_dims(node: Node) -> dict[int, int]:
    """The dimension of the indices that each dimension of the result comes from.

    Without those of windows, and those that the operand has as well.
    """
    indices, offset = node.operands[1].type, attribute(node, "offset_dims")
    grid = [d for d in range(indices.rank) if d != attribute(node, "index_axis")]
    axes = [d for d in range(node.result.type.rank) if d not in offset]
    paired = attribute(node, "indices_batching") or ()
    both = zip(axes, grid, strict=True)
    return {axis: place for axis, place in both if place not in paired}
