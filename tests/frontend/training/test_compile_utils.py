"""Losses and metrics of models with one and several outputs."""

from typing import Any

import numpy as np
import pytest

from graphc.frontend.tensor import Array
from graphc.frontend.training import losses, metrics
from graphc.frontend.training.compile_utils import (
    CompileLoss,
    CompileMetrics,
    get_loss,
    get_metric,
)
from graphc.frontend.training.outputs import Outputs
from graphc.frontend.transforms import TensorSpec, trace
from tests.closeness import assert_close


@pytest.fixture
def batch(rng: np.random.Generator) -> dict[str, Any]:
    """Targets and predictions of an output ``a`` of two numbers and ``b`` of one."""
    uniform = rng.uniform(0.1, 0.9, (8, 6)).astype(np.float32)
    return {
        "ya": uniform[:, :2],
        "yb": rng.integers(0, 2, (8, 1)).astype(np.float32),
        "a": Array(uniform[:, 2:4]),
        "b": Array(uniform[:, 4:5]),
        "weight": uniform[:, 5],
    }


def mse(y: Any, p: Any, weight: Any = None) -> float:
    return float(losses.MeanSquaredError()(y, p, weight))


def results(metric: CompileMetrics) -> dict[str, float]:
    return {name: float(v) for name, v in metric.result().items()}


# -- losses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss", ["mse", ["mse"], {"a": "mse"}, losses.mean_squared_error]
)
def test_loss_of_one_output(loss: Any, batch: dict[str, Any]):
    compiled = CompileLoss(loss, output_names=["a"])
    found = compiled(batch["ya"], batch["a"], batch["weight"])
    assert_close(float(found), mse(batch["ya"], batch["a"], batch["weight"]))
    assert compiled.metrics == []


@pytest.mark.parametrize(
    ("loss", "weights"),
    [
        ("mse", [2.0, 3.0]),
        (["mse", "mse"], {"a": 2.0, "b": 3.0}),
        ({"b": "mse", "a": losses.MeanSquaredError()}, (2.0, 3.0)),
    ],
)
@pytest.mark.parametrize("structure", ["list", "tuple", "dict", "named"])
def test_losses_of_two_outputs(
    loss: Any, weights: Any, structure: str, batch: dict[str, Any]
):
    a, b = mse(batch["ya"], batch["a"]), mse(batch["yb"], batch["b"])
    y_true: Any = [batch["ya"], batch["yb"]]
    y_pred: Any = [batch["a"], batch["b"]]
    if structure == "tuple":
        y_true, y_pred = tuple(y_true), tuple(y_pred)
    if structure in ("dict", "named"):
        y_true = {"a": batch["ya"], "b": batch["yb"]}
    if structure == "dict":
        y_pred = {"b": batch["b"], "a": batch["a"]}
    compiled = CompileLoss(loss, weights, output_names=["a", "b"])
    for _ in range(2):
        total = compiled(y_true, y_pred)
    assert_close(float(total), 2 * a + 3 * b)
    assert [m.name for m in compiled.metrics] == ["a_loss", "b_loss"]
    found = [float(m.result()) for m in compiled.metrics]
    assert_close(found, [a, b])
    assert [float(m.count) for m in compiled.metrics] == [16.0, 16.0]


def test_outputs_without_loss_or_with_two(batch: dict[str, Any]):
    y_pred = [batch["a"], batch["b"]]
    compiled = CompileLoss([["mse", "mae"], None])
    found = compiled([batch["ya"], None], y_pred)
    mae = float(losses.MeanAbsoluteError()(batch["ya"], batch["a"]))
    assert_close(float(found), mse(batch["ya"], batch["a"]) + mae)
    assert compiled.metrics == []
    assert CompileLoss(None)(None, y_pred) is None


def test_sample_weights_for_each_output(batch: dict[str, Any]):
    y_true, y_pred = [batch["ya"], batch["yb"]], [batch["a"], batch["b"]]
    w = batch["weight"]
    first, second = mse(batch["ya"], batch["a"], w), mse(batch["yb"], batch["b"], w)
    plain = mse(batch["yb"], batch["b"])
    compiled = CompileLoss("mse", output_names=["a", "b"])
    assert_close(float(compiled(y_true, y_pred, w)), first + second)
    assert_close(float(compiled(y_true, y_pred, [w, None])), first + plain)
    named = {"a": w, "b": None}
    assert_close(float(compiled(y_true, y_pred, named)), first + plain)


