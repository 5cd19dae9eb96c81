"""Products of matrices by cuBLASLt: what it is told, and where it is called."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ops, passes
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.library import library_call, library_kernel
from graphc.codegen.triton.module import emit_kernel
from graphc.codegen.triton.plan_check import check_plan
from graphc.codegen.triton.plan_json import plan_from_json, plan_to_json
from graphc.codegen.triton.planning import make_plan
from graphc.codegen.triton.schedule import CUBLAS, Schedule
from graphc.codegen.triton.tuning import (
    candidates,
    choose_kernels,
    read_table,
    signature_of,
)
from graphc.codegen.triton.tuning.table import Entry, table_text
from graphc.ir import CompileError, Graph, GraphcError, TargetError, evaluate, parse
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.runtime import cublas, cuda_driver
from graphc.runtime.autotune import tune
from graphc.runtime.cublas import WORKSPACE, CublasLt
from graphc.runtime.cuda_device import CudaDevice
from graphc.runtime.cuda_driver import Driver
from graphc.runtime.plan_costs import plan_memory
from graphc.runtime.triton_interpreter import InterpreterDevice
from graphc.runtime.triton_program import TritonProgram
from graphc.runtime.triton_runtime import cuda
from graphc.testing.equivalence import random_arrays
from tests.codegen.triton.contraction_cases import BATCHED, linear_gelu, matmul
from tests.cublas_double import TF32, CublasDouble
from tests.cuda_double import CudaDouble
from tests.runtime.test_autotune import CompilerDouble, GpuDouble, never
from tests.triton_kernels import run_kernel

BIAS = """
graph @linear(%x: bf16[32,64], %w: bf16[48,64], %b: bf16[48]) -> (bf16[32,48]) {
  %p = dot_general(%x, %w) {contract=[[1],[1]]} : bf16[32,48]
  %c = broadcast_in_dim(%b) {dims=[1], shape=[32,48]} : bf16[32,48]
  %y = add(%c, %p) : bf16[32,48]
  return %y
}"""

HEADS = """
graph @heads(%x: f32[5,3,16], %w: f32[3,24,16]) -> (f32[3,5,24]) {
  %t = transpose(%x) {permutation=[1,0,2]} : f32[3,5,16]
  %p = dot_general(%t, %w) {batch=[[0],[0]], contract=[[2],[2]]} : f32[3,5,24]
  return %p
}"""
"""A batch whose left operand has gaps between the rows of a matrix."""

SEVERAL = """
graph @several(%x: f16[6,4,16], %w: f16[4,16,3,8]) -> (f32[6,3,8]) {
  %p = dot_general(%x, %w) {contract=[[1,2],[0,1]], dtype="f32"} : f32[6,3,8]
  return %p
}"""
"""Several dimensions of a kind, and sums that are not rounded to float16."""

PLACES = """
graph @places(%x: bf16[2,4,3,16], %w: bf16[1,1,24,16], %b: bf16[24]) -> (bf16[2,4,3,24]) {
  %p = convolution(%x, %w) {labels="b01f_01oi->b01f", strides=[1,1], padding=[[0,0],[0,0]],
    input_dilation=[1,1], kernel_dilation=[1,1]} : bf16[2,4,3,24]
  %c = broadcast_in_dim(%b) {dims=[3], shape=[2,4,3,24]} : bf16[2,4,3,24]
  %y = add(%c, %p) : bf16[2,4,3,24]
  return %y
}"""
"""A convolution that looks at one place."""

GROUPS = """
graph @groups(%x: f32[3,5,12], %w: f32[1,4,24]) -> (f32[3,5,24]) {
  %p = convolution(%x, %w) {labels="b0f_0io->b0f", strides=[1], padding=[[0,0]],
    input_dilation=[1], kernel_dilation=[1], groups=3} : f32[3,5,24]
  return %p
}"""

CALLS = {
    **{form: matmul(12, 20, 8, form=form) for form in ("NN", "NT", "TN", "TT")},
    "float16": matmul(12, 20, 8, "f16"),
    "float32": matmul(12, 20, 8, "f32"),
    "float64": matmul(12, 20, 8, "f64", form="NT"),
    "a bias": BIAS,
    "a batch": HEADS,
    "several dimensions": SEVERAL,
    "a convolution of single places": PLACES,
    "groups of such": GROUPS,
}


class Machine:
    """A GPU with the library, both in Python."""

    def __init__(self, serves: bool = True) -> None:
        self.cuda = CudaDouble()
        self.blas = CublasDouble(self.cuda, serves)
        self.device = CudaDevice(
            opened=Driver(self.cuda), blas=lambda: CublasLt(self.blas)
        )


def check(found: Any, graph: Graph, arrays: Any) -> None:
    """Compares a result with the reference, whose sums have another order."""
    (expected,) = evaluate(graph, *arrays)
    if mismatch(found, expected):
        (exact,) = evaluate(graph, *arrays, dtype="f64")
        assert not inaccuracy(found, expected, exact)


def called(graph: Graph) -> Kernel:
    """The kernel of a graph that is a call of the library."""
    kernel = library_kernel(graph, emit_kernel(graph))
    assert kernel is not None
    return kernel


@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS)
def test_the_library_computes_what_the_graph_says(text: str, rng: np.random.Generator):
    graph, machine = parse(text), Machine()
    arrays = random_arrays(graph, rng)
    (found,) = run_kernel(machine.device, called(graph), *arrays)
    check(found, graph, arrays)
    assert machine.blas.computed == [70 if "f64" in text else 68]


@pytest.mark.gpu
@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS)
def test_the_library_of_this_machine_computes_it(text: str, rng: np.random.Generator):
    if reason := cuda_driver.unavailable() or cublas.unavailable():
        pytest.skip(reason)
    graph = parse(text)
    arrays = random_arrays(graph, rng)
    (found,) = run_kernel(cuda(), called(graph), *arrays)
    check(found, graph, arrays)


def test_tf32_is_said_to_the_library(rng: np.random.Generator):
    graph, machine = parse(matmul(12, 20, 8, "f32")), Machine()
    graph.attributes["tf32"] = True
    run_kernel(machine.device, called(graph), *random_arrays(graph, rng))
    assert machine.blas.computed == [TF32]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(linear_gelu(32, 48, 64), id="an activation"),
        pytest.param(BATCHED, id="a result that lies otherwise"),
        pytest.param(matmul(12, 20, 8, "i8"), id="integers"),
        pytest.param(
            PLACES.replace("[0,0],", "[0,1],").replace("4,3,24", "5,3,24"), id="padding"
        ),
        pytest.param(
            GROUPS.replace("5,24]", "9,24]").replace(
                "input_dilation=[1]", "input_dilation=[2]"
            ),
            id="places between",
        ),
        pytest.param(BIAS.replace("add(", "multiply("), id="a scale"),
        pytest.param(
            BIAS.replace("dims=[1]", "dims=[0]").replace("48", "32"), id="rows"
        ),
    ],
)
def test_what_the_library_does_not_compute(text: str):
    graph = parse(text)
    assert library_call(graph) is None
    assert library_kernel(graph, emit_kernel(graph)) is None


# -- in programs -------------------------------------------------------------------------


def product() -> tuple[Graph, Graph]:
    """A graph and the kernel graph that it becomes."""
    specs = graphc.TensorSpec((64, 48)), graphc.TensorSpec((48, 40))
    graph = passes.run(graphc.trace(ops.matmul, *specs), "triton")
    (inner,) = (each for each in graph.reachable() if each.attributes.get("fused"))
    return graph, inner


GRAPH, INNER = product()
ENTRY = Entry(Schedule(library=CUBLAS), 1.0, 2.0, "a GPU")
TABLE = {signature_of(INNER): ENTRY}


def test_only_what_was_measured_is_called_and_only_where_the_library_is():
    chosen = choose_kernels(GRAPH, TABLE, libraries=True)
    (kernel,) = (each.kernel for each in chosen.values())
    assert kernel.library is not None
    assert (
        kernel.source
        == "# dot_general: [64,48] @ [48,40], f32 -> f32, computed by cublasLt.\n"
    )
    for table, libraries in (({}, True), (TABLE, False)):
        (each,) = choose_kernels(GRAPH, table, libraries=libraries).values()
        assert each.kernel == emit_kernel(INNER)
        assert each.origin == "cost model"


def test_a_call_is_recorded_with_the_kernels_around_it(rng: np.random.Generator):
    machine = Machine()
    plan = make_plan(GRAPH, {INNER.name: called(INNER)})
    program = TritonProgram("", plan, GRAPH.module, machine.device)
    arrays = random_arrays(GRAPH, rng)
    places = [program.place(array) for array in arrays]
    for _ in range(3):
        machine.cuda.calls.clear()
        (found,) = program.run(*places)
        check(found.numpy(), GRAPH, arrays)
    assert "cuGraphLaunch" in machine.cuda.calls
    assert machine.blas.calls.count("cublasLtMatmul") == 2  # run once, recorded once
    del program, found
    machine.device.close()
    gc.collect()
    assert not machine.cuda.blocks


def test_the_memory_of_calls_is_counted():
    plan = make_plan(GRAPH, {INNER.name: called(INNER)})
    without = make_plan(GRAPH, {INNER.name: emit_kernel(INNER)})
    more = plan_memory(plan).temporaries - plan_memory(without).temporaries
    assert more == WORKSPACE


def test_plans_of_unknown_origin_call_no_library():
    plan = make_plan(GRAPH, {INNER.name: called(INNER)})
    again = plan_from_json(plan_to_json(plan))
    assert again.kernels[0].library == plan.kernels[0].library
    with pytest.raises(GraphcError, match="a kernel is a call of a library"):
        check_plan(again)


# -- tuning ------------------------------------------------------------------------------


def test_a_call_is_the_last_candidate_and_wins_where_it_is_fastest():
    default = emit_kernel(INNER)
    assert candidates(INNER, default)[-1] == Schedule(library=CUBLAS)
    assert str(Schedule(library=CUBLAS)) == "library=cublasLt"
    traced = graphc.trace(
        ops.matmul, *(graphc.TensorSpec(p.type.static_shape) for p in INNER.parameters)
    )
    device = GpuDouble(INNER, lambda kernel: 1e-5 if kernel.library is None else 1e-6)
    (entry,) = tune(traced, device, CompilerDouble(never, never)).values()
    assert entry.schedule.library == CUBLAS
    assert not [kernel for kernel in device.added if kernel.library is not None]


def test_a_table_keeps_calls(tmp_path: Any):
    path = tmp_path / "sm_90.json"
    more = replace(ENTRY, schedule=Schedule({"BLOCK_K": 64}, 8, 3, descriptors=True))
    table = {**TABLE, "other": more}
    path.write_text(table_text(table))
    assert read_table(path) == table
    path.write_text(path.read_text().replace("cublasLt", "libm"))
    with pytest.raises(GraphcError, match="library may be 'cublasLt'"):
        read_table(path)


class Missing(GpuDouble):
    """A GPU whose machine lacks the library."""

    def load(self, kernel: Kernel) -> int:
        if kernel.library is not None:
            raise CompileError("cuBLASLt is not installed")
        return super().load(kernel)


def test_a_missing_library_is_left_out_with_a_reason():
    lines: list[str] = []
    traced = graphc.trace(
        ops.matmul, *(graphc.TensorSpec(p.type.static_shape) for p in INNER.parameters)
    )
    device = Missing(INNER, lambda kernel: 1e-5)
    assert not tune(traced, device, CompilerDouble(never, never), say=lines.append)
    assert lines[0] == "cuBLASLt is not installed"
    assert lines[1].endswith("the default is best")


@pytest.mark.parametrize("reason", ["not installed", "not served"])
def test_why_a_call_cannot_be_made(reason: str):
    machine = Machine(serves=False)
    if reason == "not installed":

        def missing() -> CublasLt:
            raise TargetError("cuBLASLt is not installed: no such file")

        machine.device = CudaDevice(opened=Driver(CudaDouble()), blas=missing)
    with pytest.raises(CompileError) as caught:
        machine.device.load(called(INNER))
    assert caught.value.message == (
        "kernel 'dot_general' is no call of a library here: "
        + (
            "cuBLASLt is not installed: no such file"
            if reason == "not installed"
            else "cublasLtMatmulAlgoGetHeuristic failed"
        )
    )


def test_the_interpreter_calls_no_library(kernel_device: Any):
    if isinstance(kernel_device, InterpreterDevice):
        with pytest.raises(
            CompileError, match="a call of a library, which needs a GPU"
        ):
            kernel_device.load(called(INNER))
