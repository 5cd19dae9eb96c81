"""Constants, and operations that move elements."""

from __future__ import annotations

from typing import Any

from graphc.importers.stablehlo.function import Importer, Operation
from graphc.importers.stablehlo.types import read_elements
from graphc.ir import ops
from graphc.ir.ops.shape import expand
from graphc.ir.types import I32
from graphc.ir.values import Literal, Operand


def constant(op: Operation) -> Any:
    """A literal if all elements are equal, else a constant of the module."""
    type = op.type
    array, splat = read_elements(op.raw_attribute("value"), type, op.location)
    if splat:
        element: Any = array[()]
        return expand(Literal(element, type.dtype), type.shape, [])
    return ops.constant(name=op.reader.session.module.add_constant(array))


def broadcast_in_dim(op: Operation, x: Operand) -> Any:
    """A broadcast; nothing where the shape stays."""
    dims = op.attribute("broadcast_dimensions")
    if x.type == op.type and dims == list(range(x.type.rank)):
        return x
    return ops.broadcast_in_dim(x, shape=op.type.shape, dims=dims)


def broadcast(op: Operation, x: Operand) -> Any:
    """A broadcast by dimensions in front."""
    sizes = op.attribute("broadcast_sizes")
    dims = [len(sizes) + d for d in range(x.type.rank)]
    return ops.broadcast_in_dim(x, shape=op.type.shape, dims=dims)


def reshape(op: Operation, x: Operand) -> Any:
    """A reshape; nothing where the shape stays."""
    return x if x.type == op.type else ops.reshape(x, shape=op.type.shape)


def transpose(op: Operation, x: Operand) -> Any:
    """A transpose."""
    return ops.transpose(x, permutation=op.attribute("permutation"))


def reverse(op: Operation, x: Operand) -> Any:
    """A reversal."""
    return ops.reverse(x, axes=op.attribute("dimensions"))


def slice_(op: Operation, x: Operand) -> Any:
    """A slice."""
    strides = op.attribute("strides")
    return ops.slice_(
        x,
        start=op.attribute("start_indices"),
        limit=op.attribute("limit_indices"),
        strides=None if all(step == 1 for step in strides) else strides,
    )


def concatenate(op: Operation, *operands: Operand) -> Any:
    """A concatenation."""
    return ops.concatenate(*operands, axis=op.attribute("dimension"))


def pad(op: Operation, x: Operand, value: Operand) -> Any:
    """A padding."""
    interior = op.attribute("interior_padding")
    return ops.pad(
        x,
        value,
        low=op.attribute("edge_padding_low"),
        high=op.attribute("edge_padding_high"),
        interior=interior if any(interior) else None,
    )


def iota(op: Operation) -> Any:
    """Positions along a dimension."""
    axis, type = op.attribute("iota_dimension"), op.type
    return ops.iota(shape=type.shape, axis=axis, dtype=type.dtype)


def dynamic_slice(op: Operation, x: Operand, *starts: Operand) -> Any:
    """A slice at a computed place."""
    return ops.dynamic_slice(x, *starts, sizes=op.attribute("slice_sizes"))


def dynamic_update_slice(
    op: Operation, x: Operand, update: Operand, *starts: Operand
) -> Any:
    """An update at a computed place."""
    return ops.dynamic_update_slice(x, update, *starts)


def get_dimension_size(op: Operation, x: Operand) -> Any:
    """A size, which is static here."""
    return Literal(x.type.static_shape[op.attribute("dimension")], I32)


def _sized(importer: Importer) -> Importer:
    """For an operation whose last operand is the shape that its type says as well."""
    return lambda op, *operands: importer(op, *operands[:-1])


IMPORTERS: dict[str, Importer] = {
    "stablehlo.broadcast": broadcast,
    "stablehlo.broadcast_in_dim": broadcast_in_dim,
    "stablehlo.concatenate": concatenate,
    "stablehlo.constant": constant,
    "stablehlo.dynamic_broadcast_in_dim": _sized(broadcast_in_dim),
    "stablehlo.dynamic_iota": _sized(iota),
    "stablehlo.dynamic_reshape": _sized(reshape),
    "stablehlo.dynamic_slice": dynamic_slice,
    "stablehlo.dynamic_update_slice": dynamic_update_slice,
    "stablehlo.get_dimension_size": get_dimension_size,
    "stablehlo.iota": iota,
    "stablehlo.pad": pad,
    "stablehlo.reshape": reshape,
    "stablehlo.reverse": reverse,
    "stablehlo.slice": slice_,
    "stablehlo.transpose": transpose,
}
