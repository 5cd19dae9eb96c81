"""Layouts: convolutions in the order that a target has kernels for, without detours."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, final

from graphc.ir.errors import PassError
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind, OpDef
from graphc.ir.ops import (
    broadcast_in_dim,
    concatenate,
    constant,
    convolution,
    pad,
    reduce_window_max,
    reduce_window_min,
    reduce_window_sum,
    reverse,
    select_and_scatter_add,
    slice_,
    transpose,
)
from graphc.ir.ops.convolutions import split_labels
from graphc.ir.values import Operand
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.identities.matching import again, attribute, producer
from graphc.passes.ledger import Ledger
from graphc.passes.numerics import EXACT, REASSOCIATES, Numerics
from graphc.passes.rewrite import Proposal, Rewriter

MOST_SWEEPS = 32
"""How often a graph is swept for transposes that can still move on."""


@dataclass(frozen=True, slots=True)
class Orders:
    """The orders of dimensions that a target has convolutions for, ``0`` for all space.

    It transposes tensors in another order itself, once for each convolution.

    Attributes:
        data: That of inputs and results: b for the batch, f for features.
        kernels: Those of kernels, the best first: i and o for input and output features.
    """

    data: str
    kernels: tuple[str, ...]

    def of(self, label: str) -> str:
        """The order for a tensor, given the labels that it has."""
        space = "".join(sorted(c for c in label if c.isdigit()))
        wanted = [self.data] if "b" in label else self.kernels
        orders = [order.replace("0", space) for order in wanted]
        return label if label in orders else orders[0]


TARGETS = {"xla:cpu": Orders("b0f", ("0io", "0oi"))}
"""The orders of each target: where a convolution in another one is slower by measure."""

_PER_DIMENSION: dict[OpDef, tuple[str, ...]] = {
    pad: ("low", "high", "interior"),
    slice_: ("start", "limit", "strides"),
    reduce_window_max: ("window", "strides", "padding", "dilation"),
    reduce_window_min: ("window", "strides", "padding", "dilation"),
    reduce_window_sum: ("window", "strides", "padding", "dilation"),
    select_and_scatter_add: ("window", "strides", "padding"),
}
"""The attributes that hold something for each dimension of the operands."""

_NAMING_DIMENSIONS: dict[OpDef, str] = {reverse: "axes", concatenate: "axis"}
"""The attribute that names dimensions of the operands."""


@register
@final
@dataclass(frozen=True)
class Layout(GraphPass):
    """Puts convolutions into the order that a target has kernels for.

    Operands are transposed before them and results behind; the transposes then move
    towards the results, through all that does not care about the order, until they
    meet and cancel. Weights in another order are transposed as well: those that are
    constants once, when they are folded. All of it is done if fewer bytes are
    transposed in the end, by the graph or by the target within its convolutions.

    Attributes:
        target: The target, which says which orders it wants.
    """

    name: ClassVar[str] = "layout"
    numerics: ClassVar[Mapping[str, Numerics]] = {
        "native_order": REASSOCIATES,
        "read_in_place": REASSOCIATES,
        "reduce_first": REASSOCIATES,
        "transpose_later": EXACT,
        "transpose_once": EXACT,
    }

    target: str = "xla:cpu"

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            near = difflib.get_close_matches(self.target, TARGETS, 1)
            raise PassError(
                f"layout: the orders of target {self.target!r} are not known",
                hint=f"did you mean {near[0]!r}?"
                if near
                else f"use one of {', '.join(TARGETS)}",
            )

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        orders = TARGETS[self.target]
        changing = [node for node in graph.nodes if _is_foreign(node, orders)]
        if not changing:
            return False
        if graph.symbols:
            reason = "sizes are not known"
        else:
            trial = graph.copy()
            _relayout(trial, Rewriter(Ledger(), self.name), orders)
            before, after = _transposed(graph, orders), _transposed(trial, orders)
            if after < before:
                return _relayout(graph, rewriter, orders)
            reason = f"{after} bytes would be transposed, {before} are now"
        for node in changing:
            rewriter.refuse(node, "native_order", reason)
        return False


def _relayout(graph: Graph, rewriter: Rewriter, orders: Orders) -> bool:
    """Transposes around convolutions, then moves transposes on; whether it did."""
    made = rewriter.ledger.count
    for node in graph.nodes:
        if _is_foreign(node, orders):
            rewriter.rewrite(node, partial(_in_native_order, node, orders))
    for _ in range(MOST_SWEEPS):
        before = rewriter.ledger.count
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            if any(producer(operand, transpose) for operand in node.operands):
                rewriter.rewrite(node, partial(_moved_on, node, orders))
        if rewriter.ledger.count == before:
            break
    return rewriter.ledger.count > made


# -- convolutions ----------------------------------------------------------------------


def _is_foreign(node: Node, orders: Orders) -> bool:
    """Whether a node convolves images in an order that is not the target's.

    Where the batch does not come first it is a sum over the images, the gradient of a
    kernel: the target transposes its operands whatever their order is.
    """
    if node.op is not convolution:
        return False
    labels = split_labels(node.attributes["labels"])
    if labels[0][0] != "b" or labels[2][0] != "b":
        return False
    return any(label != orders.of(label) for label in labels)


def _in_native_order(node: Node, orders: Orders) -> Proposal:
    labels = split_labels(node.attributes["labels"])
    native = [orders.of(label) for label in labels]
    x, kernel = (
        _transposed_by(operand, [label.index(c) for c in wanted])
        for operand, label, wanted in zip(node.operands, labels, native, strict=False)
    )
    given = node.op.decode(node.attributes, None)
    given["labels"] = f"{native[0]}_{native[1]}->{native[2]}"
    found = convolution(x, kernel, **given)
    return "native_order", [
        _transposed_by(found, [native[2].index(c) for c in labels[2]])
    ]


def _read_in_place(node: Node, orders: Orders) -> Proposal | None:
    """A convolution that reads what is transposed for it as it was before."""
    labels = list(split_labels(node.attributes["labels"]))
    sources: list[Operand] = list(node.operands)
    for position, operand in enumerate(node.operands):
        mover = producer(operand, transpose)
        if mover is None:
            continue
        permutation, label = attribute(mover, "permutation"), labels[position]
        read = "".join(label[permutation.index(d)] for d in range(len(label)))
        if label == orders.of(label) and read != label:
            continue
        labels[position], sources[position] = read, mover.operands[0]
    if sources == list(node.operands):
        return None
    given = node.op.decode(node.attributes, None)
    given["labels"] = f"{labels[0]}_{labels[1]}->{labels[2]}"
    return "read_in_place", [convolution(*sources, **given)]


# -- transposes move on ----------------------------------------------------------------


def _moved_on(node: Node, orders: Orders) -> Proposal | None:
    """A node without a transpose before it, if it can do with one behind it."""
    if node.op is transpose:
        return _once(node)
    if node.op is convolution:
        return _read_in_place(node, orders)
    if node.op.kind is Kind.ELEMENTWISE and len(node.results) == 1:
        return _elementwise(node)
    if node.op.kind is Kind.REDUCTION:
        return _reduction(node)
    if node.op in _PER_DIMENSION or node.op in _NAMING_DIMENSIONS:
        return _positional(node)
    return None


def _once(node: Node) -> Proposal | None:
    """Two transposes as one, or none."""
    inner = producer(node.operands[0], transpose)
    if inner is None:
        return None
    first = attribute(inner, "permutation")
    merged = [first[d] for d in attribute(node, "permutation")]
    return "transpose_once", [_transposed_by(inner.operands[0], merged)]


def _elementwise(node: Node) -> Proposal | None:
    """`f(transpose(x), y)` as the transpose of `f(x, untransposed y)`.

    What y has to be transposed for that must be less than what x no longer is.
    """
    shaped = [operand for operand in node.operands if operand.type.shape]
    movers = [m for m in (producer(o, transpose) for o in shaped) if m is not None]
    permutation = attribute(max(movers, key=lambda m: _bytes(m.result)), "permutation")
    saved = added = 0
    for operand in dict.fromkeys(shaped):
        mover = producer(operand, transpose)
        if mover is not None and attribute(mover, "permutation") == permutation:
            saved += _bytes(operand)
        elif producer(operand, broadcast_in_dim) is None:
            added += _bytes(operand)
    if added >= saved:
        return None
    operands = [_untransposed(o, permutation) for o in node.operands]
    return "transpose_later", [_transposed_by(again(node, operands), permutation)]


def _untransposed(operand: Operand, permutation: Sequence[int]) -> Operand:
    """What transposed by `permutation` is `operand`; numbers stay as they are."""
    if not operand.type.shape:
        return operand
    mover = producer(operand, transpose)
    if mover is not None and attribute(mover, "permutation") == permutation:
        return mover.operands[0]
    if (spread := producer(operand, broadcast_in_dim)) is not None:
        shape = list(operand.type.shape)
        for d, p in enumerate(permutation):
            shape[p] = operand.type.shape[d]
        dims = [permutation[d] for d in attribute(spread, "dims")]
        return broadcast_in_dim(*spread.operands, shape=shape, dims=dims)
    inverse = [permutation.index(d) for d in range(len(permutation))]
    return _transposed_by(operand, inverse)


def _reduction(node: Node) -> Proposal | None:
    """A reduction of what is transposed, as the transpose of a reduction."""
    if "axes" not in node.op.attributes or len(node.operands) != 1:
        return None
    mover = producer(node.operands[0], transpose)
    assert mover is not None
    permutation, axes = attribute(mover, "permutation"), attribute(node, "axes")
    kept = [p for d, p in enumerate(permutation) if d not in axes]
    moved = node.op.decode(node.attributes, None)
    moved["axes"] = sorted(permutation[d] for d in axes)
    found = node.op(mover.operands[0], **moved)
    return "reduce_first", [
        _transposed_by(found, [sorted(kept).index(d) for d in kept])
    ]


def _positional(node: Node) -> Proposal | None:
    """A node whose attributes name dimensions, with the others of its source."""
    movers = [producer(o, transpose) for o in node.operands if o.type.shape]
    found = {m and attribute(m, "permutation") for m in movers}
    if len(found) > 1 or not (permutation := found.pop()):
        return None
    given = node.op.decode(node.attributes, None)
    if (name := _NAMING_DIMENSIONS.get(node.op)) is not None:
        named = given[name]
        given[name] = (
            permutation[named]
            if isinstance(named, int)
            else sorted(permutation[d] for d in named)
        )
    for name in _PER_DIMENSION.get(node.op, ()):
        if (values := given[name]) is not None:
            given[name] = [values[permutation.index(d)] for d in range(len(values))]
    operands = [_untransposed(o, permutation) for o in node.operands]
    return "transpose_later", [_transposed_by(node.op(*operands, **given), permutation)]


def _transposed_by(x: Any, permutation: Sequence[int]) -> Any:
    if list(permutation) == sorted(permutation):
        return x
    return transpose(x, permutation=permutation)


# -- what it costs ---------------------------------------------------------------------


def _transposed(graph: Graph, orders: Orders) -> int:
    """How many bytes are transposed, by the graph or by the target in convolutions."""
    seen: set[tuple[Operand, tuple[int, ...]]] = set()
    total = 0
    for node in graph.nodes:
        if node.op is transpose and node.result.uses:
            key = (node.operands[0], attribute(node, "permutation"))
            if key not in seen and producer(node.operands[0], constant) is None:
                total += _bytes(node.result)
            seen.add(key)
        elif node.op is convolution:
            labels = split_labels(node.attributes["labels"])
            for each, label in zip((*node.operands, node.result), labels, strict=True):
                total += _bytes(each) if label != orders.of(label) else 0
    return total


def _bytes(operand: Operand) -> int:
    return int(operand.type.size) * operand.type.dtype.bits // 8
