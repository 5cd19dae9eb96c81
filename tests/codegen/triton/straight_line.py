"""Kernels of one program that compute elementwise nodes one after the other."""

from __future__ import annotations

from typing import Any

from graphc.codegen.triton import dtypes
from graphc.codegen.triton.elementwise import Expression, expression, helper_source
from graphc.codegen.triton.kernel import Kernel
from graphc.ir import Graph, Literal, Value
from graphc.ir.values import Operand
from tests.triton_kernels import kernel_of


def straight_line(graph: Graph, **facts: Any) -> Kernel:
    """A kernel of a graph whose tensors have all the same shape, [n] or none."""
    lines = ["place = tl.arange(0, LENGTH)"]
    helpers: set[str] = set()
    names: dict[Value, str] = {}

    def write(name: str, made: Expression) -> str:
        helpers.update(made.helpers)
        lines.append(f"{name} = {made.text}")
        return name

    def text(operand: Operand) -> str:
        is_literal = isinstance(operand, Literal)
        return dtypes.literal(operand) if is_literal else names[operand]

    def pointer(number: int, operand: Operand) -> str:
        return f"p{number} + place" if operand.type.rank else f"p{number}"

    for number, parameter in enumerate(graph.parameters):
        stored = Expression(f"tl.load({pointer(number, parameter)})")
        name = write(f"stored{number}", stored)
        names[parameter] = write(f"x{number}", dtypes.widened(name, parameter.dtype))
    for number, node in enumerate(graph.nodes):
        made = expression(node, [text(operand) for operand in node.operands])
        names[node.result] = write(f"y{number}", made)
    for number, result in enumerate(graph.results, len(graph.parameters)):
        made = dtypes.narrowed(text(result), result.type.dtype)
        helpers.update(made.helpers)
        lines.append(f"tl.store({pointer(number, result)}, {made.text})")
    sizes = [parameter.type.size for parameter in graph.parameters]
    return kernel_of(
        "\n".join(lines),
        [str(parameter.type) for parameter in graph.parameters],
        [str(result.type) for result in graph.results],
        helpers=helper_source(helpers),
        constants={"LENGTH": max(sizes)},
        **facts,
    )
