"""The StableHLO of primitives that combine elements within windows."""

from __future__ import annotations

import numpy as np

from graphc.codegen.combining import accumulator
from graphc.codegen.stablehlo.control import comparison
from graphc.codegen.stablehlo.cropping import Cropping
from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.reduction import Combination
from graphc.codegen.stablehlo.text import (
    dense_text,
    function_type,
    region_text,
    windows_text,
)
from graphc.ir.graph import Node
from graphc.ir.opdef import IntLists, Ints
from graphc.ir.types import BOOL, TensorType


def reduce_window(
    f: FunctionWriter,
    node: Node,
    *,
    window: Ints,
    strides: Ints,
    padding: IntLists,
    dilation: Ints | None,
) -> None:
    """Writes the reduction of every window to one element."""
    if not window:  # XLA has no windows of rank 0
        f.alias(node.result, f.operands(node))
        return
    c, cropping = Combination(f, node), Cropping(padding)
    c.crop(cropping)
    c.assign(
        f'"stablehlo.reduce_window"({c.x}, {c.init}) <{{'
        f"{windows_text(window, strides, cropping.padding, dilation)}"
        f"}}> ({f.combining(c.operation, c.element)}) : {c.types}"
    )


def select_and_scatter_add(
    f: FunctionWriter, node: Node, *, window: Ints, strides: Ints, padding: IntLists
) -> None:
    """Writes the gradient of a maximum over windows; the first maximum wins."""
    x, source = (operand.type for operand in node.operands)
    kept = accumulator(x.dtype)
    element, result = TensorType((), kept), x.with_dtype(kept)
    names = [
        f.converted(f.operand(operand), operand.type, kept) for operand in node.operands
    ]
    zero = f.constant(dense_text(np.zeros((), kept.numpy)), element)
    a, b, keeps = f.fresh("a"), f.fresh("b"), f.fresh("keeps")
    keep_first = region_text(
        [(a, element), (b, element)],
        [f"{keeps} = {comparison('GE', [a, b], element)}"],
        keeps,
        TensorType((), BOOL),
    )
    types = function_type([result, source.with_dtype(kept), element], [result])
    f.assign_rounded(
        node,
        f'"stablehlo.select_and_scatter"({", ".join(names)}, {zero}) <{{'
        f"{windows_text(window, strides, padding)}"
        f"}}> ({keep_first}, {f.combining('stablehlo.add', element)}) : {types}",
        result,
    )


LOWERINGS: dict[str, Lowering] = {
    "reduce_window_max": reduce_window,
    "reduce_window_min": reduce_window,
    "reduce_window_sum": reduce_window,
    "select_and_scatter_add": select_and_scatter_add,
}
