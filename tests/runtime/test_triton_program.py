"""Running plans: arrays in and out, addresses, recording, costs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ops, passes
from graphc.codegen.triton.planning import make_plan
from graphc.ir import GraphError, evaluate
from graphc.ir.tolerance import mismatch
from graphc.passes.cost_model import GPUS
from graphc.runtime import triton_program
from graphc.runtime.device_arrays import DeviceArray
from graphc.runtime.kernel_costs import find_gpu
from graphc.runtime.triton_program import TritonProgram
from tests.evaluator_device import EvaluatorDevice, lowered

W = np.arange(8, dtype=np.float32).reshape(2, 4)
X = np.full((2, 4), 0.5, np.float32)


def step(w: Any, x: Any) -> Any:
    """A step that updates what it is given first, and a number."""
    return w - 0.5 * x, ops.sum(w * x)


def loaded(
    function: Any = step, donate: Sequence[int] = (0,), **options: Any
) -> TritonProgram:
    spec = graphc.TensorSpec((2, 4))
    graph = passes.run(graphc.trace(function, spec, spec), "decompose,dce")
    graph, kernels = lowered(graph)
    plan = make_plan(graph, kernels, donate)
    return TritonProgram("", plan, graph.module, EvaluatorDevice(graph), **options)


def expected(w: Any, x: Any) -> tuple[Any, ...]:
    spec = graphc.TensorSpec((2, 4))
    return evaluate(graphc.trace(step, spec, spec), w, x)


def check(found: Sequence[Any], wanted: Sequence[Any]) -> None:
    assert len(found) == len(wanted)
    for left, right in zip(found, wanted, strict=True):
        assert not mismatch(np.asarray(left), right)


def test_results_are_arrays_of_the_device():
    w, total = loaded().run(W, X)
    check((w, total), expected(W, X))
    assert isinstance(w, DeviceArray)
    assert (w.shape, w.dtype, w.ndim, w.size, len(w)) == ((2, 4), np.float32, 2, 8, 2)
    assert float(total) == total.item() == expected(W, X)[1]
    assert (int(total), bool(total)) == (14, True)
    assert "DeviceArray f32[2,4] at 0x" in repr(w)
    with pytest.raises(AttributeError):
        w.__cuda_array_interface__  # noqa: B018
    np.testing.assert_array_equal(np.from_dlpack(w), w.numpy())


def test_results_on_the_host_are_numpys():
    found = loaded(on_host=True).run(W, X)
    assert all(isinstance(array, np.ndarray) for array in found)
    check(found, expected(W, X))


def test_donated_arrays_are_taken_and_their_memory_is_the_results():
    program = loaded()
    first, _ = program.run(W, X)
    address = first.address
    second, _ = program.run(first, X)
    assert second.address == address
    check([second], expected(expected(W, X)[0], X)[:1])
    with pytest.raises(GraphError, match="was donated to a program"):
        first.numpy()
    assert "donated" in repr(first)


def test_arrays_of_the_host_stay_as_they_are():
    w = W.copy()
    loaded().run(w, X)
    np.testing.assert_array_equal(w, W)


def test_an_array_that_is_passed_twice_is_not_overwritten():
    for donate in ((0,), (1,), (0, 1)):
        program = loaded(donate=donate)
        kept = DeviceArray.new(program.device, program.plan.parameters[0])
        program.device.write(kept.address, W)
        check(program.run(kept, kept), expected(W, W))
        np.testing.assert_array_equal(kept.numpy(), W)


def test_lists_are_arrays_too():
    check(loaded().run(W.tolist(), X.tolist()), expected(W, X))


def test_what_does_not_fit_is_refused():
    program = loaded()
    with pytest.raises(TypeError, match="expected 2 arrays"):
        program.run(W)
    with pytest.raises(ValueError, match=r"expected f32\[2,4\]"):
        program.run(W, X.astype(np.float64))
    total = program.run(W, X)[1]
    with pytest.raises(ValueError, match=r"expected f32\[2,4\], received f32\[\]"):
        program.run(total, X)


def test_commands_are_recorded_when_addresses_come_again():
    program = loaded()
    device = program.device
    assert isinstance(device, EvaluatorDevice)
    w, wanted = W, W
    totals: list[tuple[Any, Any]] = []  # all of which stay
    for recorded in (0, 1, 1, 1):
        w, total = program.run(w, X)
        wanted, sums = expected(wanted, X)
        totals.append((total, sums))
        check([w], [wanted])
        assert device.recorded == recorded
    for total, sums in totals:
        check([total], [sums])


def test_inputs_that_come_and_go_are_copied_to_one_place():
    program = loaded()
    device = program.device
    assert isinstance(device, EvaluatorDevice)
    w, kept = W, []
    wanted = W
    for _ in range(20):
        x = DeviceArray.new(device, program.plan.parameters[1])
        device.write(x.address, X)
        kept.append(x)
        w, _ = program.run(w, x)
        wanted, _ = expected(wanted, X)
        check([w], [wanted])
    assert device.recorded == 1


def test_few_sets_of_addresses_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(triton_program, "KEPT_SCHEDULES", 2)
    monkeypatch.setattr(triton_program, "SMALL", 0)
    program = loaded(donate=())
    kept = [program.run(W, X) for _ in range(5)]
    for found in kept:
        check(found, expected(W, X))
    assert len(program._schedules) == 2


def test_long_plans_are_run_as_they_are_resolved(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(triton_program, "KEPT_COMMANDS", 0)
    program = loaded()
    for _ in range(3):
        check(program.run(W, X), expected(W, X))


def test_memory_is_given_back():
    program = loaded()
    device = program.device
    assert isinstance(device, EvaluatorDevice)
    program.run(W, X)
    held = len(device.blocks)
    for _ in range(5):
        program.run(W, X)
    assert len(device.blocks) == held
    del program
    assert not device.blocks


def test_the_memory_of_a_run_is_known_before():
    memory = loaded().memory()
    assert (memory.parameters, memory.aliased) == (64, 32)
    assert memory.results == 36
    assert memory.peak == 64 + 4 + memory.temporaries


def test_kernels_are_measured_if_there_are_arrays():
    program = loaded()
    report = program.kernels()
    assert [cost.launches for cost in report.costs] == [1] * len(report.costs)
    assert {cost.seconds for cost in report.costs} == {None}
    measured = program.kernels(W, X)
    assert {cost.seconds for cost in measured.costs} == {1e-6}
    assert str(measured).splitlines()[0].split()[:2] == ["us", "H200"]


def test_the_gpu_is_found_by_its_name():
    assert find_gpu("NVIDIA H100 80GB HBM3") is GPUS["H100"]
    assert find_gpu("something else") is GPUS["H200"]
