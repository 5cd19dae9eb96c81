"""The StableHLO of dots and convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.codegen.combining import accumulator
from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import function_type, ints
from graphc.ir.graph import Node
from graphc.ir.opdef import IntLists, Ints
from graphc.ir.types import DType, TensorType


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
    operands = [(f.operand(o), o.type) for o in node.operands]
    places = [(list(contract[i]), list(batch[i])) for i in (0, 1)]
    if accumulator(operands[0][1].dtype) is not operands[0][1].dtype:
        for i, (operand, place) in enumerate(zip(operands, places, strict=True)):
            operands[i], places[i] = _batch_first(f, *operand, *place)
    (a, of_a), (b, of_b) = operands
    (contract_a, batch_a), (contract_b, batch_b) = places
    batching = ""
    if batch_a:
        batching = f", batching_dims = {ints(batch_a)} x {ints(batch_b)}"
    f.assign_rounded(
        node,
        f"stablehlo.dot_general {a}, {b}{batching}, "
        f"contracting_dims = {ints(contract_a)} x {ints(contract_b)} : "
        + function_type([of_a, of_b], [computed]),
        computed,
    )


def _batch_first(
    f: FunctionWriter,
    name: str,
    type: TensorType,
    contract: Sequence[int],
    batch: Sequence[int],
) -> tuple[tuple[str, TensorType], tuple[list[int], list[int]]]:
    """An operand with its batch dimensions first, and where its dimensions are then.

    XLA puts them there itself, but on a CPU it then fails to run some products of
    bfloat16 whose terms lie across two transposed operands.
    """
    order = [*batch, *(d for d in range(type.rank) if d not in batch)]
    if order != list(range(type.rank)):
        turned = type.with_shape(type.shape[d] for d in order)
        types = function_type([type], [turned])
        expression = f"stablehlo.transpose {name}, dims = {ints(order)} : {types}"
        name, type = f.define(expression, "turned"), turned
    return (name, type), (
        [order.index(d) for d in contract],
        [order.index(d) for d in batch],
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
