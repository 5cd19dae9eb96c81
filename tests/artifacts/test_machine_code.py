"""Artifacts for GPUs: machine code from the file runs without Triton, or not at all."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers, ops
from graphc.artifacts import Contract, load
from graphc.artifacts.building import Source, write_artifact
from graphc.artifacts.loading import Artifact
from graphc.codegen.triton.tuning import schedules
from graphc.files.lock import CANONICAL, Line, Locked
from graphc.ir import TargetError, evaluate
from graphc.ir.errors import LoadError
from graphc.passes import run
from graphc.passes.inline import kernel_graphs
from graphc.runtime import triton_runtime
from graphc.runtime.options import CompileOptions
from graphc.runtime.triton_cache import digest
from graphc.runtime.triton_packing import SHORT
from graphc.runtime.triton_schedules import kernel_subject
from tests.artifacts.forgery import ArtifactForger
from tests.artifacts.machine_code import MachineCode
from tests.cli.test_artifacts import invoke
from tests.closeness import assert_close

X = np.linspace(-1, 1, 4 * 36, dtype=np.float32).reshape(4, 6, 6, 1)
Y = np.arange(4, dtype=np.int32) % 3


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MachineCode]:
    """A folder with a model's predict and train steps for a GPU."""
    folder = tmp_path_factory.mktemp("gpu")
    code = MachineCode()
    graphc.utils.set_random_seed(1)
    model = graphc.Sequential(
        [
            graphc.Input((6, 6, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    with pytest.MonkeyPatch.context() as monkeypatch:
        code.install(monkeypatch)
        for kind in ("predict", "train_step"):
            model.export(folder / f"{kind}.gcx", kind, ["triton:sm_90"], batch=4)
    return folder, code


@pytest.fixture
def without_triton(
    built: tuple[Path, MachineCode], monkeypatch: pytest.MonkeyPatch
) -> MachineCode:
    """A machine with a GPU and without Triton; what compiles fails the test."""
    _, code = built
    code.install(monkeypatch)
    known = builtins.__import__

    def refusing(name: str, *arguments: Any, **named: Any) -> Any:
        assert not name.startswith("triton"), name
        return known(name, *arguments, **named)

    def compiler(store: Any) -> Any:
        raise AssertionError("compiled")

    monkeypatch.setattr(builtins, "__import__", refusing)
    monkeypatch.setattr(triton_runtime, "triton_unavailable", lambda: "not installed")
    monkeypatch.setattr(triton_runtime, "compiler", compiler)
    code.double.calls.clear()
    return code


def evaluated(artifact: Artifact, *arrays: Any) -> tuple[Any, ...]:
    """The evaluator's outputs, then its new state, for the state of an artifact."""
    graph = artifact.graph.bind(B=4)
    return evaluate(graph, *arrays, *artifact.state.values())


def test_machine_code_runs_without_triton(
    built: tuple[Path, MachineCode], without_triton: MachineCode
):
    program = load(built[0] / "predict.gcx", trust="code")
    assert program.target == "triton"
    for _ in range(3):
        assert_close(np.asarray(program(X)), evaluated(program, X)[0])
    assert program.used == {(("B", 4),): "file"}
    assert "cuModuleLoadData" in without_triton.double.calls
    assert "cuGraphLaunch" in without_triton.double.calls


def test_training_goes_on_without_triton(
    built: tuple[Path, MachineCode], without_triton: MachineCode, tmp_path: Path
):
    program = load(built[0] / "train_step.gcx", "triton:sm_90", trust="code")
    for _ in range(4):
        loss, *state = evaluated(program, X, Y)
        found = program(X, Y.astype(np.int64))
        assert_close(np.asarray(found), loss)
        names = [program.contents.state[i] for i in program.contents.written]
        for name, array in zip(names, state, strict=True):
            assert_close(program.state[name], array)
    program.save_state(tmp_path / "state.safetensors")
    again = load(built[0] / "train_step.gcx", trust="code")
    again.load_state(tmp_path / "state.safetensors")
    np.testing.assert_array_equal(np.asarray(again(X, Y)), np.asarray(program(X, Y)))


def test_nothing_of_it_runs_untrusted(
    built: tuple[Path, MachineCode], without_triton: MachineCode
):
    program = load(built[0] / "predict.gcx")
    assert program.target == "xla"
    assert_close(np.asarray(program(X)), evaluated(program, X)[0])
    assert not without_triton.double.calls
    with pytest.raises(TargetError, match="'triton' is not available: not installed"):
        load(built[0] / "predict.gcx", "triton")


def test_machine_code_for_another_gpu_is_not_used(
    built: tuple[Path, MachineCode],
    without_triton: MachineCode,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(without_triton.device, "architecture", "sm_80")
    program = load(built[0] / "predict.gcx", trust="code")
    with pytest.raises(TargetError, match="'triton' is not available: not installed"):
        program.prepare()
    assert "cuModuleLoadData" not in without_triton.double.calls
    other = MachineCode()
    other.install(monkeypatch)
    monkeypatch.setattr(other.device, "architecture", "sm_80")
    monkeypatch.setattr(triton_runtime, "triton_unavailable", lambda: None)
    program = load(built[0] / "predict.gcx", trust="code")
    assert_close(np.asarray(program(X)), evaluated(program, X)[0])
    assert program.used == {(("B", 4),): "compiled"}


def test_an_artifact_keeps_the_lock_that_it_was_built_with(
    built: tuple[Path, MachineCode],
    without_triton: MachineCode,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    """What is compiled where it is loaded has the schedules of the lock, too."""
    other = MachineCode()
    other.install(monkeypatch)
    monkeypatch.setattr(triton_runtime, "triton_unavailable", lambda: None)
    graph = graphc.trace(lambda x: ops.matmul(x, x), graphc.TensorSpec((32, 32)))
    (kernel,) = kernel_graphs(run(graph, "triton"))
    name = list(schedules(kernel))[1]
    about = kernel_subject(kernel, "triton:sm_90")
    line = Line(*about, f"schedule={name}", 1e-5, 1e-7, 9, "tools 1")
    path = tmp_path / "f.gcx"
    source = Source("f", "graph", graph, ("x",), ("y",), {})
    elsewhere = kernel_subject(kernel, "triton:sm_80")
    others = Line(*elsewhere, CANONICAL, 1, 0, 1, "tools 1")
    options = CompileOptions(lock=Locked((line, others)))
    contents = write_artifact(
        str(path), source, Contract({}), ["triton:sm_90"], options
    )
    said = {"dot_general": f"{name} by lock"}
    assert contents.programs[0].schedules == said
    assert f"kernel dot_general: {name} by lock" in invoke("show", path).output
    program = load(path, "triton")
    x = np.ones((32, 32), np.float32)
    assert_close(np.asarray(program(x)), x @ x)
    assert program.used == {(): "compiled"}
    assert program.contents.lock is not None
    assert [*map(str, program.contents.lock.lines)] == [str(line)]
    forger = ArtifactForger(path.read_bytes())
    path.write_bytes(forger.pack(forger.members | {"graphc.lock": b"# another"}))
    with pytest.raises(LoadError, match=r"graphc\.lock: it is no lock file"):
        load(path)


def test_damaged_machine_code_is_never_launched(
    built: tuple[Path, MachineCode], without_triton: MachineCode, tmp_path: Path
):
    forger = ArtifactForger((built[0] / "predict.gcx").read_bytes())
    cubin = next(name for name in forger.members if name.endswith(".cubin"))
    path = tmp_path / "f.gcx"
    other = b"\x7fELF"
    path.write_bytes(forger.pack(forger.members | {cubin: other}))
    with pytest.raises(LoadError, match="is another's"):
        load(path, trust="code").prepare()
    renamed = f"kernels/{digest(other)[:SHORT]}.cubin"
    members = {
        name.replace(cubin, renamed): data.replace(cubin.encode(), renamed.encode())
        for name, data in {**forger.members, cubin: other}.items()
    }
    path.write_bytes(forger.pack(members))
    with pytest.raises(LoadError, match="machine code is damaged"):
        load(path, trust="code").prepare()
    assert "cuLaunchKernel" not in without_triton.double.calls
