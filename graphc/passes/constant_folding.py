"""Constant folding: evaluates nodes whose operands are known at compile time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, ClassVar, final

import numpy as np

from graphc.ir.evaluate import Evaluator
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Kind
from graphc.ir.ops import (
    constant,
)
from graphc.ir.types import TensorType
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.graph_pass import GraphPass, register
from graphc.passes.numerics import EXACT, Numerics
from graphc.passes.rewrite import Proposal, Rewriter, full, owner

Array = np.ndarray[Any, Any]

BOUNDED = (Kind.ELEMENTWISE, Kind.BROADCAST, Kind.INJECTIVE, Kind.REDUCTION)
"""Kinds whose work is bounded by the sizes of operands and results."""


@register
@final
@dataclass(frozen=True)
class ConstantFolding(GraphPass):
    """Replaces nodes whose operands are literals or constants by their results.

    A result of rank 0 becomes a literal, one whose elements are all equal a broadcast
    literal, any other a constant of the module, if it is small or no larger than the
    constants it comes from. Sequences and broadcast literals count as known but stay
    as they are, so nothing large ever comes out of something small.

    Attributes:
        max_elements: How many elements operands and results of an evaluated node may
            have together.
        small: How many elements a constant that comes from no other may have.
    """

    max_elements: int = 65536
    small: int = 64
    name: ClassVar[str] = "constant_folding"
    numerics: ClassVar[Mapping[str, Numerics]] = {"fold": EXACT}
    rounding: ClassVar[Set[str]] = frozenset({"fold"})

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        folder = _Folder(self, rewriter)
        made = rewriter.ledger.count
        for node in graph.nodes:
            rewriter.ledger.visits += 1
            folder.visit(node)
        return rewriter.ledger.count > made


class _Folder:
    """One run of the pass over one graph."""

    def __init__(self, options: ConstantFolding, rewriter: Rewriter) -> None:
        self.options = options
        self.rewriter = rewriter
        self.evaluator = Evaluator({})
        self.known: dict[Value, Array] = {}
        self.stored: dict[Value, int] = {}  # the elements of the constants behind
        self.made: dict[Hashable, Array] = {}

    def visit(self, node: Node) -> None:
        """Puts what `node` computes for it, if that is known."""
        if node.op is constant:
            array = self._array(node.result)
            if array is not None and _is_uniform(array):
                self.rewriter.rewrite(node, partial(self._fold, node, [array]))
            return
        # Sequences and broadcast literals are the best way to write what they are.
        if _is_symbolic(node) or not all(map(_may_be_known, node.operands)):
            return
        results = self._results(node)
        if results is None:
            return
        stored = sum(
            self.stored.get(o, 0) for o in node.operands if isinstance(o, Value)
        )
        if all(self._fits(array, stored) for array in results):
            self.rewriter.rewrite(node, partial(self._fold, node, results))

    def _results(self, node: Node) -> list[Array] | None:
        """What `node` computes, if its operands are known and it is not much work."""
        arrays: list[Array] = []
        for operand in node.operands:
            array = self._array(operand)
            if array is None:
                return None
            arrays.append(array)
        if not self._affordable(node, arrays):
            return None
        with np.errstate(all="ignore"):
            return self.evaluator.apply(node, arrays)

    def _array(self, operand: Operand) -> Array | None:
        """The value of an operand that is written so that it is known."""
        if isinstance(operand, Literal):
            return operand.numpy()
        known = self.known.get(operand)
        if known is not None or operand.node is None:
            return known
        node = operand.node
        if node.op is constant:
            return self._constant(operand, node)
        results = self._results(node) if _is_symbolic(node) else None
        if results is not None:
            self.known.update(zip(node.results, results, strict=True))
        return self.known.get(operand)

    def _constant(self, value: Value, node: Node) -> Array | None:
        array = owner(node).module.constants[node.attributes["name"]]
        if array.size > self.options.max_elements:
            return None
        self.known[value], self.stored[value] = array, array.size
        return array

    def _affordable(self, node: Node, arrays: list[Array]) -> bool:
        op = node.op
        if op.kind not in BOUNDED or op.graph_names(node):
            return False
        elements = sum(array.size for array in arrays)
        elements += sum(_size(result.type) for result in node.results)
        return elements <= self.options.max_elements

    def _fits(self, array: Array, stored: int) -> bool:
        return array.size <= max(self.options.small, stored) or _is_uniform(array)

    def _fold(self, node: Node, results: list[Array]) -> Proposal:
        return "fold", [
            self._operand(array, result.type)
            for array, result in zip(results, node.results, strict=True)
        ]

    def _operand(self, array: Array, type: TensorType) -> Operand:
        """The literal, broadcast literal or constant that stands for `array`."""
        if _is_uniform(array):
            element = array.reshape(-1)[0] if array.size else 0
            return full(Literal(element, type.dtype), type)
        array = np.ascontiguousarray(array)
        key = type, array.tobytes()
        array = self.made.setdefault(key, array)
        found = self.rewriter.constant(array, "folded")
        self.known[found] = array
        self.stored[found] = array.size
        return found


def _may_be_known(operand: Operand) -> bool:
    """Whether `operand` is written in one of the ways in which values are known."""
    if isinstance(operand, Literal):
        return True
    maker = operand.node
    return maker is not None and (
        maker.op.kind is Kind.BROADCAST or maker.op is constant
    )


def _is_symbolic(node: Node) -> bool:
    """Whether `node` is the best way to write its results: no stored elements."""
    return node.op.kind is Kind.BROADCAST and all(
        isinstance(operand, Literal) for operand in node.operands
    )


def _is_uniform(array: Array) -> bool:
    """Whether all elements have the same bits."""
    if array.size < 2 or not any(array.strides):
        return True
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    rows = data.reshape(array.size, -1)
    return bool((rows == rows[0]).all())


def _size(type: TensorType) -> float:
    return prod(type.static_shape) if not type.symbols else float("inf")
