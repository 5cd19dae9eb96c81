"""Gathers and scatters."""

from __future__ import annotations

from typing import Any

from jax.extend.mlir.dialects import stablehlo

from graphc.importers.stablehlo.combiners import combinations
from graphc.importers.stablehlo.function import Importer, Operation
from graphc.ir import ops
from graphc.ir.opdef import INDEX
from graphc.ir.types import BOOL, I32, I64, U8
from graphc.ir.values import Operand


def _indices(indices: Any) -> Any:
    """`indices` in a dtype that addresses elements."""
    given = indices.type.dtype
    if given in INDEX:
        return indices
    return ops.convert(indices, dtype=I64 if given.bits > 32 else I32)


def gather(op: Operation, x: Operand, indices: Operand) -> Any:
    """A gather."""
    numbers = stablehlo.GatherDimensionNumbers(op.attribute("dimension_numbers"))
    single = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    sizes = op.attribute("slice_sizes")  # those of dimensions without elements are 0
    return ops.gather(
        x,
        _indices(indices),
        offset_dims=numbers.offset_dims,
        collapsed_dims=numbers.collapsed_slice_dims,
        start_index_map=numbers.start_index_map,
        index_axis=numbers.index_vector_dim,
        slice_sizes=[1 if d in single else size for d, size in enumerate(sizes)],
        operand_batching=numbers.operand_batching_dims,
        indices_batching=numbers.start_indices_batching_dims,
    )


_MODES = {
    "add": "add",
    "multiply": "multiply",
    "maximum": "max",
    "minimum": "min",
    "second": "set",
}
_MODES_OF_BOOL = {"or": "max", "and": "min", "second": "set"}


def scatter(op: Operation, *operands: Any) -> Any:
    """A scatter for each operand; several must be combined apart from each other."""
    (region,) = op.raw.regions
    count = len(operands) // 2
    indices = _indices(operands[count])
    pairs = zip(operands[:count], operands[count + 1 :], strict=True)
    combining = combinations(region) or [None] * count
    return [
        _scattered(op, x, indices, updates, name)
        for (x, updates), name in zip(pairs, combining, strict=True)
    ]


def _scattered(
    op: Operation, x: Any, indices: Operand, updates: Any, combining: str | None
) -> Any:
    """A scatter of one operand; bool is combined as numbers 0 and 1."""
    of_bool = x.type.dtype is BOOL
    if combining == "first":
        return x
    mode = (_MODES_OF_BOOL if of_bool else _MODES).get(combining or "")
    if mode is None:
        region = str(op.raw.regions[0].blocks[0])
        raise op.refuse("the combining region is not supported", region)
    numbers = stablehlo.ScatterDimensionNumbers(
        op.attribute("scatter_dimension_numbers")
    )
    counted = of_bool and mode != "set"
    if counted:
        x, updates = ops.convert(x, dtype=U8), ops.convert(updates, dtype=U8)
    found = ops.scatter(
        x,
        indices,
        updates,
        update_window_dims=numbers.update_window_dims,
        inserted_dims=numbers.inserted_window_dims,
        index_map=numbers.scattered_dims_to_operand_dims,
        index_axis=numbers.index_vector_dim,
        operand_batching=numbers.input_batching_dims,
        indices_batching=numbers.scatter_indices_batching_dims,
        mode=mode,
    )
    return ops.convert(found, dtype=BOOL) if counted else found


IMPORTERS: dict[str, Importer] = {
    "stablehlo.gather": gather,
    "stablehlo.scatter": scatter,
}
