"""Metrics, compared with Keras over several batches of the same numbers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from graphc.frontend import ops
from graphc.frontend.tensor import Array
from graphc.frontend.training import losses, metrics
from graphc.frontend.transforms import TensorSpec, trace
from graphc.ir import evaluate
from tests.closeness import assert_close
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("Accuracy", "equal", {}),
    ("AUC", "binary", {"num_thresholds": 20}),
    ("AUC", "binary", {"curve": "PR"}),
    ("AUC", "binary", {"curve": "PR", "summation_method": "majoring"}),
    ("AUC", "binary", {"summation_method": "minoring", "thresholds": [0.3, 0.6]}),
    ("AUC", "numbers_binary", {"from_logits": True}),
    ("AUC", "binary", {"multi_label": True, "num_labels": 4, "curve": "PR"}),
    ("AUC", "binary", {"multi_label": True, "label_weights": [1.0, 2.0, 0.5, 1.0]}),
    ("AUC", "binary", {"label_weights": [1.0, 2.0, 0.5, 1.0]}),
    ("BinaryAccuracy", "binary", {"threshold": 0.3}),
    ("BinaryCrossentropy", "binary", {"label_smoothing": 0.1}),
    ("CategoricalAccuracy", "classes", {}),
    ("CategoricalCrossentropy", "classes", {"label_smoothing": 0.1}),
    ("CategoricalHinge", "classes", {}),
    ("CosineSimilarity", "numbers", {}),
    ("FalseNegatives", "binary", {"thresholds": [0.2, 0.7]}),
    ("FalsePositives", "binary", {}),
    ("Hinge", "binary", {}),
    ("KLDivergence", "classes", {}),
    ("LogCoshError", "numbers", {}),
    ("MeanAbsoluteError", "numbers", {}),
    ("MeanAbsolutePercentageError", "numbers", {}),
    ("MeanSquaredError", "numbers", {}),
    ("MeanSquaredLogarithmicError", "classes", {}),
    ("Poisson", "classes", {}),
    ("Precision", "binary", {"thresholds": [0.2, 0.7]}),
    ("Precision", "classes", {"top_k": 2}),
    ("Precision", "classes", {"class_id": 1, "thresholds": 0.4}),
    ("Recall", "binary", {}),
    ("Recall", "classes", {"top_k": 2, "class_id": 3}),
    ("RootMeanSquaredError", "numbers", {}),
    ("SparseCategoricalAccuracy", "labels", {}),
    ("SparseCategoricalAccuracy", "column", {}),
    ("SparseCategoricalCrossentropy", "labels", {}),
    ("SparseTopKCategoricalAccuracy", "labels", {"k": 2}),
    ("SparseTopKCategoricalAccuracy", "sorted", {"k": 2, "from_sorted_ids": True}),
    ("SquaredHinge", "binary", {}),
    ("TopKCategoricalAccuracy", "classes", {"k": 3}),
    ("TrueNegatives", "binary", {}),
    ("TruePositives", "binary", {}),
    ("FBetaScore", "binary", {"beta": 2.0, "threshold": 0.4}),
    ("FBetaScore", "classes", {"average": "weighted"}),
    ("F1Score", "classes", {"average": "micro"}),
    ("F1Score", "classes", {"average": "macro"}),
    ("R2Score", "numbers", {}),
    ("R2Score", "numbers", {"class_aggregation": None}),
    ("R2Score", "numbers", {"class_aggregation": "variance_weighted_average",
                            "num_regressors": 3}),
    ("PearsonCorrelation", "numbers", {}),
    ("ConcordanceCorrelation", "numbers", {}),
    ("PrecisionAtRecall", "binary", {"recall": 0.6, "num_thresholds": 20}),
    ("RecallAtPrecision", "binary", {"precision": 0.6}),
    ("SensitivityAtSpecificity", "classes", {"specificity": 0.5, "class_id": 1}),
    ("SpecificityAtSensitivity", "binary", {"sensitivity": 0.5, "num_thresholds": 1}),
    ("IoU", "equal", {"num_classes": 2, "target_class_ids": [1], "dtype": "float32"}),
    ("MeanIoU", "equal", {"num_classes": 3, "dtype": "float32"}),
    ("MeanIoU", "equal", {"num_classes": 2, "ignore_class": 0, "dtype": "float32"}),
    ("BinaryIoU", "binary", {"target_class_ids": [0, 1], "threshold": 0.3,
                             "dtype": "float32"}),
    ("OneHotIoU", "classes", {"num_classes": 4, "target_class_ids": [0, 2],
                              "dtype": "float32"}),
    ("OneHotMeanIoU", "classes", {"num_classes": 4, "dtype": "float32"}),
]  # fmt: skip


def batches(kind: str, rng: np.random.Generator) -> Iterator[tuple[Any, Any, Any]]:
    """Targets, predictions and weights of two batches."""
    size = 7
    for _ in range(2):
        uniform = rng.uniform(0.01, 0.99, (size, 4)).astype(np.float32)
        numbers = rng.normal(size=(size, 4)).astype(np.float32)
        binary = rng.integers(0, 2, (size, 4))
        labels = rng.integers(0, 4, size)
        pairs: dict[str, tuple[Any, Any]] = {
            "binary": (binary, uniform),
            "classes": (np.eye(4, dtype=np.float32)[labels], uniform),
            "column": (labels[:, None], uniform),
            "equal": (binary, rng.integers(0, 2, (size, 4))),
            "labels": (labels, uniform),
            "numbers": (rng.normal(size=(size, 4)).astype(np.float32), numbers),
            "numbers_binary": (binary, numbers),
            "sorted": (labels, np.argsort(-uniform, axis=-1)),
        }
        yield *pairs[kind], rng.random(size).astype(np.float32)


def check(found: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    assert np.asarray(found).shape == expected.shape
    assert_close(found, expected)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")  # Keras's
@pytest.mark.parametrize(("name", "kind", "options"), CASES)
def test_results_are_those_of_keras(
    name: str, kind: str, options: dict[str, Any], keras: Any, recorded: Any, rng: Any
):
    ours = getattr(metrics, name)(**options)
    updates: list[tuple[Any, Any, dict[str, Any]]] = []
    for weighted, (y_true, y_pred, weight) in enumerate(batches(kind, rng)):
        if name == "AUC" and "label_weights" not in options:
            weight = weight[:, None]  # Keras does not take a vector here
        if name in ("IoU", "MeanIoU", "BinaryIoU"):
            weight = np.repeat(weight, 4)  # of positions, not of examples
        weights = {"sample_weight": weight} if weighted else {}
        ours.update_state(y_true, y_pred, **weights)
        updates.append((y_true, y_pred, weights))

    def theirs() -> Any:
        twin = getattr(keras.metrics, name)(**options)
        for y_true, y_pred, weights in updates:
            twin.update_state(y_true, y_pred, **weights)
        state = [(v.path.rpartition("/")[2], v.value) for v in twin.variables]
        return twin.result(), state

    result, state = recorded(theirs)
    check(ours.result(), result)
    assert [v.path.rpartition("/")[2] for v in ours.variables] == [n for n, _ in state]
    for mine, (_, other) in zip(ours.variables, state, strict=True):
        check(mine, other)
    ours.reset_state()
    assert all(not np.any(v.numpy()) for v in ours.variables)


@pytest.mark.parametrize("shape", [None, (), (6,), (6, 1), (6, 3)])
def test_mean_and_sum_of_matrices(shape: Any, keras: Any, recorded: Any, rng: Any):
    values = rng.normal(size=(6, 3)).astype(np.float32)
    weight = None if shape is None else np.asarray(rng.random(shape), np.float32)

    def result(metric: Any) -> Any:
        metric.update_state(values, sample_weight=weight)
        metric.update_state(values[:2], sample_weight=None)
        return metric.result()

    mean = recorded(lambda: result(keras.metrics.Mean()))
    check(result(metrics.Mean()), mean)
    total = recorded(lambda: result(keras.metrics.Sum()))
    check(result(metrics.Sum()), total)


def test_mean_of_scalars_weighted_by_batch_sizes():
    mean = metrics.Mean()
    mean.update_state(2.0, sample_weight=32)
    mean.update_state(5.0, sample_weight=16)
    assert float(mean.result()) == 3.0


def test_mean_before_the_first_batch_is_0():
    assert float(metrics.Mean().result()) == 0.0


@pytest.mark.parametrize("shape", [None, (2, 1), (2, 3)])
def test_masks_of_predictions(shape: Any, keras: Any, recorded: Any, rng: Any):
    y_true, y_pred = rng.random((2, 2, 3, 4)).astype(np.float32)
    weight = None if shape is None else rng.random(shape).astype(np.float32)
    mask = np.array([[1, 1, 0], [1, 0, 0]], bool)
    ours = metrics.MeanSquaredError()
    mine = Array(y_pred)
    mine._keras_mask = mask
    ours.update_state(y_true, mine, sample_weight=weight)

    def theirs() -> Any:
        twin, other = keras.metrics.MeanSquaredError(), keras.ops.array(y_pred)
        other._keras_mask = keras.ops.array(mask)
        twin.update_state(y_true, other, sample_weight=weight)
        return twin.result()

    check(ours.result(), recorded(theirs))


def test_ignored_class_does_not_count():
    metric = metrics.SparseCategoricalCrossentropy(ignore_class=-1)
    metric.update_state(
        np.array([[0, -1], [1, -1]]), np.full((2, 2, 2), 0.5, np.float32)
    )
    assert_close(float(metric.result()), np.log(2.0))


def test_traced_with_an_unknown_batch_size(rng: np.random.Generator):
    metric = metrics.SparseCategoricalAccuracy()

    def step(y_true: Any, y_pred: Any) -> Any:
        metric.update_state(y_true, y_pred)
        return metric.result()

    graph = trace(step, TensorSpec(("B",), "int32"), TensorSpec(("B", 4)))
    labels = rng.integers(0, 4, 9).astype(np.int32)
    scores = rng.normal(size=(9, 4)).astype(np.float32)
    state = [np.float32(3.0), np.float32(4.0)]
    result, total, count = evaluate(graph, labels, scores, *state)
    right = np.sum(scores.argmax(-1) == labels)
    assert (total, count) == (3.0 + right, 13.0)
    assert_close(result, (3.0 + right) / 13.0)


def test_loss_tracked_by_a_symbolic_batch_size():
    mean = metrics.Mean(name="loss")

    def step(x: Any) -> Any:
        mean.update_state(ops.mean(x), sample_weight=x.shape[0])
        return mean.result()

    graph = trace(step, TensorSpec(("B", 2)))
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    result, total, count = evaluate(graph, x, np.float32(0), np.float32(0))
    assert (float(result), float(total), float(count)) == (2.5, 7.5, 3.0)


def test_stateless_use_leaves_the_state(rng: np.random.Generator):
    mean = metrics.Mean()
    mean.update_state([4.0])
    state = mean.stateless_reset_state()
    state = mean.stateless_update_state(state, [1.0, 2.0])
    assert [float(v) for v in state] == [3.0, 2.0]
    assert float(mean.stateless_result(state)) == 1.5
    assert float(mean.result()) == 4.0
    with pytest.raises(
        ValueError, match=r"2 variables \['mean.*/total', 'mean.*/count"
    ):
        mean.stateless_result([0.0])


class Spread(metrics.Metric):
    """The mean of the largest minus the mean of the smallest value."""

    def __init__(self, name: str = "spread", scale: float = 1.0):
        super().__init__(name=name)
        self.scale = scale
        self.parts = [metrics.Mean(name="high"), metrics.Mean(name="low")]
        self.seen = self.add_weight(name="seen")

    def update_state(self, x: Any) -> None:
        self.parts[0].update_state(ops.max(x))
        self.parts[1].update_state(ops.min(x))
        self.seen.assign_add(1.0)

    def result(self) -> Any:
        return self.scale * (self.parts[0].result() - self.parts[1].result())


def test_metric_made_of_metrics():
    metric = Spread(scale=2.0)
    metric.update_state([1.0, 4.0])
    assert float(metric([0.0, 1.0])) == 4.0
    names = [v.path for v in metric.variables]
    assert names == [
        "spread/seen",
        "high/total",
        "high/count",
        "low/total",
        "low/count",
    ]
    metric.reset_state()
    assert [float(v) for v in metric.variables] == [0.0] * 5


def test_metric_that_forgets_its_base():
    class Bad(metrics.Metric):
        def __init__(self):
            self.mean = metrics.Mean()

    with pytest.raises(RuntimeError, match=r"call `super\(\).__init__\(\)`.*: mean"):
        Bad()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", "mean_squared_error"),
        ("MAE", "mean_absolute_error"),
        ("categorical_accuracy", "categorical_accuracy"),
        ("CosineSimilarity", "cosine_similarity"),
        ("auc", "auc"),
        ("log_cosh_error", "logcosh"),
    ],
)
def test_names(name: str, expected: str, keras: Any, recorded: Any):
    assert metrics.get(name).name.startswith(expected)
    theirs = recorded(lambda: type(keras.metrics.get(name)).__name__)
    assert type(metrics.get(name)).__name__ == theirs


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Mean", {}),
        ("TopKCategoricalAccuracy", {"k": 3}),
        ("BinaryAccuracy", {"threshold": 0.1}),
        ("Precision", {"top_k": 2, "thresholds": [0.1, 0.2]}),
        ("CategoricalCrossentropy", {"from_logits": True}),
    ],
)
def test_configs_are_those_of_keras(
    name: str, options: dict[str, Any], keras: Any, recorded: Any
):
    ours = getattr(metrics, name)(name="m", **options)
    config = metrics.serialize(ours)
    theirs = recorded(
        lambda: keras.metrics.serialize(
            getattr(keras.metrics, name)(name="m", **options)
        )
    )
    kept = config["config"]
    assert {k: kept[k] for k in theirs["config"]} == theirs["config"]
    assert config | {"config": None} == theirs | {"config": None}
    assert metrics.deserialize(config).get_config() == kept


@pytest.mark.parametrize("fn", [losses.huber, metrics.binary_accuracy])
def test_wrapper_config(fn: Any):
    metric = metrics.MeanMetricWrapper(fn, name="m")
    again = metrics.deserialize(metrics.serialize(metric))
    assert again._fn is fn
    assert again.name == "m"


def test_direction():
    assert metrics.MeanSquaredError()._direction == "down"
    assert metrics.CosineSimilarity()._direction == "up"
    assert metrics.Mean()._direction is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metrics.get("accurcy"),
            "identifier='accurcy'. Did you mean 'accuracy'",
        ),
        (lambda: metrics.BinaryAccuracy(threshold=1.5), r"threshold=1.5"),
        (lambda: metrics.Precision(thresholds=[0.5, 2]), r"\[0, 1\].*\[2\]"),
        (lambda: metrics.AUC(curve="PRC"), r"'ROC', 'PR'. Received: curve='PRC'"),
        (lambda: metrics.AUC(num_thresholds=1), r"num_thresholds=1"),
        (lambda: metrics.AUC(num_labels=3), r"num_labels=3, multi_label=False"),
        (
            lambda: metrics.CategoricalAccuracy()(np.ones(3), np.ones((3, 4))),
            r"categorical_accuracy: `y_true` must be one-hot",
        ),
        (
            lambda: metrics.SparseCategoricalAccuracy()(
                np.ones((3, 4)), np.ones((3, 4))
            ),
            r"y_true.shape=\(3, 4\), y_pred.shape=\(3, 4\)",
        ),
        (
            lambda: metrics.MeanSquaredError()(np.ones((3, 2)), np.ones((3, 5))),
            r"mean_squared_error.*y_true.shape=\(3, 2\), y_pred.shape=\(3, 5\)",
        ),
    ],
)
def test_errors(call: Any, message: str):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call()
