"""Weights files: what is written, what fits, what is refused before anything changes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.errors import LoadError
from graphc.files.tensors import make_header, tensor_bytes
from graphc.ir import TensorType
from graphc.ir.types import dtype

safetensors = pytest.importorskip("safetensors.numpy")

X = np.ones((2, 4), np.float32)


class Block(layers.Layer):
    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.parts = [layers.Dense(4), layers.Dense(4, name="last")]
        self.drop = layers.Dropout(0.5)

    def call(self, x: Any) -> Any:
        return self.drop(self.parts[1](self.parts[0](x)))


def build(units: int = 2, dropout: float = 0.3) -> Any:
    x = graphc.Input((4,))
    h = layers.BatchNormalization()(layers.Dense(3, name="named")(x))
    h = Block()(layers.Dense(4)(h))
    return graphc.Model(x, layers.Dense(units)(layers.Dropout(dropout)(h)))


def arrays(model: Any) -> list[Any]:
    return [v.numpy() for v in model.variables]


def write(path: Path, tensors: dict[str, Any], **metadata: str) -> None:
    """A safetensors file without a digest, as other tools write it."""
    types = {n: TensorType(a.shape, dtype(a.dtype)) for n, a in tensors.items()}
    header = make_header(types, metadata)
    data = b"".join(bytes(tensor_bytes(tensors[name])) for name in header.types)
    path.write_bytes(header.text + data)


def test_weights_go_to_another_model_of_the_same_code(tmp_path: Path):
    model, other = build(), build()
    assert model.layers[1].name != other.layers[2].name
    model.save_weights(tmp_path / "w.safetensors")
    other.load_weights(tmp_path / "w.safetensors")
    for found, wanted in zip(arrays(other), arrays(model), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_other_tools_read_the_file(tmp_path: Path):
    model = build()
    model.save_weights(tmp_path / "w.safetensors")
    found = safetensors.load_file(tmp_path / "w.safetensors")
    assert set(found) == {
        "named/kernel", "named/bias", "dense/kernel", "dense/bias",
        "batch_normalization/gamma", "batch_normalization/beta",
        "batch_normalization/moving_mean", "batch_normalization/moving_variance",
        "block/dense/kernel", "block/dense/bias", "block/last/kernel", "block/last/bias",
        "block/dropout/seed_generator_state", "dropout/seed_generator_state",
        "dense_1/kernel", "dense_1/bias",
    }  # fmt: skip
    kernel = model.get_layer("named").kernel
    np.testing.assert_array_equal(found["named/kernel"], kernel.numpy())


def test_saving_twice_gives_the_same_bytes(tmp_path: Path):
    model = build()
    model.save_weights(tmp_path / "a.safetensors")
    model.save_weights(tmp_path / "b.safetensors")
    files = [(tmp_path / f"{n}.safetensors").read_bytes() for n in "ab"]
    assert files[0] == files[1]


def test_files_of_other_tools_are_read(tmp_path: Path):
    model = build()
    state = {
        name: np.full_like(a, 2) for name, a in state_dict(model, tmp_path).items()
    }
    safetensors.save_file(state, tmp_path / "other.safetensors")
    model.load_weights(tmp_path / "other.safetensors")
    assert all((v.numpy() == 2).all() for v in model.weights)


def state_dict(model: Any, tmp_path: Path) -> dict[str, Any]:
    model.save_weights(tmp_path / "state.safetensors")
    return safetensors.load_file(tmp_path / "state.safetensors")


def test_floats_are_converted_and_integers_are_not(tmp_path: Path):
    model = build()
    state = state_dict(model, tmp_path)
    half = {n: a.astype(np.float16) if a.dtype == "f" else a for n, a in state.items()}
    write(tmp_path / "half.safetensors", half)
    model.load_weights(tmp_path / "half.safetensors")
    assert {v.dtype for v in model.weights} == {"float32"}
    wrong = state | {"dense/bias": np.zeros(4, np.int32)}
    write(tmp_path / "wrong.safetensors", wrong)
    with pytest.raises(LoadError, match=r"dense/bias: the file has i32\[4\]"):
        model.load_weights(tmp_path / "wrong.safetensors")


def test_random_state_may_be_missing(tmp_path: Path):
    build(dropout=0.0).save_weights(tmp_path / "w.safetensors")
    build(dropout=0.3).load_weights(tmp_path / "w.safetensors")
    build(dropout=0.3).save_weights(tmp_path / "w.safetensors")
    build(dropout=0.0).load_weights(tmp_path / "w.safetensors")


def test_all_mismatches_are_found_before_anything_is_assigned(tmp_path: Path):
    """Attack C5: weights of another model."""
    model = build()
    before = arrays(model)
    state = state_dict(model, tmp_path)
    state["dense_1/kernel"] = np.zeros((4, 3), np.float32)
    state["block/last/bias"] = np.zeros(5, np.float32)
    del state["named/bias"]
    state |= {f"more/{i}": np.zeros(1, np.float32) for i in range(4)}
    write(tmp_path / "w.safetensors", state)
    with pytest.raises(LoadError) as raised:
        model.load_weights(tmp_path / "w.safetensors")
    lines = str(raised.value).splitlines()
    assert "w.safetensors: the file does not fit model" in lines[0]
    assert [line.strip() for line in lines[1:]] == [
        "block/last/bias: the file has f32[5], the variable is f32[4]",
        "dense_1/kernel: the file has f32[4,3], the variable is f32[4,2]",
        "more/0: not in the model",
        "more/1: not in the model",
        "more/2: not in the model",
        "and 2 more",
    ]
    for found, wanted in zip(arrays(model), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_every_flipped_bit_is_found(tmp_path: Path, rng: Any):
    model = graphc.Sequential([graphc.Input((4,)), layers.Dense(3)])
    model.save_weights(tmp_path / "w.safetensors")
    data = (tmp_path / "w.safetensors").read_bytes()
    before = arrays(model)
    damaged = tmp_path / "damaged.safetensors"
    places = {
        *rng.integers(0, 8 * len(data), 300),
        *range(8 * (len(data) - 4), 8 * len(data)),
    }
    for place in sorted(places):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        damaged.write_bytes(changed)
        with pytest.raises(LoadError):
            model.load_weights(damaged)
    for found, wanted in zip(arrays(model), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5", "w.keras", "w"])
def test_other_names_are_refused(name: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"ends in '\.safetensors', for example"):
        build().save_weights(tmp_path / name)
    with pytest.raises(ValueError, match=r"ends in '\.safetensors'"):
        build().load_weights(tmp_path / name)


def test_an_unbuilt_model_has_no_weights(tmp_path: Path):
    model = graphc.Sequential([layers.Dense(3)])
    for method in (model.save_weights, model.load_weights):
        with pytest.raises(ValueError, match="is not built"):
            method(tmp_path / "w.safetensors")


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(LoadError, match="No such file") as raised:
        build().load_weights(tmp_path / "w.safetensors")
    assert isinstance(raised.value, FileNotFoundError)


def test_tied_weights_stand_once_in_the_file(tmp_path: Path):
    x = graphc.Input((4,))
    shared = layers.Dense(4)
    inner_in = graphc.Input((4,))
    inner = graphc.Model(inner_in, shared(inner_in))
    model = graphc.Model(x, shared(inner(x)))
    model.save_weights(tmp_path / "w.safetensors")
    header = (tmp_path / "w.safetensors").read_bytes()[8:].split(b"}}")[0] + b"}}"
    assert len(json.loads(header)) == 3  # kernel, bias, metadata
    model.load_weights(tmp_path / "w.safetensors")


def headed(classes: int) -> graphc.Model:
    body = [layers.Dense(5, name="body"), layers.Dense(classes, name="head")]
    return graphc.Sequential([graphc.Input((4,)), *body], name="model")


def test_what_does_not_fit_may_be_left_out(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    source, target = headed(2), headed(3)
    source.save_weights(path)
    head = [np.array(w) for w in target.get_weights()[2:]]
    with pytest.raises(LoadError, match="the file does not fit"):
        target.load_weights(path)
    with pytest.warns(UserWarning, match="not loaded: ") as caught:
        target.load_weights(path, skip_mismatch=True)
    said = [str(warning.message) for warning in caught]
    assert said == [
        "not loaded: head/bias: the file has f32[2], the variable is f32[3]",
        "not loaded: head/kernel: the file has f32[5,2], the variable is f32[5,3]",
    ]
    wanted = [*source.get_weights()[:2], *head]
    for found, want in zip(target.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(found, want)
