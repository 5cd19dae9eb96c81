"""Uses of the pieces of attention with arrays for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.ir import Graph, Node, TensorType, building, evaluate
from graphc.ir.body import as_tuple
from graphc.ir.evaluate import evaluate_op
from graphc.ir.opdef import OpDef
from graphc.ir.ops import (
    attention,
    attention_key_value_gradient,
    attention_query_gradient,
    attention_with_logsumexp,
)
from graphc.ir.types import BOOL, F32, dtype

Array = np.ndarray[Any, Any]

PIECES: tuple[OpDef, ...] = (
    attention,
    attention_with_logsumexp,
    attention_query_gradient,
    attention_key_value_gradient,
)


@dataclass(frozen=True)
class Use:
    """Sizes and attributes of an attention.

    Attributes:
        q: The shape of q.
        source: The number of keys.
        shared: The number of their heads; those of q unless given.
        width: The size of a value; that of a query unless given.
        mask: The shape of the mask.
        dtype: The dtype of q, k and v.
        attributes: The attributes.
    """

    q: tuple[int, int, int, int]
    source: int
    shared: int = 0
    width: int = 0
    mask: tuple[int, ...] | None = None
    dtype: str = "f32"
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def forward_types(self) -> list[TensorType]:
        """The types of q, k, v and the mask."""
        batch, _, heads, depth = self.q
        shared, kind = self.shared or heads, dtype(self.dtype)
        k = (batch, self.source, shared, depth)
        v = (batch, self.source, shared, self.width or depth)
        masks = [TensorType(self.mask, BOOL)] if self.mask else []
        return [*(TensorType(shape, kind) for shape in (self.q, k, v)), *masks]

    def types(self, op: OpDef) -> list[TensorType]:
        """The types of the operands of a piece."""
        forward = self.forward_types
        if "total" not in op.operands:
            return forward
        batch, time, heads, _ = self.q
        y = forward[0].with_shape((*self.q[:3], forward[2].shape[3]))
        row = TensorType((batch, heads, time), F32)
        return [y, *forward[:3], row, row, *forward[3:]]

    def node(self, op: OpDef) -> Node:
        """A node of a piece, alone in a graph that returns its results."""
        graph = Graph("f")
        values = [graph.add_parameter(type) for type in self.types(op)]
        with building(graph):
            graph.results = as_tuple(op(*values, **self.attributes))
        (node,) = graph.nodes
        return node

    def arrays(self, op: OpDef, rng: np.random.Generator) -> list[Array]:
        """Operands as they come up: the logarithms and sums are those of q, k and v.

        With a mask every fourth query is fully masked, if its queries differ.
        """
        q, k, v = (_normal(type, rng) for type in self.forward_types[:3])
        masks = [_mask(self.mask, rng)] if self.mask else []
        if "total" not in op.operands:
            return [q, k, v, *masks]
        y, total = evaluate_op(
            "attention_with_logsumexp", q, k, v, *masks, **self.attributes
        )
        g = _normal(self.types(op)[0], rng)
        inner = np.sum(g.astype(np.float32) * y.astype(np.float32), axis=3)
        inner = np.ascontiguousarray(np.transpose(inner, (0, 2, 1)))
        return [g, q, k, v, total, inner, *masks]


def _normal(type: TensorType, rng: np.random.Generator) -> Array:
    return rng.normal(size=type.static_shape).astype(type.dtype.numpy)


def _mask(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    found = rng.random(shape) < 0.7
    if shape[2] > 1:
        found[:, :, 1::4] = False
    return found


def expected(node: Node, arrays: list[Array]) -> list[Array]:
    """The results of a node by its reference."""
    assert node.graph is not None
    return [np.asarray(found) for found in evaluate(node.graph, *arrays)]
