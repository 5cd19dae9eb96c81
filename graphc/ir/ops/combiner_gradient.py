"""The gradients of reductions by a graph: those of what the graph stands for.

A reduction by one addition, product, maximum or minimum is the reduction of that name.
By any other graph, tensors are combined element after element by a loop, and those
under windows place after place; what these have as gradients is the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.ir.body import as_tuple
from graphc.ir.build import building, inline
from graphc.ir.differentiate import sweep
from graphc.ir.graph import Graph, Node, lookup
from graphc.ir.opdef import IntLists, Ints, OpDef
from graphc.ir.ops.elementwise import add, maximum, minimum, multiply
from graphc.ir.ops.loops import scan
from graphc.ir.ops.reduction import reduce_max, reduce_min, reduce_prod, reduce_sum
from graphc.ir.ops.shape import broadcast_in_dim, pad, reshape, transpose
from graphc.ir.ops.window import (
    Windows,
    reduce_window_max,
    reduce_window_min,
    reduce_window_sum,
)
from graphc.ir.types import product
from graphc.ir.values import Operand, Value

_OVER_AXES = {
    add: reduce_sum,
    multiply: reduce_prod,
    maximum: reduce_max,
    minimum: reduce_min,
}
_OVER_WINDOWS = {
    add: reduce_window_sum,
    maximum: reduce_window_max,
    minimum: reduce_window_min,
}
"""The reductions by each op; all of them have gradients."""


def combined(graph: Graph, operands: Sequence[Any]) -> list[Any]:
    """What a graph of elementwise ops on elements makes of whole tensors."""
    values: dict[Value, Operand] = dict(zip(graph.parameters, operands, strict=True))
    for node in graph.nodes:
        read = [lookup(values, operand) for operand in node.operands]
        called = [graph.module.graphs[name] for name in node.op.graph_names(node)]
        if called:
            found: Sequence[Any] = combined(called[0], read)
        else:
            attributes = node.op.decode(node.attributes, graph.module)
            found = as_tuple(node.op(*read, **attributes))
        values.update(zip(node.results, found, strict=True))
    return [lookup(values, result) for result in graph.results]


def reduce_pullback(
    node: Node, cotangents: Sequence[Operand | None], wanted: Sequence[bool]
) -> list[Operand | None]:
    """The cotangents of the operands of `reduce`."""
    return _pullback(node, cotangents, wanted, _fold)


def reduce_window_pullback(
    node: Node, cotangents: Sequence[Operand | None], wanted: Sequence[bool]
) -> list[Operand | None]:
    """The cotangents of the operands of `reduce_window`."""
    return _pullback(node, cotangents, wanted, _fold_windows)


def _pullback(
    node: Node,
    cotangents: Sequence[Operand | None],
    wanted: Sequence[bool],
    compute: Callable[..., Sequence[Any]],
) -> list[Operand | None]:
    """The gradient of `compute`, which gives the results of a node by other ops."""
    assert node.graph is not None
    module = node.graph.module
    same = Graph(module.fresh_name(f"{node.op.name}_by_parts"), module)
    same.ranges = node.graph.ranges
    operands = [same.add_parameter(operand.type) for operand in node.operands]
    attributes = node.op.decode(node.attributes, module)
    count = len(operands) // 2
    with building(same):
        results = compute(node, operands[:count], operands[count:], **attributes)
        same.results = [
            _in_shape(found, result.type.shape)
            for found, result in zip(results, node.results, strict=True)
        ]
    swept = sweep(same, [g is not None for g in cotangents], wanted)
    swept.graph.results = [g for g in swept.gradients if g is not None]
    swept.graph.remove_unread()
    seeds = [g for g in cotangents if g is not None]
    found = iter(inline(swept.graph, [*node.operands, *seeds]))
    module.remove(same)
    module.remove(swept.graph)
    return [None if g is None else next(found) for g in swept.gradients]


def _in_shape(x: Any, shape: Sequence[Any]) -> Any:
    return x if x.type.shape == shape else broadcast_in_dim(x, shape=shape, dims=[])


def _named(graph: Graph, table: dict[OpDef, OpDef]) -> tuple[OpDef, OpDef] | None:
    """The op that a graph consists of, and the reduction by it, if there is one."""
    nodes = list(graph.nodes)
    if len(nodes) != 1 or list(graph.results) != list(nodes[0].results):
        return None
    (node,) = nodes
    called = [graph.module.graphs[name] for name in node.op.graph_names(node)]
    if called and tuple(node.operands) == tuple(graph.parameters):
        return _named(called[0], table)
    if set(node.operands) != set(graph.parameters) or node.op not in table:
        return None
    return node.op, table[node.op]


def _fold(
    node: Node, tensors: Sequence[Any], starts: Sequence[Any], graph: Graph, axes: Ints
) -> Sequence[Any]:
    """The results of `reduce`, element after element unless the graph has a name."""
    if named := _named(graph, _OVER_AXES):
        combine, reduction = named
        return [combine(starts[0], reduction(tensors[0], axes=axes))]
    shape = node.results[0].shape
    kept = [d for d in range(tensors[0].type.rank) if d not in axes]
    length = product(tensors[0].shape[d] for d in axes)
    lined = [
        reshape(transpose(x, permutation=[*axes, *kept]), shape=[length, *shape])
        for x in tensors
    ]
    module = graph.module
    body = Graph(module.fresh_name(f"{graph.name}_of_tensors"), module)
    types = [result.type for result in node.results]
    with building(body):
        elements = [body.add_parameter(type) for type in [*types, *types]]
        body.results = [_in_shape(y, shape) for y in combined(graph, elements)]
    count = len(tensors)
    carries = [_in_shape(start, shape) for start in starts]
    found = scan(
        *carries, *lined, body=body, length=length, carries=count, sequences=count
    )
    return as_tuple(found)


def _fold_windows(
    node: Node,
    tensors: Sequence[Any],
    starts: Sequence[Any],
    graph: Graph,
    window: Ints,
    strides: Ints,
    padding: IntLists,
    dilation: Ints | None,
) -> Sequence[Any]:
    """The results of `reduce_window`, place after place unless the graph has a name."""
    placing: dict[str, Any] = {
        "window": window,
        "strides": strides,
        "padding": padding,
        "dilation": dilation,
    }
    if named := _named(graph, _OVER_WINDOWS):
        combine, reduction = named
        return [combine(starts[0], reduction(tensors[0], **placing))]
    walk = Windows(tensors[0].type, node.results[0].type, **placing)
    padded = [
        pad(x, start, low=walk.low, high=walk.high)
        for x, start in zip(tensors, starts, strict=True)
    ]
    total = list(starts)
    for first in walk.places() if not walk.empty else ():
        total = combined(graph, [*total, *(walk.take(x, first) for x in padded)])
    return total
