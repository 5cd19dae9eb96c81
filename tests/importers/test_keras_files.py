"""Models and weights that Keras saved, read without Keras.

The files are recorded; see `tests.frontend.recorded`.
"""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.ir.errors import LoadError
from tests.closeness import assert_close
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

h5py = pytest.importorskip("h5py")
keras_files = pytest.importorskip("graphc.importers.keras_files")


def functional(k: Any) -> Any:
    images = k.Input((6, 6, 2), name="images")
    x = k.layers.Conv2D(3, 3, padding="same", activation="relu")(images)
    x = k.layers.BatchNormalization()(x)
    y = k.layers.SeparableConv2D(3, 3, padding="same")(x)
    x = k.layers.GlobalAveragePooling2D()(k.layers.Add()([x, y]))
    x = k.layers.Dropout(0.1)(x)
    heads = [k.layers.Dense(2, name="a")(x), k.layers.Dense(3, "softmax", name="b")(x)]
    return k.Model(images, heads)


def recurrent(k: Any) -> Any:
    return k.Sequential(
        [
            k.Input((5, 3)),
            k.layers.Bidirectional(k.layers.LSTM(2, return_sequences=True)),
            k.layers.TimeDistributed(k.layers.Dense(2)),
            k.layers.RNN([k.layers.LSTMCell(2), k.layers.GRUCell(2)]),
            k.layers.Dense(1),
        ]
    )


def attention(k: Any) -> Any:
    x = k.Input((4, 6))
    y = k.layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
    y = k.layers.LayerNormalization()(x + y)
    return k.Model(x, k.ops.mean(y, axis=1) * 2.0)


def nested(k: Any) -> Any:
    base = k.Sequential(
        [k.Input((4,)), k.layers.Dense(3, kernel_regularizer="l2"), k.layers.PReLU()]
    )
    inner_input = k.Input((4,))
    inner = k.Model(inner_input, k.layers.Dense(2)(inner_input))
    x = k.Input((4,))
    normal = k.layers.SpectralNormalization(k.layers.Dense(2))
    joined = k.layers.Concatenate()([base(x), inner(x), normal(x)])
    return k.Model(x, joined)


MODELS = [functional, attention, nested]
MODELS += [pytest.param(recurrent, marks=pytest.mark.slow)]


def sample(model: Any) -> np.ndarray:
    return np.random.default_rng(7).random((2, *model.input_shape[1:]), "f")


def saved(build: Callable[[Any], Any], keras: Any, folder: Path) -> list[Any]:
    """What Keras writes for a model: the file, the weights alone, and predictions."""
    keras.utils.clear_session()
    model = build(keras)
    rng = np.random.default_rng(3)
    shapes = [w.shape for w in model.weights]
    model.set_weights([rng.uniform(0.1, 0.9, shape) for shape in shapes])
    with warnings.catch_warnings(action="ignore"):  # Keras's own, of NumPy
        model.save(folder / "m.keras")
        model.save_weights(folder / "m.weights.h5")
    files = [(folder / name).read_bytes() for name in ("m.keras", "m.weights.h5")]
    outputs = model.predict(sample(model), verbose=0)
    return [*(np.frombuffer(data, np.uint8) for data in files), outputs]


@pytest.fixture
def files(keras: Any, recorded: Any, tmp_path: Path) -> Callable[..., Any]:
    def write(build: Callable[[Any], Any]) -> Any:
        whole, weights, outputs = recorded(lambda: saved(build, keras, tmp_path))
        (tmp_path / "m.keras").write_bytes(whole.tobytes())
        (tmp_path / "m.weights.h5").write_bytes(weights.tobytes())
        return outputs

    return write


