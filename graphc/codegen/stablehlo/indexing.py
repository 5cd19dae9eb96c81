"""The StableHLO of gathers and scatters."""

from __future__ import annotations

from graphc.codegen.combining import UPDATING, accumulator
from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import function_type, int_array, ints
from graphc.ir.graph import Node
from graphc.ir.opdef import Ints, Shape
from graphc.ir.types import TensorType


def gather(
    f: FunctionWriter,
    node: Node,
    *,
    offset_dims: Ints,
    collapsed_dims: Ints,
    start_index_map: Ints,
    index_axis: int,
    slice_sizes: Shape,
    operand_batching: Ints,
    indices_batching: Ints,
) -> None:
    """Writes the gather."""
    numbers = _dimension_numbers(
        offset_dims=offset_dims,
        collapsed_slice_dims=collapsed_dims,
        operand_batching_dims=operand_batching,
        start_indices_batching_dims=indices_batching,
        start_index_map=start_index_map,
        index_vector_dim=index_axis,
    )
    shape = node.operands[0].type.static_shape
    sizes = int_array(map(min, map(int, slice_sizes), shape))
    f.assign(
        node,
        f'"stablehlo.gather"({f.operands(node)}) <{{'
        f"dimension_numbers = #stablehlo.gather<{numbers}>, "
        f"slice_sizes = {sizes}}}> : {f.signature(node)}",
    )


def scatter(
    f: FunctionWriter,
    node: Node,
    *,
    update_window_dims: Ints,
    inserted_dims: Ints,
    index_map: Ints,
    index_axis: int,
    operand_batching: Ints,
    indices_batching: Ints,
    mode: str,
) -> None:
    """Writes the scatter; updates that fall outside are dropped by StableHLO too."""
    numbers = _dimension_numbers(
        update_window_dims=update_window_dims,
        inserted_window_dims=inserted_dims,
        input_batching_dims=operand_batching,
        scatter_indices_batching_dims=indices_batching,
        scatter_dims_to_operand_dims=index_map,
        index_vector_dim=index_axis,
    )
    x, indices, updates = node.operands
    dtype = x.type.dtype
    # What is added up is kept in float32 for narrow floats.
    kept = accumulator(dtype) if mode in ("add", "multiply") else dtype
    result, element = x.type.with_dtype(kept), TensorType((), kept)
    names = [
        f.converted(f.operand(x), x.type, kept),
        f.operand(indices),
        f.converted(f.operand(updates), updates.type, kept),
    ]
    if mode == "set":
        region = f.replacing(element)
    else:
        region = f.combining(f"stablehlo.{UPDATING[mode]}", element)
    types = function_type(
        [result, indices.type, updates.type.with_dtype(kept)], [result]
    )
    f.assign_rounded(
        node,
        f'"stablehlo.scatter"({", ".join(names)}) <{{'
        f"scatter_dimension_numbers = #stablehlo.scatter<{numbers}>}}> "
        f"({region}) : {types}",
        result,
    )


def _dimension_numbers(**fields: Ints | int) -> str:
    """The fields as StableHLO writes them, which leaves empty lists out."""
    return ", ".join(
        f"{name} = {value if isinstance(value, int) else ints(value)}"
        for name, value in fields.items()
        if value != ()
    )


LOWERINGS: dict[str, Lowering] = {"gather": gather, "scatter": scatter}
