"""The CUDA path on a driver in Python: calls, order, recording, arrays of others."""

import gc
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ops, passes
from graphc.codegen.triton import plan
from graphc.codegen.triton.planning import make_plan
from graphc.ir import CompileError, Graph, TargetError, evaluate
from graphc.ir.tolerance import mismatch
from graphc.ir.types import TensorType, tensor_type
from graphc.runtime import dlpack
from graphc.runtime.cuda_device import CudaDevice
from graphc.runtime.cuda_driver import DeviceMemoryError, Driver, unavailable
from graphc.runtime.device_arrays import DeviceArray
from graphc.runtime.triton_device import stored_nbytes
from graphc.runtime.triton_program import TritonProgram
from tests.closeness import assert_close
from tests.cuda_double import CudaDouble, compiled, running
from tests.evaluator_device import lowered

W = np.arange(8, dtype=np.float32).reshape(2, 4)
X = np.full((2, 4), 0.5, np.float32)
F32 = tensor_type("f32[2,4]")


def device(double: CudaDouble | None = None) -> CudaDevice:
    return CudaDevice(opened=Driver(double or CudaDouble()))


def traced(function: Callable[..., Any], count: int = 2) -> Graph:
    graph = graphc.trace(function, *[graphc.TensorSpec((2, 4))] * count)
    return passes.run(graph, "decompose,dce")


class Loaded:
    """A program on the double."""

    def __init__(self, graph: Graph, donate: Sequence[int] = (), **facts: Any) -> None:
        self.graph, kernels = lowered(graph)
        plan = make_plan(self.graph, kernels, donate)
        self.double = running(self.graph, kernels)
        self.device = device(self.double)
        for kernel in plan.kernels:
            self.device.add(kernel, compiled(kernel, **facts))
        self.program = TritonProgram("", plan, self.graph.module, self.device)

    def check(self, *arrays: Any) -> tuple[Any, ...]:
        wanted = evaluate(self.graph, *(np.asarray(array) for array in arrays))
        found = self.program.run(*arrays)
        for left, right in zip(found, wanted, strict=True):
            assert not mismatch(np.asarray(left), right)
        return found


def step(w: Any, x: Any) -> Any:
    return w - 0.5 * x, ops.sum(w * x)


# -- runs --------------------------------------------------------------------------------


def test_a_step_is_recorded_and_launched_as_one():
    made = Loaded(traced(step), donate=(0,))
    w = W
    for _ in range(4):
        made.double.calls.clear()
        w, total = made.check(w, X)
        del total
    assert made.double.calls.count("cuGraphLaunch") == 1
    assert "cuLaunchKernel" not in made.double.calls
    assert len(made.double.ready) == 1
    double = made.double
    del made, w
    gc.collect()
    assert not double.ready
    assert not double.graphs


def test_loops_and_branches():
    made = Loaded(
        traced(
            lambda h, x: ops.scan(lambda h, r: (h * 2.0 + r, h), h, ops.stack([x] * 3))
        )
    )
    for _ in range(3):
        made.check(W, X)
    for body in (
        lambda w, x: ops.while_loop(
            lambda i, w: i != 3, lambda i, w: (i + 1, w + x), (0, w)
        ),
        lambda w, x: ops.cond(ops.sum(x) > 0.0, lambda: w + x, lambda: w),
    ):
        made = Loaded(traced(body), donate=(0,))
        for _ in range(3):
            made.check(W, X)
        assert made.program.plan.obstacle is not None


def test_the_body_of_a_loop_is_recorded_once():
    made = Loaded(
        traced(
            lambda w, x: ops.while_loop(
                lambda i, w: i != 5, lambda i, w: (i + 1, w + x), (0, w)
            )
        ),
        donate=(0,),
    )
    w = made.check(W, X)[1]
    for _ in range(3):
        made.double.calls.clear()
        w = made.program.run(w, X)[1]
    assert_close(w.numpy(), W + 20 * X)
    assert made.double.calls.count("cuGraphLaunch") == 5
    assert "cuStreamBeginCapture_v2" not in made.double.calls


def counting() -> Loaded:
    """A loop that runs as often as the caller says."""
    graph = graphc.trace(
        lambda n, w, x: ops.while_loop(
            lambda i, n, w: i < n, lambda i, n, w: (i + 1, n, w + x), (2, n, w)
        )[2],
        graphc.TensorSpec((), "int32"),
        graphc.TensorSpec((2, 4)),
        graphc.TensorSpec((2, 4)),
    )
    return Loaded(passes.run(graph, "decompose,dce"), donate=(1,))


