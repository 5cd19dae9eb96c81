"""The numpy target: the reference evaluator, one op after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.ir.errors import GraphcError
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.runtime.backend import Memory, Packed
from graphc.runtime.kernel_costs import KernelReport
from graphc.runtime.processor import processor_name
from graphc.runtime.stages import Stages


class NumpyProgram:
    """A graph that is evaluated whenever it is called."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @property
    def text(self) -> str:
        """The graph's own text."""
        return str(self._graph)

    def run(self, *arrays: Any) -> tuple[Any, ...]:
        """The results as NumPy arrays."""
        return evaluate(self._graph, *arrays)

    def explain(self, error: Exception) -> GraphcError | None:
        """None: the evaluator's errors are graphc's own."""
        return None

    def place(self, array: Any) -> Any:
        """`array` itself."""
        return array

    def pack(self) -> Packed | None:
        """None: the graph is all there is."""
        return None

    def memory(self) -> Memory | None:
        """Not known."""
        return None

    def cost(self) -> dict[str, float] | None:
        """Not known."""
        return None

    def kernels(self, *arrays: Any) -> KernelReport | None:
        """None: there are none."""
        return None


def pipeline(device: str | None) -> str:
    """No passes: every op is evaluated as it stands."""
    return ""


def unavailable(device: str | None, packed: bool = False) -> str | None:
    """None: NumPy is always there."""
    return None


def device_name(device: str | None) -> str:
    """The processor."""
    return f"numpy on {processor_name()}"


def unpack(
    packed: Packed, graph: Graph, device: str | None, donate: Sequence[int]
) -> NumpyProgram | None:
    """None: nothing is ever packed."""
    return None


def emit(graph: Graph) -> str:
    """The text of the graph itself."""
    return str(graph)


def compile(
    graph: Graph, device: str | None, donate: Sequence[int], stages: Stages
) -> NumpyProgram:
    """The program that evaluates `graph`; donated arrays are left alone."""
    return NumpyProgram(graph)
