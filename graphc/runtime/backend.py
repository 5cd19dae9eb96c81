"""What a backend provides: the compilation of a graph into a program that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from graphc.ir.errors import GraphcError
from graphc.ir.graph import Graph

if TYPE_CHECKING:  # running what was compiled before needs no passes
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


@dataclass(frozen=True, slots=True)
class Packed:
    """What a program was compiled to, as a file can hold it.

    Attributes:
        facts: What made it and what it runs on, as JSON.
        files: Its parts by name. All are native code, or lead to the running of some.
    """

    facts: Mapping[str, Any]
    files: Mapping[str, bytes]


class Runnable(Protocol):
    """What can be called with arrays."""

    @property
    def run(self) -> Callable[..., tuple[Any, ...]]:
        """Takes one array per parameter and returns the tuple of results."""
        ...

    def explain(self, error: Exception) -> GraphcError | None:
        """What an error of a run means, or None if it speaks for itself."""
        ...

    def place(self, array: Any) -> Any:
        """`array` where runs read it without another copy, for arguments that stay."""
        ...


class Program(Runnable, Protocol):
    """A compiled graph."""

    @property
    def text(self) -> str:
        """The text it was compiled from."""
        ...

    def pack(self) -> Packed | None:
        """What the program was compiled to, or None if there is nothing to keep."""
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

    def pipeline(self, device: str | None) -> str:
        """The passes that make a graph fit for `device`; empty for none."""
        ...

    def unavailable(self, device: str | None, packed: bool = False) -> str | None:
        """Why the backend cannot run on `device` here, or None if it can.

        Args:
            device: The device of a target.
            packed: Whether it is only to run what was compiled before.
        """
        ...

    def device_name(self, device: str | None) -> str:
        """What choices of tuning for `device` are about: what runs programs.

        Raises:
            TargetError: If that is a device of this machine and there is none.
        """
        ...

    def emit(self, graph: Graph) -> str:
        """The text that a lowered graph is compiled from."""
        ...

    def unpack(
        self, packed: Packed, graph: Graph, device: str | None, donate: Sequence[int]
    ) -> Runnable | None:
        """The program that `Program.pack` packed, or None if it cannot run here.

        Only for what is trusted: it is native code.

        Args:
            packed: What was packed.
            graph: A graph with the parameters and results of the one it was made from.
            device: The device of the target it was compiled for.
            donate: The parameters that it may overwrite.

        Raises:
            LoadError: If it is damaged.
        """
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
