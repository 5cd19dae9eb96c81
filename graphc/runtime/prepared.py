"""Programs that prepare weights once, and again when there are others."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.passes.prepare_weights import parts
from graphc.runtime.backend import Memory, Packed, Program
from graphc.runtime.kernel_costs import KernelReport

Compile = Callable[[Graph, Sequence[int]], Program]
"""Makes the program of a graph, which may overwrite some of its parameters."""


def compile_prepared(graph: Graph, donate: Sequence[int], compile: Compile) -> Program:
    """The program of a lowered graph, whose prepared part runs once for its weights."""
    found = parts(graph)
    if found is None:
        return compile(graph, donate)
    first = compile(found.first, ())
    return PreparedProgram(first, found.operands, compile(found.rest, donate))


class PreparedProgram:
    """A program of two: the results of the first are kept for the second.

    They are kept as long as the first is given the same arrays, and these exist. Arrays
    of NumPy, which can change, are prepared in each run.

    Args:
        first: The program that prepares.
        operands: The positions of the arrays that it is given.
        rest: The program that is given all arrays, and what the first returns.
    """

    def __init__(
        self, first: Program, operands: tuple[int, ...], rest: Program
    ) -> None:
        self._first = first
        self._operands = operands
        self._rest = rest
        self._kept: tuple[list[weakref.ref[Any]], tuple[Any, ...]] | None = None

    @property
    def text(self) -> str:
        """The text of what prepares, then that of the rest."""
        return f"{self._first.text}\n{self._rest.text}"

    def run(self, *arrays: Any) -> tuple[Any, ...]:
        """The results of the second program."""
        return self._rest.run(*arrays, *self._prepared(arrays))

    def _prepared(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        given = [arrays[position] for position in self._operands]
        kept = self._kept
        if kept is not None and all(
            known() is array for known, array in zip(kept[0], given, strict=True)
        ):
            return kept[1]
        made = tuple(self._first.run(*given))
        if not any(isinstance(array, np.ndarray) for array in given):
            self._kept = [weakref.ref(a, self._forget) for a in given], made
        return made

    def _forget(self, gone: weakref.ref[Any]) -> None:
        """Frees what was made of an array that is gone."""
        if self._kept is not None and any(gone is known for known in self._kept[0]):
            self._kept = None

    def explain(self, error: Exception) -> GraphcError | None:
        """As the second program says."""
        return self._rest.explain(error)

    def place(self, array: Any) -> Any:
        """As the second program does."""
        return self._rest.place(array)

    def pack(self) -> Packed | None:
        """None: what prepares needs the arrays of this process."""
        return None

    def memory(self) -> Memory | None:
        """As the second program says, which is given what is kept."""
        return self._rest.memory()

    def cost(self) -> dict[str, float] | None:
        """As the second program says."""
        return self._rest.cost()

    def kernels(self, *arrays: Any) -> KernelReport | None:
        """As the second program says."""
        prepared = self._prepared(arrays) if arrays else ()
        return self._rest.kernels(*arrays, *prepared)
