"""Functional and subclassed models: structure, building, calling, sharing."""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers, ops
from tests.closeness import assert_close

F32 = np.float32
X = np.ones((2, 3), F32)


def two_by_two() -> Any:
    a, b = graphc.Input((3,), name="a"), graphc.Input((2,), name="b")
    joined = layers.Concatenate(name="joined")([a, b])
    first = layers.Dense(4, name="first")(joined)
    second = layers.Dense(1, name="second")(joined)
    return graphc.Model([a, b], {"one": first, "two": second}, name="m")


def test_structure_of_a_functional_model() -> None:
    model = two_by_two()
    assert [layer.name for layer in model.layers] == [
        "a",
        "b",
        "joined",
        "first",
        "second",
    ]
    assert model.input_shape == [(None, 3), (None, 2)]
    assert model.output_shape == {"one": (None, 4), "two": (None, 1)}
    assert model.input_names == ["a", "b"]
    assert model.output_names == ["first", "second"]
    assert [t.name for t in model.inputs] == ["a", "b"]
    assert model.count_params() == 24 + 6
    assert model.get_layer("first") is model.get_layer(index=3)
    assert [layer.name for layer in model.input_layers] == ["a", "b"]


def test_get_layer_errors() -> None:
    model = two_by_two()
    with pytest.raises(
        ValueError, match=r"No such layer: third. Existing layers are: \['a'"
    ):
        model.get_layer("third")
    with pytest.raises(ValueError, match=r"has 5 layers\. Received: index=9"):
        model.get_layer(index=9)
    with pytest.raises(ValueError, match="exactly one of"):
        model.get_layer()


def test_inputs_by_position_and_name() -> None:
    model = two_by_two()
    b = np.full((2, 2), 2.0, F32)
    wanted = model([X, b])
    for given in ((X, b), {"b": b, "a": X}):
        found = model(given)
        np.testing.assert_array_equal(found["one"], wanted["one"])
        np.testing.assert_array_equal(found["two"], wanted["two"])
    with pytest.raises(ValueError, match=r"Missing input\(s\) \['b'\]"):
        model({"a": X})
    with pytest.raises(ValueError, match=r"expects 2 input\(s\): a, b. Received: 3"):
        model([X, b, b])


def test_inputs_in_a_dict() -> None:
    inputs = {"q": graphc.Input((3,)), "r": graphc.Input((3,))}
    model = graphc.Model(inputs, inputs["q"] - inputs["r"])
    np.testing.assert_array_equal(model({"r": X, "q": 3 * X, "other": X}), 2 * X)
    found = model.predict({"q": 3 * X, "r": X}, verbose=0)
    np.testing.assert_array_equal(found, 2 * X)


def test_inputs_are_cast_and_ranks_adapted() -> None:
    inputs = graphc.Input((1,))
    model = graphc.Model(inputs, inputs * 2.0)
    for given in (np.ones((4, 1), np.uint8), np.ones(4), np.ones((4, 1, 1), np.int64)):
        found = model(given)
        assert (found.shape, found.dtype) == ((4, 1), "float32")


def test_models_from_parts_of_a_model() -> None:
    inputs = graphc.Input((3,))
    hidden = layers.Dense(4, name="hidden")(inputs)
    model = graphc.Model(inputs, layers.Dense(1, name="out")(hidden))
    features = graphc.Model(inputs, model.get_layer("hidden").output)
    head = graphc.Model(hidden, model.output)
    assert_close(head(features(X)), model(X))
    assert head.layers[-1] is model.layers[-1]


def test_shared_layers_are_counted_once() -> None:
    shared = layers.Dense(3)
    a, b = graphc.Input((3,)), graphc.Input((3,))
    model = graphc.Model([a, b], shared(a) + shared(shared(b)))
    assert model.count_params() == 12
    kernel, bias = np.eye(3, dtype=F32), np.ones(3, F32)
    model.set_weights([kernel, bias])
    np.testing.assert_array_equal(model([X, X]), 2 * X + 3)


