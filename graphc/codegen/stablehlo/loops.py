"""The StableHLO of branches and loops: regions that call the functions of graphs.

Regions read values of the function around them; a loop carries only what changes.
XLA inlines the calls.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.codegen.stablehlo.control import comparison
from graphc.codegen.stablehlo.function import FunctionWriter, Lowering
from graphc.codegen.stablehlo.text import block_text, dense_text, function_type, ints
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import Graphs, operand_types
from graphc.ir.types import BOOL, I32, TensorType

_FLAG, _INDEX = TensorType((), BOOL), TensorType((), I32)
_Typed = tuple[str, TensorType]
"""A value's name and type."""


class RegionWriter:
    """The lines of a region as they grow.

    Attributes:
        lines: The lines so far.
    """

    def __init__(self, f: FunctionWriter) -> None:
        self.lines: list[str] = []
        self._f = f

    def define(self, expression: str, wanted: str) -> str:
        """Writes an operation with one result and returns the result's name."""
        name = self._f.fresh(wanted)
        self.lines.append(f"{name} = {expression}")
        return name

    def call(self, graph: Graph, operands: Sequence[_Typed]) -> list[_Typed]:
        """Writes a call of the function that a graph became; returns its results."""
        types = operand_types(graph.results)
        results = [(self._f.fresh("result"), type) for type in types]
        names = ", ".join(name for name, _ in results)
        given = ", ".join(name for name, _ in operands)
        signature = function_type([type for _, type in operands], types)
        callee = self._f.functions[graph.name]
        self.lines.append(f"{names} = func.call @{callee}({given}) : {signature}")
        return results


def cond(f: FunctionWriter, node: Node, *, branches: Graphs) -> None:
    """Writes an ``if`` or a ``case``."""
    (index, *operands), types = _read(f, node), [r.type for r in node.results]
    if index[1].dtype is BOOL:
        operation, ordered, name = "if", branches[::-1], index[0]
    else:  # an index that is too large means the last branch, and so does a negative
        first = f.constant("0", _INDEX)
        name = f.define(f"stablehlo.maximum {index[0]}, {first} : tensor<i32>", "index")
        operation, ordered = "case", branches
    regions: list[str] = []
    for branch in ordered:
        region = RegionWriter(f)
        results = region.call(branch, operands)
        regions.append(block_text([], region.lines, results))
    f.assign(
        node,
        f'"stablehlo.{operation}"({name}) ({", ".join(regions)}) : '
        + function_type([index[1]], types),
    )


def while_(f: FunctionWriter, node: Node, *, cond: Graph, body: Graph) -> None:
    """Writes the loop."""
    carries = _read(f, node)
    arguments = _arguments(f, carries)
    condition, step = RegionWriter(f), RegionWriter(f)
    answer = condition.call(cond, arguments)
    results = step.call(body, arguments)
    f.assign(
        node,
        _while_text(
            carries,
            block_text(arguments, condition.lines, answer),
            block_text(arguments, step.lines, results),
        ),
    )


def scan(
    f: FunctionWriter,
    node: Node,
    *,
    body: Graph,
    length: int,
    carries: int,
    sequences: int,
    reverse: bool,
    recompute: bool,
) -> None:
    """Writes a loop over positions that puts outputs into buffers, in place."""
    operands = _read(f, node)
    state, rest = operands[:carries], operands[carries:]
    stacks = [result.type for result in node.results[carries:]]
    zeros = [dense_text(np.zeros((), type.dtype.numpy)) for type in stacks]
    buffers = [(f.constant(z, t), t) for z, t in zip(zeros, stacks, strict=True)]
    if not length:
        for result, (name, _) in zip(node.results, (*state, *buffers), strict=True):
            f.alias(result, name)
        return
    zero, one = f.constant("0", _INDEX), f.constant("1", _INDEX)
    end, last = f.constant(str(length), _INDEX), f.constant(str(length - 1), _INDEX)
    loop = [(zero, _INDEX), *state, *buffers]
    arguments = _arguments(f, loop)
    (step, _), *current = arguments
    condition, region = RegionWriter(f), RegionWriter(f)
    more = condition.define(comparison("LT", [step, end], _INDEX), "more")
    place = step
    if reverse:
        place = region.define(
            f"stablehlo.subtract {last}, {step} : tensor<i32>", "place"
        )
    elements = [_element(region, x, place, zero) for x in rest[:sequences]]
    results = region.call(body, [*current[:carries], *elements, *rest[sequences:]])
    filled = [
        _updated(region, buffer, output, place, zero)
        for buffer, output in zip(current[carries:], results[carries:], strict=True)
    ]
    following = region.define(f"stablehlo.add {step}, {one} : tensor<i32>", "next")
    returned = [(following, _INDEX), *results[:carries], *filled]
    steps = f.fresh("steps")
    f.assign(
        node,
        _while_text(
            loop,
            block_text(arguments, condition.lines, [(more, _FLAG)]),
            block_text(arguments, region.lines, returned),
        ),
        before=[steps],
    )


def _element(region: RegionWriter, x: _Typed, place: str, zero: str) -> _Typed:
    """One element of the leading dimension of `x`."""
    name, type = x
    element = type.with_shape(type.shape[1:])
    row = type.with_shape((1, *element.shape))
    index = ", ".join([place, *[zero] * element.rank])
    indices = [_INDEX] * type.rank
    sliced = region.define(
        f"stablehlo.dynamic_slice {name}, {index}, sizes = {ints(row.static_shape)} : "
        + function_type([type, *indices], [row]),
        "row",
    )
    types = function_type([row], [element])
    return region.define(f"stablehlo.reshape {sliced} : {types}", "element"), element


def _updated(
    region: RegionWriter, buffer: _Typed, output: _Typed, place: str, zero: str
) -> _Typed:
    """`buffer` with `output` as the element of the leading dimension at `place`."""
    (name, type), (element, element_type) = buffer, output
    row = type.with_shape((1, *element_type.shape))
    types = function_type([element_type], [row])
    reshaped = region.define(f"stablehlo.reshape {element} : {types}", "row")
    index = ", ".join([place, *[zero] * element_type.rank])
    indices = [_INDEX] * type.rank
    types = function_type([type, row, *indices], [type])
    filled = region.define(
        f"stablehlo.dynamic_update_slice {name}, {reshaped}, {index} : {types}",
        "filled",
    )
    return filled, type


def _read(f: FunctionWriter, node: Node) -> list[_Typed]:
    return [(f.operand(operand), operand.type) for operand in node.operands]


def _arguments(f: FunctionWriter, values: Sequence[_Typed]) -> list[_Typed]:
    return [(f.fresh("argument"), type) for _, type in values]


def _while_text(carries: Sequence[_Typed], condition: str, body: str) -> str:
    names = ", ".join(name for name, _ in carries)
    types = [type for _, type in carries]
    regions = f"({condition}, {body})"
    return f'"stablehlo.while"({names}) {regions} : {function_type(types, types)}'


LOWERINGS: dict[str, Lowering] = {
    "cond": cond,
    "scan": scan,
    "while": while_,
}
