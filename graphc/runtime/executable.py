"""Compiled graphs that are called with arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphc.files.lock import Line
from graphc.ir.graph import Graph
from graphc.passes import Report
from graphc.passes.memory_bill import memory_bill
from graphc.passes.memory_budget import MemoryPlan
from graphc.runtime.backend import Memory, Program
from graphc.runtime.calling import CallableProgram
from graphc.runtime.kernel_costs import KernelReport


class Executable(CallableProgram[Program]):
    """A graph compiled for a target. Call it with one array per parameter.

    Attributes:
        graph: The graph as it was compiled, after the passes.
        target: The name of the target.
        compile_seconds: How long each stage of the compilation took: ``passes``,
            ``emit``, ``compile``.
        report: What the passes did, or None if none ran.
        origins: For each kernel, by its name, where its schedule is from: ``lock`` (a
            lock file), ``table`` (what was measured on this GPU's architecture),
            ``cost model``, or ``cost model, registers`` where what that chose spills.
        lines: The lines of the lock file that are about what was compiled.
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
        origins: Mapping[str, str] | None = None,
        lines: Iterable[Line] = (),
    ) -> None:
        super().__init__(graph, program)
        self.target = target
        self.compile_seconds = dict(compile_seconds)
        self.report = report
        self.origins = dict(origins or {})
        self.lines = tuple(lines)
        self._donated = tuple(donated)
        self._memory_plan = memory_plan

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

        Launches, grid, bytes, floating-point operations, the time that a GPU needs for
        them at least, and the schedule with where it is from. None where graphc does
        not make the kernels, as for XLA.

        Args:
            *arrays: One array per parameter, to run the graph once and measure how long
                each kernel takes. They stay as they are.
        """
        report = self.program.kernels(*arrays)
        return report and replace(report, origins=self.origins)

    def __repr__(self) -> str:
        seconds = sum(self.compile_seconds.values())
        return f"<Executable @{self.graph.name} for {self.target}, {seconds:.2f} s>"
