"""What a backend provides: the compilation of a graph into a program that runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph
from graphc.runtime.kernel_costs import KernelReport
from graphc.runtime.stages import Stages


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory that one run takes, in bytes.

    Attributes:
        parameters: The arrays that are passed in.
        results: The arrays that are returned.
        aliased: The part of the results that reuses donated parameters.
        temporaries: What is held only while the program runs.
        code: The compiled program.
    """

    parameters: int
    results: int
    aliased: int
    temporaries: int
    code: int

    @property
    def peak(self) -> int:
        """The most that is held at one time."""
        return self.parameters + self.results - self.aliased + self.temporaries


class Program(Protocol):
    """A compiled graph."""

    @property
    def text(self) -> str:
        """The text it was compiled from."""
        ...

    @property
    def run(self) -> Callable[..., tuple[Any, ...]]:
        """Takes one array per parameter and returns the tuple of results."""
        ...

    def explain(self, error: Exception) -> GraphcError | None:
        """What an error of a run means, or None if it speaks for itself."""
        ...

    def memory(self) -> Memory | None:
        """The memory of one run, or None where the backend does not know."""
        ...

    def cost(self) -> dict[str, float] | None:
        """The backend's estimates, such as ``flops``, or None where it has none."""
        ...

    def kernels(self, *arrays: Any) -> KernelReport | None:
        """What each kernel costs, or None where others choose the kernels."""
        ...


class Backend(Protocol):
    """A module that compiles graphs for one kind of target."""

    @property
    def PIPELINE(self) -> str:  # noqa: N802
        """The passes that make a graph fit for the backend."""
        ...

    def unavailable(self, device: str | None) -> str | None:
        """Why the backend cannot run on `device` here, or None if it can."""
        ...

    def emit(self, graph: Graph) -> str:
        """The text that a lowered graph is compiled from."""
        ...

    def compile(
        self,
        graph: Graph,
        device: str | None,
        donate: Sequence[int],
        stages: Stages,
    ) -> Program:
        """The program of a lowered graph; `donate` lists parameters it may overwrite."""
        ...
