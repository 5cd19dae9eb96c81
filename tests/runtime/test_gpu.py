"""What only a GPU can show: real memory, streams, CUDA graphs, arrays of others.

``make gpu-test`` runs these and the tests marked ``triton``. Those that need no GPU run
on the interpreter as well, with ``-m gpu`` alone.
"""

from __future__ import annotations

import ctypes
import gc
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import graphc
from graphc import ops
from graphc.cli.doctor import doctor
from graphc.ir import Graph, GraphcError, evaluate, parse
from graphc.ir.random_inputs import random_inputs
from graphc.ir.tolerance import mismatch
from graphc.ir.types import BF16
from graphc.runtime import cuda_driver
from graphc.runtime.compile import compile_graph
from graphc.runtime.cuda_device import CudaDevice
from graphc.runtime.device_arrays import DeviceArray
from graphc.runtime.targets import targets
from graphc.runtime.triton_runtime import cuda
from tests import gpu_sample
from tests.closeness import assert_alike
from tests.triton_target import TARGET

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]
pytest.importorskip("triton")

Spec = graphc.TensorSpec


@pytest.fixture
def device() -> CudaDevice:
    if reason := cuda_driver.unavailable():
        pytest.skip(reason)
    return cuda()


@pytest.fixture
def torch(device: CudaDevice) -> Any:
    return pytest.importorskip("torch")


@pytest.fixture
def jax_gpu(device: CudaDevice) -> Any:
    jax = pytest.importorskip("jax")
    try:
        return jax.devices("cuda")[0]
    except RuntimeError as error:
        pytest.skip(str(error))


def block(x: Any, w: Any, g: Any) -> Any:
    """A normalized layer and its gradients: several kernels."""

    def total(x: Any, w: Any, g: Any) -> Any:
        h = ops.rms_normalization(ops.matmul(x, w), g, axis=-1)
        return ops.sum(ops.square(ops.gelu(h)))

    return graphc.value_and_grad(total, argnums=(0, 1, 2))(x, w, g)


def traced(rows: int = 24, width: int = 32, dtype: str = "float32") -> Graph:
    specs = ((rows, width), (width, width), (width,))
    return graphc.trace(block, *(Spec(shape, dtype) for shape in specs))


def same_bits(found: Any, wanted: Any) -> bool:
    return np.asarray(found).tobytes() == np.asarray(wanted).tobytes()


# -- runs --------------------------------------------------------------------------------


def test_the_doctor_finds_the_gpu(device: CudaDevice):
    result = CliRunner().invoke(doctor)
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.output.splitlines() if line}
    assert "works" in rows["triton"]


def test_recorded_runs_give_the_bits_of_direct_ones(monkeypatch: pytest.MonkeyPatch):
    graph = traced()
    arrays = random_inputs(graph)
    recording, direct = (compile_graph(graph, TARGET) for _ in range(2))
    wanted = direct(*arrays)
    for _ in range(4):  # the first run resolves, the second one records
        found = [np.asarray(array) for array in recording(*arrays)]
        assert all(map(same_bits, found, wanted))
    if TARGET == "triton":
        kept = list(recording.program._schedules.values())
        assert any(schedule._recorded for schedule in kept)


def test_a_loop_on_the_host_and_a_branch():
    def counted(x: Any) -> Any:
        x = ops.while_loop(lambda x: ops.sum(x) < 100.0, lambda x: (x * 2.0,), (x,))[0]
        return ops.cond(ops.max(x) > 50.0, lambda: x - 1.0, lambda: x + 1.0)

    graph = graphc.trace(counted, Spec((5,)))
    x = np.arange(1, 6, dtype=np.float32)
    run = compile_graph(graph, TARGET)
    for _ in range(3):
        assert not mismatch(np.asarray(run(x)[0]), evaluate(graph, x)[0])


def test_what_was_never_written_is_not_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRAPHC_POISON", "1")
    assert gpu_sample.run(TARGET) >= len(gpu_sample.SAMPLES)


def test_measured_kernels(device: CudaDevice):
    graph = traced(2048, 512)
    report = compile_graph(graph, "triton").kernels(*random_inputs(graph))
    assert report is not None
    assert all(cost.seconds is not None and cost.seconds > 0 for cost in report.costs)
    assert report.gpu.name in device.name or report.gpu.name == "H200"


# -- memory ------------------------------------------------------------------------------


def free_bytes() -> int:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    library = ctypes.CDLL(cuda_driver.LIBRARY)
    library.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    return free.value


@pytest.fixture
def emptied(device: CudaDevice) -> Iterator[CudaDevice]:
    """The device without memory that it keeps for the next allocation."""
    gc.collect()
    device._release_spare()
    yield device
    gc.collect()
    device._release_spare()


def test_the_peak_is_known_within_two_percent(emptied: CudaDevice):
    graph = traced(1 << 17, 1024, "bfloat16")
    executable = compile_graph(graph, "triton")
    arrays = random_inputs(graph)
    small = traced()
    for each in compile_graph(small, "triton")(*random_inputs(small)):
        np.asarray(each)  # what the driver loads for a first launch is there now
    gc.collect()
    emptied._release_spare()
    before = free_bytes()
    results = executable(*arrays)
    emptied.synchronize()
    measured = before - free_bytes()
    memory = executable.memory()
    assert memory is not None
    assert memory.peak > 1 << 29
    assert abs(measured - memory.peak) <= 0.02 * memory.peak
    del results


