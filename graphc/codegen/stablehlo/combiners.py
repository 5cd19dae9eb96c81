"""The StableHLO of reductions whose combiner is a graph."""

from __future__ import annotations

from graphc.codegen.stablehlo.cropping import Cropping
from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.loops import RegionWriter
from graphc.codegen.stablehlo.text import (
    block_text,
    function_type,
    int_array,
    windows_text,
)
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import IntLists, Ints, operand_types


def _combining(f: FunctionWriter, graph: Graph) -> str:
    """A region that calls the function which the graph became."""
    arguments = [(f.fresh("argument"), p.type) for p in graph.parameters]
    region = RegionWriter(f)
    results = region.call(graph, arguments)
    return block_text(arguments, region.lines, results)


def reduce(f: FunctionWriter, node: Node, *, graph: Graph, axes: Ints) -> None:
    """Writes a reduction over axes."""
    f.assign(
        node,
        f'"stablehlo.reduce"({f.operands(node)}) <{{'
        f"dimensions = {int_array(axes)}}}> ({_combining(f, graph)}) : "
        + f.signature(node),
    )


def reduce_window(
    f: FunctionWriter,
    node: Node,
    *,
    graph: Graph,
    window: Ints,
    strides: Ints,
    padding: IntLists,
    dilation: Ints | None,
) -> None:
    """Writes a reduction of every window."""
    count, cropping = len(node.results), Cropping(padding)
    operands = [f.operand(operand) for operand in node.operands]
    types = list(operand_types(node.operands))
    starts = operands[count:]
    if not window:  # XLA has no windows of rank 0
        names = ", ".join([*starts, *operands[:count]])
        signature = function_type(2 * types[:count], types[:count])
        f.assign(node, f"func.call @{f.functions[graph.name]}({names}) : {signature}")
        return
    for i, start in enumerate(starts):
        operands[i], types[i] = cropping.crop(f, operands[i], types[i], start)
    signature = function_type(types, [result.type for result in node.results])
    f.assign(
        node,
        f'"stablehlo.reduce_window"({", ".join(operands)}) <{{'
        f"{windows_text(window, strides, cropping.padding, dilation)}"
        f"}}> ({_combining(f, graph)}) : {signature}",
    )


LOWERINGS: dict[str, Lowering] = {"reduce": reduce, "reduce_window": reduce_window}
