"""The StableHLO of calls, barriers and comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import function_type, types_text
from graphc.ir.graph import Graph, Node
from graphc.ir.types import BOOL, TensorType


def call(f: FunctionWriter, node: Node, *, graph: Graph) -> None:
    """Writes a call of the function that the graph became."""
    callee = f.functions[graph.name]
    f.assign(node, f"func.call @{callee}({f.operands(node)}) : {f.signature(node)}")


def custom_gradient(
    f: FunctionWriter, node: Node, *, graph: Graph, pullback: Graph, outputs: int
) -> None:
    """Writes a call of the graph: gradients have been taken when code is emitted."""
    call(f, node, graph=graph)


def stop_gradient(f: FunctionWriter, node: Node) -> None:
    """Writes nothing: the gradient has been stopped when code is emitted."""
    f.alias(node.result, f.operand(node.operands[0]))


def optimization_barrier(f: FunctionWriter, node: Node) -> None:
    """Writes the barrier."""
    types = types_text(result.type for result in node.results)
    f.assign(node, f"stablehlo.optimization_barrier {f.operands(node)} : {types}")


def compare(f: FunctionWriter, node: Node, *, direction: str) -> None:
    """Writes the comparison of operands stretched to one shape."""
    shape = node.result.shape
    names = [f.stretched(operand, shape) for operand in node.operands]
    operand = node.operands[0].type.with_shape(shape)
    f.assign(node, comparison(direction, names, operand))


def comparison(direction: str, names: Sequence[str], operand: TensorType) -> str:
    """The comparison of two values of the type `operand`."""
    dtype = operand.dtype
    unsigned = dtype is BOOL or dtype.kind == "uint"
    kind = "FLOAT" if dtype.is_float else "UNSIGNED" if unsigned else "SIGNED"
    types = function_type([operand, operand], [operand.with_dtype(BOOL)])
    return f"stablehlo.compare {direction}, {', '.join(names)}, {kind} : {types}"


LOWERINGS: dict[str, Lowering] = {
    "call": call,
    "compare": compare,
    "custom_gradient": custom_gradient,
    "optimization_barrier": optimization_barrier,
    "stop_gradient": stop_gradient,
}
