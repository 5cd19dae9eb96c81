"""Finds cross-entropies of a linear layer's logits and makes each one op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, ClassVar, final

from graphc.ir.graph import Graph, Node
from graphc.ir.ops import (
    add,
    broadcast_in_dim,
    call,
    convert,
    cross_entropy,
    dot_general,
    linear_cross_entropy,
    reshape,
    value_and_gradient,
)
from graphc.ir.ops.along_axes import in_dtype, wide_dtype
from graphc.ir.values import Operand, Value
from graphc.passes.graph_pass import ModulePass, Option, register
from graphc.passes.rewrite import Proposal, Rewriter

Callers = Mapping[str, Sequence[Node]]
"""By a graph's name, the nodes that name it."""


@register
@final
@dataclass(frozen=True)
class FuseLinearCrossEntropy(ModulePass):
    """Puts `linear_cross_entropy` for a product whose logits only it reads.

    It comes before differentiation, so that no gradient reads the logits either. They
    are sums in another order afterwards, and not rounded to a narrow dtype.

    Attributes:
        least_mib: How many MiB the logits take at least; smaller ones stay.
    """

    least_mib: float = 16.0
    name: ClassVar[str] = "fuse_linear_cross_entropy"
    tuned: ClassVar[Mapping[str, tuple[Option, ...]]] = {"least_mib": (1.0, 256.0)}
    rounding: ClassVar[Set[str]] = frozenset({"fuse"})

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        callers = _callers(graph)
        for reached in graph.reachable():
            for node in list(reached.nodes):
                rewriter.ledger.visits += 1
                if node.op is cross_entropy:
                    self._visit(node, callers, rewriter)
        return rewriter.ledger.count > made

    def _visit(self, node: Node, callers: Callers, rewriter: Rewriter) -> None:
        found = _linear(node.operands[0], node, callers)
        if isinstance(found, str):
            rewriter.refuse(node, "fuse", found)
            return
        size = node.operands[0].type.size * wide_dtype(found.x.type.dtype).bits // 8
        if not isinstance(size, int):
            rewriter.refuse(node, "fuse", "the number of logits is not known")
        elif size < self.least_mib * 2**20:
            reason = f"the logits take {size / 2**20:.1f} MiB, less than"
            rewriter.refuse(node, "fuse", f"{reason} {self.least_mib:g}")
        else:
            rewriter.rewrite(node, lambda: found.fused(node))


@dataclass(frozen=True, slots=True)
class _Linear:
    """What logits are the product of.

    Attributes:
        x: What the layer is applied to.
        w: Its matrix.
        axis: The axis of w along which x is multiplied.
        bias: A number for each class, if it has them.
    """

    x: Operand
    w: Operand
    axis: int
    bias: Operand | None

    def fused(self, node: Node) -> Proposal:
        """What stands for the cross-entropy."""
        labels: Any = node.operands[1]
        x: Any = self.x
        shape = (*labels.type.shape, x.type.shape[-1])
        if x.type.shape != shape:
            x = reshape(x, shape=shape)
        biases = () if self.bias is None else (self.bias,)
        losses = linear_cross_entropy(x, self.w, labels, *biases, axis=self.axis)
        return "fuse", (in_dtype(losses, node.results[0].dtype),)


def _linear(logits: Operand, reader: Node, callers: Callers) -> _Linear | str:
    """What logits are the product of, or why they cannot be done without."""
    bias: Operand | None = None
    while isinstance(logits, Value) and logits.node is not None:
        if others := _other_reader(logits, reader, callers):
            return others
        reader = node = logits.node
        if node.op is dot_general:
            return _product(node, logits, bias)
        if node.op is add and bias is None:
            logits, bias = _without_bias(node)
            if bias is None:
                break
        elif (node.op is convert and _widens(node)) or (
            node.op is reshape and _keeps_classes(node)
        ):
            logits = node.operands[0]
        else:
            break
    return "the logits are not the product of a linear layer"


def _product(node: Node, logits: Value, bias: Operand | None) -> _Linear | str:
    """The operands of a product, if it is one with a matrix."""
    x, w = node.operands
    attributes = node.op.decode(node.attributes, None)
    (mine, other), batch = attributes["contract"], attributes["batch"]
    if w.type.rank != 2 or mine != (x.type.rank - 1,) or len(other) != 1 or batch[0]:
        return "the logits are no product with one matrix"
    if not x.type.dtype.is_float:
        return f"the logits are a product of {x.type.dtype}"
    if bias is not None and bias.type.dtype is not w.type.dtype:
        return f"the bias is of {bias.type.dtype}, the matrix of {w.type.dtype}"
    return _Linear(x, w, other[0], bias)


def _without_bias(node: Node) -> tuple[Operand, Operand | None]:
    """The other operand of an addition, and the number that it adds for each class."""
    for logits, added in (node.operands, node.operands[::-1]):
        source = added.node if isinstance(added, Value) else None
        if source is not None and source.op is broadcast_in_dim:
            bias = source.operands[0]
            dims = source.op.decode(source.attributes, None)["dims"]
            classes = logits.type.shape[-1:]
            if dims == (logits.type.rank - 1,) and bias.type.shape == classes:
                return logits, bias
    return node.operands[0], None


def _widens(node: Node) -> bool:
    """Whether a conversion is one to the dtype in which logits are computed."""
    narrow, found = node.operands[0].type.dtype, node.results[0].dtype
    return narrow.is_float and found is wide_dtype(narrow)


def _keeps_classes(node: Node) -> bool:
    before, after = node.operands[0].type.shape, node.results[0].type.shape
    return bool(before) and bool(after) and before[-1] == after[-1]


def _other_reader(value: Value, reader: Node, callers: Callers) -> str | None:
    """Why a value is needed besides by `reader`; None if it is not."""
    assert value.node is not None
    graph = value.node.graph
    assert graph is not None
    for user, position in value.uses:
        if user is graph.return_node:
            if _is_read(graph, position, callers):
                return f"@{graph.name} returns the logits"
        elif user is not reader:
            return f"the logits are also read by {user.op.name}"
    return None


def _is_read(graph: Graph, position: int, callers: Callers) -> bool:
    """Whether anything reads a result of a graph."""
    nodes = callers.get(graph.name)
    if nodes is None:
        return True
    return any(
        node.op not in (call, value_and_gradient) or bool(node.results[position].uses)
        for node in nodes
    )


def _callers(graph: Graph) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for reached in graph.reachable():
        for node in reached.nodes:
            for name in node.op.graph_names(node):
                found.setdefault(name, []).append(node)
    found.pop(graph.name, None)
    return found
