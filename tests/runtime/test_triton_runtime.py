"""The triton targets, from a graph to results: what is emitted, compiled, run, dumped."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ops
from graphc.codegen.triton.kernel import Kernel
from graphc.ir import Graph, GraphcError, TargetError, evaluate
from graphc.ir.random_inputs import random_inputs
from graphc.ir.types import tensor_type
from graphc.runtime import cuda_driver, triton_runtime
from graphc.runtime.compile import compile_graph, emit
from graphc.runtime.cuda_device import CudaDevice
from graphc.runtime.cuda_driver import Driver
from graphc.runtime.device_arrays import DeviceArray
from graphc.runtime.executable import Executable
from graphc.runtime.settings import Settings
from graphc.runtime.triton_compile import CompiledKernel
from tests.closeness import assert_close
from tests.cuda_double import CudaDouble, compiled
from tests.triton_kernels import kernel_of

INTERPRETER = "triton:interpreter"


def training_step() -> Graph:
    """A step of gradient descent on two layers: new weights, then the loss."""

    def loss(w: Any, v: Any, x: Any, y: Any) -> Any:
        hidden = ops.relu(ops.matmul(x, w))
        return ops.mean(ops.square(ops.matmul(hidden, v) - y))

    def step(w: Any, v: Any, x: Any, y: Any) -> Any:
        value, (dw, dv) = graphc.value_and_grad(loss, argnums=(0, 1))(w, v, x, y)
        return w - 0.1 * dw, v - 0.1 * dv, value

    shapes = ((4, 8), (8, 2), (16, 4), (16, 2))
    return graphc.trace(step, *map(graphc.TensorSpec, shapes))


def check(executable: Executable, graph: Graph, runs: int = 1) -> Sequence[Any]:
    arrays = random_inputs(graph)
    for _ in range(runs):
        wanted = evaluate(graph, *map(np.asarray, arrays))
        results = executable(*arrays)
        for found, right in zip(results, wanted, strict=True):
            assert_close(np.asarray(found), right)
        arrays = [*results[:2], *arrays[2:]]
    return results


# -- the interpreter -----------------------------------------------------------------------


def test_a_training_step_runs_in_the_interpreter():
    graph = training_step()
    executable = compile_graph(graph, INTERPRETER, donate=(0, 1))
    results = check(executable, graph)
    assert all(isinstance(array, np.ndarray) for array in results)
    memory = executable.memory()
    assert memory is not None
    assert memory.aliased == (4 * 8 + 8 * 2) * 4
    report = executable.kernels()
    assert report is not None
    assert sum(cost.launches for cost in report.costs) >= len(report.costs) > 0
    cost = executable.cost()
    assert cost is not None
    assert cost["flops"] >= 2 * (16 * 4 * 8 + 16 * 8 * 2)


def test_a_result_takes_the_memory_of_a_parameter_only_if_nothing_is_lost():
    device = triton_runtime.interpreter()
    array = DeviceArray.new(device, tensor_type("f32[4]"))
    device.write(array.address, np.arange(1, 5, dtype=np.float32))

    def launch(place: str) -> None:
        body = f"""
            x = tl.program_id(0)
            tl.store(p1 + x, tl.load(p0 + {place}) * 2)
        """
        kernel = kernel_of(body, ["f32[4]"], ["f32[4]"], programs=4)
        device.launch(device.load(kernel), [array.address] * 2)

    launch("x")
    np.testing.assert_array_equal(array.numpy(), [2, 4, 6, 8])
    with pytest.raises(GraphcError, match="reads element 1 of p0, which program 1"):
        launch("3 - x")


def test_the_text_holds_all_kernels_and_the_plan():
    graph = training_step()
    text = emit(graph, INTERPRETER)
    assert text == emit(graph, "triton:sm_90") == emit(graph, "triton:gfx942")
    assert text == emit(graph, "triton")  # which needs no GPU
    executable = compile_graph(graph, INTERPRETER)
    assert executable.text == text
    report = executable.kernels()
    assert report is not None
    for cost in report.costs:
        assert cost.kernel.source in text
    assert "\nplan @step\n" in text


# -- GPUs that are not there ---------------------------------------------------------------


class CompilerDouble:
    """A compiler whose machine code is the name of the kernel."""

    def compile(
        self, kernels: Sequence[Kernel], architecture: str
    ) -> list[CompiledKernel]:
        self.architecture = architecture
        return [compiled(kernel, assembly="ptx", registers=40) for kernel in kernels]


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> CompilerDouble:
    double = CompilerDouble()
    monkeypatch.setattr(triton_runtime, "compiler", lambda directory: double)
    return double


def test_what_is_compiled_for_another_machine_can_be_read(compiler: CompilerDouble):
    executable = compile_graph(training_step(), "triton:sm_90")
    assert compiler.architecture == "sm_90"
    with pytest.raises(
        TargetError, match="compiled for sm_90 to be looked at, not run"
    ):
        executable(*random_inputs(training_step()))
    program = executable.program
    assert isinstance(program, triton_runtime.CompiledProgram)
    assert len(program.compiled) == len(program.plan.kernels)
    memory = executable.memory()
    assert memory is not None
    assert memory.code == sum(len(each.binary) for each in program.compiled)
    assert executable.kernels() is not None
    assert executable.cost() is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sm_80", "sm_90", "gfx942"])
def test_every_architecture_compiles(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    executable = compile_graph(training_step(), f"triton:{name}")
    program = executable.program
    assert isinstance(program, triton_runtime.CompiledProgram)
    assert all(each.spills == 0 for each in program.compiled)
    triton_runtime.compiler(Settings.read().store()).close()


def test_every_kernel_is_dumped(
    compiler: CompilerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path))
    executable = compile_graph(training_step(), "triton:sm_80")
    (folder,) = tmp_path.glob("*/*-kernels")
    program = executable.program
    assert isinstance(program, triton_runtime.CompiledProgram)
    for number, kernel in enumerate(program.plan.kernels):
        (source,) = folder.glob(f"*{number}-{kernel.name}.py")
        assert source.read_text() == kernel.source
        assert source.with_suffix(".gir").read_text().startswith("graph @")
        assert source.with_suffix(".ptx").read_text() == "ptx"
        facts = json.loads(source.with_suffix(".json").read_text())
        assert facts["registers"] == 40
    (plan,) = tmp_path.glob("*/*-plan.txt")
    assert plan.read_text() == str(program.plan)


def test_why_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch):
    def missing() -> Driver:
        raise TargetError("no NVIDIA driver is installed: libcuda.so.1")

    monkeypatch.setattr(cuda_driver, "driver", missing)
    monkeypatch.setattr(triton_runtime, "triton_unavailable", lambda: None)
    assert triton_runtime.unavailable("sm_90") is None
    reason = triton_runtime.unavailable(None)
    assert reason == "no NVIDIA driver is installed: libcuda.so.1"
    monkeypatch.setattr(triton_runtime, "triton_unavailable", lambda: "not installed")
    assert triton_runtime.unavailable("sm_90") == "not installed"


# -- the whole path to a GPU, whose kernels Triton's interpreter runs ------------------------


class Interpreted:
    """Runs kernels on the double's memory in the interpreter."""

    def __init__(self) -> None:
        self.device = triton_runtime.interpreter()
        self.kernels: dict[str, tuple[int, Kernel]] = {}

    def add(self, kernel: Kernel) -> None:
        self.kernels[kernel.name] = self.device.load(kernel), kernel

    def __call__(self, double: CudaDouble, name: str, addresses: Sequence[int]) -> None:
        number, kernel = self.kernels[name]
        moved: dict[int, DeviceArray] = {}
        for address, type in zip(addresses, kernel.pointers, strict=True):
            if address not in moved:
                moved[address] = DeviceArray.new(self.device, type)
                self.device.write(moved[address].address, double.read(address, type))
        self.device.launch(number, [moved[address].address for address in addresses])
        for address, array in moved.items():
            double.write(address, array.numpy())


