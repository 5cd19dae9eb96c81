"""Calling programs with arrays, and saying what was wrong with a call that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph
from graphc.runtime.backend import Runnable

P = TypeVar("P", bound=Runnable)


class CallableProgram(Generic[P]):
    """A program that is called with one array per parameter of its graph.

    Attributes:
        graph: A graph with the program's parameters and results.
        program: What the backend made, or read from a file.
    """

    def __init__(self, graph: Graph, program: P) -> None:
        self.graph = graph
        self.program = program
        self._run = program.run

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        """The results for `arrays`.

        Args:
            *arrays: One array per parameter of the graph, of its shape and dtype.
                Arrays at donated positions must not be used afterwards.

        Returns:
            One array per result, of the backend's own kind.

        Raises:
            GraphError: If the arrays do not fit the parameters.
            CompileError: If the target fails while it runs the graph.
        """
        try:
            return self._run(*arrays)
        except Exception as error:
            # Arrays are looked at only now: a call that fits costs nothing.
            explained = self.program.explain(error)
            if explained is None and isinstance(error, (TypeError, ValueError)):
                explained = find_mismatch(self.graph, arrays)
            if explained is None:
                raise
            raise explained from error


def find_mismatch(graph: Graph, arrays: Sequence[Any]) -> GraphError | None:
    """The error that says which array does not fit its parameter, if one does not."""
    parameters = graph.parameters
    if len(arrays) != len(parameters):
        return GraphError(
            f"graph @{graph.name} takes {len(parameters)} arrays",
            received=str(len(arrays)),
        )
    for parameter, array in zip(parameters, arrays, strict=True):
        shape, dtype = np.shape(array), getattr(array, "dtype", None)
        wanted = parameter.type
        # NumPy says that float64 equals None.
        other = dtype is not None and dtype != wanted.dtype.numpy
        if shape != wanted.shape or other:
            return GraphError(
                f"graph @{graph.name}: parameter %{parameter.name or parameter.index}"
                f" is {wanted}",
                received=f"an array of dtype {dtype} and shape {shape}",
            )
    return None
