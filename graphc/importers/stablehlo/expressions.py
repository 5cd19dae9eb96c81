"""What a small region computes, as an expression that can be compared with others.

An argument is its number; a constant is ``("constant", bits)``; an operation is
``(name, attribute, ..., operand, ...)`` without its dialect.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from graphc.importers.stablehlo.function import TERMINATORS
from graphc.importers.stablehlo.types import read_elements, read_type
from graphc.ir.types import BOOL

Expression: TypeAlias = Any
"""An integer, or a tuple of a name, attributes and expressions."""

MAX_OPERATIONS = 64
"""Larger regions are not looked at."""

_PLAIN = {
    *("add", "multiply", "maximum", "minimum", "and", "or", "xor", "select", "not"),
}
OF_BOOL = {"add": "or", "maximum": "or", "multiply": "and", "minimum": "and"}
"""What operations on bool do."""


def region_results(region: ir.Region) -> tuple[Expression, ...] | None:
    """What the region returns, or None if it is not made of plain scalar operations."""
    (block,) = region.blocks
    found: dict[ir.Value, Expression] = {a: i for i, a in enumerate(block.arguments)}
    for number, each in enumerate(block.operations):
        raw = each.operation
        operands = [found.get(operand) for operand in raw.operands]
        if None in operands or number > MAX_OPERATIONS:
            return None
        if raw.name in TERMINATORS:
            return tuple(operands)
        expression = _expression(raw, operands)
        if expression is None:
            return None
        found[raw.result] = expression
    return None


def _expression(raw: ir.Operation, operands: list[Expression]) -> Expression | None:
    dialect, _, name = raw.name.partition(".")
    if dialect != "stablehlo":
        return None
    if name in _PLAIN:
        of_bool = read_type(raw.operands[0].type).dtype is BOOL
        return (OF_BOOL.get(name, name) if of_bool else name, *operands)
    if name == "constant":
        type = read_type(raw.result.type)
        element, _ = read_elements(raw.attributes["value"], type, None)
        return ("constant", element.tobytes())
    if name == "compare":
        return ("compare", *comparison(raw), *operands)
    return None


def comparison(raw: ir.Operation) -> tuple[str, bool]:
    """The direction of a comparison, and whether it is by total order."""
    attributes = raw.attributes
    direction = stablehlo.ComparisonDirectionAttr(attributes["comparison_direction"])
    kind = "FLOAT"
    if "compare_type" in attributes:
        kind = stablehlo.ComparisonTypeAttr(attributes["compare_type"]).value
    return direction.value, kind == "TOTALORDER"