@pytest.fixture
def gpu(compiler: CompilerDouble, monkeypatch: pytest.MonkeyPatch) -> CudaDevice:
    run = Interpreted()
    double = CudaDouble(run)
    gpu = CudaDevice(opened=Driver(double))
    add = gpu.add

    def added(kernel: Kernel, code: CompiledKernel) -> None:
        double.pointers[kernel.name] = len(kernel.pointers)
        run.add(kernel)
        add(kernel, code)

    monkeypatch.setattr(gpu, "add", added)
    monkeypatch.setattr(triton_runtime, "unavailable", lambda *of: None)
    monkeypatch.setattr(triton_runtime, "cuda", lambda: gpu)
    monkeypatch.setattr(gpu, "double", double, raising=False)
    return gpu


def test_a_training_step_runs_on_a_gpu(gpu: Any, compiler: CompilerDouble):
    graph = training_step()
    executable = compile_graph(graph, "triton", donate=(0, 1))
    assert compiler.architecture == "sm_90"
    results = check(executable, graph, runs=3)
    assert "cuGraphLaunch" in gpu.double.calls
    assert isinstance(results[0], DeviceArray)


def test_functions_take_and_give_arrays_of_a_gpu(gpu: Any):
    double = graphc.jit(lambda x: x * 2.0, target="triton")
    x = np.arange(6, dtype=np.float32)
    once = double(x)
    assert isinstance(once.data, DeviceArray)
    gpu.double.calls.clear()
    twice = double(double(once.data))
    assert "cuMemcpyHtoDAsync_v2" not in gpu.double.calls
    np.testing.assert_array_equal(np.asarray(twice), x * 8)


@pytest.mark.gpu
def test_a_training_step_runs_on_the_gpu_of_this_machine():
    graph = training_step()
    executable = compile_graph(graph, "triton", donate=(0, 1))
    check(executable, graph, runs=4)
    report = executable.kernels(*random_inputs(graph))
    assert report is not None
    assert all(cost.seconds for cost in report.costs)
