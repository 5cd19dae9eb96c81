"""The StableHLO of reductions, scans and positions of extremes."""

from __future__ import annotations

from graphc.codegen.combining import COMBINING, accumulator, neutral
from graphc.codegen.stablehlo.control import comparison
from graphc.codegen.stablehlo.cropping import Cropping
from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import (
    dense_text,
    function_type,
    int_array,
    ints,
    padding_matrix,
    type_text,
)
from graphc.ir.graph import Node
from graphc.ir.opdef import Ints
from graphc.ir.types import BOOL, I32, TensorType


class Combination:
    """The operation that combines many elements of a node's operand into each result.

    Sums and products of narrow floats are kept in float32 and rounded at the end.

    Attributes:
        x: The name of the operand, widened if need be.
        init: The name of the element that combining starts with.
        operation: The StableHLO operation that combines two elements.
        element: The type of the elements that are combined.
        types: The function type of the operation as a whole.
    """

    def __init__(self, f: FunctionWriter, node: Node) -> None:
        name = COMBINING[node.op.name]
        given, result = node.operands[0].type, node.result.type
        kept = accumulator(given.dtype) if name in ("add", "multiply") else given.dtype
        self._f, self._node = f, node
        self._read, self._computed = given.with_dtype(kept), result.with_dtype(kept)
        self.operation = f"stablehlo.{name}"
        self.element = TensorType((), kept)
        self.x = f.converted(f.operands(node), given, kept)
        self.init = f.constant(dense_text(neutral(name, kept)), self.element)
        self._set_types()

    def _set_types(self) -> None:
        self.types = function_type([self._read, self.element], [self._computed])

    def crop(self, cropping: Cropping) -> None:
        """Cuts off of the operand what padding takes away."""
        x, read = self.x, self._read
        self.x, self._read = cropping.crop(self._f, x, read, self.init)
        self._set_types()

    def assign(self, expression: str) -> None:
        """Writes the operation, and the rounding to the node's own dtype."""
        self._f.assign_rounded(self._node, expression, self._computed)


def reduce(f: FunctionWriter, node: Node, *, axes: Ints) -> None:
    """Writes a reduction over axes."""
    c = Combination(f, node)
    c.assign(
        f"stablehlo.reduce({c.x} init: {c.init}) applies {c.operation} "
        f"across dimensions = {ints(axes)} : {c.types}"
    )


def scan(f: FunctionWriter, node: Node, *, axis: int, reverse: bool) -> None:
    """Writes a scan as a window over everything before, which XLA makes a tree of."""
    shape = node.result.type.static_shape
    if 0 in shape:  # no window has size 0
        f.alias(node.result, f.operands(node))
        return
    c = Combination(f, node)
    window = [size if d == axis else 1 for d, size in enumerate(shape)]
    reach = [(0, size - 1) if reverse else (size - 1, 0) for size in window]
    c.assign(
        f'"stablehlo.reduce_window"({c.x}, {c.init}) <{{'
        f"window_dimensions = {int_array(window)}, "
        f"padding = {padding_matrix(reach)}"
        f"}}> ({f.combining(c.operation, c.element)}) : {c.types}"
    )


def extreme_position(f: FunctionWriter, node: Node, *, axis: int) -> None:
    """Writes argmax or argmin: the first position that holds the extreme, or a nan.

    Two plain reductions are faster on XLA:CPU than one over pairs.
    """
    largest = node.op.name == "argmax"
    operation = "maximum" if largest else "minimum"
    type, result = node.operands[0].type, node.result.type
    x, shape = f.operands(node), type.static_shape
    reduced = type.with_shape(result.shape)
    kept_axes = [d for d in range(type.rank) if d != axis]

    init = f.constant(
        dense_text(neutral(operation, type.dtype)), TensorType((), type.dtype)
    )
    found = f.define(_reduction(x, init, operation, axis, type, reduced), "extreme")
    spread = f.define(
        f"stablehlo.broadcast_in_dim {found}, dims = {ints(kept_axes)} : "
        + function_type([reduced], [type]),
        "spread",
    )
    flags = type.with_dtype(BOOL)
    here = f.define(comparison("EQ", [x, spread], type), "here")
    if type.dtype.is_float:
        nan = f.define(comparison("NE", [x, x], type), "nan")
        here = f.define(f"stablehlo.or {here}, {nan} : {type_text(flags)}", "here")

    places = type.with_dtype(I32)
    place = f.define(f"stablehlo.iota dim = {axis} : {type_text(places)}", "place")
    nowhere = f.constant(str(shape[axis]), places)
    types = function_type([flags, places, places], [places])
    place = f.define(f"stablehlo.select {here}, {place}, {nowhere} : {types}", "place")
    end = f.constant(str(shape[axis]), TensorType((), I32))
    f.assign(node, _reduction(place, end, "minimum", axis, places, result))


def _reduction(
    x: str, init: str, operation: str, axis: int, given: TensorType, result: TensorType
) -> str:
    types = function_type([given, TensorType((), given.dtype)], [result])
    return (
        f"stablehlo.reduce({x} init: {init}) applies stablehlo.{operation} "
        f"across dimensions = [{axis}] : {types}"
    )


LOWERINGS: dict[str, Lowering] = {
    "argmax": extreme_position,
    "argmin": extreme_position,
    "cumulative_max": scan,
    "cumulative_prod": scan,
    "cumulative_sum": scan,
    "reduce_and": reduce,
    "reduce_max": reduce,
    "reduce_min": reduce,
    "reduce_or": reduce,
    "reduce_prod": reduce,
    "reduce_sum": reduce,
}
