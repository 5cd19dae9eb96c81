"""The StableHLO of reductions whose combiner is a graph."""

from __future__ import annotations

from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.loops import RegionWriter
from graphc.codegen.stablehlo.text import (
    block_text,
    function_type,
    int_array,
    windows_text,
)
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import IntLists, Ints


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
    if not window:  # XLA has no windows of rank 0
        operands = [f.operand(operand) for operand in node.operands]
        count = len(node.results)
        names = ", ".join([*operands[count:], *operands[:count]])
        types = [p.type for p in graph.parameters]
        signature = function_type(types, types[:count])
        f.assign(node, f"func.call @{f.functions[graph.name]}({names}) : {signature}")
        return
    f.assign(
        node,
        f'"stablehlo.reduce_window"({f.operands(node)}) <{{'
        f"{windows_text(window, strides, padding, dilation)}"
        f"}}> ({_combining(f, graph)}) : {f.signature(node)}",
    )


LOWERINGS: dict[str, Lowering] = {"reduce": reduce, "reduce_window": reduce_window}
