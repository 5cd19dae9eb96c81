"""The StableHLO of triangular matrices."""

from __future__ import annotations

from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.ir.graph import Node


def cholesky(f: FunctionWriter, node: Node, *, lower: bool) -> None:
    """Writes the factor."""
    x = f.operands(node)
    if 0 in node.result.type.shape:
        f.alias(node.result, x)
        return
    f.assign(
        node,
        f'"stablehlo.cholesky"({x}) <{{lower = {str(lower).lower()}}}> : '
        + f.signature(node),
    )


def triangular_solve(
    f: FunctionWriter,
    node: Node,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    unit_diagonal: bool,
) -> None:
    """Writes the solve."""
    if 0 in node.result.type.shape:
        f.alias(node.result, f.operand(node.operands[1]))
        return
    flags = {"left_side": left_side, "lower": lower, "unit_diagonal": unit_diagonal}
    fields = [f"{name} = {str(flag).lower()}" for name, flag in flags.items()]
    way = "TRANSPOSE" if transpose_a else "NO_TRANSPOSE"
    fields.append(f"transpose_a = #stablehlo<transpose {way}>")
    f.assign(
        node,
        f'"stablehlo.triangular_solve"({f.operands(node)}) <{{{", ".join(fields)}}}> : '
        + f.signature(node),
    )


LOWERINGS: dict[str, Lowering] = {
    "cholesky": cholesky,
    "triangular_solve": triangular_solve,
}
