"""StableHLO's elementwise operations.

graphc's primitives carry StableHLO's names and meanings, so most need no importer of
their own: `plain` is the importer of each.
"""

from __future__ import annotations

from typing import Any

from graphc.importers.stablehlo.expressions import OF_BOOL, comparison
from graphc.importers.stablehlo.function import (
    Importer,
    Operation,
    captured_operands,
    captured_values,
    region_graph,
)
from graphc.ir.graph import lookup
from graphc.ir.opdef import OPS, Kind, OpDef
from graphc.ir.ops import (
    add,
    and_,
    bitcast_convert,
    bitcast_reshape,
    clamp,
    compare,
    convert,
    or_,
    select,
    shift_right_logical,
    xor,
)
from graphc.ir.ops.shape import expand
from graphc.ir.types import BOOL, DTYPES, DType
from graphc.ir.values import Literal, Operand


def is_plain(op: OpDef) -> bool:
    """Whether an op is elementwise and takes operands only."""
    return op.kind is Kind.ELEMENTWISE and not op.attributes


def plain(op: Operation, *operands: Operand) -> Any:
    """The primitive of the operation's own name."""
    name = op.name.partition(".")[2]
    if operands[0].type.dtype is BOOL:
        name = OF_BOOL.get(name, name)
    return OPS[name](*operands)


def clamp_(op: Operation, low: Operand, x: Operand, high: Operand) -> Any:
    """The numbers between two others; false is less than true."""
    if x.type.dtype is BOOL:
        return and_(or_(x, low), high)
    return clamp(low, x, high)


def convert_(op: Operation, x: Operand) -> Any:
    """A conversion to the result's dtype."""
    return convert(x, dtype=op.type.dtype)


def compare_(op: Operation, a: Operand, b: Operand) -> Any:
    """A comparison; one by total order compares the bits as integers."""
    op.attribute("comparison_direction")
    op.attribute("compare_type")
    direction, total = comparison(op.raw)
    if total and a.type.dtype.is_float:
        a, b = total_order(a), total_order(b)
    return compare(a, b, direction=direction)


def map_(op: Operation, *operands: Operand) -> Any:
    """What a region computes of each element, for all elements at once."""
    op.attribute("dimensions")
    (region,) = op.raw.regions
    captured = captured_values([region])
    graph = region_graph(op, region, "map", captured)
    given = [*operands, *captured_operands(op.reader, captured)]
    values = dict(zip(graph.parameters, given, strict=True))
    for node in graph.nodes:
        if node.op.kind is not Kind.ELEMENTWISE or len(node.results) > 1:
            raise op.refuse("the region is not elementwise", node.op.name)
        read = [lookup(values, operand) for operand in node.operands]
        values[node.result] = node.op(*read, **node.attributes)
    op.reader.session.module.remove(graph)
    return expand(lookup(values, graph.results[0]), op.type.shape, [])


def total_order(x: Any) -> Any:
    """Signed integers in the order of IEEE's totalOrder: -nan, -0.0, 0.0, nan."""
    bits = bitcast_convert(x, dtype=_integer("i", x.type.dtype.bits))
    largest = Literal(2 ** (bits.type.dtype.bits - 1) - 1, bits.type.dtype)
    flipped = xor(bits, largest)
    return select(compare(bits, 0, direction="LT"), flipped, bits)


def _integer(prefix: str, bits: int) -> DType:
    return DTYPES[f"{prefix}{bits}"]


def bitcast(op: Operation, x: Operand) -> Any:
    """The bits as another dtype; between widths along a last dimension of parts."""
    wanted, given = op.type.dtype, x.type.dtype
    if wanted is given:
        return x
    if wanted.bits == given.bits:
        return bitcast_convert(x, dtype=wanted)
    return bitcast_reshape(x, dtype=wanted)


# -- rounding --------------------------------------------------------------------------

_FRACTION_BITS = {"f16": 10, "bf16": 7, "f32": 23, "f64": 52}


def reduce_precision(op: Operation, x: Any) -> Any:
    """x rounded to fewer bits of exponent and fraction, as XLA does it on the bits.

    What is too large becomes infinite, what would be subnormal zero.
    """
    dtype = x.type.dtype
    if dtype.name not in _FRACTION_BITS:
        raise op.refuse("the operand must be floating point", str(x.type))
    fraction = _FRACTION_BITS[dtype.name]
    exponent = dtype.bits - 1 - fraction
    kept_exponent = op.attribute("exponent_bits")
    dropped = fraction - op.attribute("mantissa_bits")
    bits = bitcast_convert(x, dtype=_integer("u", dtype.bits))
    integer = bits.type.dtype
    if dropped > 0:
        last = and_(shift_right_logical(bits, dropped), 1)
        bits = add(bits, add(last, (1 << (dropped - 1)) - 1))
        bits = and_(bits, Literal(_ones(integer) ^ ((1 << dropped) - 1), integer))
    if kept_exponent < exponent:
        bias, kept_bias = (1 << (exponent - 1)) - 1, (1 << (kept_exponent - 1)) - 1
        size = and_(bits, ((1 << exponent) - 1) << fraction)
        sign = and_(bits, 1 << (dtype.bits - 1))
        infinite = or_(sign, ((1 << exponent) - 1) << fraction)
        above = compare(size, (bias + kept_bias) << fraction, direction="GT")
        below = compare(size, (bias - kept_bias) << fraction, direction="LE")
        bits = select(below, sign, select(above, infinite, bits))
    rounded = bitcast_convert(bits, dtype=dtype)
    return select(compare(x, x, direction="NE"), x, rounded)


def _ones(dtype: DType) -> int:
    return 2**dtype.bits - 1


IMPORTERS: dict[str, Importer] = {
    "stablehlo.bitcast_convert": bitcast,
    "stablehlo.clamp": clamp_,
    "stablehlo.compare": compare_,
    "stablehlo.convert": convert_,
    "stablehlo.map": map_,
    "stablehlo.reduce_precision": reduce_precision,
}