def test_memory_that_is_not_there(emptied: CudaDevice):
    with pytest.raises(GraphcError, match="out of memory"):
        emptied.allocate(1 << 50)
    address = emptied.allocate(1 << 20)
    emptied.free(address)


def test_more_elements_than_32_bits_count(emptied: CudaDevice):
    rows, columns = (1 << 16) + 3, 1 << 15

    def far(x: Any) -> Any:
        return ops.max(ops.cast(x, "int32") + 1, axis=1), x[-3:] + 1

    graph = graphc.trace(far, Spec((rows, columns), "int8"))
    x = np.zeros((rows, columns), np.int8)
    x[-1, -1] = 5
    largest, last = map(np.asarray, compile_graph(graph, "triton")(x))
    assert largest.shape == (rows,)
    assert set(largest[:-1].tolist()) == {1}
    assert largest[-1] == 6
    np.testing.assert_array_equal(last, x[-3:] + 1)


# -- arrays of others --------------------------------------------------------------------


def doubled() -> Callable[..., Any]:
    return compile_graph(graphc.trace(lambda x: x * 2.0, Spec((64, 32))), "triton")


def test_tensors_of_torch_are_read_where_they_are(device: CudaDevice, torch: Any):
    run = doubled()
    x = torch.randn(64, 32, device="cuda")
    type = parse("graph @g(%x: f32[64,32]) -> f32[64,32] {\n  return %x\n}").parameters[
        0
    ]
    place = device.find(x, type.type)
    assert place is not None
    assert place[0] == x.data_ptr()
    (y,) = run(x)
    assert isinstance(y, DeviceArray)
    seen = torch.from_dlpack(y)
    assert seen.data_ptr() == y.address
    assert torch.equal(seen, x * 2)
    turned = torch.randn(32, 64, device="cuda").T
    assert torch.equal(torch.from_dlpack(run(turned)[0]), turned * 2)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8", "int64", "bool"])
def test_dtypes_of_torch(dtype: str, torch: Any):
    run = compile_graph(graphc.trace(ops.transpose, Spec((8, 6), dtype)), "triton")
    x = (torch.randn(8, 6, device="cuda") * 3).to(getattr(torch, dtype))
    assert torch.equal(torch.from_dlpack(run(x)[0]), x.T)


def test_work_of_torch_and_graphc_is_done_in_order(torch: Any):
    run = doubled()
    side = torch.cuda.Stream()
    for stream in (torch.cuda.current_stream(), side):
        with torch.cuda.stream(stream):
            x = torch.ones(64, 32, device="cuda")
            for _ in range(20):
                busy = torch.randn(2048, 2048, device="cuda")
                x = x * (busy @ busy).mul(0).add(1)[:64, :32]  # late
                x = torch.from_dlpack(run(x)[0]) / 2
            assert torch.equal(x, torch.ones_like(x))


def test_arrays_of_jax_are_read_where_they_are(device: CudaDevice, jax_gpu: Any):
    jax = pytest.importorskip("jax")
    run = doubled()
    x = jax.device_put(
        np.random.default_rng(0).normal(size=(64, 32)).astype("f4"), jax_gpu
    )
    graph = graphc.trace(lambda x: x, Spec((64, 32)))
    place = device.find(x, graph.parameters[0].type)
    assert place is not None
    assert place[0] == x.unsafe_buffer_pointer()
    (y,) = run(x)
    seen = jax.dlpack.from_dlpack(y)
    assert seen.unsafe_buffer_pointer() == y.address
    np.testing.assert_array_equal(np.asarray(seen), np.asarray(x) * 2)


# -- tools and targets -------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "initcheck", "synccheck"])
def test_the_sanitizer_finds_nothing(tool: str, device: CudaDevice):
    found = shutil.which("compute-sanitizer")
    if found is None:
        pytest.skip("compute-sanitizer is not installed")
    command = [found, "--tool", tool, "--error-exitcode", "9"]
    command += [sys.executable, "-m", "tests.gpu_sample", "triton"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.fixture
def xla_cuda() -> str:
    (target,) = (t for t in targets() if t.name == "xla:cuda")
    if not target.available:
        pytest.skip(str(target.reason))
    return target.name


def test_samples_agree_on_xla(xla_cuda: str):
    for function, specs in gpu_sample.SAMPLES:
        graph = graphc.trace(function, *specs)
        arrays = random_inputs(graph)
        ours, theirs = (compile_graph(graph, t)(*arrays) for t in (TARGET, xla_cuda))
        for found, wanted in zip(ours, theirs, strict=True):
            # XLA multiplies float32 in tf32 there; one sample is in bfloat16.
            assert_alike(found, wanted, BF16)


def test_printing_from_a_compiled_step(
    xla_cuda: str, capfd: pytest.CaptureFixture[str]
):
    def printed(x: Any) -> Any:
        ops.print("sum {}", ops.sum(x))
        return x + 1.0

    x = np.ones((4,), np.float32)
    for target in (TARGET, xla_cuda):
        run = compile_graph(graphc.trace(printed, Spec((4,))), target)
        np.testing.assert_array_equal(np.asarray(run(x)[0]), x + 1)
    assert capfd.readouterr().out.count("4.0") >= 1
