"""Tracing functions of tensors as graphs that a node of the outer trace calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.frontend import trees
from graphc.frontend.tensor import TracedTensor
from graphc.frontend.tracing import Trace, current_trace, value
from graphc.frontend.variables import Variable
from graphc.ir import Graph, Operand, TensorType, Value
from graphc.ir.values import sanitize_name


@dataclass(eq=False)
class Callee:
    """A function that was traced inside another trace.

    Attributes:
        trace: Its trace. The parameters are those it was traced with, then one for
            each value of the outer trace that the function reads.
        inputs: How many parameters it was traced with.
        structure: The structure of what the function returned.
        results: The leaves of that.
    """

    trace: Trace
    inputs: int
    structure: Any
    results: list[Operand]

    @property
    def graph(self) -> Graph:
        """The graph, whose results are for the caller to set."""
        return self.trace.graph

    @property
    def types(self) -> list[TensorType]:
        """The types of the results."""
        return [result.type for result in self.results]

    @property
    def written(self) -> list[Variable]:
        """The variables that the function assigned to, in order."""
        return list(self.trace.written)

    def read(self, variables: Sequence[Variable]) -> list[Operand]:
        """The values of variables at the end of the function."""
        with self.trace():
            return [self.trace.read(v).value for v in variables]

    def outline(self) -> str:
        """The structure of what the function returned, with types as leaves."""
        return outline(self.structure, self.types)

    def discard(self) -> None:
        """Removes the graph from its module."""
        self.graph.module.remove(self.graph)


def traced_callee(
    function: Callable[..., Any],
    name: str,
    arguments: Callable[[list[TracedTensor]], Sequence[Any]],
    types: Sequence[TensorType],
    variables: Sequence[Variable] = (),
    more: Sequence[TensorType] = (),
    inside: Trace | None = None,
) -> Callee:
    """Traces ``function(*arguments(parameters))`` as a graph of the outer module.

    Args:
        function: Takes and returns nested structures of tensors.
        name: The graph's name, if the function has none.
        arguments: What to call the function with, given a tensor for each of `types`
            and of `more`.
        types: The types of the first parameters.
        variables: Variables whose values are the next parameters.
        more: The types of the parameters behind those.
        inside: The outer trace, if not the current one.
    """
    outer = current_trace() if inside is None else inside
    assert outer is not None
    states = [outer.read(v).value.type for v in variables]
    inner = Trace(
        Graph(outer.module.fresh_name(_name(function, name)), outer.module), outer
    )
    try:
        with inner():
            parameters = [inner.parameter(type) for type in types]
            for variable, type in zip(variables, states, strict=True):
                inner.write(variable, inner.parameter(type, variable.path))
            parameters += [inner.parameter(type) for type in more]
            returned = function(*arguments(parameters))
            leaves, structure = trees.flatten(returned)
            results = [value(leaf) for leaf in leaves]
    except BaseException:
        inner.module.remove(inner.graph)
        raise
    return Callee(inner, len(types) + len(states) + len(more), structure, results)


def _name(function: Callable[..., Any], default: str) -> str:
    name = getattr(function, "__name__", "<lambda>")
    return default if name == "<lambda>" else sanitize_name(name)


def captured_operands(*callees: Callee) -> list[Operand]:
    """What the callees read of their outer trace, as operands for calls of all of them.

    Each callee gets a parameter for each operand, in their order.
    """
    outer = callees[0].trace.parent
    assert outer is not None
    wanted = dict.fromkeys(v for callee in callees for v in callee.trace.captured)
    for callee in callees:
        graph = callee.graph
        own = graph.parameters[: callee.inputs]
        read = [callee.trace.capture(v) for v in wanted]
        ordered = [*own, *(p for p in read if isinstance(p, Value))]
        graph.parameters = tuple(ordered)
        for index, parameter in enumerate(ordered):
            parameter.index = index
    return [outer.capture(v) for v in wanted]


def outline(structure: Any, types: Sequence[TensorType]) -> str:
    """A structure with types as leaves, for an error."""
    return str(trees.unflatten(structure, [_Shown(type) for type in types]))


class _Shown:
    def __init__(self, type: TensorType) -> None:
        self.type = type

    def __repr__(self) -> str:
        return str(self.type)
