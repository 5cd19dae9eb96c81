"""Identities of reductions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.ir.graph import Node
from graphc.ir.ops import (
    broadcast_in_dim,
    divide,
    multiply,
    negate,
    reduce_max,
    reduce_prod,
    reduce_sum,
    reshape,
    reverse,
    transpose,
)
from graphc.ir.values import Literal, Operand
from graphc.passes.identities.matching import (
    again,
    attribute,
    integral,
    only_use,
    producer,
    reshaped_groups,
    varies,
)
from graphc.passes.rule import REASSOCIATES, Replacement, RuleSet, approx, example

RULES = RuleSet()

EXTREMES = ("reduce_max", "reduce_min", "reduce_and", "reduce_or")
"""Reductions that are exact in whatever order elements are combined."""
SUMS = ("reduce_sum", "reduce_prod")
"""Reductions that leave the order of additions open, and so what is rounded."""


@RULES.rule(
    *EXTREMES,
    "reduce_prod",
    examples=example(lambda x: reduce_max(x, axes=[]), "T[2,4]"),
)
def reduce_nothing(node: Node) -> Replacement:
    """A reduction along no axes is x."""
    return None if attribute(node, "axes") else node.operands


@RULES.rule(
    "reduce_sum",
    numerics=approx(0),
    examples=example(lambda x: reduce_sum(x, axes=[]), "T[2,4]"),
)
def sum_nothing(node: Node) -> Replacement:
    """A sum along no axes is x, but for the sign of zero."""
    return None if attribute(node, "axes") else node.operands


@RULES.rule(
    *EXTREMES,
    reads=(
        "reduce_max",
        "reduce_min",
        "reduce_and",
        "reduce_or",
    ),
    examples=example(
        lambda x: reduce_max(reduce_max(x, axes=[1]), axes=[1]), "T[2,3,4]"
    ),
)
def reduce_twice(node: Node) -> Replacement:
    """Two reductions by max, min, and, or are one."""
    return _reduced_at_once(node)


@RULES.rule(
    *SUMS,
    numerics=approx(1),
    reads=(
        "reduce_sum",
        "reduce_prod",
    ),
    examples=[
        *example(lambda x: reduce_sum(reduce_sum(x, axes=[1]), axes=[1]), "T[2,3,4]"),
        *example(lambda x: reduce_prod(reduce_prod(x, axes=[0]), axes=[0]), "T[2,3]"),
    ],
)
def sum_twice(node: Node) -> Replacement:
    """Two sums are one, and two products."""
    return _reduced_at_once(node)


def _reduced_at_once(node: Node) -> Replacement:
    inner = producer(node.operands[0], node.op)
    if inner is None or not only_use(inner.result):
        return None
    gone = attribute(inner, "axes")
    kept = [d for d in range(inner.operands[0].type.rank) if d not in gone]
    axes = sorted([*gone, *(kept[d] for d in attribute(node, "axes"))])
    return node.op(*inner.operands, axes=axes)


@RULES.rule(
    *EXTREMES,
    examples=example(lambda x: reduce_max(x, axes=[1]), "T[4,1]"),
)
def reduce_units(node: Node) -> Replacement:
    """The max, min, and, or along dimensions of size 1 is a reshape."""
    return _reshaped(node)


@RULES.rule(
    *SUMS,
    numerics=approx(0),
    examples=example(lambda x: reduce_sum(x, axes=[0, 2]), "T[1,4,1]"),
)
def sum_units(node: Node) -> Replacement:
    """The sum along dimensions of size 1 is a reshape, but for the sign of zero."""
    return _reshaped(node)


def _reshaped(node: Node) -> Replacement:
    (x,) = node.operands
    axes = attribute(node, "axes")
    if not axes:
        return None
    for axis in axes:
        if x.type.shape[axis] != 1:
            return None
    return reshape(x, shape=node.result.shape)


# -- of what is moved ------------------------------------------------------------------


@RULES.rule(
    *EXTREMES,
    reads=(
        "transpose",
        "reverse",
        "reshape",
    ),
    examples=[
        *example(
            lambda x: reduce_max(transpose(x, permutation=[2, 0, 1]), axes=[1]),
            "T[2,3,4]",
        ),
        *example(lambda x: reduce_max(reverse(x, axes=[0, 1]), axes=[0]), "T[2,3]"),
        *example(
            lambda x: reduce_max(reshape(x, shape=[6, 2, 2]), axes=[0]), "T[2,3,4]"
        ),
    ],
)
def reduce_moved(node: Node) -> Replacement:
    """`max(move(x)) = move(max(x))` for what nothing else reads; min, and, or as well."""
    return _moved_last(node)


@RULES.rule(
    *SUMS,
    numerics=approx(1),
    reads=(
        "transpose",
        "reverse",
        "reshape",
    ),
    examples=[
        *example(
            lambda x: reduce_sum(transpose(x, permutation=[2, 0, 1]), axes=[1]),
            "T[2,3,4]",
        ),
        *example(
            lambda x: reduce_sum(reshape(x, shape=["6*B", 4]), axes=[0]), "T[2,B,3,4]"
        ),
    ],
)
def sum_moved(node: Node) -> Replacement:
    """`sum(move(x)) = move(sum(x))` for what nothing else reads; products as well."""
    return _moved_last(node)


def _moved_last(node: Node) -> Replacement:
    inner = producer(node.operands[0], transpose, reverse, reshape)
    if inner is None or not only_use(inner.result):
        return None
    (x,) = inner.operands
    axes: Sequence[int] = attribute(node, "axes")
    if inner.op is transpose:
        permutation = attribute(inner, "permutation")
        kept = [p for d, p in enumerate(permutation) if d not in axes]
        reduced = again_along(node, x, [permutation[d] for d in axes])
        order = [sorted(kept).index(d) for d in kept]
        return (
            transpose(reduced, permutation=order) if order != sorted(order) else reduced
        )
    if inner.op is reverse:
        turned = attribute(inner, "axes")
        kept = [d for d in range(x.type.rank) if d not in axes]
        left = [kept.index(d) for d in turned if d not in axes]
        reduced = again_along(node, x, axes)
        return reverse(reduced, axes=left) if left else reduced
    return _reshaped_last(node, x)


def _reshaped_last(node: Node, x: Operand) -> Replacement:
    """A reduction of a reshaped x that reduces whole dimensions of x."""
    axes, shape = set(attribute(node, "axes")), node.operands[0].type.shape
    own: list[int] = []
    for ours, theirs in reshaped_groups(x.type.shape, shape) or ():
        gone = axes.intersection(theirs)
        if gone and any(d not in gone and shape[d] != 1 for d in theirs):
            return None
        own += ours if gone else ()
    if not own:
        return None
    reduced = again_along(node, x, own)
    if reduced.type.shape == node.result.shape:
        return reduced
    return reshape(reduced, shape=node.result.shape)


def again_along(node: Node, x: Operand, axes: Sequence[int]) -> Operand:
    """The reduction of `node` of another operand, along other axes."""
    return node.op(x, axes=sorted(axes))


@RULES.rule(
    *EXTREMES,
    reads=("broadcast_in_dim",),
    examples=[
        *example(
            lambda x: reduce_max(
                broadcast_in_dim(x, shape=[5, 3, 4], dims=[1, 2]), axes=[0, 1]
            ),
            "T[3,1]",
        ),
    ],
)
def reduce_broadcast(node: Node) -> Replacement:
    """The max, min, and, or of equal elements is that element."""
    return _of_source(node)


@RULES.rule(
    "reduce_sum",
    reads=("broadcast_in_dim",),
    examples=example(
        lambda x: reduce_sum(broadcast_in_dim(x, shape=[5, 3], dims=[1]), axes=[0]),
        "T[3]",
    ),
)
def sum_equal_integers(node: Node) -> Replacement:
    """The sum of n equal integers is n times one of them."""
    return _multiple(node) if integral(node) else None


@RULES.rule(
    "reduce_sum",
    numerics=REASSOCIATES,
    reads=("broadcast_in_dim",),
    examples=example(
        lambda x: reduce_sum(
            broadcast_in_dim(x, shape=[5, 3, 4], dims=[1, 2]), axes=[0, 2]
        ),
        "f32[3,4]",
    ),
)
def sum_equal_floats(node: Node) -> Replacement:
    """The sum of n equal floats is n times one of them."""
    return None if integral(node) else _multiple(node)


def _multiple(node: Node) -> Replacement:
    found = _of_source(node)
    if found is None:
        return None
    inner = producer(node.operands[0], broadcast_in_dim)
    assert inner is not None
    equal = set(attribute(node, "axes")) - varies(inner).keys()
    count = math.prod(int(inner.result.shape[d]) for d in equal)
    dtype = node.result.dtype
    if dtype.is_integer:  # sums of integers wrap around, and literals must fit
        low = -(2 ** (dtype.bits - 1)) if dtype.kind == "int" else 0
        count = (count - low) % 2**dtype.bits + low
    return multiply(found, Literal(count, dtype))


def _of_source(node: Node) -> Operand | None:
    """The reduction of what a broadcast repeats; there must be repetition to drop."""
    inner = producer(node.operands[0], broadcast_in_dim)
    if inner is None:
        return None
    (x,) = inner.operands
    axes, kept = attribute(node, "axes"), varies(inner)
    equal = [inner.result.shape[d] for d in axes if d not in kept]
    if not equal or not all(isinstance(n, int) and n > 0 for n in equal):
        return None  # a reduction of nothing is not that of one element
    dims = attribute(inner, "dims")
    own = [i for i, d in enumerate(dims) if d in axes]
    reduced = again_along(node, x, own) if own else x
    left = [d for d in range(inner.result.type.rank) if d not in axes]
    places = [left.index(d) for d in dims if d in left]
    if reduced.type == node.result.type and places == sorted(places):
        return reduced
    return broadcast_in_dim(reduced, shape=node.result.shape, dims=places)


# -- factors ---------------------------------------------------------------------------


@RULES.rule(
    "reduce_sum",
    numerics=REASSOCIATES,
    reads=(
        "multiply",
        "divide",
        "negate",
    ),
    examples=[
        *example(lambda x: reduce_sum(multiply(x, 3.5), axes=[1]), "f32[2,4]"),
        *example(lambda x, s: reduce_sum(divide(x, s), axes=[0]), "f32[4]", "f32[]"),
        *example(
            lambda x, y: reduce_sum(
                multiply(broadcast_in_dim(y, shape=[2, 4], dims=[0]), x), axes=[1]
            ),
            "f32[2,4]",
            "f32[2]",
        ),
        *example(lambda x: reduce_sum(negate(x), axes=[0]), "f32[2,4]"),
    ],
)
def sum_of_multiples(node: Node) -> Replacement:
    """`sum(x * s) = sum(x) * s`, `sum(x / s) = sum(x) / s` and `sum(-x) = -sum(x)`."""
    inner = producer(node.operands[0], multiply, divide, negate)
    if inner is None or not only_use(inner.result):
        return None
    axes = attribute(node, "axes")
    if inner.op is negate:
        return negate(again_along(node, inner.operands[0], axes))
    x, s = inner.operands
    factor = _factor(s, axes, node)
    if factor is None and inner.op is multiply:
        x, factor = s, _factor(x, axes, node)
    if factor is None or not x.type.shape:
        return None
    return again(inner, [again_along(node, x, axes), factor])


def _factor(s: Operand, axes: Sequence[int], node: Node) -> Operand | None:
    """`s` once `axes`, along which it does not vary, are gone."""
    if not s.type.shape:
        return s
    inner = producer(s, broadcast_in_dim)
    if inner is None or any(axis in varies(inner) for axis in axes):
        return None
    dims = attribute(inner, "dims")
    if any(d in axes for d in dims):
        return None
    left = [d for d in range(inner.result.type.rank) if d not in axes]
    places = [left.index(d) for d in dims]
    return broadcast_in_dim(*inner.operands, shape=node.result.shape, dims=places)