@pytest.mark.parametrize("build", MODELS)
def test_models_predict_what_they_did_in_keras(
    build: Any, files: Any, tmp_path: Path
) -> None:
    wanted = files(build)
    model = graphc.from_keras(tmp_path / "m.keras")
    assert_close(model(sample(model)), wanted)
    own = build(graphc)
    keras_files.load_keras_weights(own, tmp_path / "m.weights.h5")
    for ours, theirs in zip(own.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_read_model_trains_and_is_saved(files: Any, tmp_path: Path) -> None:
    files(nested)
    model = graphc.from_keras(tmp_path / "m.keras")
    own = nested(graphc)
    keras_files.load_keras_weights(own, tmp_path / "m.keras")
    for ours, theirs in zip(own.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.compile("adam", "mse", target="numpy")
    x = sample(model)
    model.fit(x, np.ones((2, 7)), verbose=0)
    model.save(tmp_path / "m.graphc")
    again = graphc.load_model(tmp_path / "m.graphc")
    np.testing.assert_array_equal(again(x), model(x))


# -- files that are not what they should be ------------------------------------------------


def rewritten(path: Path, **members: Any) -> Path:
    """A copy of a file with members replaced, or left out where they are None."""
    target = path.with_name("other.keras")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for info in source.infolist():
            data = source.read(info)
            change = members.get(info.filename.split(".")[0], lambda data: data)
            if change is not None:
                copy.writestr(info.filename, change(data))
    return target


def with_weights(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    def apply(data: bytes) -> bytes:
        file = io.BytesIO(data)
        with h5py.File(file, "r+") as weights:
            change(weights)
        return file.getvalue()

    return apply


def without(name: str) -> Callable[[Any], None]:
    def change(weights: Any) -> None:
        del weights[name]

    return change


def replaced(value: Any) -> Callable[[Any], None]:
    def change(weights: Any) -> None:
        del weights["layers/dense/vars/1"]
        weights["layers/dense/vars/1"] = value

    return change


BROKEN: list[tuple[Callable[[Any], Any], str]] = [
    (without("layers/dense/vars/1"), "1 of 2 variables"),
    (without("layers/lstm"), "lstm_cell/kernel: not in the file"),
    (replaced(np.zeros(7, "f")), r"the file has f32\[7\]"),
    (replaced(b"text"), "the file has no numbers"),
    (
        replaced(h5py.ExternalLink("/etc/passwd", "/")),
        "hold a link: /layers/dense/vars/",
    ),
    (lambda w: w.update({"layers/more/vars/0": [1.0]}), "not in the model"),
]


def test_weights_that_do_not_fit_are_named(files: Any, tmp_path: Path) -> None:
    def build(k: Any) -> Any:
        return k.Sequential([k.Input((3, 2)), k.layers.LSTM(2), k.layers.Dense(1)])

    files(build)
    for change, message in BROKEN:
        path = rewritten(tmp_path / "m.keras", model=with_weights(change))
        with pytest.raises(LoadError, match=message):
            graphc.from_keras(path)
        model = build(graphc)
        before = model.get_weights()
        with pytest.raises(LoadError, match=message):
            keras_files.load_keras_weights(model, path)
        for ours, wanted in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, wanted)


def renamed(data: bytes) -> bytes:
    config = json.loads(data)
    config["config"]["layers"][1]["class_name"] = "os.system"
    return json.dumps(config).encode()


def test_what_is_no_file_of_keras_is_refused(files: Any, tmp_path: Path) -> None:
    files(nested)
    path = tmp_path / "m.keras"
    with pytest.raises(LoadError, match=r"it has no 'config\.json'"):
        graphc.from_keras(rewritten(path, config=None))
    with pytest.raises(LoadError, match="not valid JSON"):
        graphc.from_keras(rewritten(path, config=lambda data: data[:-9]))
    with pytest.raises(ValueError, match=r"os\.system"):
        graphc.from_keras(rewritten(path, config=renamed))
    with pytest.raises(LoadError, match="no weights of Keras 3"):
        graphc.from_keras(rewritten(path, model=lambda data: data[:700]))
    with pytest.raises(LoadError, match="no file of Keras 3"):
        graphc.from_keras(tmp_path / "m.weights.h5")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("config.json", "{}")
        packed.writestr("model.weights.h5", b"")
    with pytest.raises(LoadError, match="is compressed"):
        graphc.from_keras(path)


def test_users_layers_are_found_by_name(files: Any, tmp_path: Path) -> None:
    files(nested)

    class Own(layers.PReLU):
        pass

    def change(data: bytes) -> bytes:
        text = data.decode().replace('"class_name": "PReLU"', '"class_name": "Own"')
        return text.encode()

    def moved(weights: Any) -> None:
        weights.move("layers/sequential/layers/p_re_lu", "layers/sequential/layers/own")

    path = rewritten(tmp_path / "m.keras", config=change, model=with_weights(moved))
    model = graphc.from_keras(path, custom_objects={"Own": Own})
    assert isinstance(model.get_layer("sequential").layers[-1], Own)
