"""Artifacts: built, loaded and run, and what is refused."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.artifacts import Contract, compiler, contents, load, loading
from graphc.artifacts.building import Source, write_artifact
from graphc.artifacts.contract import Sizes
from graphc.files.store import Store
from graphc.ir import parse
from graphc.ir.errors import GraphError, LoadError
from graphc.runtime import jaxlib_runtime
from graphc.runtime.options import CompileOptions
from tests.closeness import assert_close

GRAPH = """
graph @f(%x: f32[B,4], %w: f32[4,3] {role="state"}) -> (f32[B,3]) where B in 1..64 {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[B,3]
  %1 = softmax(%0) {axis=1} : f32[B,3]
  return %1
}
"""
W = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
X = np.linspace(0, 1, 32, dtype=np.float32).reshape(8, 4)
CONTRACT = Contract({"B": Sizes((1, 8))})


def source(**changes: Any) -> Source:
    known: dict[str, Any] = {
        "name": "f", "kind": "predict", "graph": parse(GRAPH),
        "inputs": ("x",), "outputs": ("y",), "state": {"w": W},
    }  # fmt: skip
    return Source(**(known | changes))


def expected(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x @ W)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifacts") / "f.gcx"
    write_artifact(str(path), source(), CONTRACT)
    return path


def test_what_is_loaded_runs(artifact: Path):
    program = load(artifact)
    assert_close(program(X), expected(X))
    assert_close(program(x=X[:1]), expected(X[:1]))
    assert program.used == {(("B", 8),): "compiled", (("B", 1),): "compiled"}
    assert {n: str(t) for n, t in program.inputs.items()} == {"x": "f32[B,4]"}
    np.testing.assert_array_equal(program.state["w"], W)
    assert program(X.tolist()).shape == (8, 3)


def test_machine_code_is_used_if_it_is_trusted(artifact: Path):
    program = load(artifact, trust="code")
    assert_close(program(X), expected(X))
    assert program.used == {(("B", 8),): "file"}
    with pytest.raises(LoadError, match="trust must be 'code' or None"):
        load(artifact, trust="yes")


def test_every_target_runs_it(artifact: Path):
    for target in ("xla:cpu", "numpy", "triton:interpreter"):
        program = load(artifact, target)
        program.prepare()
        assert_close(program(X), expected(X))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[:3],), "compiled for B = 1 or 8"),
        ((X[:0],), "compiled for B = 1 or 8\n.*\n  hint: give at least one element"),
        ((X[:, :3],), r"^input 'x' is f32\[B,4\]\n  received: .*\(8, 3\)"),
        ((X, X), "too many inputs: 2"),
        ((), "inputs are missing: x"),
        ((X.astype(np.int32),), "input 'x' is of dtype float32"),
        ((["text"],), "input 'x' is no array of dtype float32"),
        (([[1.0], [2.0, 3.0]],), "input 'x' is no array of dtype float32"),
    ],
)
def test_inputs_that_do_not_fit(artifact: Path, arguments: Any, message: str):
    with pytest.raises(GraphError, match=message):
        load(artifact)(*arguments)


def test_inputs_by_other_names(artifact: Path):
    program = load(artifact)
    with pytest.raises(GraphError, match="'y' is given twice or no input"):
        program(X, y=X)
    with pytest.raises(GraphError, match="'x' is given twice or no input"):
        program(X, x=X)


def test_two_builds_are_equal(tmp_path: Path, artifact: Path):
    write_artifact(str(tmp_path / "again.gcx"), source(), CONTRACT)
    again, first = ((zipfile.ZipFile(p)) for p in (tmp_path / "again.gcx", artifact))
    names = [n for n in first.namelist() if "executable" not in n]
    assert again.namelist() == first.namelist()
    for name in names:
        if name != "manifest.json":  # which has the digests of XLA's executables
            assert again.read(name) == first.read(name), name


def test_weights_of_their_own(tmp_path: Path):
    path, weights = tmp_path / "f.gcx", tmp_path / "w.safetensors"
    write_artifact(str(path), source(), CONTRACT, weights_path=str(weights))
    with pytest.raises(LoadError, match="does not hold its weights"):
        load(path)
    assert_close(load(path, weights=weights)(X), expected(X))
    write_artifact(
        str(tmp_path / "g.gcx"), source(state={"w": W + 1}), CONTRACT,
        weights_path=str(weights),
    )  # fmt: skip
    with pytest.raises(LoadError, match="other weights than the artifact was built"):
        load(path, weights=weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": {"w": W.T}}, "the tensor 'w' is not f32"),
        ({"state": {}}, "has 2 parameters"),
        ({"outputs": ()}, "has 1 results"),
    ],
)
def test_sources_that_do_not_fit(tmp_path: Path, changes: Any, message: str):
    with pytest.raises(GraphError, match=message):
        write_artifact(str(tmp_path / "f.gcx"), source(**changes), CONTRACT)
    assert not list(tmp_path.iterdir())


def test_no_python_of_the_model_is_needed(tmp_path: Path):
    """In a process that does not know the class of the model's layer."""

    class Doubled(layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2.0

    inputs = layers.Input((4,), name="features")
    outputs = layers.Dense(3, name="scores")(Doubled()(inputs))
    model = graphc.Model(inputs, outputs)
    model.export(tmp_path / "m.gcx", batch=[2])
    np.save(tmp_path / "x.npy", X[:2])
    script = f"""
import numpy as np, graphc
program = graphc.load({str(tmp_path / "m.gcx")!r})
np.save({str(tmp_path / "y.npy")!r}, program(features=np.load({str(tmp_path / "x.npy")!r})))
import sys
wanted = ("jax", "graphc.passes", "graphc.frontend")
print(*program.used.values(), *[name for name in wanted if name in sys.modules])
"""
    variables = os.environ | {"GRAPHC_CACHE": str(tmp_path / "cache")}
    for expected in ("compiled graphc.passes", "cache"):
        done = subprocess.run(
            [sys.executable, "-c", script], env=variables, stdout=subprocess.PIPE,
            check=True, text=True,
        )  # fmt: skip
        assert done.stdout.strip() == expected
    assert_close(np.load(tmp_path / "y.npy"), model.predict(X[:2], verbose=0))


EIGENVALUES = """
graph @f(%x: f32[3,3], %w: f32[3] {role="state"}) -> (f32[3], f32[3]) {
  %0, %1 = eigh(%x) : f32[3], f32[3,3]
  %2 = add(%w, %0) : f32[3]
  return %2, %2
}
"""


def test_what_needs_jax_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "without_jax", lambda name: True)
    state = {"w": np.zeros(3, np.float32)}
    made = Source("f", "graph", parse(EIGENVALUES), ("x",), ("y",), state, (0,))
    write_artifact(str(tmp_path / "f.gcx"), made, Contract({}), ["xla:cpu"])
    x = np.diag([3.0, 1.0, 2.0]).astype(np.float32)
    for trust in (None, "code"):
        program = load(tmp_path / "f.gcx", trust=trust)
        for step in (1, 2):
            assert_close(np.asarray(program(x)), step * np.float32(np.arange(1, 4)))
        assert program.used == {(): "file" if trust else "compiled"}


