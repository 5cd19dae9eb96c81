"""The StableHLO of primitives that move data."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import dense_text, ints, type_text
from graphc.ir.graph import Node
from graphc.ir.opdef import Ints, Shape
from graphc.ir.types import DType


def broadcast_in_dim(
    f: FunctionWriter, node: Node, *, shape: Shape, dims: Ints
) -> None:
    """Writes the broadcast; the result type says the shape."""
    x = f.operands(node)
    types = f.signature(node)
    f.assign(node, f"stablehlo.broadcast_in_dim {x}, dims = {ints(dims)} : {types}")


def reshape(f: FunctionWriter, node: Node, *, shape: Shape) -> None:
    """Writes the reshape; the result type says the shape."""
    f.assign(node, f"stablehlo.reshape {f.operands(node)} : {f.signature(node)}")


def transpose(f: FunctionWriter, node: Node, *, permutation: Ints) -> None:
    """Writes the transpose."""
    x, dims = f.operands(node), ints(permutation)
    f.assign(node, f"stablehlo.transpose {x}, dims = {dims} : {f.signature(node)}")


def slice_(
    f: FunctionWriter, node: Node, *, start: Shape, limit: Shape, strides: Ints | None
) -> None:
    """Writes the slice as start:limit:stride of each dim."""
    steps = strides or (1,) * len(start)
    ranges = [f"{a}:{b}:{s}" for a, b, s in zip(start, limit, steps, strict=True)]
    x = f.operands(node)
    f.assign(node, f"stablehlo.slice {x} [{', '.join(ranges)}] : {f.signature(node)}")


def concatenate(f: FunctionWriter, node: Node, *, axis: int) -> None:
    """Writes the concatenation."""
    xs = f.operands(node)
    f.assign(node, f"stablehlo.concatenate {xs}, dim = {axis} : {f.signature(node)}")


def pad(
    f: FunctionWriter, node: Node, *, low: Ints, high: Ints, interior: Ints | None
) -> None:
    """Writes the padding."""
    between = interior or (0,) * len(low)
    f.assign(
        node,
        f"stablehlo.pad {f.operands(node)}, low = {ints(low)}, high = {ints(high)}, "
        f"interior = {ints(between)} : {f.signature(node)}",
    )


def reverse(f: FunctionWriter, node: Node, *, axes: Ints) -> None:
    """Writes the reversal."""
    x, type = f.operands(node), type_text(node.result.type)
    f.assign(node, f"stablehlo.reverse {x}, dims = {ints(axes)} : {type}")


def iota(
    f: FunctionWriter, node: Node, *, shape: Shape, axis: int, dtype: DType
) -> None:
    """Writes the iota; the result type says shape and dtype."""
    f.assign(node, f"stablehlo.iota dim = {axis} : {type_text(node.result.type)}")


def constant(f: FunctionWriter, node: Node, *, name: np.ndarray[Any, Any]) -> None:
    """Writes the array that the name stands for into the text."""
    type = type_text(node.result.type)
    f.assign(node, f"stablehlo.constant dense<{dense_text(name)}> : {type}")


def dimension_size(f: FunctionWriter, node: Node, *, axis: int) -> None:
    """Writes the size, which is known once symbols are bound, as a constant."""
    size, type = node.operands[0].type.static_shape[axis], node.result.type
    f.assign(node, f"stablehlo.constant dense<{size}> : {type_text(type)}")


def dynamic_slice(f: FunctionWriter, node: Node, *, sizes: Shape) -> None:
    """Writes the slice at a computed place."""
    if not sizes:  # of a scalar, which the textual form has no room for
        f.alias(node.result, f.operands(node))
        return
    names, types = f.operands(node), f.signature(node)
    f.assign(
        node,
        f"stablehlo.dynamic_slice {names}, sizes = {ints(map(int, sizes))} : {types}",
    )


def dynamic_update_slice(f: FunctionWriter, node: Node) -> None:
    """Writes the update at a computed place."""
    names, types = f.operands(node), f.signature(node)
    f.assign(node, f"stablehlo.dynamic_update_slice {names} : {types}")


def bitcast_reshape(f: FunctionWriter, node: Node, *, dtype: DType) -> None:
    """Writes the reinterpretation; the result type says dtype and shape."""
    x, types = f.operands(node), f.signature(node)
    f.assign(node, f"stablehlo.bitcast_convert {x} : {types}")


LOWERINGS: dict[str, Lowering] = {
    "bitcast_reshape": bitcast_reshape,
    "broadcast_in_dim": broadcast_in_dim,
    "concatenate": concatenate,
    "constant": constant,
    "dimension_size": dimension_size,
    "dynamic_slice": dynamic_slice,
    "dynamic_update_slice": dynamic_update_slice,
    "iota": iota,
    "pad": pad,
    "reshape": reshape,
    "reverse": reverse,
    "slice": slice_,
    "transpose": transpose,
}
