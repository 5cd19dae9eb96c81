"""The process in which candidates run: what they do to it stays there."""

from __future__ import annotations

import gc
import resource
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from graphc.ir.errors import GraphcError, TargetError
from graphc.ir.graph import Graph
from graphc.ir.parser import parse
from graphc.passes.cost_model import Rates, Roofline
from graphc.passes.plugins import load_module
from graphc.runtime.triton_runtime import compiler, cuda, interpreter
from graphc.runtime.worker_process import RequestError, serve
from graphc.tuning.cases import CLOCKS, Case, PipelineCase, Sample, time_both
from graphc.tuning.kernel_case import KernelCase
from graphc.tuning.kernels import kernel_space
from graphc.tuning.trial import RejectedError

HELD = 4
"""How many programs are held at once: the incumbent and the latest."""

INTERPRETER = "triton:interpreter"


class Worker:
    """What requests ask for."""

    def __init__(self) -> None:
        self._case: Case | None = None
        self._samples: OrderedDict[str, Sample] = OrderedDict()

    @property
    def case(self) -> Case:
        """What is tuned.

        Raises:
            RequestError: If `open` was not called.
        """
        if self._case is None:
            raise RequestError("nothing is open", "failed")
        return self._case

    def open(self, job: dict[str, Any]) -> None:
        """Takes a job: a graph or a kernel, and how it is measured."""
        for name in job["load"]:
            load_module(name)
        if job["memory"] is not None:
            _limit_memory(job["memory"])
        graphs = {int(steps): parse(text) for steps, text in job["graphs"].items()}
        if job["kind"] == "kernel":
            self._case = _kernel_case(job["target"], graphs[1])
            return
        rates = job["rates"]
        self._case = PipelineCase(
            graphs,
            job["target"],
            CLOCKS[job["clock"]],
            job["memory"],
            None if rates is None else Roofline(Rates(**rates)),
            job["reference"],
        )

    def facts(self, program: dict[str, Any]) -> dict[str, Any]:
        """What is known of a program before it is compiled."""
        return asdict(self.case.facts(program))

    def prepare(self, name: str, program: dict[str, Any]) -> None:
        """Compiles and checks a program and holds it by name."""
        self._samples[name] = self.case.build(program)
        self._samples.move_to_end(name)
        while len(self._samples) > HELD:
            self._samples.popitem(last=False)

    def holds(self, name: str) -> bool:
        """Whether a program is there still."""
        if name in self._samples:
            self._samples.move_to_end(name)
        return name in self._samples

    def measure(
        self, candidate: str, incumbent: str, rounds: int
    ) -> tuple[list[float], list[float]]:
        """The seconds of two programs in interleaved rounds."""
        gc.collect()
        gc.disable()
        try:
            samples = self._samples
            return time_both(samples[candidate], samples[incumbent], rounds)
        finally:
            gc.enable()

    def calls(self) -> Mapping[str, Callable[..., Any]]:
        """The functions that requests name."""
        names = ("open", "facts", "prepare", "holds", "measure")
        return {name: _answering(getattr(self, name)) for name in names}


def _kernel_case(target: str, graph: Graph) -> KernelCase:
    """The schedules of a kernel, on what a target runs on.

    Raises:
        TargetError: If this machine's GPU is none, or another one.
    """
    if target == INTERPRETER:
        return KernelCase(kernel_space(graph), interpreter(), flushed=0)
    gpu = cuda()
    if target not in ("triton", f"triton:{gpu.architecture}"):
        raise TargetError(
            f"kernels for {target} cannot be measured here",
            received=f"{gpu.name}, triton:{gpu.architecture}",
        )
    return KernelCase(kernel_space(graph, gpu.architecture), gpu, compiler(None))


def _answering(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` whose errors are answers: a status, and why."""

    def answering(**arguments: Any) -> Any:
        try:
            return call(**arguments)
        except RejectedError as error:
            raise RequestError(error.message, error.status) from error
        except MemoryError as error:
            raise RequestError("there is no memory left", "memory") from error
        except Exception as error:
            text = error.message if isinstance(error, GraphcError) else str(error)
            status = "memory" if "RESOURCE_EXHAUSTED" in text else "failed"
            kind = type(error).__name__
            raise RequestError(f"{kind}: {text}"[:500], status) from error

    return answering


def _limit_memory(nbytes: int) -> None:
    """Lets allocations fail that would make this process grow by more than this."""
    with open("/proc/self/status", encoding="utf-8") as file:
        held = next(line for line in file if line.startswith("VmData"))
    used = int(held.split()[1]) << 10
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + nbytes
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _make(connection: Connection) -> Mapping[str, Callable[..., Any]]:
    return Worker().calls()


if __name__ == "__main__":
    serve(_make)