def test_nested_outputs_are_named_by_their_paths(batch: dict[str, Any]):
    y_pred = {"head": [batch["a"], batch["b"]], "tail": batch["b"]}
    y_true = {"head": [batch["ya"], batch["yb"]], "tail": batch["yb"]}
    compiled = CompileLoss("mse", output_names=["x", "y", "z"])
    compiled(y_true, y_pred)
    names = [m.name for m in compiled.metrics]
    assert names == ["head_0_loss", "head_1_loss", "tail_loss"]
    assert Outputs.of([1, 2]).names == ("output_0", "output_1")


def test_crossentropy_suits_the_targets(rng: np.random.Generator):
    one_hot = np.eye(3, dtype=np.float32)[:2]
    labels, scores = np.array([0, 1]), rng.random((2, 3)).astype(np.float32)
    found = get_loss("crossentropy", one_hot, scores)
    assert found is not None
    assert found.name == "categorical_crossentropy"
    assert get_loss("ce", labels, scores).name.startswith("sparse")  # type: ignore
    assert get_loss("ce", labels, scores[:, :1]).name.startswith("bin")  # type: ignore
    assert get_loss(None, labels, scores) is None


# -- metrics ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        ((8, 1), (8, 1), "BinaryAccuracy"),
        ((8,), (8, 1), "BinaryAccuracy"),
        ((8,), (8,), "BinaryAccuracy"),
        ((8,), (8, 3), "SparseCategoricalAccuracy"),
        ((8, 1), (8, 3), "SparseCategoricalAccuracy"),
        ((8, 5), (8, 5, 3), "SparseCategoricalAccuracy"),
        ((8, 3), (8, 3), "CategoricalAccuracy"),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_accuracy_suits_the_targets(y_true: Any, y_pred: Any, expected: str, name: str):
    found = get_metric(name, np.zeros(y_true), np.zeros(y_pred))
    assert type(found).__name__ == expected
    assert found is not None
    assert found.name == name


def test_metrics_of_one_output(batch: dict[str, Any]):
    def largest(y_true: Any, y_pred: Any) -> Any:
        return y_pred[:, 0]

    compiled = CompileMetrics(
        ["mae", [metrics.MeanSquaredError(name="m"), largest], losses.Huber()],
        ["mae", "mae"],
    )
    assert compiled.metrics == []
    assert compiled.result() == {}
    compiled.reset_state()
    compiled.update_state(batch["ya"], batch["a"], batch["weight"])
    error = np.abs(batch["ya"] - batch["a"].numpy()).mean(-1)
    found = results(compiled)
    weighted = np.sum(error * batch["weight"]) / np.sum(batch["weight"])
    wanted = {
        "mae": error.mean(),
        "m": mse(batch["ya"], batch["a"]),
        "largest": batch["a"].numpy()[:, 0].mean(),
        "huber_loss": mse(batch["ya"], batch["a"]) / 2,
        "weighted_mae": weighted,
        "weighted_mae_1": weighted,
    }
    assert_close(found, wanted)
    assert len(compiled.variables) == 12
    compiled.reset_state()
    assert set(results(compiled).values()) == {0.0}


@pytest.mark.parametrize(
    ("given", "weighted", "expected"),
    [
        (["mae", "acc"], None, ["a_mae", "b_acc"]),
        ([["mae", "mse"], None], None, ["a_mae", "a_mse"]),
        ({"b": ["acc", "mae"]}, None, ["b_acc", "b_mae"]),
        ("mae", None, ["a_mae", "b_mae"]),
        ({"a": "mae"}, {"a": "mae", "b": "mae"}, ["a_mae", "a_weighted_mae", "b_mae"]),
    ],
)
def test_metrics_of_two_outputs(
    given: Any, weighted: Any, expected: list[str], batch: dict[str, Any]
):
    compiled = CompileMetrics(given, weighted, output_names=["a", "b"])
    compiled.update_state([batch["ya"], batch["yb"]], [batch["a"], batch["b"]])
    assert list(compiled.result()) == expected