def test_programs_are_kept(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loading, "without_jax", lambda name: True)
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    for trust, origin in ((None, "compiled"), (None, "cache"), ("code", "file")):
        program = load(artifact, trust=trust)
        found = program(X)
        assert isinstance(found, np.ndarray)
        assert_close(found, expected(X))
        assert program.used == {(("B", 8),): origin}
        np.testing.assert_array_equal(program.state["w"], W)
    (entry,) = [e for e in Store(tmp_path / "cache").entries() if e.kind == "program"]
    good = entry.path.read_bytes()
    entry.path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    program = load(artifact)
    assert_close(program(X), expected(X))
    assert program.used == {(("B", 8),): "compiled"}
    assert Store(tmp_path / "cache").verify() == (1, 0)
    for maker in ("other versions", jaxlib_runtime.maker(), "other versions"):
        with monkeypatch.context() as patched:
            patched.setattr(jaxlib_runtime, "maker", lambda maker=maker: maker)
            program = load(artifact)
            program.prepare()
    assert set(program.used.values()) == {"cache"}
    assert len(list(Store(tmp_path / "cache").entries())) == 4


def test_options_that_nobody_chose_are_checked_at_once():
    assert compiler.kept_options(CompileOptions()) == contents.USUAL


def test_training_goes_on_in_an_artifact(tmp_path: Path):
    def built() -> graphc.Model:
        graphc.utils.set_random_seed(3)
        model = graphc.Sequential(
            [graphc.Input((4,)), layers.Dense(8, "relu"), layers.Dense(1)]
        )
        model.compile("adam", "mse")
        return model

    x, y = X, X.sum(axis=1, keepdims=True)
    reference = built()
    model = built()
    model.export(tmp_path / "t.gcx", "train_step", batch=8)
    program = load(tmp_path / "t.gcx")
    assert program.contents.outputs == ("loss",)
    for step in range(4):
        reference.reset_metrics()
        wanted = reference.train_on_batch(x, y)
        found = program(x, y)
        if step == 0:
            assert_close(np.float32(found), np.float32(wanted))
        if step == 1:
            program.save_state(tmp_path / "state.safetensors")
            program = load(tmp_path / "t.gcx")
            program.load_state(tmp_path / "state.safetensors")
    kernels = [array for name, array in program.state.items() if "kernel" in name]
    assert_close(kernels[0], np.asarray(reference.layers[0].kernel))