def test_a_loop_that_counts_to_what_is_passed_is_one_graph():
    made = counting()
    assert "loop i0 < %n - 2" in str(made.program.plan)
    assert made.program.plan.obstacle is None
    w, wanted = W, W
    for turn, steps in enumerate([4, 4, 4, 1, 2, 7, 4]):
        made.double.calls.clear()
        (w,) = made.program.run(np.array(steps, np.int32), w, X)
        wanted = wanted + max(0, steps - 2) * X
        if turn in (2, 6):
            assert made.double.calls.count("cuGraphLaunch") == 1
            assert "cuLaunchKernel" not in made.double.calls
            assert not any("DtoH" in call for call in made.double.calls)
        assert_close(w.numpy(), wanted)
    on_device = DeviceArray.new(made.device, tensor_type("i32[]"))
    made.device.write(on_device.address, np.array(6, np.int32))
    (w,) = made.program.run(on_device, w, X)
    assert_close(w.numpy(), wanted + 4 * X)


def test_the_steps_of_long_loops_are_recorded_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plan, "UNROLLED", 3)
    made = counting()
    w = W
    for _ in range(3):
        made.double.calls.clear()
        (w,) = made.program.run(7, w, X)
    assert_close(w.numpy(), W + 15 * X)
    assert made.double.calls.count("cuGraphLaunch") == 5
    assert "cuStreamBeginCapture_v2" not in made.double.calls


def test_every_thread_enters_the_context():
    made = Loaded(traced(step))
    made.check(W, X)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            made.check(W, X)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failures == []


def test_kernels_are_measured():
    report = Loaded(traced(step)).program.kernels(W, X)
    assert report.gpu.name == "H100"
    assert {cost.seconds for cost in report.costs} == {0.5e-3}


def test_kernels_get_scratch_and_shared_memory():
    made = Loaded(traced(step), shared=100_000, global_scratch=64)
    made.check(W, X)
    assert set(made.double.shared.values()) == {100_000}
    with pytest.raises(
        CompileError, match="needs 300000 bytes of shared memory"
    ) as caught:
        Loaded(traced(step), shared=300_000)
    assert caught.value.received == "NVIDIA H100 in Python, which has 232448"
    with pytest.raises(
        CompileError, match=r"cannot be loaded: cuModuleLoadData failed"
    ):
        Loaded(traced(step), binary=b"something else")
    with pytest.raises(CompileError, match=r"cuModuleGetFunction failed: named symbol"):
        Loaded(traced(step), entry="something_else")


def test_a_failing_recording_ends():
    made = Loaded(traced(step))
    arrays = made.program.run(W, X)
    del arrays

    def fail() -> None:
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        made.device.record([fail])
    assert not made.double.capturing
    made.check(W, X)


# -- memory ------------------------------------------------------------------------------


def test_memory_is_handed_out_again():
    gpu = device()
    first = gpu.allocate(100)
    gpu.free(first)
    assert gpu.allocate(200) == first
    assert gpu.allocate(200) != first


def test_what_is_spare_is_given_back_when_memory_is_short():
    double = CudaDouble(limit=4096)
    gpu = device(double)
    gpu.free(gpu.allocate(4096))
    assert gpu.allocate(1024)
    with pytest.raises(DeviceMemoryError, match="cuMemAlloc_v2 failed: out of memory"):
        gpu.allocate(4096)


def test_closing_frees_everything():
    double = CudaDouble()
    gpu = device(double)
    gpu.free(gpu.allocate(100))
    kept = DeviceArray.new(gpu, F32)
    gpu.close()
    assert not double.blocks
    del kept


@pytest.mark.parametrize("name", ["f32[3]", "i4[3]", "bool[2,2]", "bf16[]", "f64[0]"])
def test_what_is_written_is_read(name: str):
    type = tensor_type(name)
    array = np.ones(type.static_shape, type.dtype.numpy)
    gpu = device()
    made = DeviceArray.new(gpu, type)
    gpu.write(made.address, array)
    gpu.synchronize()
    np.testing.assert_array_equal(made.numpy(), array)
    gpu.fill(made.address, stored_nbytes(type), 0)
    assert not made.numpy().any()


# -- arrays of other libraries -----------------------------------------------------------


class Foreign:
    """An array of another library, on the GPU."""

    def __init__(self, gpu: CudaDevice, array: np.ndarray[Any, Any], shift: int = 0):
        self.gpu = gpu
        self.array = array
        self.address = gpu.allocate(array.nbytes + 64) + shift
        base = array.base if array.base is not None else array
        gpu.write(self.address, np.asarray(base))


class WithInterface(Foreign):
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        contiguous = self.array.flags.c_contiguous
        return {
            "version": 3,
            "shape": self.array.shape,
            "typestr": self.array.dtype.str,
            "data": (self.address, False),
            "strides": None if contiguous else self.array.strides,
            "stream": 1,
        }


