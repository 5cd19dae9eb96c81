"""``graphc run --train``: what is learned, what goes on, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import graphc
from graphc import layers
from graphc.artifacts import load
from graphc.cli.main import commands
from graphc.files.tensors import dump_tensors
from graphc.ir.errors import LoadError
from tests.closeness import assert_close

X = np.random.default_rng(0).normal(size=(22, 4)).astype(np.float32)
Y = X @ np.arange(4, dtype=np.float32).reshape(4, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training step with dropout, for batches of 4 and 8, and data."""
    folder = tmp_path_factory.mktemp("training")
    graphc.utils.set_random_seed(2)
    model = graphc.Sequential(
        [
            graphc.Input((4,)),
            layers.Dense(8, "relu"),
            layers.Dropout(0.2),
            layers.Dense(1),
        ]
    )
    model.compile(graphc.optimizers.Adam(0.1), "mse")
    model.export(folder / "t.gcx", "train_step", ["numpy"], batch=[4, 8])
    model.export(folder / "p.gcx", "predict", ["numpy"], batch=4)
    np.savez(folder / "data.npz", x=X, y=Y)
    np.savez(folder / "ordered.npz", X, Y)
    return folder


def run(folder: Path, *arguments: Any, artifact: str = "t.gcx", **named: Any) -> Result:
    options = {"data": folder / "data.npz", "target": "numpy"} | named
    given = [f"--{k}={v}" for k, v in options.items() if v is not None]
    words = ["run", folder / artifact, "--train", *given, *arguments]
    return CliRunner().invoke(commands, list(map(str, words)))


