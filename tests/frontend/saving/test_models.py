"""What `save` writes and `load_model` makes of it: configs, classes, graphs, state."""

import gc
import json
import weakref
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers, ops
from graphc.errors import LoadError
from graphc.files import container
from graphc.frontend.layers.graph_layer import GraphLayer
from graphc.frontend.models.graph_model import GraphModel
from tests.frontend.saving import zoo
from tests.frontend.saving.conftest import (
    assert_same_outputs,
    assert_same_state,
    state_of,
)

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def reload(model: Any, tmp_path: Path, **options: Any) -> Any:
    model.save(tmp_path / "m.graphc")
    return graphc.load_model(tmp_path / "m.graphc", **options)


def small(activation: Any = "relu") -> Any:
    x = graphc.Input((4,), name="x")
    h = layers.Dense(3, activation=activation, name="first")(x)
    return graphc.Model(x, layers.Dense(2, name="dense")(h), name="small")


def read_config(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


# -- architectures ---------------------------------------------------------------------


def nested() -> Any:
    block_in = graphc.Input((4,))
    block = graphc.Sequential([layers.Dense(4, activation="tanh"), layers.Dropout(0.1)])
    inner = graphc.Model(block_in, block(block_in), name="inner")
    x = graphc.Input((4,))
    return graphc.Model(x, layers.Add()([inner(x), inner(ops.multiply(x, 2.0))]))


def many_outputs() -> Any:
    x, y = graphc.Input((4,), name="x"), graphc.Input((4,), name="y")
    shared = layers.Dense(3)
    a, b = shared(x), shared(y)
    joined = layers.Concatenate()([a, b])
    return graphc.Model({"x": x, "y": y}, {"a": a, "rest": (b, [joined])})


def with_ops() -> Any:
    x = graphc.Input((4,))
    h = ops.reshape(x, (-1, 2, 2))
    h = ops.concatenate([h, ops.exp(h)], axis=1)
    h = ops.where(h > 0.0, h, 0.5 * h)[:, 0]
    h = ops.maximum(ops.minimum(h, float("inf")), np.float32(-np.inf))
    return graphc.Model(x, ops.sum(h, axis=-1, keepdims=True))


def images() -> Any:
    return graphc.Sequential([
        graphc.Input((8, 8, 3)),
        layers.Conv2D(4, 3, padding="same", kernel_regularizer="l2"),
        layers.BatchNormalization(),
        layers.ReLU(max_value=6.0),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(2, kernel_constraint="unit_norm", bias_initializer="ones"),
    ])  # fmt: skip


def stack() -> Any:
    """Built from the shape of the first data."""
    model = graphc.Sequential([layers.Dense(3), layers.Dense(2)])
    model.predict(X, verbose=0)
    return model


INPUTS: dict[Any, Any] = {
    nested: X,
    many_outputs: {"x": X, "y": 2 * X},
    with_ops: X,
    images: np.ones((5, 8, 8, 3), np.float32),
    stack: X,
}


@pytest.mark.parametrize("build", INPUTS, ids=lambda build: build.__name__)
def test_architectures_come_back(build: Any, tmp_path: Path):
    model = build()
    loaded = reload(model, tmp_path)
    x = INPUTS[build]
    assert type(loaded) is type(model)
    found, wanted = loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    assert type(found) is type(wanted)
    assert_same_outputs(found, wanted)
    assert [x.name for x in loaded.layers] == [x.name for x in model.layers]
    assert_same_state(state_of(loaded), state_of(model))


def test_the_structure_of_outputs_comes_back(tmp_path: Path):
    found = reload(many_outputs(), tmp_path)({"x": X, "y": X})
    assert list(found) == ["a", "rest"]
    assert isinstance(found["rest"], tuple)
    assert isinstance(found["rest"][1], list)


def test_known_layers_are_saved_without_graphs(tmp_path: Path):
    small().save(tmp_path / "m.graphc")
    with zipfile.ZipFile(tmp_path / "m.graphc") as archive:
        assert archive.namelist() == [
            "config.json", "manifest.json", "weights.safetensors"
        ]  # fmt: skip
        assert all(info.compress_type == 0 for info in archive.infolist())
        assert archive.testzip() is None


def test_weights_in_the_file_are_safetensors(tmp_path: Path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model = small()
    model.save(tmp_path / "m.graphc")
    with zipfile.ZipFile(tmp_path / "m.graphc") as archive:
        found = safetensors.load(archive.read("weights.safetensors"))
    np.testing.assert_array_equal(found["model/first/kernel"], model.layers[1].kernel)
    assert set(found) == {
        "model/first/kernel", "model/first/bias", "model/dense/kernel", "model/dense/bias"
    }  # fmt: skip


def test_an_unbuilt_model_comes_back_unbuilt(tmp_path: Path):
    loaded = reload(graphc.Sequential([layers.Dense(3)]), tmp_path)
    assert not loaded.built
    assert loaded(X).shape == (5, 3)


def test_frozen_layers_and_variables_stay_frozen(tmp_path: Path):
    model = nested()
    model.layers[1].trainable = False
    other = small()
    other.get_layer("first").bias.trainable = False
    loaded = reload(other, tmp_path)
    assert [v.name for v in loaded.trainable_variables] == ["kernel", "kernel", "bias"]
    assert len(reload(model, tmp_path).trainable_variables) == len(
        model.trainable_variables
    )


def test_names_are_data(tmp_path: Path):
    x = graphc.Input((4,), name="..")
    h = layers.Dense(2, name="con")(x)
    h = layers.Dense(2, name="../../etc/passwd".replace("/", "\\"))(h)
    model = graphc.Model(x, h, name='a"b;import os')
    loaded = reload(model, tmp_path)
    assert loaded.name == model.name
    assert_same_outputs(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    assert [path.name for path in tmp_path.iterdir()] == ["m.graphc"]


def test_the_version_in_files_is_the_package_s():
    assert graphc.__version__ == container.GRAPHC_VERSION


# -- users' classes --------------------------------------------------------------------


class Scale(layers.Layer):
    def __init__(self, factor: float = 3.0, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.factor = factor

    def build(self, shape: Any) -> None:
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones", name="gain")

    def call(self, x: Any) -> Any:
        return x * self.gain * self.factor


class Pair(graphc.Model):
    def __init__(self, width: int = 3, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.width = width
        self.scale = Scale()
        self.dense = layers.Dense(width)

    def call(self, x: Any, training: Any = None) -> Any:
        return self.dense(self.scale(x))

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


def with_scale() -> Any:
    x = graphc.Input((4,))
    return graphc.Model(x, layers.Dense(2)(Scale(0.5, name="mine")(x)))


def test_a_class_that_is_not_there_runs_as_graphs(tmp_path: Path):
    model = with_scale()
    loaded = reload(model, tmp_path)
    found = loaded.get_layer("mine")
    assert isinstance(found, GraphLayer)
    assert [v.path for v in found.weights] == ["mine/gain"]
    assert_same_outputs(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    with pytest.raises(NotImplementedError, match="without its class Scale"):
        found.get_config()


@pytest.mark.parametrize("how", ["argument", "registered", "scope"])
def test_a_class_that_is_there_wins(how: str, tmp_path: Path, monkeypatch: Any):
    model = with_scale()
    model.get_layer("mine").gain.assign([1.0, 2.0, 3.0, 4.0])
    if how == "argument":
        loaded = reload(model, tmp_path, custom_objects={"Scale": Scale})
    elif how == "scope":
        with graphc.saving.custom_object_scope({"Scale": Scale}):
            loaded = reload(model, tmp_path)
    else:
        monkeypatch.setitem(graphc.saving.get_custom_objects(), "pack>Scale", Scale)
        loaded = reload(model, tmp_path)
        saved = read_config(tmp_path / "m.graphc")["model"]["config"]["layers"]
        assert saved[1]["registered_name"] == "pack>Scale"
    assert type(loaded.get_layer("mine")) is Scale
    assert loaded.get_layer("mine").factor == 0.5
    assert_same_outputs(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_subclassed_model_with_and_without_its_class(tmp_path: Path):
    model = Pair(width=2)
    model.compile("sgd", loss="mse", run_eagerly=True)
    model.train_on_batch(X, X[:, :2])
    wanted = model.predict(X, verbose=0)
    with pytest.warns(UserWarning, match="its own train_step"):
        without = reload(model, tmp_path)
    assert type(without) is GraphModel
    assert_same_outputs(without.predict(X, verbose=0), wanted)
    having = reload(model, tmp_path, custom_objects={"Pair": Pair})
    assert type(having) is Pair
    assert having.width == 2
    assert_same_outputs(having.predict(X, verbose=0), wanted)
    assert_same_state(state_of(having), state_of(model))


def test_a_model_is_saved_after_build_alone(tmp_path: Path):
    model = Pair()
    with pytest.raises(ValueError, match=r"Expected it to have been called"):
        model.save(tmp_path / "m.graphc")
    model.build((None, 4))
    with pytest.warns(UserWarning, match="train_step"):
        loaded = reload(model, tmp_path)
    assert_same_outputs(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_graph_takes_any_batch_size(tmp_path: Path):
    loaded = reload(with_scale(), tmp_path)
    for size in (1, 3, 5):
        assert loaded.predict(X[:size], verbose=0).shape == (size, 2)


def test_graphs_keep_no_trace_alive(tmp_path: Path):
    loaded = reload(with_scale(), tmp_path)
    module = weakref.ref(loaded.graph("predict", batch_size=2).module)
    step = weakref.ref(loaded.step("predict").programs.popitem()[1].graph.module)
    gc.collect()
    assert module() is None
    assert step() is None


def test_a_graph_that_fixed_a_size_says_so(tmp_path: Path):
    model = zoo.fixed_batch()
    x, y = zoo.batch("fixed_batch")
    model.train_on_batch(x, y)
    loaded = reload(model, tmp_path)
    assert loaded.predict(x, verbose=0).shape == (8, 2)
    with pytest.raises(graphc.errors.GraphError) as raised:
        loaded.predict(x[:3], verbose=0)
    assert "@fixed_net takes f32[8,4]" in str(raised.value)
    assert "received: f32[3,4]" in str(raised.value)
    assert "sizes that the code asked for are fixed" in str(raised.value)


def test_a_layer_is_called_only_as_it_was(tmp_path: Path):
    x, y = graphc.Input((4,)), graphc.Input((6,))
    loaded = reload(graphc.Model([x, y], zoo.Mix()(x, y, weights=(2.0, 1.0))), tmp_path)
    with pytest.raises(ValueError, match="in the ways in which it was called"):
        loaded.layers[-1](X, weights=(3.0, 1.0))


def test_masks_pass_through_graphs(tmp_path: Path):
    model = zoo.masked()
    loaded = reload(model, tmp_path)
    assert isinstance(loaded.layers[2], GraphLayer)
    for size in (3, 5):
        x = np.array([[1, 2, 0], [0, 3, 4]], np.int32)
        x = np.pad(x, ((0, 0), (0, size - 3)))
        found, wanted = loaded.predict(x, verbose=0), model.predict(x, verbose=0)
        assert_same_outputs(found, wanted)


def test_shared_weights_stay_shared(tmp_path: Path):
    loaded = reload(zoo.tied(), tmp_path)
    matrices = [v for v in loaded.trainable_variables if v.shape == (7, 4)]
    assert len(matrices) == 1


def test_losses_and_penalties_come_back(tmp_path: Path):
    model = zoo.functional()
    loaded = reload(model, tmp_path)
    x, y = zoo.batch("functional")
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    noisy = next(x for x in loaded.layers if isinstance(x, GraphLayer))
    assert noisy.weights[0].regularizer is not None
    assert noisy.weights[0].constraint is not None


def test_files_hold_no_folders(tmp_path: Path):
    zoo.functional().save(tmp_path / "m.graphc")
    data = (tmp_path / "m.graphc").read_bytes()
    assert b"<zoo.py>" in data
    assert str(Path(__file__).parent).encode() not in data


# -- what a model was compiled with ------------------------------------------------------


def test_the_optimizer_goes_on(tmp_path: Path):
    model = small()
    rate = graphc.optimizers.schedules.CosineDecay(0.1, 10)
    optimizer = graphc.optimizers.Adam(rate, use_ema=True, global_clipnorm=1.0)
    model.compile(
        optimizer, loss={"dense": "mse"}, loss_weights=[2.0], run_eagerly=True
    )
    model.fit(X, X[:, :2], epochs=2, verbose=0)
    loaded = reload(model, tmp_path)
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) == 2
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert_same_state(state_of(loaded), state_of(model))
    assert float(loaded.optimizer.learning_rate) == float(model.optimizer.learning_rate)


def test_a_learning_rate_that_was_set_comes_back(tmp_path: Path):
    model = small()
    model.compile("sgd", loss="mse")
    model.optimizer.learning_rate = 0.25
    loaded = reload(model, tmp_path)
    assert float(loaded.optimizer.learning_rate) == 0.25
    assert not loaded.optimizer.built


def test_compile_false_leaves_the_model_plain(tmp_path: Path):
    model = small()
    model.compile("adam", loss="mse", run_eagerly=True)
    model.train_on_batch(X, X[:, :2])
    loaded = reload(model, tmp_path, compile=False)
    assert not loaded.compiled
    assert loaded.optimizer is None
    assert_same_outputs(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_metrics_and_losses_of_users(tmp_path: Path):
    model = zoo.custom_training()
    x, y = zoo.batch("custom_training")
    loaded = reload(model, tmp_path)
    found = loaded.evaluate(x, y, return_dict=True, verbose=0)
    assert found == model.evaluate(x, y, return_dict=True, verbose=0)
    assert set(found) == {"loss", "absolute_difference"}
    objects = {
        "Quartic": zoo.Quartic,
        "Halving": zoo.Halving,
        "absolute_difference": zoo.absolute_difference,
    }
    having = reload(model, tmp_path, custom_objects=objects)
    assert type(having.loss) is zoo.Quartic
    assert type(having.optimizer._learning_rate) is zoo.Halving
    assert having.evaluate(x, y, return_dict=True, verbose=0) == found


def test_a_missing_metric_class_is_named(tmp_path: Path):
    class Largest(graphc.metrics.Metric):
        def __init__(self, name: str = "largest", dtype: Any = None) -> None:
            super().__init__(name=name, dtype=dtype)
            self.largest = self.add_variable((), "zeros", name="largest")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None):
            self.largest.assign(ops.maximum(self.largest, ops.max(y_pred)))

        def result(self) -> Any:
            return self.largest

    model = small()
    model.compile("sgd", loss="mse", metrics=[Largest()])
    model.save(tmp_path / "m.graphc")
    with pytest.raises(
        LoadError, match="needs the class or function 'Largest'"
    ) as raised:
        graphc.load_model(tmp_path / "m.graphc")
    assert "compile=False" in str(raised.value)
    assert not graphc.load_model(tmp_path / "m.graphc", compile=False).compiled
    objects = {"Largest": Largest}
    assert graphc.load_model(tmp_path / "m.graphc", custom_objects=objects).compiled


def test_compile_configs():
    model = small()
    assert model.get_compile_config() is None
    model.compile(
        graphc.optimizers.Adam(0.5),
        loss=["mse"],
        metrics=[graphc.metrics.AUC(name="a")],
    )
    config = json.loads(json.dumps(model.get_compile_config()))
    other = small()
    other.compile_from_config(config)
    assert json.loads(json.dumps(other.get_compile_config())) == config
    assert float(other.optimizer.learning_rate) == 0.5


# -- where files go ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m", "m.graphc.zip"])
def test_other_names_are_refused(name: str, tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"ends in '\.graphc', for example .*\.graphc'"
    ):
        small().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_overwrite(tmp_path: Path):
    path = tmp_path / "m.graphc"
    path.write_text("old")
    path.chmod(0o640)
    with pytest.raises(FileExistsError, match="overwrite is False"):
        small().save(path, overwrite=False)
    assert path.read_text() == "old"
    small().save(str(path))
    assert path.stat().st_mode & 0o777 == 0o640
    assert graphc.load_model(str(path)).name == "small"


def test_names_that_no_file_takes(tmp_path: Path):
    x = graphc.Input((4,))
    for name in ("a\nb", "x" * 2000):
        with pytest.raises(ValueError, match="names of layers that fit a file"):
            graphc.Model(x, layers.Dense(2, name=name)(x)).save(tmp_path / "m.graphc")


def test_keras_s_own_files_are_named(tmp_path: Path):
    with pytest.raises(LoadError, match=r"whose name ends in '\.graphc'"):
        graphc.load_model(tmp_path / "m.keras")


def test_messages_escape_names_of_files(tmp_path: Path):
    path = tmp_path / "a\x1b[31m\n.graphc"
    path.write_bytes(b"")
    with pytest.raises(LoadError) as raised:
        graphc.load_model(path)
    assert "\x1b" not in str(raised.value)


def test_a_missing_file(tmp_path: Path):
    for kind in (LoadError, FileNotFoundError, OSError):
        with pytest.raises(kind, match="No such file"):
            graphc.load_model(tmp_path / "m.graphc")
    with pytest.raises(LoadError, match="not a regular file"):
        graphc.load_model(tmp_path)


# -- configs -----------------------------------------------------------------------------


@pytest.mark.parametrize("build", INPUTS, ids=lambda build: build.__name__)
def test_json_and_clones(build: Any):
    model = build()
    made = graphc.models.model_from_json(model.to_json())
    cloned = graphc.models.clone_model(model)
    for other in (made, cloned):
        assert type(other) is type(model)
        assert [x.name for x in other.layers] == [x.name for x in model.layers]
        assert other is not model
        other.set_weights(model.get_weights())
        found = other.predict(INPUTS[build], verbose=0)
        assert_same_outputs(found, model.predict(INPUTS[build], verbose=0))
    assert json.loads(made.to_json()) == json.loads(model.to_json())


def test_a_function_that_is_no_op_has_no_config():
    x = graphc.Input((4,))
    model = graphc.Model(x, graphc.random.dropout(x, 0.5))
    with pytest.raises(ValueError, match=r"Put it in the `call` of a layer"):
        model.to_json()


def test_from_config(tmp_path: Path):
    model = small()
    again = graphc.Model.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    with pytest.raises(ValueError, match="Could not find the"):
        graphc.Model.from_config(with_scale().get_config())
    objects = {"Scale": Scale}
    made = graphc.Model.from_config(with_scale().get_config(), custom_objects=objects)
    assert type(made.get_layer("mine")) is Scale


def test_cloning_with_other_layers():
    def wider(layer: Any) -> Any:
        if isinstance(layer, layers.Dense):
            return layers.Dense(7, name=layer.name)
        return type(layer).from_config(layer.get_config())

    assert graphc.models.clone_model(small(), clone_function=wider).output_shape == (
        None,
        7,
    )
    x = graphc.Input((4,), batch_size=5)
    clone = graphc.models.clone_model(small(), input_tensors=x)
    assert clone.output_shape == (5, 2)


def test_a_config_is_like_keras_s():
    keras = pytest.importorskip("keras")
    x = keras.Input((4,), name="x")
    h = keras.layers.Dense(3, activation="relu", name="first")(x)
    theirs = keras.Model(x, keras.layers.Dense(2, name="dense")(h), name="small")
    x = graphc.Input((4,), name="x")
    h = layers.Dense(3, activation="relu", name="first")(x)
    ours = graphc.Model(x, layers.Dense(2, name="dense")(h), name="small")
    found, wanted = ours.get_config(), json.loads(theirs.to_json())["config"]
    assert found["input_layers"] == wanted["input_layers"]
    assert found["output_layers"] == wanted["output_layers"]
    for mine, other in zip(found["layers"], wanted["layers"], strict=True):
        for key in ("module", "class_name", "name", "registered_name", "inbound_nodes"):
            assert mine[key] == other[key]
        assert mine["config"].keys() - other["config"].keys() == set()


def test_registering():
    register = graphc.saving.register_keras_serializable

    class NoConfig:
        pass

    with pytest.raises(ValueError, match="does not have a `get_config"):
        register()(NoConfig)
    made = register("pack", name="bend")(lambda x: x)
    try:
        assert graphc.saving.get_registered_name(made) == "pack>bend"
        assert graphc.saving.get_registered_object("pack>bend") is made
        config = graphc.saving.serialize_keras_object(zoo.bent)
        assert config["config"] == "bent"
        objects = {"bent": zoo.bent}
        assert graphc.saving.deserialize_keras_object(config, objects) is zoo.bent
        with pytest.raises(ValueError, match="Could not find the function 'bent'"):
            graphc.saving.deserialize_keras_object(config)
    finally:
        del graphc.saving.get_custom_objects()["pack>bend"]


@pytest.mark.parametrize(
    "value",
    [
        1.5, "text", None, float("inf"), [1, (2, 3)], {"a": [True]}, slice(1, None, 2),
        graphc.layers.Dense(3, name="d"), graphc.losses.Huber(0.5),
        graphc.optimizers.Adam(0.1), graphc.regularizers.L1(0.5),
        graphc.initializers.Ones(), graphc.losses.mean_squared_error,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_objects_round_trip(value: Any):
    config = graphc.saving.serialize_keras_object(value)
    again = graphc.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert graphc.saving.serialize_keras_object(again) == config
    assert type(again) is type(value)
