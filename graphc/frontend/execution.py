"""Where the frontend meets the runtime: the only frontend module that imports it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir import Graph, evaluate
from graphc.runtime.compile import Executable, compile_graph
from graphc.runtime.targets import find_target

__all__ = ["compile_step", "find_target", "is_small", "run_once"]

SMALL = 1 << 16
"""Eager graphs that touch fewer elements than this run on the evaluator: cheaper than
compiling, and the reference for what they mean."""

_EAGER: dict[str, Executable] = {}


def compile_step(
    graph: Graph, target: str, donate: Sequence[int] = (), passes: str | None = None
) -> Executable:
    """An executable for a bound graph: arrays in, a sequence of arrays out.

    Args:
        graph: The graph; its dims are integers.
        target: The name of a target, such as ``xla`` or ``numpy``.
        donate: Positions of parameters whose buffers the results may reuse.
        passes: The pipeline to run instead of the target's own.
    """
    return compile_graph(graph, target=target, pipeline=passes, donate=donate)


def run_once(graph: Graph, arrays: Sequence[Any]) -> Sequence[Any]:
    """The results of a bound graph, without keeping an executable for small ones."""
    if is_small(graph, arrays):
        return evaluate(graph, *arrays)
    text = str(graph)
    executable = _EAGER.get(text)
    if executable is None:
        executable = _EAGER[text] = compile_graph(graph, target="xla")
    return executable(*arrays)


def is_small(graph: Graph, arrays: Sequence[Any]) -> bool:
    """Whether a graph on these arrays is better evaluated than compiled."""
    if any(not isinstance(a, np.ndarray) for a in arrays):
        return False
    types = [r.type for node in graph.nodes for r in node.results]
    types += [p.type for p in graph.parameters]
    return sum(t.size for t in types) < SMALL
