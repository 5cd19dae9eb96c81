"""Chunks of examples for cross-entropies of linear layers: logits of a few at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, ClassVar, final

from graphc.ir.body import as_tuple
from graphc.ir.build import building, current_builder
from graphc.ir.graph import Graph, Node
from graphc.ir.ops import (
    add,
    broadcast_in_dim,
    linear_cross_entropy,
    linear_cross_entropy_gradient,
    pad,
    reshape,
    scan,
    slice_,
)
from graphc.ir.ops.along_axes import in_dtype, wide_dtype
from graphc.ir.types import TensorType, product
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.graph_pass import GraphPass, Option, register
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Proposal, Rewriter, owner


@register
@final
@dataclass(frozen=True)
class ChunkLinearCrossEntropy(GraphPass):
    """Makes `linear_cross_entropy` and its gradient loops over chunks of examples.

    The losses and their gradients are computed in one loop, from the same logits,
    unless the gradients read what the losses become. Each step adds to the gradient of
    the matrix, which takes time that large chunks make up for.

    Attributes:
        chunk_mib: How many MiB the logits of a chunk take at most.
        least_rows: How many examples a chunk has at least.
        tile_rows: What the number of examples of a chunk is a multiple of: as many as
            a program has of a product's rows.
    """

    chunk_mib: float = 8.0
    least_rows: int = 256
    tile_rows: int = 1
    name: ClassVar[str] = "chunk_linear_cross_entropy"
    tuned: ClassVar[Mapping[str, tuple[Option, ...]]] = {"chunk_mib": (2.0, 32.0)}
    numerics: ClassVar[Mapping[str, Numerics]] = {"hoist": EXACT}
    rounding: ClassVar[Set[str]] = frozenset({"chunk"})

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        ops = (linear_cross_entropy, linear_cross_entropy_gradient)
        for node in [node for node in graph.nodes if node.op in ops]:
            rewriter.ledger.visits += 1
            if node.graph is graph:
                self._visit(node, rewriter)
        return rewriter.ledger.count > made

    def _visit(self, node: Node, rewriter: Rewriter) -> None:
        chunks = self._chunks(node)
        if isinstance(chunks, str):
            rewriter.refuse(node, "chunk", chunks)
            return
        gradient = _gradient_beside(node)
        if gradient is not None:
            reason = _hoist_cotangent(gradient, node, rewriter)
            if reason is None:
                _replace_both(node, gradient, chunks, rewriter)
                return
            rewriter.refuse(gradient, "chunk with the losses", reason)
        rewriter.rewrite(node, lambda: ("chunk", _looped(node, chunks)))

    def _chunks(self, node: Node) -> _Chunks | str:
        """How to cut the examples of a node, or why not to."""
        operands = dict(zip(node.op.operands, node.operands, strict=False))
        x, w = operands["x"].type, operands["w"].type
        examples = product(x.shape[:-1])
        classes = w.shape[1 - node.op.decode(node.attributes, None)["axis"]]
        if not isinstance(examples, int) or not isinstance(classes, int):
            return "the number of logits is not known"
        row = max(1, classes * wide_dtype(x.dtype).bits // 8)
        fitting = max(self.least_rows, int(self.chunk_mib * 2**20) // row)
        fitting = max(self.tile_rows, fitting // self.tile_rows * self.tile_rows)
        count = -(-examples // fitting)
        if count <= 1:
            return f"all {examples} examples make one chunk"
        tiles = -(-examples // (count * self.tile_rows))
        return _Chunks(examples, count, tiles * self.tile_rows)


@dataclass(frozen=True, slots=True)
class _Chunks:
    """How examples are cut: the last chunk may have places left.

    Attributes:
        examples: How many there are.
        count: How many chunks they make.
        size: How many places a chunk has.
    """

    examples: int
    count: int
    size: int

    def cut(self, x: Any, kept: int) -> Any:
        """`x` as [count, size, ...], zeros in places left; its last `kept` dims stay."""
        rest = x.type.shape[x.type.rank - kept :]
        x = reshape(x, shape=(self.examples, *rest))
        left = self.count * self.size - self.examples
        if left:
            zero = Literal(0, x.type.dtype)
            none = [0] * kept
            x = pad(x, zero, low=[0, *none], high=[left, *none])
        return reshape(x, shape=(self.count, self.size, *rest))

    def joined(self, x: Any, like: TensorType) -> Any:
        """The inverse of `cut`, of a given type."""
        rest = x.type.shape[2:]
        x = reshape(x, shape=(self.count * self.size, *rest))
        if self.count * self.size > self.examples:
            limit = (self.examples, *rest)
            x = slice_(x, start=[0] * len(limit), limit=limit)
        return reshape(x, shape=like.shape)


def _replace_both(
    node: Node, gradient: Node, chunks: _Chunks, rewriter: Rewriter
) -> None:
    """Puts one loop for the losses and their gradients."""
    found: list[Operand] = []

    def losses() -> Proposal:
        first, *rest = _looped(gradient, chunks, with_losses=True)
        found.extend(rest)
        return "chunk", (first,)

    if rewriter.rewrite(node, losses):
        rewriter.replace(gradient, found, "chunk")


def _gradient_beside(node: Node) -> Node | None:
    """The gradient of the same losses as `node` computes, if there is one."""
    if node.op is not linear_cross_entropy:
        return None
    x = node.operands[0]
    for user in x.users if isinstance(x, Value) else ():
        same = user.operands[1:] == node.operands and user.attributes == node.attributes
        if user.op is linear_cross_entropy_gradient and same:
            return user
    return None


def _hoist_cotangent(gradient: Node, node: Node, rewriter: Rewriter) -> str | None:
    """Moves what the gradient's cotangent needs before `node`, or says why not."""
    between: list[Node] = []
    current = node.next
    while current is not None and current is not gradient:
        between.append(current)
        current = current.next
    if current is None:
        return "the gradient comes first"
    needed: set[Node | None] = {_producer(gradient.operands[0])}
    for other in reversed(between):
        if other in needed:
            needed |= {_producer(operand) for operand in other.operands}
    if node in needed:
        return "the cotangent depends on the losses"
    for other in between:
        if other in needed:
            rewriter.move(other, node, "hoist")
    return None


