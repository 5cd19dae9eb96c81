"""Reverse-mode differentiation: the sweep that gradients are defined by.

The sweep walks a graph backwards and asks each op on the way for its vjp. An op that
is stretched from rank 0 gets the sum of its cotangent here, so no op's rule handles
broadcasting. A composite without a rule of its own stays whole in the forward part;
its pullback, derived from its body, is inlined.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphc.ir.body import as_tuple, call_body
from graphc.ir.build import building, current_builder, inline
from graphc.ir.errors import GraphError, NoGradientError
from graphc.ir.graph import Graph, Node, clone_graph
from graphc.ir.opdef import FLOAT, OPS, OpDef
from graphc.ir.types import DTYPES, DType, TensorType
from graphc.ir.values import Literal, Operand, Value

_STORED = {d for d in DTYPES.values() if d.is_float} - FLOAT
"""Float dtypes that nothing is computed in."""


def differentiate(graph: Graph, wrt: Sequence[int], name: str | None = None) -> Graph:
    """A graph that returns the results of `graph` and gradients of the first one.

    Args:
        graph: The graph to differentiate; its first result must be a float scalar.
        wrt: Positions of the parameters to differentiate with respect to.
        name: The new graph's name in the module of `graph`.

    Returns:
        A new graph in the same module with the same parameters, whose results are
        those of `graph` followed by one gradient per position in `wrt`.

    Raises:
        NoGradientError: If an op on the way from the parameters to the result has no
            gradient; the message gives its reason.
    """
    module = graph.module
    known = set(module.graphs)
    result = clone_graph(graph, module.fresh_name(name or f"{graph.name}_grad"), module)
    try:
        _expand_calls(result)
        check_differentiable(graph, wrt)
        head = result.results[0]
        with building(result):
            gradients = backward(
                result,
                {head: Literal(1.0, head.type.dtype)}
                if isinstance(head, Value)
                else {},
                [result.parameters[i] for i in wrt],
            )
            found = [
                zeros(result.parameters[i].type) if g is None else g
                for i, g in zip(wrt, gradients, strict=True)
            ]
        result.results = [*result.results, *found]
    except BaseException:
        module.remove_since(known)
        raise
    return result


@dataclass(frozen=True, slots=True)
class Sweep:
    """A copy of a graph with the reverse sweep behind its nodes.

    Attributes:
        graph: The copy. Its parameters are those of the graph, then a cotangent for
            each result that has one. It has no results yet.
        forward: The nodes of the graph itself, calls expanded, in order.
        results: The results of the graph.
        gradients: The cotangent of each parameter of the graph; None where nothing
            flows to it or it is not wanted.
    """

    graph: Graph
    forward: tuple[Node, ...]
    results: tuple[Operand, ...]
    gradients: tuple[Operand | None, ...]


def sweep(graph: Graph, flows: Sequence[bool], wanted: Sequence[bool]) -> Sweep:
    """The reverse sweep of a graph that another one calls.

    Args:
        graph: The graph, which stays as it is; the copy is in the same module.
        flows: Which of its results have a cotangent.
        wanted: Of which of its parameters the cotangent is wanted.
    """
    module = graph.module
    copy = clone_graph(graph, module.fresh_name(f"{graph.name}_pullback"), module)
    _expand_calls(copy)
    parameters, forward, results = copy.parameters, tuple(copy.nodes), copy.results
    copy.results = ()
    with building(copy):
        seeds: dict[Value, Operand] = {}
        for result, flag in zip(results, flows, strict=True):
            if flag:
                seed = copy.add_parameter(result.type)
                if isinstance(result, Value):
                    _accumulate(seeds, result, seed)
        targets = [p for p, flag in zip(parameters, wanted, strict=True) if flag]
        found = dict(zip(targets, backward(copy, seeds, targets), strict=True))
    return Sweep(copy, forward, results, tuple([found.get(p) for p in parameters]))


def check_differentiable(graph: Graph, wrt: Sequence[int]) -> None:
    """Raises a `GraphError` unless result and parameters can carry a gradient."""
    types = [p.type for p in graph.parameters]
    if not graph.results or graph.results[0].type.shape != ():
        raise GraphError(
            f"graph @{graph.name}: only a scalar first result has a gradient",
            received=str(graph.results[0].type) if graph.results else "no results",
            hint="reduce it to a scalar, for example with reduce_sum",
        )
    if not graph.results[0].type.dtype.is_float:
        raise GraphError(
            f"graph @{graph.name}: the result to differentiate must be a float",
            received=str(graph.results[0].type),
        )
    for position in wrt:
        if not 0 <= position < len(types) or not types[position].dtype.is_float:
            raise GraphError(
                f"graph @{graph.name}: wrt must name float parameters",
                received=f"{position} of ({', '.join(map(str, types))})",
            )


def _expand_calls(graph: Graph) -> None:
    """Inlines every composite that names graphs, so the sweep sees plain ops."""
    calls = [n for n in graph.nodes if n.op.is_composite and n.op.graph_names(n)]
    while calls:
        node = calls.pop()
        before = node.previous
        with building(graph, before=node, location=node.location):
            results = call_body(node.op, node.operands, node.attributes, graph.module)
        for old, new in zip(node.results, as_tuple(results), strict=True):
            old.replace_uses(new)
        added = node.previous
        while added is not before and added is not None:
            if added.op.is_composite and added.op.graph_names(added):
                calls.append(added)
            added = added.previous
        graph.remove(node)


def backward(
    graph: Graph, seeds: Mapping[Value, Operand], wrt: Sequence[Value]
) -> list[Operand | None]:
    """Adds the reverse sweep of `graph` at the insertion point.

    Args:
        graph: The graph being built, whose nodes so far are swept.
        seeds: Cotangents of values of the graph.
        wrt: The values whose cotangents are wanted.

    Returns:
        The cotangent of each value of `wrt`, or None where nothing flows to it.
    """
    nodes = list(graph.nodes)
    active = dependent_values(nodes, wrt)
    cotangents: dict[Value, Operand] = dict(seeds)
    builder = current_builder()
    outer = builder.location
    for node in reversed(nodes):
        if not any(r in active and r in cotangents for r in node.results):
            continue
        if node.location is not None:
            builder.location = node.location.derive(f"gradient of {node.op.name}")
        try:
            _sweep_node(node, cotangents, active)
        except GraphError as error:
            stored = [o.type.dtype for o in node.operands if o.type.dtype in _STORED]
            if not stored or isinstance(node.op.vjp, str):
                raise
            raise _stored_error(node, stored[0], error) from error
    builder.location = outer
    return [cotangents.get(value) for value in wrt]


def _sweep_node(
    node: Node, cotangents: dict[Value, Operand], active: AbstractSet[Value]
) -> None:
    """Adds what the cotangents of a node's results give those of its operands."""
    for operand, cotangent in zip(
        node.operands, _pull_back(node, cotangents, active), strict=True
    ):
        if cotangent is None or not isinstance(operand, Value):
            continue
        if operand in active:
            _accumulate(cotangents, operand, cotangent)


