"""The graphs of a model's steps: they verify, parse and mean what the model does."""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers
from graphc.frontend.models.graphs import KINDS
from graphc.ir import evaluate, parse
from tests.closeness import assert_close

F32 = np.float32


def classifier(loss: Any = "sparse_categorical_crossentropy") -> Any:
    model = graphc.Sequential(
        [
            graphc.Input((4,)),
            layers.Dense(5, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", loss, metrics=["accuracy"], target="numpy")
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [None, 4])
def test_graphs_verify_and_parse(kind: str, batch_size: int | None) -> None:
    graph = classifier().graph(kind, batch_size)
    graph.verify()
    assert parse(str(graph)) == graph
    assert graph.name == kind
    symbols = {"B"} if batch_size is None and kind != "init" else set()
    assert graph.symbols == symbols
    if symbols:
        assert graph.ranges["B"][0] == 1


def test_parameters_are_inputs_then_state() -> None:
    graph = classifier().graph("train_step")
    names = [p.name for p in graph.parameters]
    assert names[:2] == ["x", "y"]
    assert [str(p.type) for p in graph.parameters[:2]] == ["f32[B,4]", "i32[B]"]
    roles = [p.attributes.get("role") for p in graph.parameters]
    assert roles == [None, None, *["state"] * (len(roles) - 2)]


def test_targets_follow_the_loss() -> None:
    for loss, wanted in (
        ("categorical_crossentropy", "f32[B,3]"),
        (graphc.losses.SparseCategoricalCrossentropy(), "i32[B]"),
        ("mse", "f32[B,3]"),
    ):
        graph = classifier(loss).graph("eval_step")
        assert str(graph.parameters[1].type) == wanted
    inputs = graphc.Input((4,))
    heads = [layers.Dense(3, name="a")(inputs), layers.Dense(1, name="b")(inputs)]
    model = graphc.Model(inputs, heads)
    losses = {
        "a": graphc.losses.SparseCategoricalCrossentropy(from_logits=True),
        "b": "mse",
    }
    model.compile("sgd", losses, target="numpy")
    graph = model.graph("train_step", 2)
    assert [str(p.type) for p in graph.parameters[:3]] == [
        "f32[2,4]",
        "i32[2]",
        "f32[2,1]",
    ]


def test_init_graph_gives_the_initial_values() -> None:
    graphc.utils.set_random_seed(3)
    model = classifier()
    graph = model.graph("init")
    (keys,) = graph.parameters
    assert str(keys.type) == "u32[2,4]"
    assert [str(r.type) for r in graph.results] == [str(w.type) for w in model.weights]


def test_predict_graph_is_what_predict_computes(rng: Any) -> None:
    model = classifier()
    x = rng.normal(size=(3, 4)).astype(F32)
    graph = model.graph("predict")
    (program,) = model.step("predict").programs.values()
    (found,) = evaluate(graph, x, *(v.numpy() for v in program.state))
    assert_close(model.predict(x, verbose=0), found)


def test_graph_is_a_copy() -> None:
    model = classifier()
    graph = model.graph("predict")
    graph.results = [graph.parameters[0]]
    assert model.graph("predict").results[0] is not graph.parameters[0]
    assert str(model.graph("predict").results[0].type) == "f32[B,3]"


def test_graph_of_a_subclass_after_a_batch() -> None:
    class Small(graphc.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Small()
    with pytest.raises(ValueError, match="run the step on a batch first"):
        model.graph("predict")
    model.predict_on_batch(np.ones((2, 3), F32))
    assert model.graph("predict").symbols == {"B"}


def test_refusals() -> None:
    model = graphc.Sequential([graphc.Input((4,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="Received: kind='step'"):
        model.graph("step")
    with pytest.raises(
        ValueError, match=r"Call compile\(\) before graph\('train_step'\)"
    ):
        model.graph("train_step")
    with pytest.raises(ValueError, match="is not built"):
        graphc.Sequential([layers.Dense(2)]).graph("init")