def succeeded(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize("shuffle", [None, 7])
def test_stopped_and_resumed_is_as_never_stopped(
    folder: Path, tmp_path: Path, shuffle: int | None
):
    said = succeeded(run(folder, output=tmp_path / "a", epochs=4, shuffle=shuffle))
    first = succeeded(run(folder, output=tmp_path / "b", epochs=1, shuffle=shuffle))
    state = tmp_path / "b" / "state.safetensors"
    named = {"output": tmp_path / "b", "state": state, "shuffle": shuffle}
    rest = succeeded(run(folder, epochs=3, **named))
    written = (tmp_path / "a" / "state.safetensors").read_bytes()
    assert state.read_bytes() == written
    lines = [line for line in said.splitlines() if line.startswith("epoch")]
    resumed = (first + rest).splitlines()
    assert lines == [line for line in resumed if line.startswith("epoch")]
    losses = [float(line.rpartition(" ")[2]) for line in lines]
    assert losses[-1] < 0.9 * losses[0]
    assert (
        "examples are left out in each epoch: the artifact is not compiled for" in said
    )
    program = load(folder / "t.gcx", "numpy")
    assert program.load_state(state) == {"epochs": "4"}
    state.write_bytes(written[:-1] + bytes([written[-1] ^ 1]))
    with pytest.raises(LoadError, match="digest mismatch"):
        program.load_state(state)
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["state.safetensors"]


def test_metrics_start_afresh_in_each_epoch(tmp_path: Path):
    inputs = graphc.Input((4,))
    model = graphc.Model(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(X, Y, epochs=1, verbose=0)
    used = [np.array(v) for metric in model.metrics for v in metric.variables]
    model.export(tmp_path / "t.gcx", "train_step", ["numpy"], ranges={"B": (1, 8)})
    for variable, before in zip(
        (v for metric in model.metrics for v in metric.variables), used, strict=True
    ):
        np.testing.assert_array_equal(np.array(variable), before)
    data = tmp_path / "data.npz"
    np.savez(data, x=X, y=Y)
    said = succeeded(
        run(tmp_path, data=data, output=tmp_path / "a", epochs=2)
    ).splitlines()
    history = model.fit(X, Y, 8, epochs=2, shuffle=False, verbose=0).history
    for epoch, line in enumerate(said[:2]):
        words = dict(pair.split(": ") for pair in line.partition(": ")[2].split(", "))
        assert words.keys() == history.keys()
        for name, number in words.items():
            assert_close(np.float32(number), np.float32(history[name][epoch]))


def test_batches_are_as_large_as_the_contract_lets_them_be(
    folder: Path, tmp_path: Path
):
    np.savez(tmp_path / "few.npz", x=X[:4], y=Y[:4])
    said = succeeded(run(folder, data=tmp_path / "few.npz", output=tmp_path))
    assert "left out" not in said
    np.savez(tmp_path / "one.npz", x=X[:12], y=Y[:12])
    said = succeeded(run(folder, data=tmp_path / "one.npz", output=tmp_path))
    assert "left out" not in said
    np.savez(tmp_path / "few.npz", x=X[:3], y=Y[:3])
    result = run(folder, data=tmp_path / "few.npz", output=tmp_path)
    assert result.exit_code == 2
    assert "there are 3 examples, fewer than a batch of 4" in result.output


def test_data_in_order(folder: Path, tmp_path: Path):
    data = folder / "ordered.npz"
    named = succeeded(run(folder, output=tmp_path / "a"))
    ordered = succeeded(run(folder, output=tmp_path / "b", data=data))
    assert named.splitlines()[:2] == ordered.splitlines()[:2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": None}, "--train takes a .gcx file, --data and --output"),
        ({"data": None}, "--train takes a .gcx file, --data and --output"),
        ({"artifact": "p.gcx"}, "compile --kind train_step"),
        ({"epochs": 0}, "0 is not in the range"),
    ],
)
def test_wrong_usage(folder: Path, tmp_path: Path, arguments: Any, message: str):
    result = run(folder, **({"output": tmp_path} | arguments))
    assert result.exit_code == 2
    assert message in result.output


def test_what_is_for_training_only(folder: Path):
    words = ["run", str(folder / "p.gcx"), "--data", "x.npz"]
    result = CliRunner().invoke(commands, words)
    assert result.exit_code == 2
    assert "are for --train" in result.output


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "must hold the arrays x, y"),
        ({"x": X, "y": Y, "z": Y}, "must hold the arrays x, y"),
        ({"x": X, "y": Y[:3]}, "are not of one length"),
        ({"x": X[:0], "y": Y[:0]}, "are not of one length"),
        ({"x": np.float32(1), "y": np.float32(1)}, "are not of one length"),
        ({"x": np.array([object()]), "y": Y}, "is not a .npz file"),
    ],
)
def test_data_that_do_not_fit(folder: Path, tmp_path: Path, arrays: Any, message: str):
    np.savez(tmp_path / "data.npz", **arrays)
    result = run(folder, data=tmp_path / "data.npz", output=tmp_path)
    assert isinstance(result.exception, LoadError)
    assert message in str(result.exception)
    assert not (tmp_path / "state.safetensors").exists()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"x" * 100, b"\x93NUMPY"])
def test_data_that_are_none(folder: Path, tmp_path: Path, data: bytes):
    (tmp_path / "data.npz").write_bytes(data)
    result = run(folder, data=tmp_path / "data.npz", output=tmp_path)
    assert isinstance(result.exception, LoadError)


@pytest.mark.parametrize("text", ["-1", "x", "1e3", "9" * 50, "²"])
def test_a_state_that_does_not_say_how_far_it_is(
    folder: Path, tmp_path: Path, text: str
):
    path = tmp_path / "state.safetensors"
    state = load(folder / "t.gcx", "numpy").state
    path.write_bytes(b"".join(dump_tensors(state, {"epochs": text})))
    result = run(folder, output=tmp_path / "out", state=path)
    assert isinstance(result.exception, LoadError)
    assert "does not say how many epochs" in str(result.exception)


def test_a_state_of_another_program(folder: Path, tmp_path: Path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"".join(dump_tensors({"w": X})))
    result = run(folder, output=tmp_path / "out", state=path)
    assert isinstance(result.exception, LoadError)
    assert "weights are not those of the artifact: lacking '" in str(result.exception)
    assert "; unknown 'w'" in str(result.exception)
    assert str(path) in str(result.exception)
