"""Identities of ops that move elements; all of them are exact."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dims import Dim
from graphc.ir.graph import Node
from graphc.ir.ops import (
    broadcast_in_dim,
    concatenate,
    pad,
    reshape,
    reverse,
    slice_,
    transpose,
)
from graphc.ir.types import TensorType
from graphc.ir.values import Operand
from graphc.passes.identities.matching import again, attribute, producer
from graphc.passes.rule import Replacement, RuleSet, example

RULES = RuleSet()


# -- reshape and transpose -------------------------------------------------------------


@RULES.rule(
    "reshape",
    "broadcast_in_dim",
    "slice",
    examples=[
        *example(lambda x: reshape(x, shape=[2, 4]), "T[2,4]"),
        *example(lambda x: broadcast_in_dim(x, shape=[2, 4], dims=[0, 1]), "T[2,4]"),
        *example(lambda x: slice_(x, start=[0, 0], limit=["B", 4]), "T[B,4]"),
    ],
)
def same_shape(node: Node) -> Replacement:
    """A reshape, broadcast or slice that keeps every dimension is x."""
    (x,) = node.operands
    if x.type != node.result.type:
        return None
    if node.op is broadcast_in_dim and not _ascending(attribute(node, "dims")):
        return None
    # A slice of the whole size has no room for a start or a stride.
    return x


@RULES.rule(
    "reshape",
    reads=("reshape",),
    examples=example(lambda x: reshape(reshape(x, shape=[8]), shape=[4, 2]), "T[2,4]"),
)
def reshape_twice(node: Node) -> Replacement:
    """The last of two reshapes counts."""
    inner = producer(node.operands[0], reshape)
    return again(node, inner.operands) if inner is not None else None


@RULES.rule(
    "transpose",
    examples=example(lambda x: transpose(x, permutation=[0, 1]), "T[2,4]"),
)
def transpose_nothing(node: Node) -> Replacement:
    """A transpose that leaves the dimensions in order is x."""
    return node.operands if _ascending(attribute(node, "permutation")) else None


@RULES.rule(
    "transpose",
    reads=("transpose",),
    examples=example(
        lambda x: transpose(transpose(x, permutation=[1, 2, 0]), permutation=[2, 1, 0]),
        "T[2,3,4]",
    ),
)
def transpose_twice(node: Node) -> Replacement:
    """Two transposes are one."""
    inner = producer(node.operands[0], transpose)
    if inner is None:
        return None
    first = attribute(inner, "permutation")
    merged = [first[d] for d in attribute(node, "permutation")]
    return transpose(*inner.operands, permutation=merged)


@RULES.rule(
    "transpose",
    examples=example(lambda x: transpose(x, permutation=[2, 0, 1]), "T[2,4,1]"),
)
def transpose_of_units(node: Node) -> Replacement:
    """A transpose that only moves dimensions of size 1 is a reshape."""
    (x,) = node.operands
    permutation = attribute(node, "permutation")
    moved = [d for d in permutation if x.type.shape[d] != 1]
    if not _ascending(moved) or _ascending(permutation):
        return None
    return reshape(x, shape=node.result.shape)


def _ascending(numbers: Sequence[int]) -> bool:
    return list(numbers) == sorted(numbers)


# -- broadcasting ----------------------------------------------------------------------


@RULES.rule(
    "broadcast_in_dim",
    reads=("broadcast_in_dim",),
    examples=example(
        lambda x: broadcast_in_dim(
            broadcast_in_dim(x, shape=[1, 4], dims=[1]), shape=[3, 5, 4], dims=[1, 2]
        ),
        "T[4]",
    ),
)
def broadcast_twice(node: Node) -> Replacement:
    """Two broadcasts are one."""
    inner = producer(node.operands[0], broadcast_in_dim)
    if inner is None:
        return None
    outer = attribute(node, "dims")
    dims = [outer[d] for d in attribute(inner, "dims")]
    return broadcast_in_dim(*inner.operands, shape=node.result.shape, dims=dims)


@RULES.rule(
    "broadcast_in_dim",
    reads=("reshape",),
    examples=[
        *example(
            lambda x: broadcast_in_dim(
                reshape(x, shape=[4, 1]), shape=[4, 3], dims=[0, 1]
            ),
            "T[4]",
        ),
        *example(
            lambda x: broadcast_in_dim(
                reshape(x, shape=[3, 1]), shape=[3, 4], dims=[0, 1]
            ),
            "T[1,3]",
        ),
    ],
)
def broadcast_reshaped(node: Node) -> Replacement:
    """A reshape that only adds or drops dimensions of size 1 joins a broadcast."""
    inner = producer(node.operands[0], reshape)
    if inner is None:
        return None
    (x,) = inner.operands
    dims = _unit_dims(x.type, inner.result.type, attribute(node, "dims"))
    if dims is None:
        return None
    return broadcast_in_dim(x, shape=node.result.shape, dims=dims)


def _unit_dims(
    source: TensorType, reshaped: TensorType, dims: Sequence[int]
) -> list[int] | None:
    """Where the dimensions of `source` go if those of `reshaped` go to `dims`."""
    kept = [
        (size, d) for size, d in zip(reshaped.shape, dims, strict=True) if size != 1
    ]
    if [size for size, _ in kept] != [size for size in source.shape if size != 1]:
        return None
    free = [d for size, d in zip(reshaped.shape, dims, strict=True) if size == 1]
    found: list[int] = []
    for size in source.shape:
        if size != 1:
            found.append(kept.pop(0)[1])
        elif free:
            found.append(free.pop(0))
        else:
            return None
    return found


@RULES.rule(
    "transpose",
    reads=("broadcast_in_dim",),
    examples=example(
        lambda x: transpose(
            broadcast_in_dim(x, shape=[3, 4], dims=[1]), permutation=[1, 0]
        ),
        "T[4]",
    ),
)
def transpose_broadcast(node: Node) -> Replacement:
    """A transposed broadcast is a broadcast, if that keeps the order of x."""
    inner = producer(node.operands[0], broadcast_in_dim)
    if inner is None:
        return None
    permutation = attribute(node, "permutation")
    dims = [permutation.index(d) for d in attribute(inner, "dims")]
    if not _ascending(dims):
        return None
    return broadcast_in_dim(*inner.operands, shape=node.result.shape, dims=dims)


# -- cutting and joining ---------------------------------------------------------------


@RULES.rule(
    "slice",
    reads=("slice",),
    examples=example(
        lambda x: slice_(
            slice_(x, start=[1], limit=[8], strides=[2]), start=[1], limit=[3]
        ),
        "T[8]",
    ),
)
def slice_twice(node: Node) -> Replacement:
    """Two slices are one."""
    inner = producer(node.operands[0], slice_)
    if inner is None:
        return None
    start: list[Dim] = []
    limit: list[Dim] = []
    strides: list[int] = []
    cuts = list(zip(*_cut(inner), *_cut(node), node.result.shape, strict=True))
    if any(
        step * stride != 1 and not isinstance(size, int)
        for _, _, step, _, _, stride, size in cuts
    ):
        return None  # whether there is a last element is not known
    for first, _, step, then, _, stride, size in cuts:
        begin = first + then * step
        start.append(begin)
        # The limit lies right behind the last element, if there is one.
        limit.append(begin if size == 0 else begin + (size - 1) * step * stride + 1)
        strides.append(step * stride)
    given = strides if any(step != 1 for step in strides) else None
    return slice_(*inner.operands, start=start, limit=limit, strides=given)


def _cut(node: Node) -> tuple[Sequence[Dim], Sequence[Dim], Sequence[int]]:
    """The start, the limit and the stride of a slice along each dimension."""
    start = attribute(node, "start")
    strides = attribute(node, "strides") or (1,) * len(start)
    return start, attribute(node, "limit"), strides


@RULES.rule(
    "slice",
    reads=("concatenate",),
    examples=example(
        lambda x, y: slice_(
            concatenate(x, y, axis=1), start=[0, 3], limit=["B", 6], strides=[1, 2]
        ),
        "T[B,3]",
        "T[B,4]",
    ),
)
def slice_of_concatenated(node: Node) -> Replacement:
    """A slice that lies within one part of a concatenation is a slice of that part."""
    inner = producer(node.operands[0], concatenate)
    if inner is None:
        return None
    axis = attribute(inner, "axis")
    start, limit, strides = (list(numbers) for numbers in _cut(node))
    offset: Dim = 0
    for part in inner.operands:
        end = offset + part.type.shape[axis]
        bounds = (offset, start[axis], limit[axis], end)
        if not all(isinstance(bound, int) for bound in bounds):
            return None
        if list(bounds) == sorted(bounds):
            start[axis], limit[axis] = start[axis] - offset, limit[axis] - offset
            steps = strides if any(step != 1 for step in strides) else None
            return slice_(part, start=start, limit=limit, strides=steps)
        offset = end
    return None


@RULES.rule(
    "pad",
    examples=example(lambda x: pad(x, 0, low=[0, 0], high=[0, 0]), "T[2,4]"),
)
def pad_nothing(node: Node) -> Replacement:
    """A pad by nothing is x."""
    given = [attribute(node, name) or () for name in ("low", "high", "interior")]
    if any(amount != 0 for amounts in given for amount in amounts):
        return None
    return node.operands[0]


@RULES.rule("concatenate", examples=example(lambda x: concatenate(x, axis=0), "T[2,4]"))
def concatenate_one(node: Node) -> Replacement:
    """A concatenation of one operand is that operand."""
    return node.operands if len(node.operands) == 1 else None


@RULES.rule(
    "concatenate",
    examples=example(lambda x, y: concatenate(x, y, axis=0), "T[2,4]", "T[0,4]"),
)
def concatenate_empty(node: Node) -> Replacement:
    """Operands without elements are left out of a concatenation."""
    axis = attribute(node, "axis")
    kept = [o for o in node.operands if o.type.shape[axis] != 0]
    if len(kept) == len(node.operands) or not kept:
        return None
    return again(node, kept)


@RULES.rule(
    "concatenate",
    examples=example(
        lambda x, y: concatenate(y, concatenate(x, y, axis=1), x, axis=1),
        "T[2,4]",
        "T[2,3]",
    ),
)
def concatenate_concatenated(node: Node) -> Replacement:
    """A concatenation that nothing else reads joins the one around it."""
    flat: list[Operand] = []
    for operand in node.operands:
        inner = producer(operand, concatenate)
        same = inner is not None and inner.attributes == node.attributes
        if inner is not None and same and len(inner.result.uses) == 1:
            flat += inner.operands
        else:
            flat.append(operand)
    return again(node, flat) if len(flat) > len(node.operands) else None


@RULES.rule("reverse", examples=example(lambda x: reverse(x, axes=[1]), "T[4,1]"))
def reverse_nothing(node: Node) -> Replacement:
    """Dimensions of size 1 need not be reversed."""
    (x,) = node.operands
    axes = attribute(node, "axes")
    needed = [axis for axis in axes if x.type.shape[axis] != 1]
    if not needed:
        return x
    return reverse(x, axes=needed) if len(needed) < len(axes) else None


@RULES.rule(
    "reverse",
    reads=("reverse",),
    examples=example(lambda x: reverse(reverse(x, axes=[0, 1]), axes=[1]), "T[2,4]"),
)
def reverse_twice(node: Node) -> Replacement:
    """Dimensions that are reversed twice are in order."""
    inner = producer(node.operands[0], reverse)
    if inner is None:
        return None
    axes = sorted({*attribute(node, "axes")} ^ {*attribute(inner, "axes")})
    return reverse(*inner.operands, axes=axes) if axes else inner.operands
