"""Losses, compared with Keras on the same numbers."""

from typing import Any

import numpy as np
import pytest

from graphc.frontend import ops
from graphc.frontend.registry import CUSTOM_OBJECTS
from graphc.frontend.tensor import Array
from graphc.frontend.training import losses
from graphc.frontend.transforms import TensorSpec, trace
from graphc.ir import evaluate
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]
from tests.closeness import assert_close

FUNCTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "binary_crossentropy": ("probabilities", {}),
    "binary_focal_crossentropy": ("probabilities", {}),
    "categorical_crossentropy": ("classes", {}),
    "categorical_focal_crossentropy": ("classes", {}),
    "categorical_hinge": ("classes", {}),
    "cosine_similarity": ("numbers", {}),
    "dice": ("probabilities", {}),
    "hinge": ("signs", {}),
    "huber": ("numbers", {}),
    "kl_divergence": ("classes", {}),
    "log_cosh": ("numbers", {}),
    "mean_absolute_error": ("numbers", {}),
    "mean_absolute_percentage_error": ("numbers", {}),
    "mean_squared_error": ("numbers", {}),
    "mean_squared_logarithmic_error": ("numbers", {}),
    "poisson": ("probabilities", {}),
    "sparse_categorical_crossentropy": ("labels", {}),
    "squared_hinge": ("signs", {}),
    "tversky": ("probabilities", {}),
}
OPTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("BinaryCrossentropy", "numbers", {"from_logits": True}),
    ("BinaryCrossentropy", "probabilities", {"label_smoothing": 0.2, "axis": 0}),
    ("BinaryCrossentropy", "extremes", {}),
    ("CategoricalCrossentropy", "logits", {"from_logits": True}),
    ("CategoricalCrossentropy", "classes", {"label_smoothing": 0.2}),
    ("CategoricalCrossentropy", "first", {"axis": 1}),
    ("SparseCategoricalCrossentropy", "labels", {"from_logits": True}),
    ("SparseCategoricalCrossentropy", "labels", {"ignore_class": 2}),
    ("SparseCategoricalCrossentropy", "column", {}),
    ("BinaryFocalCrossentropy", "numbers", {"from_logits": True, "gamma": 1.5}),
    ("BinaryFocalCrossentropy", "probabilities", {"apply_class_balancing": True}),
    ("BinaryFocalCrossentropy", "probabilities", {"label_smoothing": 0.1}),
    ("CategoricalFocalCrossentropy", "logits", {"from_logits": True, "gamma": 1.0}),
    ("CategoricalFocalCrossentropy", "classes", {"alpha": [0.1, 0.2, 0.3, 0.4]}),
    ("Huber", "numbers", {"delta": 0.3}),
    ("CosineSimilarity", "numbers", {"axis": 1}),
    ("Dice", "probabilities", {"axis": (1, 2)}),
    ("Tversky", "probabilities", {"alpha": 0.3, "beta": 0.8}),
    ("Hinge", "numbers", {}),
    ("CategoricalGeneralizedCrossEntropy", "labels", {"q": 0.3}),
    ("Circle", "embeddings", {}),
    ("Circle", "embeddings", {"gamma": 3.0, "margin": 0.2, "remove_diagonal": False}),
    ("CTC", "sequences", {}),
]


def data(kind: str, rng: np.random.Generator) -> tuple[Any, Any]:
    """Targets and predictions of 5 examples of 3 positions, with 4 numbers each."""
    numbers = rng.normal(size=(5, 3, 4)).astype(np.float32)
    uniform = rng.uniform(0.01, 0.99, (5, 3, 4)).astype(np.float32)
    binary = rng.integers(0, 2, (5, 3, 4))
    labels = rng.integers(0, 4, (5, 3))
    one_hot = np.eye(4, dtype=np.float32)[labels]
    units = numbers[:, 0] / np.linalg.norm(numbers[:, 0], axis=1, keepdims=True)
    pairs: dict[str, tuple[Any, Any]] = {
        "classes": (one_hot, uniform),
        "embeddings": (labels[:, 0], units),
        "sequences": (np.sort(labels[:, :2])[:, ::-1], numbers),
        "column": (labels[..., None], uniform),
        "extremes": (binary, rng.integers(0, 2, (5, 3, 4)).astype(np.float32)),
        "first": (one_hot.swapaxes(1, 2), uniform.swapaxes(1, 2)),
        "labels": (labels, uniform),
        "logits": (one_hot, numbers),
        "numbers": (rng.normal(size=(5, 3, 4)).astype(np.float32), numbers),
        "probabilities": (binary, uniform),
        "signs": (2 * binary - 1, numbers),
    }
    return pairs[kind]