def _stored_error(node: Node, dtype: DType, error: GraphError) -> NoGradientError:
    return NoGradientError(
        f"{node.op.name} has no gradient in {dtype}: cotangents would be added in"
        " a format that is for storage",
        received=error.message,
        location=node.location,
        hint="convert to f32 before this, and let all uses read that",
    )


def dependent_values(nodes: Iterable[Node], wrt: Iterable[Value]) -> set[Value]:
    """The values of `wrt` and the float results of `nodes` that depend on them."""
    active = set(wrt)
    for node in nodes:
        if any(isinstance(o, Value) and o in active for o in node.operands):
            active.update(r for r in node.results if r.dtype.is_float)
    return active


def _accumulate(
    cotangents: dict[Value, Operand], value: Value, cotangent: Operand
) -> None:
    if value.shape == () and cotangent.type.shape != ():
        axes = list(range(cotangent.type.rank))
        cotangent = OPS["reduce_sum"](cotangent, axes=axes)
    if cotangent.type != value.type:
        raise GraphError(
            f"internal error: the cotangent of a {value.type} is a {cotangent.type}"
        )
    known = cotangents.get(value)
    cotangents[value] = cotangent if known is None else OPS["add"](known, cotangent)


def _pull_back(
    node: Node, cotangents: Mapping[Value, Operand], active: AbstractSet[Value]
) -> Sequence[Operand | None]:
    given = [cotangents.get(r) for r in node.results]
    op = node.op
    if op.pullback is not None:
        return op.pullback(node, given, [o in active for o in node.operands])
    if isinstance(op.vjp, str):
        raise NoGradientError(
            f"{op.name} has no gradient: {op.vjp}",
            location=node.location,
            hint="stop_gradient cuts the flow where no gradient is wanted",
        )
    module = node.graph.module if node.graph else None
    if op.vjp is None:
        return _derived(node, given)
    filled = [
        (zeros(r.type) if r.dtype.is_float else None) if g is None else g
        for r, g in zip(node.results, given, strict=True)
    ]
    single = len(filled) == 1
    found = op.vjp(
        filled[0] if single else tuple(filled),
        node.results[0] if single else node.results,
        *node.operands,
        **op.decode(node.attributes, module),
    )
    return as_tuple(found)


def _derived(node: Node, given: Sequence[Operand | None]) -> Sequence[Operand | None]:
    types = tuple(o.type for o in node.operands)
    flows = tuple(g is not None for g in given)
    attributes = json.dumps(node.attributes, sort_keys=True)
    graph, reached = _pullback_graph(node.op, types, attributes, flows)
    seeds = [g for g in given if g is not None]
    found = iter(inline(graph, [*node.operands, *seeds]))
    return [next(found) if flag else None for flag in reached]


@lru_cache(maxsize=4096)
def _pullback_graph(
    op: OpDef, types: tuple[TensorType, ...], attributes: str, flows: tuple[bool, ...]
) -> tuple[Graph, list[bool]]:
    """Operands and result cotangents to operand cotangents, from the op's body.

    Returns the graph and, for each operand, whether it has a cotangent.
    """
    graph = Graph(f"{op.name}_pullback")
    operands = [graph.add_parameter(type) for type in types]
    with building(graph):
        results = as_tuple(call_body(op, operands, json.loads(attributes)))
        seeds: dict[Value, Operand] = {}
        for result, flag in zip(results, flows, strict=True):
            if flag:
                seed = graph.add_parameter(result.type)
                if isinstance(result, Value):
                    _accumulate(seeds, result, seed)
        wanted = [o for o in operands if o.dtype.is_float]
        gradients = dict(zip(wanted, backward(graph, seeds, wanted), strict=True))
        found = [gradients.get(o) for o in operands]
        graph.results = [g for g in found if g is not None]
    return graph, [g is not None for g in found]


def zeros(type: TensorType) -> Any:
    """A zero of the given type at the insertion point."""
    zero = Literal(0, type.dtype)
    if not type.shape:
        return zero
    return OPS["broadcast_in_dim"](zero, shape=type.shape, dims=[])
