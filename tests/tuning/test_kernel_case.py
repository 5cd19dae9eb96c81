"""Schedules of a kernel on a device that is not there: results and guards are checked."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
from graphc import ops
from graphc.codegen.triton.kernel import Kernel
from graphc.ir import Graph
from graphc.passes import run
from graphc.passes.inline import kernel_graphs
from graphc.runtime.triton_device import stored_nbytes
from graphc.tuning.kernel_case import KernelCase
from graphc.tuning.kernels import KernelSpace, kernel_space
from graphc.tuning.search import Search
from graphc.tuning.space import Choice
from graphc.tuning.statistics import Times
from graphc.tuning.strategies import make_strategy
from graphc.tuning.trial import Facts, RejectedError
from tests.runtime.test_autotune import Bound, CompilerDouble, GpuDouble

OUTSIDE = "wrong: it writes outside of its arrays"


def product() -> Graph:
    specs = graphc.TensorSpec((64, 48)), graphc.TensorSpec((48, 40))
    traced = graphc.trace(lambda a, b: ops.relu(ops.matmul(a, b)), *specs)
    (graph,) = kernel_graphs(run(traced, "triton"))
    return graph


class StrayingGpu(GpuDouble):
    """Kernels of eight warps write a byte behind, of one warp before, an array."""

    def bind(self, number: int, addresses):  # type: ignore[no-untyped-def]
        bound = super().bind(number, addresses)
        kernel, place = self.kernels[number], addresses[-1]
        behind = place + stored_nbytes(kernel.pointers[-1])

        def straying() -> None:
            bound()
            if kernel.num_warps == 8:
                self.fill(behind, 1, 0)
            if kernel.num_warps == 2:
                self.fill(place - 1, 1, 0)

        return Straying(self, number, addresses, straying)


class Straying(Bound):
    """A launch that does something else, too."""

    def __init__(self, device, number, addresses, call) -> None:  # type: ignore[no-untyped-def]
        super().__init__(device, number, addresses)
        self.call = call

    def __call__(self) -> None:
        self.call()


class InProcess:
    """Measures a kernel case in this process."""

    def __init__(self, case: KernelCase, kernels: KernelSpace) -> None:
        self.case, self.kernels = case, kernels

    def facts(self, choice: Choice) -> Facts:
        return self.case.facts(self.kernels.program_of(choice))

    def prepare(self, choice: Choice) -> None:
        self.case.build(self.kernels.program_of(choice))

    def measure(
        self, candidate: Choice, incumbent: Choice, rounds: int
    ) -> tuple[Times, Times]:
        samples = [
            self.case.build(self.kernels.program_of(c)) for c in (candidate, incumbent)
        ]
        mine, theirs = ([sample(1) for _ in range(rounds)] for sample in samples)
        return mine, theirs

    def renew(self) -> None: ...


def speed(kernel: Kernel) -> float:
    return 1e-3 * (1 + 1 / kernel.num_warps) * (1 + kernel.num_stages / 100)


def test_the_fastest_schedule_is_chosen() -> None:
    pytest.importorskip("triton")
    graph = product()
    kernels = kernel_space(graph)
    case = KernelCase(
        kernels, GpuDouble(graph, speed), CompilerDouble(lambda k: 0, lambda k: 0)
    )
    runner = InProcess(case, kernels)
    outcome = Search(
        kernels.space, runner, make_strategy("exhaustive", kernels.space)
    ).run()
    made = {name: kernels.kernel_of(name) for name in kernels.schedules}
    best = min(speed(kernel) for kernel in made.values() if kernel)
    assert outcome.median <= best * 1.04


def test_kernels_that_leave_their_arrays_are_refused() -> None:
    pytest.importorskip("triton")
    graph = product()
    kernels = kernel_space(graph)
    case = KernelCase(
        kernels, StrayingGpu(graph, speed), CompilerDouble(lambda k: 0, lambda k: 0)
    )
    found: dict[int, set[str]] = {}
    for name, schedule in kernels.schedules.items():
        try:
            case.build({"schedule": name})
            reason = ""
        except RejectedError as error:
            reason = f"{error.status}: {error.message}"
        found.setdefault(schedule.num_warps, set()).add(reason)
    assert found.pop(8) == {OUTSIDE}
    assert 2 not in found or found.pop(2) == {OUTSIDE}
    assert all(reasons == {""} for reasons in found.values())


def test_the_canonical_choice_is_right_whatever_is_built_first() -> None:
    """After a crash, or when a search goes on, another one may be."""
    pytest.importorskip("triton")
    graph = product()
    kernels = kernel_space(graph)
    own, *others = kernels.schedules
    wrong = kernels.kernel_of(others[0])
    assert wrong is not None
    gpu = GpuDouble(graph, speed, lambda kernel: float(kernel == wrong))
    case = KernelCase(kernels, gpu, CompilerDouble(lambda k: 0, lambda k: 0))
    with pytest.raises(RejectedError, match="not those of the canonical") as caught:
        case.build({"schedule": others[0]})
    assert caught.value.status == "wrong"
    assert case.build({"schedule": own})(1) > 0


def test_wrong_results_and_spills_are_refused() -> None:
    pytest.importorskip("triton")
    graph = product()
    kernels = kernel_space(graph)
    own = next(iter(kernels.schedules.values()))
    wrong = GpuDouble(
        graph, speed, lambda kernel: float(kernel.num_stages != own.num_stages)
    )
    spilling = CompilerDouble(lambda k: int(k.num_warps != own.num_warps), lambda k: 0)
    case = KernelCase(kernels, wrong, spilling)
    for name, schedule in kernels.schedules.items():
        expected = None
        if schedule.num_warps != own.num_warps:
            expected = "spills 1 bytes"
        elif schedule.num_stages != own.num_stages:
            expected = "not those of the canonical choice"
        if expected is None:
            assert np.isfinite(case.build({"schedule": name})(1))
        else:
            with pytest.raises(RejectedError, match=expected) as caught:
                case.build({"schedule": name})
            assert caught.value.status == (
                "pruned" if "spills" in expected else "wrong"
            )
