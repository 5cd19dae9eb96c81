"""Identities that carry movement of elements past arithmetic; all of them are exact.

Movement goes towards the results, where it meets its inverse or what can read elements
in any order, unless a result then has fewer elements: cuts go towards the operands.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dims import Dim
from graphc.ir.graph import Node
from graphc.ir.opdef import Kind, Trait
from graphc.ir.ops import (
    add,
    broadcast_in_dim,
    concatenate,
    exponential,
    maximum,
    multiply,
    negate,
    pad,
    reshape,
    reverse,
    select,
    slice_,
    transpose,
)
from graphc.ir.values import Literal, Operand
from graphc.passes.identities.matching import (
    again,
    attribute,
    mover,
    only_use,
    producer,
    reshaped_places,
    varies,
)
from graphc.passes.rewrite import full
from graphc.passes.rule import Replacement, RuleSet, example

RULES = RuleSet()

MOST_REBUILT = 8
"""How many elementwise nodes are rebuilt to cancel two movements around them."""


# -- past elementwise ops --------------------------------------------------------------


@RULES.rule(
    Kind.ELEMENTWISE,
    reads_any=(Trait.MOVES_DATA,),
    examples=[
        *example(
            lambda x: exponential(broadcast_in_dim(x, shape=[3, 4], dims=[1])), "f32[4]"
        ),
        *example(
            lambda x, y: add(
                broadcast_in_dim(x, shape=[4, 3], dims=[0]),
                broadcast_in_dim(y, shape=[4, 3], dims=[0]),
            ),
            "T[4]",
            "T[4]",
        ),
        *example(
            lambda x, y: maximum(
                transpose(x, permutation=[1, 0]), transpose(y, permutation=[1, 0])
            ),
            "T[2,3]",
            "T[2,3]",
        ),
    ],
)
def move_last(node: Node) -> Replacement:
    """`f(move(x), move(y)) = move(f(x, y))`, which moves or computes less often."""
    if len(node.results) != 1:
        return None
    first: Node | None = None
    sources: list[Operand] = []
    for operand in node.operands:
        if isinstance(operand, Literal) or not operand.type.shape:
            sources.append(operand)
            continue
        moved = mover(operand)
        if moved is None:
            return None
        if first is None:
            first = moved
        elif moved is not first and not _alike(moved, first):
            return None
        sources.append(moved.operands[0])
    if first is None:
        return None
    if first.operands[0].type.size == first.result.type.size and not _all_go(node):
        return None
    return again(first, [again(node, sources)])


def _alike(a: Node, b: Node) -> bool:
    """Whether two movers of one operand move elements in the same way."""
    return (
        a.op is b.op
        and a.attributes == b.attributes
        and a.operands[0].type.shape == b.operands[0].type.shape
    )


def _all_go(node: Node) -> bool:
    """Whether `node` reads several shaped values, which nothing else reads."""
    shaped = [operand for operand in node.operands if operand.type.shape]
    return len(shaped) > 1 and all(map(only_use, shaped))


@RULES.rule(
    "transpose",
    "reshape",
    "reverse",
    examples=[
        *example(
            lambda x, y: transpose(
                multiply(
                    exponential(transpose(x, permutation=[2, 0, 1])),
                    broadcast_in_dim(y, shape=[4, 2, 3], dims=[1]),
                ),
                permutation=[1, 2, 0],
            ),
            "f32[2,3,4]",
            "f32[2]",
        ),
        *example(
            lambda x, y: reshape(
                add(
                    reshape(x, shape=[2, 3, 4]),
                    broadcast_in_dim(y, shape=[2, 3, 4], dims=[2]),
                ),
                shape=[6, 4],
            ),
            "T[6,4]",
            "T[4]",
        ),
        *example(
            lambda p, x: reverse(
                select(reverse(p, axes=[0]), negate(reverse(x, axes=[0])), 0.5),
                axes=[0],
            ),
            "bool[4]",
            "f32[4]",
        ),
    ],
)
def undo_moves(node: Node) -> Replacement:
    """`unmove(f(move(x), y)) = f(x, unmove(y))` where y is a broadcast."""
    (x,) = node.operands
    if isinstance(x, Literal) or x.node is None or not _may_undo(x.node):
        return None
    return _Undoing(node).of(x)


def _may_undo(inner: Node) -> bool:
    """Whether some operand of `inner` may be a move: most nodes are told by a look."""
    single = len(inner.results) == 1
    return inner.op.kind is Kind.ELEMENTWISE and single and only_use(inner.result)


class _Undoing:
    """Rebuilds what a mover reads without it.

    Args:
        outer: The mover.
    """

    def __init__(self, outer: Node) -> None:
        self.outer = outer
        self.known: dict[Operand, Operand | None] = {}
        self.budget = MOST_REBUILT

    def of(self, operand: Operand) -> Operand | None:
        """What `outer` makes of `operand`, if that takes no further movement."""
        if not operand.type.shape:
            return operand
        if operand not in self.known:
            self.known[operand] = self._made(operand)
        return self.known[operand]

    def _made(self, operand: Operand) -> Operand | None:
        if isinstance(operand, Literal) or operand.node is None:
            return None
        inner, outer = operand.node, self.outer
        if inner.op is broadcast_in_dim:
            return self._broadcast(inner)
        if inner.op is outer.op:
            return inner.operands[0] if _cancel(inner, outer) else None
        if not _may_undo(inner) or not self.budget:
            return None
        self.budget -= 1
        found: list[Operand] = []
        for each in inner.operands:
            made = self.of(each)
            if made is None:
                return None
            found.append(made)
        return again(inner, found)

    def _broadcast(self, inner: Node) -> Operand | None:
        """A broadcast of the same operand whose elements lie where `outer` puts them."""
        outer, dims = self.outer, attribute(inner, "dims")
        if outer.op is transpose:
            permutation = attribute(outer, "permutation")
            dims = [permutation.index(d) for d in dims]
        elif outer.op is reverse:
            if set(attribute(outer, "axes")) & varies(inner).keys():
                return None
        else:
            places = reshaped_places(inner.result.shape, outer.result.shape)
            if not all(d in places for d in dims):
                return None
            dims = [places[d] for d in dims]
        return broadcast_in_dim(*inner.operands, shape=outer.result.shape, dims=dims)


def _cancel(inner: Node, outer: Node) -> bool:
    """Whether `outer` undoes what `inner`, a use of the same op, does."""
    if outer.op is transpose:
        first = attribute(inner, "permutation")
        merged = [first[d] for d in attribute(outer, "permutation")]
        return merged == sorted(merged)
    if outer.op is reverse:
        return set(attribute(inner, "axes")) == set(attribute(outer, "axes"))
    return inner.operands[0].type.shape == outer.result.shape


@RULES.rule(
    "concatenate",
    examples=example(
        lambda x, y: concatenate(
            transpose(x, permutation=[2, 0, 1]),
            transpose(y, permutation=[2, 0, 1]),
            axis=1,
        ),
        "T[2,3,4]",
        "T[5,3,4]",
    ),
)
def concatenate_transposed(node: Node) -> Replacement:
    """Transposed parts are joined and transposed at once."""
    parts = [producer(operand, transpose) for operand in node.operands]
    first = parts[0]
    if first is None or len(parts) < 2 or not all(map(only_use, node.operands)):
        return None
    sources: list[Operand] = []
    for part in parts:
        if part is None or part.attributes != first.attributes:
            return None
        sources += part.operands
    permutation = attribute(first, "permutation")
    joined = concatenate(*sources, axis=permutation[attribute(node, "axis")])
    return transpose(joined, permutation=permutation)


# -- cuts go first ---------------------------------------------------------------------


def _cut(node: Node) -> list[tuple[Dim, Dim, int]]:
    """The start, the limit and the stride of a slice along each dimension."""
    start = attribute(node, "start")
    strides = attribute(node, "strides") or (1,) * len(start)
    return list(zip(start, attribute(node, "limit"), strides, strict=True))


def _sliced(x: Operand, cuts: Sequence[tuple[Dim, Dim, int]]) -> Operand:
    start, limit, strides = zip(*cuts, strict=True)
    steps = strides if any(step != 1 for step in strides) else None
    return slice_(x, start=start, limit=limit, strides=steps)


@RULES.rule(
    "slice",
    reads=("broadcast_in_dim",),
    examples=example(
        lambda x: slice_(
            broadcast_in_dim(x, shape=[5, 4, 3], dims=[1, 2]),
            start=[1, 2, 0],
            limit=[5, 4, 2],
            strides=[2, 1, 1],
        ),
        "T[4,1]",
    ),
)
def slice_broadcast(node: Node) -> Replacement:
    """A slice of a broadcast is a broadcast of a slice."""
    inner = producer(node.operands[0], broadcast_in_dim)
    if inner is None:
        return None
    (x,) = inner.operands
    cuts, kept = _cut(node), varies(inner)
    dims = attribute(inner, "dims")
    own = [cuts[d] if d in kept else (0, 1, 1) for d in dims]
    if any(d in kept and node.result.shape[d] != inner.result.shape[d] for d in dims):
        x = _sliced(x, own)
    return broadcast_in_dim(x, shape=node.result.shape, dims=dims)


@RULES.rule(
    "slice",
    reads=("transpose",),
    examples=example(
        lambda x: slice_(
            transpose(x, permutation=[1, 0]), start=[0, 1], limit=[4, 5], strides=[3, 2]
        ),
        "T[6,4]",
    ),
)
def slice_transposed(node: Node) -> Replacement:
    """A slice of a transpose that nothing else reads is a transpose of a slice."""
    inner = producer(node.operands[0], transpose)
    if inner is None or not only_use(inner.result):
        return None
    cuts, permutation = _cut(node), attribute(inner, "permutation")
    own = [cuts[permutation.index(d)] for d in range(len(permutation))]
    return again(inner, [_sliced(inner.operands[0], own)])


@RULES.rule(
    "slice",
    examples=[
        *example(
            lambda x, y: slice_(
                add(x, broadcast_in_dim(y, shape=[4, 3], dims=[1])),
                start=[1, 0],
                limit=[3, 3],
            ),
            "T[4,3]",
            "T[3]",
        ),
        *example(lambda x: slice_(negate(x), start=[1], limit=[3]), "T[4]"),
    ],
)
def slice_computed(node: Node) -> Replacement:
    """`slice(f(x)) = f(slice(x))`, with broadcasts besides x, if nothing else reads f."""
    (operand,) = node.operands
    if isinstance(operand, Literal) or operand.node is None:
        return None
    inner = operand.node
    if inner.op.kind is not Kind.ELEMENTWISE or len(inner.results) != 1:
        return None
    if not only_use(operand):
        return None
    shaped = {o for o in inner.operands if o.type.shape}
    full_size = [o for o in shaped if producer(o, broadcast_in_dim) is None]
    if len(full_size) != 1 or not _is_smaller(node):
        return None
    return again(
        inner, [again(node, [o]) if o.type.shape else o for o in inner.operands]
    )


def _is_smaller(node: Node) -> bool:
    return node.result.type.size != node.operands[0].type.size


@RULES.rule(
    "slice",
    reads=("concatenate",),
    examples=example(
        lambda x, y, z: slice_(
            concatenate(x, y, z, x, axis=0), start=[4], limit=[9], strides=[2]
        ),
        "T[3]",
        "T[4]",
        "T[5]",
    ),
)
def slice_of_some_parts(node: Node) -> Replacement:
    """A slice of a concatenation does not need the parts outside of it."""
    inner = producer(node.operands[0], concatenate)
    if inner is None or not only_use(inner.result):
        return None
    axis, cuts = attribute(inner, "axis"), _cut(node)
    start, limit, stride = cuts[axis]
    sizes = [part.type.shape[axis] for part in inner.operands]
    if not all(isinstance(n, int) for n in (start, limit, *sizes)):
        return None
    kept: list[Operand] = []
    offset = first = 0
    for part, size in zip(inner.operands, sizes, strict=True):
        if offset < limit and offset + size > start:
            kept.append(part)
        elif not kept:
            first = offset + size
        offset += size
    if not kept or len(kept) == len(sizes):
        return None
    cuts[axis] = (start - first, limit - first, stride)
    return _sliced(again(inner, kept), cuts)


@RULES.rule(
    "slice",
    reads=("pad",),
    examples=[
        *example(
            lambda x: slice_(
                pad(x, 1, low=[2, 0], high=[1, 1]), start=[2, 1], limit=[4, 3]
            ),
            "T[3,3]",
        ),
        *example(
            lambda x, s: slice_(pad(x, s, low=[2], high=[1]), start=[0], limit=[2]),
            "T[3]",
            "T[]",
        ),
    ],
)
def slice_of_padded(node: Node) -> Replacement:
    """A slice that meets only x, or only the padding, needs no more than that."""
    inner = producer(node.operands[0], pad)
    if inner is None or any(attribute(inner, "interior") or ()):
        return None
    x, value = inner.operands
    own: list[tuple[Dim, Dim, int]] = []
    within = True
    for size, low, (start, limit, stride) in zip(
        x.type.shape, attribute(inner, "low"), _cut(node), strict=True
    ):
        bounds = (low, start, limit, low + size)
        if not all(isinstance(bound, int) for bound in bounds):
            within &= start - low == 0 and limit - low == size
        elif limit <= low or start >= low + size:
            return full(value, node.result.type)
        else:
            within &= list(bounds) == sorted(bounds)
        own.append((start - low, limit - low, stride))
    return _sliced(x, own) if within else None


# -- padding and joining ---------------------------------------------------------------


@RULES.rule(
    "pad",
    reads=("pad",),
    examples=[
        *example(
            lambda x: pad(
                pad(x, 0, low=[1, 0], high=[0, 2], interior=[1, 0]),
                0,
                low=[0, 1],
                high=[3, 0],
            ),
            "T[2,3]",
        ),
        *example(
            lambda x, s: pad(pad(x, s, low=[1], high=[0]), s, low=[0], high=[2]),
            "T[2]",
            "T[]",
        ),
    ],
)
def pad_twice(node: Node) -> Replacement:
    """Two pads with the same value are one."""
    inner = producer(node.operands[0], pad)
    if inner is None or inner.operands[1] != node.operands[1]:
        return None
    if any(attribute(node, "interior") or ()):
        return None
    sides: list[list[Dim]] = []
    for side in ("low", "high"):
        pairs = list(zip(attribute(inner, side), attribute(node, side), strict=True))
        if not all(isinstance(n, int) and n >= 0 for pair in pairs for n in pair):
            return None  # what one pad crops, the other does not put back
        sides.append([first + then for first, then in pairs])
    interior = attribute(inner, "interior")
    return pad(*inner.operands, low=sides[0], high=sides[1], interior=interior)


@RULES.rule(
    "pad",
    examples=example(lambda x: pad(x, 0, low=[-1, 0], high=[-2, 0]), "T[4,3]"),
)
def crop_by_slice(node: Node) -> Replacement:
    """A pad that only crops is a slice."""
    x, _ = node.operands
    low, high = attribute(node, "low"), attribute(node, "high")
    if any(attribute(node, "interior") or ()):
        return None
    if not all(isinstance(n, int) and n <= 0 for n in (*low, *high)):
        return None
    if not any((*low, *high)):
        return None
    ends = zip(x.type.shape, high, strict=True)
    return slice_(x, start=[-n for n in low], limit=[size + n for size, n in ends])


@RULES.rule(
    "concatenate",
    examples=example(
        lambda x: concatenate(
            slice_(x, start=[1, 0], limit=[2, 3]),
            slice_(x, start=[2, 0], limit=[4, 3]),
            axis=0,
        ),
        "T[4,3]",
    ),
)
def concatenate_neighbours(node: Node) -> Replacement:
    """Slices that lie side by side in x are one slice of x."""
    axis = attribute(node, "axis")
    joined: list[Operand] = []
    for operand in node.operands:
        merged = _neighbours(joined[-1], operand, axis) if joined else None
        if merged is None:
            joined.append(operand)
        else:
            joined[-1] = merged
    if len(joined) == len(node.operands):
        return None
    return again(node, joined) if len(joined) > 1 else joined


def _neighbours(left: Operand, right: Operand, axis: int) -> Operand | None:
    """The slice that two neighbouring slices of one tensor make."""
    a, b = producer(left, slice_), producer(right, slice_)
    if a is None or b is None or a.operands[0] is not b.operands[0]:
        return None
    cuts, others = _cut(a), _cut(b)
    start, limit, stride = cuts[axis]
    if stride != 1 or others[axis][2] != 1 or others[axis][0] != limit:
        return None
    cuts[axis] = others[axis] = (start, others[axis][1], 1)
    return _sliced(a.operands[0], cuts) if cuts == others else None


@RULES.rule(
    "reverse",
    reads=("broadcast_in_dim",),
    examples=example(
        lambda x: reverse(
            broadcast_in_dim(x, shape=[3, 4, 2], dims=[1, 2]), axes=[0, 1, 2]
        ),
        "T[4,1]",
    ),
)
def reverse_broadcast(node: Node) -> Replacement:
    """Dimensions along which all elements are equal need not be reversed."""
    inner = producer(node.operands[0], broadcast_in_dim)
    if inner is None:
        return None
    kept, axes = varies(inner), attribute(node, "axes")
    needed = [axis for axis in axes if axis in kept]
    if len(needed) == len(axes):
        return None
    return reverse(inner.result, axes=needed) if needed else [inner.result]
