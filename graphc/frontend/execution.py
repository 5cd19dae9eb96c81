"""Where the frontend meets the runtime: the only frontend module that imports it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.artifacts.building import Source as ArtifactSource
from graphc.artifacts.building import write_artifact
from graphc.artifacts.contents import STEPS
from graphc.artifacts.contents import SUFFIX as ARTIFACT_SUFFIX
from graphc.artifacts.contract import Contract, Sizes
from graphc.ir import Graph, evaluate
from graphc.ir.dims import Dim
from graphc.ir.evaluate import Evaluator
from graphc.runtime.compile import Executable, compile_graph
from graphc.runtime.options import NAN, CompileOptions
from graphc.runtime.targets import find_target
from graphc.tuning.locked import compile_as_asked

__all__ = [
    "ARTIFACT_SUFFIX",
    "NAN",
    "STEPS",
    "ArtifactSource",
    "CompileOptions",
    "Contract",
    "Sizes",
    "compile_step",
    "eager_executable",
    "evaluate_small",
    "find_target",
    "is_small",
    "run_once",
    "write_artifact",
]

SMALL = 1 << 16
"""Eager graphs that touch fewer elements than this run on the evaluator: cheaper than
compiling, and the reference for what they mean."""


def compile_step(
    graph: Graph,
    options: CompileOptions,
    donate: Sequence[int] = (),
    bindings: Mapping[str, int] | None = None,
) -> Executable:
    """An executable for a graph: arrays in, a sequence of arrays out.

    State that is not donated is prepared, and must not change in place.

    Args:
        graph: The graph.
        options: What the user asks for.
        donate: Positions of parameters whose buffers the results may reuse.
        bindings: The sizes of its dimension symbols.
    """
    return compile_as_asked(graph, options, donate, bindings, prepare=True)


def run_once(graph: Graph, arrays: Sequence[Any]) -> Sequence[Any]:
    """The results of a bound graph that is run once."""
    if is_small(graph):
        return evaluate_small(graph, arrays)
    return compile_graph(graph)(*arrays)


def evaluate_small(graph: Graph, arrays: Sequence[Any]) -> Sequence[Any]:
    """The results of a bound graph from the evaluator."""
    return evaluate(graph, *(np.asarray(a) for a in arrays))


def is_small(graph: Graph) -> bool:
    """Whether a bound graph is better evaluated than compiled."""
    return _elements(graph) < SMALL


def _elements(graph: Graph) -> Dim:
    """The elements of all values of a bound graph, at all steps of its loops."""
    total = sum(p.type.size for p in graph.parameters)
    for node in graph.nodes:
        total += sum(r.type.size for r in node.results)
        for name in node.op.graph_names(node):
            callee = graph.module.graphs[name]
            total += node.op.trip_count(node) * _elements(callee)
    return total


def eager_executable(graph: Graph) -> Callable[..., Sequence[Any]]:
    """What runs a bound graph again and again; arrays must be of its types."""
    if not is_small(graph):
        return compile_graph(graph)
    evaluator = Evaluator({})

    def run(*arrays: Any) -> Sequence[Any]:
        with np.errstate(all="ignore"):
            return evaluator.run(graph, *map(np.asarray, arrays))

    return run
