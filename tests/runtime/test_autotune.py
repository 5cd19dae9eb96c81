"""Tuning: which schedules become entries; measured on a GPU that is not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

import graphc
from graphc import ops, passes
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.module import emit_kernel
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning import (
    candidates,
    emit_tuned_kernels,
    scheduled_kernel,
    signature_of,
)
from graphc.codegen.triton.tuning.table import Entry
from graphc.ir import CompileError, Graph
from graphc.runtime.autotune import tune
from graphc.runtime.triton_compile import CompiledKernel
from graphc.runtime.triton_device import Command
from tests.cuda_double import compiled
from tests.evaluator_device import EvaluatorDevice

pytest.importorskip("triton")

Speed = Callable[[Kernel], float]


class GpuDouble(EvaluatorDevice):
    """Kernels run on the evaluator and take as long as a function says."""

    name, architecture = "a GPU", "sm_90"

    def __init__(self, graph: Graph, speed: Speed, wrong: Speed | None = None) -> None:
        super().__init__(graph)
        self.speed = speed
        self.wrong = wrong
        self.added: list[Kernel] = []

    def add(self, kernel: Kernel, compiled: CompiledKernel) -> None:
        self.added.append(kernel)

    def fill(self, address: int, nbytes: int, byte: int) -> None:
        if nbytes < 1 << 20:
            super().fill(address, nbytes, byte)

    def bind(self, number: int, addresses: Sequence[int]) -> Command:
        return Bound(self, number, addresses)

    def timed(self, command: Command) -> float:
        assert isinstance(command, Bound)
        return self.speed(self.kernels[command.number])


@dataclass
class Bound:
    """A launch, after which a kernel that is wrong has changed its last result."""

    device: GpuDouble
    number: int
    addresses: Sequence[int]

    def __call__(self) -> None:
        device, kernel = self.device, self.device.kernels[self.number]
        device.launch(self.number, self.addresses)
        if device.wrong is not None and device.wrong(kernel):
            place, type = self.addresses[-1], kernel.pointers[-1]
            device.write(place, device.read(place, type) + 1)


class CompilerDouble:
    """Some kernels spill, some do not compile."""

    def __init__(self, spilled: Speed, refused: Speed) -> None:
        self.spilled, self.refused = spilled, refused

    def compile(
        self, kernels: Sequence[Kernel], architecture: str
    ) -> list[CompiledKernel]:
        (kernel,) = kernels
        if self.refused(kernel):
            raise CompileError("too much shared memory")
        return [compiled(kernel, spills=int(self.spilled(kernel)))]


def never(kernel: Kernel) -> float:
    return 0


def product() -> Graph:
    specs = graphc.TensorSpec((64, 48)), graphc.TensorSpec((48, 40))
    return graphc.trace(lambda a, b: ops.relu(ops.matmul(a, b)), *specs)


def kernel_graph(graph: Graph) -> Graph:
    (found,) = (
        each
        for each in passes.run(graph, "triton").reachable()
        if each.attributes.get("fused")
    )
    return found


def tuned(
    graph: Graph,
    speed: Speed,
    spilled: Speed = never,
    refused: Speed = never,
    **options: Any,
) -> dict[str, Entry]:
    inner = kernel_graph(graph)
    device = GpuDouble(inner, speed, options.pop("wrong", None))
    return tune(graph, device, CompilerDouble(spilled, refused), **options)


GRAPH = product()
INNER = kernel_graph(GRAPH)
DEFAULT = emit_kernel(INNER)
OTHERS = [
    kernel
    for schedule in candidates(INNER, DEFAULT)
    if (kernel := scheduled_kernel(INNER, DEFAULT, schedule))
]


def prefers(kernel: Kernel, seconds: float = 1e-6) -> Speed:
    """A GPU that is fast with one schedule."""

    def speed(other: Kernel) -> float:
        settings = [(k.constants, k.num_warps, k.num_stages) for k in (kernel, other)]
        return seconds if settings[0] == settings[1] else 1e-5

    return speed


def test_the_fastest_schedule_becomes_the_entry():
    lines: list[str] = []
    best = OTHERS[-1]
    ((signature, entry),) = tuned(GRAPH, prefers(best), say=lines.append).items()
    assert signature == signature_of(INNER)
    assert dict(entry.schedule.constants) == dict(best.constants)
    assert (entry.microseconds, entry.default) == (1.0, 10.0)
    assert entry.measured.startswith("a GPU, Triton ")
    assert lines == [f"{signature}: 10.0 -> 1.0 us"]
    tuned_kernel = emit_tuned_kernels(passes.run(GRAPH, "triton"), {signature: entry})
    assert [dict(k.constants) for k in tuned_kernel.values()] == [dict(best.constants)]


def test_a_small_gain_is_no_entry():
    lines: list[str] = []
    assert not tuned(GRAPH, prefers(OTHERS[0], 0.98e-5), say=lines.append)
    assert lines[0].endswith("the default is best")


@pytest.mark.parametrize("reason", ["spilled", "refused", "wrong"])
def test_what_spills_or_is_wrong_is_left_out(reason: str):
    best = OTHERS[0]
    fast = prefers(best, 1.0)

    def is_best(kernel: Kernel) -> float:
        return fast(kernel) == 1.0

    assert tuned(GRAPH, prefers(best))
    assert not tuned(GRAPH, prefers(best), **{reason: is_best})


def test_known_kernels_are_not_measured():
    known = {signature_of(INNER): Entry(Schedule({"XBLOCK": 64}), 1.0, 2.0, "before")}

    def fails(kernel: Kernel) -> float:
        raise AssertionError

    assert not tuned(GRAPH, fails, known=known)


def test_memory_is_given_back():
    device = GpuDouble(INNER, prefers(OTHERS[0]))
    tune(GRAPH, device, CompilerDouble(never, never))
    assert not device.blocks
    assert len(device.added) == len(OTHERS) + 1
