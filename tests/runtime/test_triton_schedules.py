"""Schedules from lock files: what is compiled, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ops
from graphc.codegen.triton.kernel import Kernel
from graphc.codegen.triton.schedule import Schedule
from graphc.codegen.triton.tuning import Entry, schedules, signature_of
from graphc.files.lock import CANONICAL, Line, Locked, write_lock
from graphc.ir import CompileError, Graph, LoadError
from graphc.passes import run
from graphc.passes.inline import kernel_graphs
from graphc.runtime import triton_runtime
from graphc.runtime.compile import compile_graph
from graphc.runtime.executable import Executable
from graphc.runtime.triton_schedules import kernel_subject
from graphc.tuning.machine import is_device
from tests.artifacts.machine_code import MachineCode
from tests.closeness import assert_close

DEVICE, TARGET = "triton:sm_90", "triton:sm_90"


def traced(name: str = "f", rows: int = 64) -> Graph:
    """A product and a reduction, which are two kernels."""

    def function(a: Any, b: Any) -> Any:
        return ops.softmax(ops.relu(ops.matmul(a, b)))

    function.__name__ = name
    specs = graphc.TensorSpec((rows, 48)), graphc.TensorSpec((48, 40))
    return graphc.trace(function, *specs)


GRAPH = traced()
PRODUCT, SUMS = kernel_graphs(run(GRAPH, "triton"))


def line(graph: Graph, choice: str, device: str = DEVICE) -> Line:
    return Line(*kernel_subject(graph, device), choice, 1e-5, 1e-7, 9, "tools 1")


def last(graph: Graph) -> tuple[str, Schedule]:
    """The last schedule of a kernel of our own, as a line spells it."""
    own = [each for each in schedules(graph).items() if each[1].library is None]
    return f"schedule={own[-1][0]}", own[-1][1]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> MachineCode:
    """A compiler and a GPU that are doubles."""
    pytest.importorskip("triton")
    code = MachineCode()
    code.install(monkeypatch)
    return code


def compiled(lock: Locked | None, target: str = TARGET) -> Executable:
    return compile_graph(GRAPH, target, lock=lock)


def planned(of: Executable) -> dict[str, Kernel]:
    return {kernel.name: kernel for kernel in of.program.plan.kernels}  # type: ignore[attr-defined]


def test_the_lock_chooses_the_schedule_of_a_kernel(gpu: MachineCode) -> None:
    choice, schedule = last(PRODUCT)
    made = compiled(Locked((line(PRODUCT, choice),)))
    kernels = planned(made)
    assert kernels["dot_general"].schedule == schedule
    assert kernels["dot_general"].schedule != planned(compiled(None))["dot_general"]
    assert made.origins == {"dot_general": "lock", SUMS.name: "cost model"}
    table = str(made.kernels())
    assert f"({schedule} by lock)" in table
    assert f"({kernels[SUMS.name].schedule} by cost model)" in table


def test_the_table_comes_after_the_lock(
    gpu: MachineCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = list(schedules(PRODUCT).values())[1]
    entry = Entry(measured, 1.0, 2.0, "a GPU")
    monkeypatch.setattr(
        triton_runtime, "load_table", lambda name: {signature_of(PRODUCT): entry}
    )
    made = compiled(None)
    assert made.origins["dot_general"] == "table"
    assert planned(made)["dot_general"].schedule == measured
    made = compiled(Locked((line(PRODUCT, CANONICAL),)))
    assert made.origins["dot_general"] == "lock"
    assert planned(made)["dot_general"].schedule == next(
        iter(schedules(PRODUCT).values())
    )


def test_lines_about_others_do_not_count(gpu: MachineCode) -> None:
    choice, _ = last(PRODUCT)
    (other, _) = kernel_graphs(run(traced(rows=128), "triton"))
    lines = line(PRODUCT, choice, "triton:sm_80"), line(other, choice)
    assert compiled(Locked(lines)).origins["dot_general"] == "cost model"


def test_lines_of_the_same_gpu_come_first(gpu: MachineCode) -> None:
    """What is compiled for an architecture takes the first line of one that has it."""
    names = [f"schedule={name}" for name in schedules(PRODUCT)][:4]
    own, other, first, any_gpu = (
        line(PRODUCT, name, device)
        for name, device in zip(
            names,
            (
                f"{DEVICE} on NVIDIA H100 in Python",
                f"{DEVICE} on NVIDIA H200",
                f"{DEVICE} on NVIDIA GH200",
                DEVICE,
            ),
            strict=True,
        )
    )
    for target, lines, taken, origin in (
        ("triton", (other, own, first, any_gpu), own, "lock"),
        ("triton", (other, first, any_gpu), any_gpu, "lock"),
        ("triton", (other, first), first, "lock of NVIDIA GH200"),
        (TARGET, (other, own), own, "lock of NVIDIA H100 in Python"),
        (TARGET, (other, any_gpu), any_gpu, "lock"),
    ):
        locked = Locked((*lines, line(SUMS, CANONICAL)), required=True)
        made = compiled(locked, target)
        assert f"schedule={planned(made)['dot_general'].schedule}" == taken.choice
        assert made.origins["dot_general"] == origin
        assert set(made.lines) == {*lines, locked.lines[-1]}


def test_lines_are_about_the_gpu_that_is_here(gpu: MachineCode) -> None:
    here = "triton:sm_90 on NVIDIA H100 in Python"
    assert triton_runtime.device_name(None) == here
    assert triton_runtime.device_name("sm_90") == here
    assert triton_runtime.device_name("sm_80") == "triton:sm_80"
    assert is_device(here, here)
    assert is_device(here, "triton:sm_90")
    assert not is_device(here, "triton:sm_90 on NVIDIA H200")


def test_a_library_that_cannot_be_called_is_said(gpu: MachineCode) -> None:
    """Under required lines that is an error: nothing else takes its place unnoticed."""
    found = line(PRODUCT, "schedule=library=cublasLt")
    made = compiled(Locked((found,)))
    assert made.origins["dot_general"] == (
        "cost model, not schedule=library=cublasLt by lock: what is compiled for"
        " another machine does not know its libraries"
    )
    with pytest.raises(CompileError, match="chooses schedule=library=cublasLt, which"):
        compiled(Locked((found, line(SUMS, CANONICAL)), required=True))


def test_a_line_does_not_depend_on_names() -> None:
    again, _ = kernel_graphs(run(traced("another"), "triton"))
    assert kernel_subject(again, DEVICE) == kernel_subject(PRODUCT, DEVICE)


def test_required_lines(gpu: MachineCode) -> None:
    lines = tuple(line(each, CANONICAL) for each in (PRODUCT, SUMS))
    assert set(compiled(Locked(lines, required=True)).origins.values()) == {"lock"}
    with pytest.raises(CompileError, match="no line about what is compiled") as caught:
        compiled(Locked(lines[:1], required=True))
    assert caught.value.received == " | ".join(kernel_subject(SUMS, DEVICE))


@pytest.mark.parametrize("choice", ["schedule=warps=3", "cse=off", "schedule"])
def test_a_line_chooses_what_could_be_tuned(gpu: MachineCode, choice: str) -> None:
    with pytest.raises(LoadError, match=r"kernel:contraction@\w+: the choice is no"):
        compiled(Locked((line(PRODUCT, choice),)))


def test_the_environment_names_a_lock(
    gpu: MachineCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = line(PRODUCT, last(PRODUCT)[0])
    path = tmp_path / "graphc.lock"
    write_lock(path, {found.about: found})
    monkeypatch.setenv("GRAPHC_LOCK", str(path))
    assert compiled(None).origins["dot_general"] == "lock"
    assert compiled(Locked(())).origins["dot_general"] == "cost model"
    path.write_text("damaged")
    with pytest.raises(LoadError, match="no lock file of this release"):
        compiled(None)


def test_the_frontend_takes_a_lock_file(gpu: MachineCode, tmp_path: Path) -> None:
    found = line(PRODUCT, last(PRODUCT)[0])
    path = tmp_path / "graphc.lock"
    write_lock(path, {found.about: found})
    made = graphc.compile(GRAPH, target=TARGET, lock=path)
    assert "by lock)" in str(made.kernels())
    with pytest.raises(CompileError, match="no line about"):
        graphc.compile(GRAPH, target=TARGET, lock=path, locked=True)
    with pytest.raises(ValueError, match="Expected `lock`"):
        graphc.compile(GRAPH, target=TARGET, locked=True)
    x, y = (np.ones(p.shape, np.float32) for p in GRAPH.parameters)
    function = graphc.jit(
        lambda a, b: ops.softmax(ops.relu(a @ b)), target="triton", lock=path
    )
    function(x, y)
    (program,) = function.programs.values()
    assert "by lock)" in str(program.executables[-1].kernels())
    required = graphc.jit(target="triton", lock=path, locked=True)(lambda a, b: a @ b.T)
    with pytest.raises(CompileError, match="no line about"):
        required(y, y)


@pytest.mark.slow
def test_machine_code_has_the_schedule_of_the_lock() -> None:
    pytest.importorskip("triton")
    choices = {each.name: last(each) for each in (PRODUCT, SUMS)}
    lines = (line(PRODUCT, choices[PRODUCT.name][0]), line(SUMS, choices[SUMS.name][0]))
    made = compiled(Locked(lines))
    threads = {
        kernel.name: each.threads
        for kernel, each in zip(
            made.program.plan.kernels, made.program.compiled, strict=True
        )
    }
    assert threads == {name: 32 * s.num_warps for name, (_, s) in choices.items()}


@pytest.mark.slow
def test_kernels_of_the_interpreter_have_the_schedule_of_the_lock() -> None:
    pytest.importorskip("triton")
    device = "triton:interpreter"
    choice, schedule = last(PRODUCT)
    made = compiled(Locked((line(PRODUCT, choice, device),)), device)
    assert planned(made)["dot_general"].schedule == schedule
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=p.shape).astype(np.float32) for p in GRAPH.parameters]
    (found,) = made(*arrays)
    hidden = np.maximum(arrays[0] @ arrays[1], 0)
    scores = np.exp(hidden - hidden.max(axis=1, keepdims=True))
    assert_close(np.asarray(found), scores / scores.sum(axis=1, keepdims=True))
