"""Calls, branches, loops, and operations that mean nothing to the results."""

from __future__ import annotations

from typing import Any

from graphc.importers.stablehlo.function import (
    Importer,
    Operation,
    captured_operands,
    captured_values,
    region_graph,
)
from graphc.ir import ops
from graphc.ir.values import Literal, Operand


def call(op: Operation, *operands: Operand) -> Any:
    """A call of the graph that the function became."""
    return _called(op, op.attribute("callee"), operands)


def composite(op: Operation, *operands: Operand) -> Any:
    """A call of the composite's decomposition, which says what it means."""
    for name in ("name", "composite_attributes", "version"):
        op.attribute(name)
    return _called(op, op.attribute("decomposition"), operands)


def _called(op: Operation, symbol: str, operands: Any) -> Any:
    graph = op.reader.session.graphs[symbol]
    if not op.raw.results:
        return ()
    return ops.call(*operands, graph=graph)


def identity(op: Operation, x: Operand) -> Any:
    """The operand: an annotation of its placement."""
    for name in op.raw.attributes:
        op.attribute(name)
    return x


def optimization_barrier(op: Operation, *operands: Operand) -> Any:
    """A barrier."""
    return ops.optimization_barrier(*operands)


def if_(op: Operation, predicate: Operand) -> Any:
    """A choice between two graphs, which take what the branches read."""
    holds, fails = op.raw.regions
    return _choice(op, predicate, [fails, holds])


def case(op: Operation, index: Any) -> Any:
    """A choice among graphs; an index out of range means the last one."""
    branches = list(op.raw.regions)
    if isinstance(index, Literal):
        chosen = index.value if 0 <= index.value < len(branches) else -1
        index = Literal(chosen % len(branches), index.dtype)
    else:
        below = ops.compare(index, 0, direction="LT")
        index = ops.select(below, len(branches) - 1, index)
    return _choice(op, index, branches)


def _choice(op: Operation, index: Any, regions: Any) -> Any:
    if not op.raw.results:
        return ()
    captured = captured_values(regions)
    graphs = [region_graph(op, region, "branch", captured) for region in regions]
    operands = captured_operands(op.reader, captured)
    return ops.cond(index, *operands, branches=graphs)


def while_(op: Operation, *operands: Operand) -> Any:
    """A loop, which also carries what its regions read from outside."""
    if not operands:
        raise op.refuse("a loop must carry values")
    cond, body = op.raw.regions
    captured = captured_values([cond, body])
    condition = region_graph(op, cond, "cond", captured)
    step = region_graph(op, body, "body", captured)
    step.results = (*step.results, *step.parameters[len(operands) :])
    outside = captured_operands(op.reader, captured)
    found = ops.while_(*operands, *outside, cond=condition, body=step)
    results = found if isinstance(found, tuple) else (found,)
    return results[: len(operands)]


IMPORTERS: dict[str, Importer] = {
    "func.call": call,
    "sdy.sharding_constraint": identity,
    "stablehlo.case": case,
    "stablehlo.composite": composite,
    "stablehlo.if": if_,
    "stablehlo.optimization_barrier": optimization_barrier,
    "stablehlo.while": while_,
}