def test_nested_models() -> None:
    inputs = graphc.Input((3,))
    inner = graphc.Model(inputs, layers.Dense(3, name="d")(inputs), name="inner")
    outer_inputs = graphc.Input((3,))
    model = graphc.Model(outer_inputs, inner(inner(outer_inputs)), name="outer")
    inner.set_weights([2 * np.eye(3), np.zeros(3)])
    np.testing.assert_array_equal(model(X), 4 * X)
    paths = {n.location.path for n in model.graph("predict").nodes}
    assert paths == {"outer/inner/d"}
    inner.trainable = False
    assert model.trainable_weights == []


def test_disconnected_and_wrong_inputs() -> None:
    a, b = graphc.Input((3,), name="a"), graphc.Input((3,), name="b")
    with pytest.raises(ValueError, match=r"Graph disconnected.*'b'"):
        graphc.Model(a, layers.Add()([a, b]))
    with pytest.raises(ValueError, match=r"symbolic tensors from graphc\.Input"):
        graphc.Model(X, X)
    with pytest.raises(ValueError, match="All `outputs` of a functional model"):
        graphc.Model(inputs=a, outputs=X)


# Subclasses.


class Residual(graphc.Model):
    """A subclassed model with a nested one."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.hidden = graphc.Sequential([layers.Dense(3, name="d")], name="hidden")
        self.drop = layers.Dropout(0.5)

    def call(self, x: Any, training: bool = False) -> Any:
        return x + self.drop(self.hidden(x), training=training)


def test_subclass_builds_when_called_or_asked() -> None:
    called, built, fitted = (Residual(name="r") for _ in range(3))
    assert called.weights == []
    called(X)
    built.build((None, 3))
    fitted.compile("sgd", "mse", target="numpy")
    fitted.fit(X, X, verbose=0)
    for model in (called, built, fitted):
        assert model.built
        assert [w.path for w in model.weights] == [
            "r/hidden/d/kernel",
            "r/hidden/d/bias",
        ]
        assert model.layers[0].name == "hidden"


def test_subclass_in_a_functional_model() -> None:
    inputs = graphc.Input((3,))
    model = graphc.Model(inputs, Residual(name="r")(inputs), name="m")
    assert [w.path for w in model.weights] == ["r/hidden/d/kernel", "r/hidden/d/bias"]
    assert model.output_shape == (None, 3)


def test_subclass_without_symbolic_inputs_says_so() -> None:
    model = Residual(name="r")
    with pytest.raises(AttributeError, match="'r' has no symbolic inputs and outputs"):
        _ = model.inputs
    assert model.output_names == []
    with pytest.raises(NotImplementedError, match=r"does not have a `call\(\)`"):
        graphc.Model()(X)


def test_subclass_of_the_functional_form() -> None:
    class Functional(graphc.Model):
        def __init__(self, size: int) -> None:
            inputs = graphc.Input((3,))
            super().__init__(inputs, layers.Dense(size, name="d")(inputs), name="f")
            self.size = size

    model = Functional(2)
    assert (model.output_shape, model.size) == ((None, 2), 2)
    assert [layer.name for layer in model.layers][-1] == "d"


def test_lists_of_layers_and_models() -> None:
    class Stack(graphc.Model):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = {"a": [layers.Dense(3), Residual()], "b": None}

        def call(self, x: Any) -> Any:
            for block in self.blocks["a"]:
                x = block(x)
            return x

    model = Stack()
    model(X)
    assert len(model.layers) == 2
    assert len(model.weights) == 4


def test_models_are_not_pickled() -> None:
    with pytest.raises(TypeError, match=r"model\.save"):
        two_by_two().__reduce__()


def test_function_of_symbolic_tensors() -> None:
    x = graphc.Input((3,))
    function = graphc.Function(x, {"y": ops.exp(x)})
    assert_close(function(X)["y"], np.exp(X))
    jitted = graphc.jit(function)
    assert_close(jitted(X)["y"], np.exp(X))
