"""Sequential: adding, removing, building early and late."""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers
from tests.closeness import assert_close

F32 = np.float32
X = np.ones((2, 3), F32)


def test_built_at_once_with_an_input() -> None:
    model = graphc.Sequential([graphc.Input((3,)), layers.Dense(2)], name="s")
    assert model.built
    assert (model.input_shape, model.output_shape) == ((None, 3), (None, 2))
    assert [w.path for w in model.weights] == [
        f"s/{model.layers[0].name}/kernel",
        f"s/{model.layers[0].name}/bias",
    ]


@pytest.mark.parametrize("how", ["call", "build", "fit", "predict"])
def test_built_late(how: str) -> None:
    model = graphc.Sequential([layers.Dense(2, name="d")], name="s")
    assert not model.built
    if how == "build":
        model.build((None, 3))
    elif how == "fit":
        model.compile("sgd", "mse", target="numpy")
        model.fit(X, X[:, :2], verbose=0)
    else:
        {"call": model, "predict": model.predict_on_batch}[how](X)
    assert model.built
    assert model.input_shape == (None, 3)
    assert [w.path for w in model.weights] == ["s/d/kernel", "s/d/bias"]
    assert model(np.ones((5, 3))).shape == (5, 2)


def test_add_and_pop() -> None:
    model = graphc.Sequential()
    model.add(graphc.Input((3,)))
    assert model.layers == []
    model.add(layers.Dense(2, name="a"))
    model.add(layers.Dense(1, name="b"))
    assert model.output_shape == (None, 1)
    assert model(X).shape == (2, 1)
    kernel = model.layers[0].kernel.numpy()
    assert model.pop().name == "b"
    assert model.output_shape == (None, 2)
    assert model(X).shape == (2, 2)
    np.testing.assert_array_equal(model.layers[0].kernel, kernel)
    assert model.layers[0].output.shape == (None, 2)
    model.pop()
    model.pop()
    with pytest.raises(ValueError, match="no layers in the model"):
        model.pop()


def test_add_after_training_retraces() -> None:
    model = graphc.Sequential([graphc.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse", target="numpy")
    model.fit(X, X[:, :2], verbose=0)
    model.add(layers.Dense(1))
    model.compile("sgd", "mse", target="numpy")
    model.fit(X, X[:, :1], verbose=0)
    assert model.predict(X, verbose=0).shape == (2, 1)


def test_input_shape_of_the_first_layer() -> None:
    model = graphc.Sequential([layers.Dense(2, input_shape=(3,))])
    assert model.input_shape == (None, 3)
    inner = graphc.Sequential([graphc.Input((3,)), layers.Dense(2)])
    assert graphc.Sequential([inner, layers.Dense(1)]).output_shape == (None, 1)


def test_nested_and_shared() -> None:
    encoder = graphc.Sequential([layers.Dense(4, name="e")], name="encoder")
    x = graphc.Input((3,))
    model = graphc.Model(x, encoder(x))
    other = graphc.Sequential([encoder, layers.Dense(3)])
    other.build((None, 3))
    assert other.weights[0] is model.weights[0]
    assert [w.path for w in encoder.weights] == ["encoder/e/kernel", "encoder/e/bias"]


def test_training_and_masks_reach_the_layers() -> None:
    model = graphc.Sequential([graphc.Input((3,)), layers.Dropout(0.5)])
    np.testing.assert_array_equal(model(X), X)
    assert set(np.unique(model(np.ones((20, 3)), training=True))) == {0.0, 2.0}
    masked = graphc.Sequential(
        [layers.Embedding(3, 4, mask_zero=True), layers.GlobalAveragePooling1D()]
    )
    tokens = np.array([[1, 0, 0]])
    embedded = masked.layers[0](tokens)
    assert_close(masked(tokens)[0], embedded[0, 0])


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        ([3], r"Only instances of graphc.Layer .* Received: 3"),
        (
            [layers.Dense(1, name="x"), layers.Dense(1, name="x")],
            "unique names. Name 'x'",
        ),
        ([layers.Dense(1), graphc.Input((3,))], "an Input must come first"),
    ],
)
def test_what_cannot_be_stacked(stack: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graphc.Sequential(stack)


def test_several_inputs_are_refused() -> None:
    model = graphc.Sequential([layers.Dense(1)])
    with pytest.raises(ValueError, match="has one input"):
        model.build([(None, 3), (None, 3)])


def test_locations_are_the_lines_that_make_the_layers() -> None:
    stack = [
        graphc.Input((3,)),
        layers.Dense(2),
        layers.ReLU(),
    ]
    graph = graphc.Sequential(stack).graph("predict")
    lines = [n.location.line for n in graph.nodes]
    assert lines[0] == lines[-1] - 1
    assert next(graph.nodes).location.file.endswith("test_sequential.py")