def _producer(operand: Operand) -> Node | None:
    return operand.node if isinstance(operand, Value) else None


# -- the loop --------------------------------------------------------------------------


def _looped(node: Node, chunks: _Chunks, with_losses: bool = False) -> list[Operand]:
    """A loop's results for those of `node`, behind the losses if they are asked for."""
    operands: dict[str, Any] = dict(zip(node.op.operands, node.operands, strict=False))
    cut = {
        name: chunks.cut(operands[name], kept=1 if name == "x" else 0)
        for name in ("g", "x", "labels")
        if name in operands
    }
    whole = {name: operands[name] for name in ("w", "bias") if name in operands}
    sums = [result.type for result in node.results[1:]]
    carries = [_zeros(type.with_dtype(wide_dtype(type.dtype))) for type in sums]
    body = _body(node, carries, cut, whole, with_losses)
    found = as_tuple(
        scan(
            *(*carries, *cut.values(), *whole.values()),
            body=body,
            length=chunks.count,
            carries=len(carries),
            sequences=len(cut),
        )
    )
    totals, stacked = found[: len(sums)], found[len(sums) :]
    losses = operands["labels"].type
    wanted = [*([losses] if with_losses else []), node.results[0].type]
    return [
        *(chunks.joined(x, like) for x, like in zip(stacked, wanted, strict=True)),
        *(in_dtype(x, type.dtype) for x, type in zip(totals, sums, strict=True)),
    ]


def _zeros(type: TensorType) -> Any:
    zero = Literal(0.0, type.dtype)
    return broadcast_in_dim(zero, shape=type.shape, dims=())


def _body(
    node: Node,
    carries: Sequence[Any],
    cut: dict[str, Any],
    whole: dict[str, Any],
    with_losses: bool,
) -> Graph:
    """The graph of one step: of a chunk, and of sums so far."""
    module = owner(node).module
    graph = Graph(module.fresh_name(f"{node.op.name}_chunk"), module)
    graph.ranges = dict(owner(node).ranges)
    totals = [graph.add_parameter(carry.type) for carry in carries]
    elements = {
        name: graph.add_parameter(x.type.with_shape(x.type.shape[1:]), name)
        for name, x in cut.items()
    }
    elements |= {name: graph.add_parameter(x.type, name) for name, x in whole.items()}
    read = [elements[name] for name in node.op.operands if name in elements]
    with building(graph):
        current_builder().location = node.location
        losses = []
        if with_losses:
            losses = [linear_cross_entropy(*read[1:], **node.attributes)]
        first, *parts = as_tuple(node.op(*read, **node.attributes))
        sums = [
            add(total, in_dtype(part, total.type.dtype))
            for total, part in zip(totals, parts, strict=True)
        ]
        graph.results = [*sums, *losses, first]
    return graph
