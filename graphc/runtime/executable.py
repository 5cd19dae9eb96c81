"""Compiled graphs that are called with arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.ir.errors import GraphError
from graphc.ir.graph import Graph
from graphc.passes import Report
from graphc.passes.memory_bill import memory_bill
from graphc.passes.memory_budget import MemoryPlan
from graphc.runtime.backend import Memory, Program
from graphc.runtime.kernel_costs import KernelReport


class Executable:
    """A graph compiled for a target. Call it with one array per parameter.

    Attributes:
        graph: The graph as it was compiled, after the passes.
        target: The name of the target.
        compile_seconds: How long each stage of the compilation took: ``passes``,
            ``emit``, ``compile``.
        report: What the passes did, or None if none ran.
        program: The backend's own object; for XLA its ``jitted`` is a jax function.
    """

    def __init__(
        self,
        graph: Graph,
        target: str,
        program: Program,
        compile_seconds: Mapping[str, float],
        report: Report | None = None,
        donated: Sequence[int] = (),
        memory_plan: MemoryPlan | None = None,
    ) -> None:
        self.graph = graph
        self.target = target
        self.compile_seconds = dict(compile_seconds)
        self.report = report
        self._donated = tuple(donated)
        self._memory_plan = memory_plan
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

    @property
    def text(self) -> str:
        """The text that the target compiled: StableHLO for XLA."""
        return self.program.text

    def memory(self) -> Memory | None:
        """The memory of one run, or None where the target does not know."""
        return self.program.memory()

    def memory_plan(self) -> MemoryPlan:
        """What memory a run is predicted to need, and what for; print it for a bill.

        It says too what was done to fit into the budget that the compile was given.
        """
        if self._memory_plan is None:
            self._memory_plan = MemoryPlan(memory_bill(self.graph, self._donated))
        return self._memory_plan

    def cost(self) -> dict[str, float] | None:
        """The target's estimates of one run, or None where it has none."""
        return self.program.cost()

    def kernels(self, *arrays: Any) -> KernelReport | None:
        """What each kernel costs; print it for a table.

        Launches, grid, bytes, floating-point operations and the time that a GPU needs
        for them at least. None where graphc does not make the kernels, as for XLA.

        Args:
            *arrays: One array per parameter, to run the graph once and measure how long
                each kernel takes. They stay as they are.
        """
        return self.program.kernels(*arrays)

    def __repr__(self) -> str:
        seconds = sum(self.compile_seconds.values())
        return f"<Executable @{self.graph.name} for {self.target}, {seconds:.2f} s>"


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
