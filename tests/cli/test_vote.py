"""``graphc vote``, run as a user runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import graphc
from graphc.cli.main import commands
from graphc.codegen.spellings import SPELLINGS, Spelling
from graphc.ir.errors import LoadError

TEXT = """\
graph @scale(%x: f32[B,3], %w: f32[3] {role="state"}) -> (f32[B,3]) where B in 1..8 {
  %0 = broadcast_in_dim(%w) {dims=[1], shape=["B",3]} : f32[B,3]
  %1 = tanh(%x) : f32[B,3]  loc("act" model.py:12:9)
  %2 = multiply(%1, %0) : f32[B,3]
  return %2
}
"""
TARGET = ("--target", "xla")


@pytest.fixture
def gir(tmp_path: Path) -> Path:
    path = tmp_path / "scale.gir"
    path.write_text(TEXT)
    return path


@pytest.fixture
def wrong_tanh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPELLINGS, "tanh", Spelling("sine"))


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(commands, ["vote", *map(str, arguments)])


def test_a_right_graph_passes(gir: Path) -> None:
    result = invoke(gir, *TARGET, "--batch", 2, "-p", "default")
    assert result.exit_code == 0, result.output
    assert "graph @scale: 3 nodes, voters: numpy, xla\nall agree\n" in result.output


def test_a_wrong_node_is_named(gir: Path, wrong_tanh: None) -> None:
    result = invoke(gir, *TARGET)
    assert result.exit_code == 1
    text = result.output
    assert "numpy and xla differ at this node:\n  %1 = tanh(%x) : f32[2,3]" in text
    assert "  at model.py:12:9, in layer 'act'" in text
    assert "operand 0: float32[2, 3] in " in text
    assert "result 0, f32[2,3]: 6 elements wrong, most at [" in text
    assert text.count("\n  xla ") == 1


def test_json_holds_the_same(gir: Path, wrong_tanh: None, tmp_path: Path) -> None:
    x = np.float32([[0, np.inf, 1]])
    np.savez(tmp_path / "x.npz", x=x)
    result = invoke(gir, *TARGET, "--json", "--inputs", tmp_path / "x.npz")
    assert result.exit_code == 1
    data = json.loads(result.output)
    assert data["executors"] == ["numpy", "xla"]
    (dispute,) = data["disputes"]
    assert dispute["type"] == "f32[1,3]"
    assert dispute["location"] == 'loc("act" model.py:12:9)'
    assert (dispute["count"], dispute["index"], dispute["exact"]) == (2, [0, 1], 1)
    assert [o["value"] for o in dispute["opinions"]] == [1, "nan"]


@pytest.mark.slow
def test_saved_models_vote_with_their_weights(tmp_path: Path) -> None:
    layers = graphc.layers
    model = graphc.Sequential(
        [
            graphc.Input((6, 6, 1)),
            layers.Conv2D(2, 3, activation="gelu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    path = tmp_path / "model.graphc"
    model.save(path)
    for kind in ("predict", "train_step"):
        result = invoke(path, "--kind", kind, "--batch", 4, *TARGET)
        assert result.exit_code == 0, result.output


def test_wrong_inputs_are_refused(gir: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", y=np.zeros(3))
    result = invoke(gir, "--inputs", tmp_path / "x.npz")
    assert result.exit_code == 2
    assert "'y' is not a parameter; parameters: x, w" in result.output
    (tmp_path / "bad.npz").write_bytes(b"no")
    result = invoke(gir, "--inputs", tmp_path / "bad.npz")
    assert isinstance(result.exception, LoadError)
