"""The StableHLO of sorting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.codegen.stablehlo.control import comparison
from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import (
    dense_text,
    function_type,
    region_text,
    type_text,
    types_text,
)
from graphc.ir.graph import Node
from graphc.ir.types import BOOL, TensorType


def sort(
    f: FunctionWriter, node: Node, *, axis: int, descending: bool, keys: int
) -> None:
    """Writes a stable sort by the first operands; nan counts as the largest element."""
    elements = [TensorType((), operand.type.dtype) for operand in node.operands]
    # Two arguments of each operand, side by side; those of the keys decide.
    arguments = [(f.fresh(name), element) for element in elements for name in "ab"]
    order = _Order(f, descending)
    before = ""
    for key in reversed(range(keys)):
        pair = [arguments[2 * key][0], arguments[2 * key + 1][0]]
        before = order.by(pair, elements[key], before)
    region = region_text(arguments, order.lines, before, TensorType((), BOOL))
    f.assign(
        node,
        f'"stablehlo.sort"({f.operands(node)}) <{{'
        f"dimension = {axis} : i64, is_stable = true}}> ({region}) : {f.signature(node)}",
    )


class _Order:
    """The lines that decide whether one of two elements comes before the other.

    Attributes:
        lines: The lines so far.
    """

    def __init__(self, f: FunctionWriter, descending: bool) -> None:
        self.lines: list[str] = []
        self._f = f
        self._descending = descending

    def by(self, pair: Sequence[str], element: TensorType, tied: str) -> str:
        """The name of the answer; `tied` is the one for a pair that ties, if any."""
        first = self._before(pair, element)
        if not tied:
            return first
        behind = self._before(pair[::-1], element)
        level = self._logic("not", behind)
        return self._logic("or", first, self._logic("and", level, tied))

    def _before(self, pair: Sequence[str], element: TensorType) -> str:
        direction = "GT" if self._descending else "LT"
        ordered = self._line("ordered", comparison(direction, pair, element))
        if not element.dtype.is_float:
            return ordered
        # A nan is above every number, and no nan comes before another.
        lower, higher = pair[::-1] if self._descending else pair
        is_nan = self._line("is_nan", comparison("NE", [higher, higher], element))
        is_number = self._line("is_number", comparison("EQ", [lower, lower], element))
        above = self._logic("and", is_nan, is_number, wanted="above")
        return self._logic("or", ordered, above)

    def _logic(self, operation: str, *names: str, wanted: str = "before") -> str:
        text = f"stablehlo.{operation} {', '.join(names)} : tensor<i1>"
        return self._line(wanted, text)

    def _line(self, wanted: str, expression: str) -> str:
        name = self._f.fresh(wanted)
        self.lines.append(f"{name} = {expression}")
        return name


def top_k(f: FunctionWriter, node: Node, *, k: int) -> None:
    """Writes the client operation, which orders by bits, after making all nans one."""
    type = node.operands[0].type
    x = f.operands(node)
    if type.dtype.is_float:
        is_nan = f.define(comparison("NE", [x, x], type), "is_nan")
        nan = f.constant(dense_text(np.array(np.nan, type.dtype.numpy)), type)
        types = function_type([type.with_dtype(BOOL), type, type], [type])
        x = f.define(f"stablehlo.select {is_nan}, {nan}, {x} : {types}", "ordered")
    results = types_text(result.type for result in node.results)
    f.assign(node, f"chlo.top_k({x}, k = {k}) : {type_text(type)} -> ({results})")


LOWERINGS: dict[str, Lowering] = {"sort": sort, "top_k": top_k}
