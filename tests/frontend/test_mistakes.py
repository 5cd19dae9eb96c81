"""Mistakes that users make, and unusual but legal uses."""

import logging
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers, ops
from graphc.ir import parse
from graphc.ir.errors import GraphError

X = np.linspace(-1, 1, 32, dtype="float32").reshape(8, 4)
Y = X.sum(1)
EAGER = {"run_eagerly": True}


class Subclassed(graphc.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_a_subclassed_model_has_all_graphs_once_it_ran() -> None:
    model = Subclassed()
    model.compile("sgd", "mse", **EAGER)
    model.train_on_batch(X, np.ones((8, 3), "f"))
    for kind in ("init", "train_step", "eval_step", "predict"):
        graph = model.graph(kind)
        graph.verify()
        assert parse(str(graph)) == graph


def test_a_loaded_subclassed_model_has_its_predict_graph(tmp_path: Any) -> None:
    model = Subclassed()
    model(X)
    model.save(tmp_path / "m.graphc")
    graph = graphc.load_model(tmp_path / "m.graphc").graph("predict")
    graph.verify()
    assert str(graph.parameters[0].type) == "f32[B,4]"


def test_nested_logs_are_flat() -> None:
    class Own(graphc.Model):
        def test_step(self, data: Any) -> Any:
            x, y = data
            loss = self.compute_loss(y=y, y_pred=self(x))
            return {"loss": loss, "more": {"twice": loss * 2.0}}

    inputs = graphc.Input((4,))
    model = Own(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse", **EAGER)
    found = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert found["twice"] == pytest.approx(2 * found["loss"])


def test_a_frozen_model_still_reports_its_loss() -> None:
    model = graphc.Sequential([graphc.Input((4,)), layers.Dense(1)])
    model.trainable = False
    model.compile("sgd", "mse", **EAGER)
    before = model.get_weights()
    history = model.fit(X, Y, verbose=0).history
    assert history["loss"] == pytest.approx([model.evaluate(X, Y, verbose=0)])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [({"B": 1.5}, "B must be an integer"), ({"C": 3}, "no dimension symbol 'C'")],
)
def test_bind_takes_known_symbols_and_integers(sizes: dict, message: str) -> None:
    graph = graphc.trace(lambda x: x * 2.0, graphc.TensorSpec(("B", 3)))
    with pytest.raises(GraphError, match=message):
        graph.bind(**sizes)


@pytest.mark.parametrize(
    "layer", [layers.Conv2D(3, 12), layers.MaxPooling2D(9), layers.AveragePooling2D(9)]
)
def test_a_window_larger_than_the_input_is_refused(layer: Any) -> None:
    with pytest.raises(ValueError, match="the window is larger than the input"):
        layer(np.ones((2, 8, 8, 1), "f"))


def test_a_call_without_return_is_refused() -> None:
    class Forgets(layers.Layer):
        def call(self, x: Any) -> None:
            x + 1.0

    with pytest.raises(ValueError, match="must return its outputs"):
        Forgets()(X)


def test_has_aux_and_the_result_must_agree() -> None:
    with pytest.raises(GraphError, match="only a scalar float") as caught:
        graphc.value_and_grad(lambda x: (ops.sum(x), x))(X)
    assert "has_aux=True" in str(caught.value)
    with pytest.raises(GraphError, match=r"must return \(value, auxiliary"):
        graphc.value_and_grad(ops.sum, has_aux=True)(X)


def test_every_new_shape_is_logged_with_its_cause(caplog: Any) -> None:
    model = graphc.Sequential(
        [graphc.Input((None, 4)), layers.Dense(2), layers.GlobalAveragePooling1D()]
    )
    model.compile("sgd", "mse", **EAGER)
    with caplog.at_level(logging.INFO, logger="graphc"):
        for steps in range(2, 8):
            model.train_on_batch(np.ones((2, steps, 4), "f"), np.ones((2, 2), "f"))
    lines = [r.getMessage() for r in caplog.records if "compiled" in r.getMessage()]
    assert lines[0].endswith("first call")
    assert "new shape f32[B,3,4]" in lines[1]
    hints = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(hints) == 1
