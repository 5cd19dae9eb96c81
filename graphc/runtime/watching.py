"""Programs that say where a NaN or an infinity comes from as soon as there is one."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.errors import GraphcError, NonFiniteError
from graphc.ir.graph import Graph
from graphc.ir.nonfinite import NonFinite, find_nonfinite
from graphc.runtime.backend import Memory, Packed, Program
from graphc.runtime.kernel_costs import KernelReport


class WatchedProgram:
    """A program whose last result says whether the others are finite.

    If they are not, the graph runs again, node by node on the evaluator, with the same
    arrays; so none of them may be donated. If it was their state that was not finite,
    the run before made that, so its arrays are kept until the next run.

    Args:
        program: The compiled program of a graph that `graphc.ir.nonfinite.watched` made.
        graph: The graph as it was before.
        lowered: The graph that was compiled, whose precision may be another.
    """

    def __init__(self, program: Program, graph: Graph, lowered: Graph) -> None:
        self._program = program
        self._graph = graph
        self._lowered = lowered
        self._previous: tuple[Any, ...] | None = None

    @property
    def text(self) -> str:
        """The text that the program was compiled from."""
        return self._program.text

    def run(self, *arrays: Any) -> tuple[Any, ...]:
        """The results of the program.

        Raises:
            NonFiniteError: If one of them is not finite.
        """
        *results, finite = self._program.run(*arrays)
        if not np.asarray(finite).item():
            raise self._error(arrays)
        self._previous = arrays
        return tuple(results)

    def _error(self, arrays: tuple[Any, ...]) -> NonFiniteError:
        found = self._find(arrays)
        if found is not None and found.is_state and self._previous is not None:
            earlier = self._find(self._previous)
            if earlier is not None:
                error = earlier.error()
                error.message = f"in the run before, {error.message}"
                return error
        if found is not None:
            return found.error()
        return NonFiniteError(
            f"a result of @{self._graph.name} is not finite, where the evaluator's is"
            " finite or an infinity that the program writes itself",
            hint="graphc vote tells which node differs",
        )

    def _find(self, arrays: tuple[Any, ...]) -> NonFinite | None:
        found = find_nonfinite(self._graph, arrays)
        return found or find_nonfinite(self._lowered, arrays)

    def explain(self, error: Exception) -> GraphcError | None:
        """As the program says."""
        return self._program.explain(error)

    def place(self, array: Any) -> Any:
        """As the program does."""
        return self._program.place(array)

    def pack(self) -> Packed | None:
        """None: what is watched is not kept."""
        return None

    def memory(self) -> Memory | None:
        """As the program says."""
        return self._program.memory()

    def cost(self) -> dict[str, float] | None:
        """As the program says."""
        return self._program.cost()

    def kernels(self, *arrays: Any) -> KernelReport | None:
        """As the program says."""
        return self._program.kernels(*arrays)
