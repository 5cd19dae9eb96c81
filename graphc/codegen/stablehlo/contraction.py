"""The StableHLO of dots and convolutions."""

from __future__ import annotations

from graphc.codegen.combining import accumulator
from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import ints
from graphc.ir.graph import Node
from graphc.ir.opdef import IntLists, Ints
from graphc.ir.types import DType


def dot_general(
    f: FunctionWriter,
    node: Node,
    *,
    contract: IntLists,
    batch: IntLists,
    dtype: DType | None,
) -> None:
    """Writes the dot, summed in float32 for narrow floats and rounded at the end."""
    computed = node.result.type.with_dtype(accumulator(node.result.type.dtype))
    batching = ""
    if batch[0]:
        batching = f", batching_dims = {ints(batch[0])} x {ints(batch[1])}"
    f.assign_rounded(
        node,
        f"stablehlo.dot_general {f.operands(node)}{batching}, "
        f"contracting_dims = {ints(contract[0])} x {ints(contract[1])} : "
        + f.signature(node, [computed]),
        computed,
    )


def convolution(
    f: FunctionWriter,
    node: Node,
    *,
    labels: str,
    strides: Ints,
    padding: IntLists,
    input_dilation: Ints,
    kernel_dilation: Ints,
    groups: int,
    batch_groups: int,
) -> None:
    """Writes the convolution, summed in float32 for narrow floats."""
    computed = node.result.type.with_dtype(accumulator(node.result.type.dtype))
    operands, result = labels.split("->")
    x, kernel = operands.split("_")
    numbers = f"{_letters(x)}x{_letters(kernel)}->{_letters(result)}"
    pads = ", ".join(map(ints, padding))
    f.assign_rounded(
        node,
        f"stablehlo.convolution({f.operands(node)}) dim_numbers = {numbers}, "
        f"window = {{stride = {ints(strides)}, pad = [{pads}], "
        f"lhs_dilate = {ints(input_dilation)}, rhs_dilate = {ints(kernel_dilation)}}} "
        f"{{batch_group_count = {batch_groups} : i64, "
        f"feature_group_count = {groups} : i64}} : " + f.signature(node, [computed]),
        computed,
    )


def _letters(dims: str) -> str:
    return f"[{', '.join(dims)}]"


LOWERINGS: dict[str, Lowering] = {
    "convolution": convolution,
    "dot_general": dot_general,
}
