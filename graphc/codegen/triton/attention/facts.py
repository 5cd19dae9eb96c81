"""What the kernels of attention need to know of a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.graph import Node
from graphc.ir.ops.dot_product_attention import scale_of
from graphc.ir.types import product
from graphc.ir.values import Operand
from graphc.passes.rewrite import owner

MOST_DEPTH = 256
"""The largest depth that there are schedules for."""

LEAST_TILE = 16
"""The least size of a side of the tiles that ``tl.dot`` multiplies."""


def padded(size: int) -> int:
    """The size of a side of a tile that holds `size` elements."""
    return max(LEAST_TILE, 1 << (size - 1).bit_length())


def depths(node: Node) -> tuple[int, int]:
    """The sizes of a query and of a value."""
    by_name = dict(zip(node.op.operands, node.operands, strict=False))
    q, v = by_name["q"].type.static_shape, by_name["v"].type.static_shape
    return q[3], v[3]


@dataclass(frozen=True, slots=True)
class Attention:
    """What is known of an attention when its kernels are written.

    Attributes:
        node: The node, of bound types.
        batch: The number of examples.
        time: The number of queries.
        source: The number of keys.
        heads: The number of heads of queries.
        shared: The number of heads of keys and values.
        depth: The size of a query and of a key.
        width: The size of a value.
        causal: Whether a query sees no later key.
        scale: The factor of the logits.
        mask: The distances of neighbours in the mask along its dimensions, 0 where all
            share one; empty without a mask.
        pointers: The argument that points to each operand and result. Operands that
            are one value share one; a result that nothing reads has none.
        arguments: The pointers in order: to the graph's parameters, to its results.
    """

    node: Node
    batch: int
    time: int
    source: int
    heads: int
    shared: int
    depth: int
    width: int
    causal: bool
    scale: float
    mask: tuple[int, ...]
    pointers: Mapping[str, str]
    arguments: tuple[str, ...]

    @property
    def group(self) -> int:
        """How many heads of queries share one of keys and values."""
        return self.heads // self.shared

    @property
    def bits(self) -> int:
        """The size of an element of q, k and v."""
        return self.node.results[0].dtype.bits

    @property
    def flops_per_depth(self) -> int:
        """The operations of a product of depth 1 with the logits that take part."""
        pairs = self.time * self.source
        if self.causal:
            square = min(self.time, self.source)
            pairs = square * (square + 1) // 2 + (self.time - square) * self.source
        return 2 * self.batch * self.heads * pairs

    @property
    def sizes(self) -> list[int]:
        """The numbers of elements of the operands."""
        return [product(o.type.static_shape) for o in self.node.operands]


def facts(node: Node, results: Sequence[str]) -> Attention:
    """The facts of a node, alone in its graph, whose results have the given names."""
    by_name = dict(zip(node.op.operands, node.operands, strict=False))
    q, v, mask = by_name["q"].type, by_name["v"].type, by_name.get("mask")
    attributes = node.op.decode(node.attributes, None)
    pointers = _pointers(node)
    named = dict(zip(results, node.results, strict=True))
    read = {
        name: value for name, value in named.items() if value in owner(node).results
    }
    pointers |= {value: f"{name}_ptr" for name, value in read.items()}
    return Attention(
        node=node,
        batch=q.static_shape[0],
        time=q.static_shape[1],
        source=v.static_shape[1],
        heads=q.static_shape[2],
        shared=v.static_shape[2],
        depth=q.static_shape[3],
        width=v.static_shape[3],
        causal=attributes["causal"],
        scale=scale_of(by_name["q"], attributes["scale"]),
        mask=() if mask is None else _strides(mask.type.static_shape),
        pointers={name: pointers[value] for name, value in (by_name | read).items()},
        arguments=tuple(
            pointers[value] for value in (*owner(node).parameters, *owner(node).results)
        ),
    )


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The distances of neighbours along each dimension; 0 along those of size 1."""
    return tuple(
        0 if size == 1 else product(shape[axis + 1 :])
        for axis, size in enumerate(shape)
    )


def _pointers(node: Node) -> dict[Operand, str]:
    """The arguments that point to the operands, each named after its first use."""
    found: dict[Operand, str] = {}
    for name, operand in zip(node.op.operands, node.operands, strict=False):
        found.setdefault(operand, f"{name}_ptr")
    return found


def layers(node: Node) -> tuple[str, ...]:
    """The layer path that a node comes from, if it comes from one."""
    path = node.location.path if node.location is not None else None
    return (path,) if path else ()