def check(found: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    assert np.asarray(found).shape == expected.shape
    assert_close(np.asarray(found), expected)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_keras(name: str, keras: Any, recorded: Any, rng: Any):
    y_true, y_pred = data(FUNCTIONS[name][0], rng)
    found = getattr(losses, name)(y_true, y_pred)
    check(found, recorded(lambda: getattr(keras.losses, name)(y_true, y_pred)))


@pytest.mark.parametrize(("name", "kind", "options"), OPTIONS)
def test_options_are_those_of_keras(
    name: str, kind: str, options: dict[str, Any], keras: Any, recorded: Any, rng: Any
):
    y_true, y_pred = data(kind, rng)
    found = getattr(losses, name)(**options)(y_true, y_pred)
    theirs = recorded(lambda: getattr(keras.losses, name)(**options)(y_true, y_pred))
    check(found, theirs)


def test_hinge_of_labels_0_and_1(keras: Any, recorded: Any, rng: Any):
    y_true, y_pred = data("probabilities", rng)
    assert set(np.unique(y_true)) == {0, 1}
    theirs = recorded(lambda: keras.losses.hinge(y_true, y_pred))
    check(losses.hinge(y_true, y_pred), theirs)


@pytest.mark.parametrize(
    "reduction",
    ["sum_over_batch_size", "sum", "mean", "none", "mean_with_sample_weight"],
)
@pytest.mark.parametrize("shape", [None, (), (5, 1), (5, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_reductions_weights_and_masks(
    reduction: str, shape: Any, masked: bool, keras: Any, recorded: Any, rng: Any
):
    y_true, y_pred = data("numbers", rng)
    weight = None if shape is None else np.asarray(rng.random(shape), np.float32)
    mask = rng.random((5, 3)) < 0.7
    ours = Array(y_pred)
    if masked:
        ours._keras_mask = mask
    found = losses.MeanSquaredError(reduction)(y_true, ours, weight)
    if reduction == "mean_with_sample_weight" and weight is not None:
        # Keras divides by the sum of the weights before they are broadcast.
        weight = np.broadcast_to(weight, (5, 3))

    def theirs() -> Any:
        twin = keras.ops.array(y_pred)
        if masked:
            twin._keras_mask = keras.ops.array(mask)
        return keras.losses.MeanSquaredError(reduction)(y_true, twin, weight)

    check(found, recorded(theirs))


def test_weights_of_samples_reach_every_position(rng: np.random.Generator):
    y_true, y_pred = data("numbers", rng)
    weight = rng.random(5).astype(np.float32)
    loss = losses.MeanSquaredError()
    check(loss(y_true, y_pred, weight), loss(y_true, y_pred, weight[:, None]))


@pytest.mark.parametrize("name", ["Dice", "Tversky"])
def test_weights_of_losses_of_a_whole_batch(
    name: str, keras: Any, recorded: Any, rng: Any
):
    y_true, y_pred = data("probabilities", rng)
    weight = rng.random(5).astype(np.float32)
    theirs = recorded(lambda: getattr(keras.losses, name)()(y_true, y_pred, weight))
    check(getattr(losses, name)()(y_true, y_pred, weight), theirs)


def test_ignored_class_does_not_count_in_the_mean():
    y_pred = np.full((1, 4, 2), 0.5, np.float32)
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    found = loss(np.array([[0, -1, 1, -1]]), y_pred)
    assert_close(float(found), np.log(2.0))


def test_class_numbers_beyond_the_precision_of_the_dtype():
    y_pred = np.zeros((1, 600), np.float32)
    y_pred[0, 511] = 9.0
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, dtype="bfloat16")
    assert float(loss(np.array([511]), y_pred)) < 0.1  # bfloat16 has no 511


def test_float_targets_and_lists_are_accepted():
    found = losses.MeanSquaredError()([0, 1], [[1.0], [3.0]])
    assert float(found) == 2.5


def test_traced_with_an_unknown_batch_size(keras: Any, recorded: Any, rng: Any):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    graph = trace(
        lambda y, logits, w: loss(y, logits, w),
        TensorSpec(("B",), "int32"),
        TensorSpec(("B", 4)),
        TensorSpec(("B",)),
    )
    labels = rng.integers(0, 4, 6).astype(np.int32)
    logits = rng.normal(size=(6, 4)).astype(np.float32)
    weight = rng.random(6).astype(np.float32)

    def theirs() -> Any:
        twin = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return twin(labels, logits, weight)

    check(evaluate(graph, labels, logits, weight)[0], recorded(theirs))


def test_nodes_carry_the_name_of_the_loss():
    loss = losses.MeanSquaredError(name="distance")
    graph = trace(lambda a, b: loss(a, b), TensorSpec((2, 2)), TensorSpec((2, 2)))
    assert {n.location.path for n in graph.nodes if n.location} == {"distance"}


def test_own_loss(rng: np.random.Generator):
    class Quartic(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return ops.mean((y_true - y_pred) ** 4, axis=-1)

    y_true, y_pred = data("numbers", rng)
    check(Quartic()(y_true, y_pred), np.mean((y_true - y_pred) ** 4))
    assert Quartic(name="q").get_config() == {
        "name": "q",
        "reduction": "sum_over_batch_size",
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: losses.MeanSquaredError()(np.ones((3, 2)), np.ones((3, 4))),
            r"mean_squared_error: `y_true` and `y_pred` must have the same shape. "
            r"Received: y_true.shape=\(3, 2\), y_pred.shape=\(3, 4\)",
        ),
        (
            lambda: losses.CategoricalCrossentropy()(np.ones(3), np.ones((3, 4))),
            r"categorical_crossentropy: `y_true` must be one-hot.*"
            r"sparse_categorical_crossentropy.*y_true.shape=\(3, 1\)|\(3,\)",
        ),
        (
            lambda: losses.SparseCategoricalCrossentropy()(
                np.ones((3, 4)), np.ones((3, 4))
            ),
            r"sparse_categorical_crossentropy: `y_true` must have the shape of "
            r"`y_pred` without its classes.*y_true.shape=\(3, 4\)",
        ),
        (
            lambda: losses.MeanSquaredError()(np.ones((3, 2)), np.ones((3, 2)), [1, 2]),
            r"`sample_weight`.*Received: sample_weight.shape=\(2,\) for values of shape "
            r"\(3,\)",
        ),
        (
            lambda: losses.MeanSquaredError("average"),
            r"Expected `reduction` to be one of .*reduction='average'",
        ),
        (lambda: losses.get("mee"), r"identifier='mee'. Did you mean 'mse'\?"),
        (lambda: losses.get(3), r"Expected a name, a config or a callable.*=3"),
        (lambda: losses.deserialize({"config": {}}), r"keys 'class_name' and 'config'"),
        (lambda: losses.serialize(lambda a, b: a), r"A lambda cannot be saved"),
    ],
)
def test_errors(call: Any, message: str):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call()


@pytest.mark.parametrize("name", ["mse", "MAE", "bce", "kld", "hinge", "huber"])
def test_names_of_functions_give_functions(name: str, keras: Any, recorded: Any):
    theirs = recorded(lambda: keras.losses.get(name).__name__)
    assert losses.get(name).__name__ == theirs


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MeanSquaredError", {"reduction": "sum"}),
        ("CategoricalCrossentropy", {"label_smoothing": 0.1}),
        ("BinaryCrossentropy", {"from_logits": True, "axis": 1}),
    ],
)
def test_configs_are_those_of_keras(
    name: str, options: dict[str, Any], keras: Any, recorded: Any
):
    ours = getattr(losses, name)(**options)
    config = losses.serialize(ours)
    assert config == recorded(
        lambda: keras.losses.serialize(getattr(keras.losses, name)(**options))
    )
    again = losses.deserialize(config)
    assert type(again) is type(ours)
    assert again.get_config() == ours.get_config()


def test_config_keeps_what_keras_forgets():
    made = losses.deserialize(losses.serialize(losses.Huber(0.3, dtype="float64")))
    assert made.get_config()["delta"] == 0.3
    assert made.dtype == "float64"


def test_function_configs(keras: Any, recorded: Any):
    config = losses.serialize(losses.mean_squared_error)
    assert config == recorded(
        lambda: keras.losses.serialize(keras.losses.mean_squared_error)
    )
    assert losses.deserialize(config) is losses.mean_squared_error


def test_registered_classes_are_found(monkeypatch: pytest.MonkeyPatch):
    class Mine(losses.MeanSquaredError):
        pass

    monkeypatch.setitem(CUSTOM_OBJECTS, "here>Mine", Mine)
    config = losses.serialize(Mine())
    assert config["registered_name"] == "here>Mine"
    assert type(losses.deserialize(config)) is Mine
    assert type(losses.get("here>Mine")) is Mine


def test_names_are_never_imported():
    config = {"module": "os", "class_name": "system", "config": "true"}
    with pytest.raises(ValueError, match="identifier='system'"):
        losses.deserialize(config)