def test_metric_with_a_dict_of_results(batch: dict[str, Any]):
    class Both(metrics.Mean):
        def update_state(self, y_true: Any, y_pred: Any) -> None:
            super().update_state(y_pred)

        def result(self) -> Any:
            return {"low": super().result(), "high": super().result() + 1.0}

    compiled = CompileMetrics([Both()], None)
    compiled.update_state(batch["ya"], batch["a"])
    assert list(compiled.result()) == ["low", "high"]


def test_traced_step(batch: dict[str, Any]):
    loss = CompileLoss("mse", output_names=["a", "b"])
    metric = CompileMetrics(["mae", "acc"], None, output_names=["a", "b"])

    def step(y_true: Any, y_pred: Any) -> Any:
        total = loss(y_true, y_pred)
        metric.update_state(y_true, y_pred)
        return total, metric.result()

    specs = [TensorSpec(("B", 2)), TensorSpec(("B", 1))]
    graph = trace(step, specs, specs)
    paths = {n.location.path for n in graph.nodes if n.location}
    assert "loss/mean_squared_error" in paths
    assert "metrics/b_acc" in paths
    state = [p.name for p in graph.parameters if p.attributes.get("role") == "state"]
    assert len(state) == len(loss.variables) + len(metric.variables) == 8


# -- errors ----------------------------------------------------------------------------


def two(batch: dict[str, Any]) -> tuple[Any, Any]:
    return [batch["ya"], batch["yb"]], [batch["a"], batch["b"]]


@pytest.mark.parametrize(
    ("loss", "weights", "message"),
    [
        (
            ["mse"],
            None,
            r"`loss` must have one entry for each output.*\['a', 'b'\].*1 en",
        ),
        ({"a": "mse"}, None, r"loss for each of the outputs.*keys \['a'\]"),
        ({"a": "mse", "c": "mse"}, None, r"among \['a', 'b'\].*keys \['a', 'c'\]"),
        ("mse", [1.0], "`loss_weights` must have one entry for each output"),
        ("mse", {"a": 1.0}, r"`loss_weights` for each of the outputs \['a', 'b'\]"),
        ("mse", ["x", 1.0], "`loss_weights` must be numbers"),
        ("msee", None, "Did you mean 'mse'"),
    ],
)
def test_loss_errors(loss: Any, weights: Any, message: str, batch: dict[str, Any]):
    with pytest.raises(ValueError, match=message):
        CompileLoss(loss, weights, output_names=["a", "b"])(*two(batch))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["mae"], "`metrics` must have one entry for each output"),
        ({"c": "mae"}, r"`metrics` names outputs.*among \['a', 'b'\].*\['c'\]"),
        (["mae", 3], "Could not interpret metric identifier.*identifier=3"),
        (["mae", "acc2"], "Did you mean 'auc'|acc"),
    ],
)
def test_metric_errors(given: Any, message: str, batch: dict[str, Any]):
    with pytest.raises(ValueError, match=message):
        CompileMetrics(given, None, output_names=["a", "b"]).update_state(*two(batch))


def test_target_errors(batch: dict[str, Any]):
    y_true, y_pred = two(batch)
    compiled = CompileLoss("mse", output_names=["a", "b"])
    with pytest.raises(
        ValueError, match=r"`y_true` must have the structure.*\['a', 'b'\]"
    ):
        compiled(y_true[:1], y_pred)
    with pytest.raises(ValueError, match="The output 'a' has a loss but no targets"):
        compiled(None, y_pred)
    compiled(y_true, y_pred)
    with pytest.raises(ValueError, match="`sample_weight` must have the structure"):
        compiled(y_true, y_pred, [batch["weight"]])
    one = CompileLoss("mse")
    with pytest.raises(
        ValueError, match=r"y_true.shape=\(8, 3\), y_pred.shape=\(8, 2\)"
    ):
        one(np.ones((8, 3), np.float32), batch["a"])