class WithDLPack(Foreign):
    ordinal = 0
    waited: int | None = None

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self.ordinal

    def __dlpack__(self, stream: int | None = None) -> Any:
        self.waited = stream
        type = TensorType(self.array.shape, F32.dtype)
        return dlpack.exported(self, self.address, type, self.__dlpack_device__())


@pytest.mark.parametrize("kind", [WithInterface, WithDLPack])
def test_arrays_of_others_are_read_where_they_lie(kind: Any):
    made = Loaded(traced(step))
    other = kind(made.device, W)
    made.program.run(other, X)  # the memory of what is uploaded is allocated
    made.double.calls.clear()
    total = made.program.run(other, X)[1]
    assert made.double.calls.count("cuMemcpyHtoDAsync_v2") == 1  # X
    assert not mismatch(np.asarray(total), evaluate(made.graph, W, X)[1])
    if kind is WithDLPack:
        assert other.waited == made.device.stream


def test_donated_arrays_of_others_are_overwritten():
    made = Loaded(traced(step), donate=(0,))
    other = WithDLPack(made.device, W)
    found, _ = made.program.run(other, X)
    assert found.address == other.address
    assert not mismatch(np.asarray(found), evaluate(made.graph, W, X)[0])
    del found, other
    gc.collect()
    assert not dlpack._EXPORTED


@pytest.mark.parametrize(
    ("array", "shift"), [(W, 4), (W.T.copy().T, 0), (np.stack([W, W], 1)[:, 0], 0)]
)
@pytest.mark.parametrize("kind", [WithInterface])
def test_arrays_that_kernels_cannot_read_are_copied(
    kind: Any, array: np.ndarray[Any, Any], shift: int
):
    made = Loaded(traced(step))
    found = made.program.run(kind(made.device, array, shift), X)
    for left, right in zip(found, evaluate(made.graph, W, X), strict=True):
        assert not mismatch(np.asarray(left), right)


def test_arrays_of_other_types_or_places_are_not_taken():
    gpu = device()
    with pytest.raises(ValueError, match="expected"):
        gpu.find(WithInterface(gpu, W.astype(np.float64)), F32)
    elsewhere = WithDLPack(gpu, W)
    elsewhere.ordinal = 1
    assert gpu.find(elsewhere, F32) is None
    assert gpu.find(W, F32) is None
    assert gpu.find([1.0], F32) is None


def test_others_read_our_arrays():
    gpu = device()
    made = DeviceArray.new(gpu, F32)
    gpu.write(made.address, W)
    interface = made.__cuda_array_interface__
    assert interface["data"] == (made.address, False)
    assert (interface["typestr"], interface["stream"]) == ("<f4", gpu.stream)
    assert made.__dlpack_device__() == (dlpack.CUDA, 0)
    capsule = made.__dlpack__(stream=None)
    taken = dlpack.imported(capsule)
    assert (taken.address, taken.shape, taken.strides) == (made.address, (2, 4), None)
    assert taken.is_of(F32)
    with pytest.raises(ValueError, match="was used before"):
        dlpack.imported(capsule)
    with pytest.raises(BufferError):
        made.__dlpack__(copy=True)
    address = made.address
    del made, capsule
    assert address not in gpu._spare.get(256, ())
    del taken
    gc.collect()
    assert address in gpu._spare[256]


def test_a_capsule_that_nobody_takes_is_dropped():
    made = DeviceArray.new(device(), F32)
    made.__dlpack__(stream=-1)
    gc.collect()
    assert not dlpack._EXPORTED


# -- the driver --------------------------------------------------------------------------


def test_why_there_is_no_gpu():
    def said(**facts: Any) -> str | None:
        return unavailable(lambda: Driver(CudaDouble(**facts)))

    assert said() is None
    assert said(gpus=0) == "the NVIDIA driver finds no GPU"
    old = said(version=11080)
    assert old == "the NVIDIA driver is too old: it serves CUDA 11.8, kernels need 12.0"

    class Older:
        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    assert unavailable(lambda: Driver(Older())) == (
        "the NVIDIA driver is too old: it has no cuInit"
    )


def test_errors_name_the_call():
    driver = Driver(CudaDouble())
    with pytest.raises(TargetError, match="cuDeviceGet failed: invalid arg") as caught:
        driver.new("cuDeviceGet", 3)
    assert caught.value.received == "CUDA_ERROR_INVALID_VALUE (1)"
    with pytest.raises(
        TargetError, match="cuMemAlloc_v2 failed: invalid device context"
    ):
        driver.new("cuMemAlloc_v2", 4)


def test_the_double_refuses_what_the_driver_would():
    driver = Driver(CudaDouble())
    with pytest.raises(TypeError):
        driver.call("cuCtxSetCurrent", 1.5)
