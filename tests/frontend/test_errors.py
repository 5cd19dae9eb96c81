"""Messages about user code: what, with what, where and what to do."""

import linecache
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.errors import GraphError, TargetError, UnsupportedError
from graphc.frontend import layers, ops

F32 = np.float32
X = np.ones((4, 3), F32)


class Wrong(layers.Layer):
    """Calls a function."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(name="wrong")
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


def branch(x: Any) -> Any:
    return x if ops.sum(x) > 0 else -x


def truth(x: Any) -> Any:
    return bool(x)


def as_float(x: Any) -> Any:
    return x * float(ops.sum(x))


def as_int(x: Any) -> Any:
    return x[: int(ops.sum(x))]


def as_numpy(x: Any) -> Any:
    return np.sin(x)


def read(x: Any) -> Any:
    return x.numpy()


def count(x: Any) -> Any:
    return sum(x * i for i in range(ops.max(x)))


def loop_over_batch(x: Any) -> Any:
    return [x for _ in range(x.shape[0])]


def ill_typed(x: Any) -> Any:
    return ops.matmul(x, np.ones((5, 2), F32))


def unseeded(x: Any) -> Any:
    return x + graphc.random.normal((3,))


IN_CALL = [
    (branch, "ops.sum(x) > 0", "`if`", "ops.where(condition, a, b)"),
    (truth, "bool(x)", "bool()", "ops.where(condition, a, b)"),
    (as_float, "float(ops.sum(x))", "float()", "graphc.ops"),
    (as_int, "int(ops.sum(x))", "int()", "graphc.ops"),
    (as_numpy, "np.sin(x)", "converting to NumPy", "the same name in graphc.ops"),
    (read, "x.numpy()", "numpy()", "return the tensor and read it outside"),
    (count, "range(ops.max(x))", "range()", "ops.take"),
    (loop_over_batch, "range(x.shape[0])", "dimension B is not known", "ops.shape"),
    (ill_typed, "ops.matmul(x, np.ones((5, 2), F32))", "f32[B,3], f32[5,2]", ""),
    (unseeded, "graphc.random.normal((3,))", "seed=None", "SeedGenerator"),
]


@pytest.mark.parametrize(
    ("function", "source", "what", "hint"),
    IN_CALL,
    ids=lambda f: getattr(f, "__name__", ""),
)
def test_error_in_a_call(
    function: Callable[[Any], Any], source: str, what: str, hint: str
) -> None:
    with pytest.raises(GraphError) as caught:
        graphc.Sequential([graphc.Input((3,)), Wrong(function)], name="model")
    error = caught.value
    assert error.location is not None
    assert error.location.path == "model/wrong"
    line = linecache.getline(__file__, error.location.line)
    assert line[error.location.column - 1 :].startswith(source)
    assert error.location.line in lines_of(function)
    text = str(error)
    assert what in text
    assert hint in text
    assert f"in layer 'model/wrong'\n      {line.strip()}\n" in text
    assert f"{'^' * len(source)}" in text


def lines_of(function: Any) -> range:
    start = function.__code__.co_firstlineno
    return range(start, start + 4)


def message(function: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
        function(*arguments, **options)
    return str(caught.value)


def where(function: Callable[[], Any]) -> tuple[str, str | None]:
    """The source that an error points at, and the layer path."""
    with pytest.raises(GraphError) as caught:
        function()
    location = caught.value.location
    assert location is not None
    line = linecache.getline(__file__, location.line)
    return line[location.column - 1 :].rstrip(), location.path


# Layers and their arguments.


def test_unknown_layer_argument() -> None:
    text = message(layers.Dropout, 0.5, rat=1)
    assert "Unrecognized keyword arguments passed to Dropout: {'rat': 1}" in text
    assert "Expected some of: rate, noise_shape, seed, activity_regularizer," in text
    assert text.endswith("trainable, dtype, autocast, name")


def test_unknown_and_missing_call_arguments() -> None:
    dense = layers.Dense(2, name="d")
    text = message(dense, X, foo=1)
    assert "Dense.call(): got an unexpected keyword argument 'foo'" in text
    assert "Expected: call(inputs). Layer: 'd'" in text
    assert "missing a required argument: 'inputs'" in message(dense)


def test_input_that_is_no_tensor() -> None:
    text = message(layers.Dense(2, name="d"), "abc")
    assert "Layer 'd' is built from the shapes of its inputs" in text
    assert "Received: inputs='abc' (str)" in text


def test_wrong_rank_points_at_the_call() -> None:
    convolution = layers.Conv2D(2, 3, name="conv")
    source, _ = where(lambda: convolution(X))
    assert source.startswith("convolution(X)")
    text = message(convolution, X)
    assert "Input 0 of layer 'conv' is incompatible" in text
    assert "expected ndim=4, found ndim=2. Full shape received: (4, 3)" in text


def test_wrong_size_points_at_the_call_in_the_functional_model() -> None:
    dense = layers.Dense(2, name="d")
    dense(X)
    x = graphc.Input((5,))
    source, _ = where(lambda: dense(x))
    assert source.startswith("dense(x)")
    assert "expected axis -1 of input shape to have value 3" in message(dense, x)


def test_input_that_does_not_fit_the_model() -> None:
    model = graphc.Sequential([graphc.Input((3,)), layers.Dense(2)], name="small")
    text = message(model, np.ones((4, 5), F32))
    assert "Input 0 of layer 'small' is incompatible" in text
    assert "expected shape=(None, 3), found shape=(4, 5)" in text
    assert "the input was declared as <KerasTensor shape=(None, 3)" in text
    assert "expects 1 input(s)" in message(model.predict, [X, X], verbose=0)


def test_forgotten_super() -> None:
    class Layer(layers.Layer):
        def __init__(self) -> None:
            self.inner = layers.Dense(1)

    class Model(graphc.Model):
        def __init__(self) -> None:
            pass

    wanted = "you forgot to call `super().__init__()`"
    assert wanted in message(Layer)
    assert wanted in message(Model(), X)
    assert wanted in message(Model().compile, "sgd", "mse")
    assert wanted in message(Model().fit, X, X)


def test_no_call_and_not_built() -> None:
    assert "does not have a `call()`" in message(layers.Layer(), X)
    text = message(layers.Dense(1, name="d").count_params)
    assert "'d', but the layer isn't built" in text
    model = graphc.Sequential([layers.Dense(1)], name="m")
    assert "is not built" in message(model.graph, "init")
    assert "run the step on a batch first" in message(model.graph, "predict")


# Losses.


def test_labels_that_do_not_fit_point_at_the_output() -> None:
    x = graphc.Input((3,))
    y = layers.Dense(2, name="out")(x)
    model = graphc.Model(x, y, name="m")
    model.compile("sgd", "mse", target="numpy")
    source, path = where(lambda: model.train_on_batch(X, np.ones((4, 5))))
    assert source == 'layers.Dense(2, name="out")(x)'
    assert path == "m/out"
    text = message(model.train_on_batch, X, np.ones((4, 5)))
    assert "mean_squared_error" in text
    assert "y_true.shape=(None, 5), y_pred.shape=(None, 2)" in text


@pytest.mark.parametrize(
    ("loss", "labels", "wanted"),
    [
        (
            "sparse_categorical_crossentropy",
            (4, 2),
            "categorical_crossentropy for one-hot",
        ),
        ("categorical_crossentropy", (4,), "sparse_categorical_crossentropy for class"),
    ],
)
def test_labels_of_the_other_kind(loss: str, labels: Any, wanted: str) -> None:
    model = graphc.Sequential([graphc.Input((3,)), layers.Dense(2)])
    model.compile("sgd", loss, target="numpy")
    assert wanted in message(model.train_on_batch, X, np.ones(labels, np.int32))


# Differentiation, traces and other frameworks' ways.


def test_gradient_of_what_is_no_scalar() -> None:
    text = message(graphc.grad(lambda x: x * 2.0), X)
    assert "only a scalar float has a gradient" in text
    assert "received: a function that returns f32[4,3]" in text
    assert "has_aux=True" in text
    assert "i32[]" in message(graphc.grad(ops.sum), np.ones(3, np.int32))
    assert "argnums=3 for 1 arguments" in message(graphc.grad(ops.sum, 3), X)


def test_tensor_that_left_its_trace() -> None:
    leaked: list[Any] = []
    graphc.jit(leaked.append)(X)
    hint = "keep them in a Variable"
    for use in (
        lambda: graphc.jit(lambda x: x + leaked[0])(X),
        lambda: leaked[0] + 1,
        lambda: layers.Dense(1)(leaked[0]),
        lambda: float(leaked[0]),
    ):
        source, _ = where(use)
        assert "leaked[0]" in source
        assert hint in message(use)


def test_symbolic_tensor_in_a_trace_and_without_value() -> None:
    x = graphc.Input((3,))
    text = message(graphc.jit(lambda a: a + x), X)
    assert "a symbolic tensor of the functional API is used while tracing" in text
    assert "pass it to the layer as an input" in text
    assert "A KerasTensor has no value: float()" in message(float, x)
    assert "bool()" in message(bool, x)
    assert "conversion to NumPy" in message(np.asarray, x)
    assert "iteration" in message(list, x)


def test_other_frameworks_ways() -> None:
    with pytest.raises(AttributeError, match=r"graphc\.value_and_grad\(function"):
        _ = graphc.GradientTape
    with pytest.raises(AttributeError, match=r"graphc\.jit"):
        _ = graphc.function
    with pytest.raises(AttributeError, match="did you mean 'Sequential'"):
        _ = graphc.Sequentail
    loss = ops.sum(X)
    with pytest.raises(AttributeError, match=r"graphc\.value_and_grad\(function"):
        loss.backward()
    with pytest.raises(AttributeError, match=r"graphc\.grad\(function\)"):
        _ = graphc.Variable(X).grad
    assert not hasattr(loss, "backward")


# Targets.


def test_targets() -> None:
    spec = graphc.TensorSpec((3,))
    with pytest.raises(TargetError, match="did you mean 'numpy'"):
        graphc.compile(ops.sin, spec, target="nunpy")
    with pytest.raises(TargetError, match="quantum"):
        graphc.jit(ops.sin, target="quantum")(X)
    unavailable = [t for t in graphc.targets() if not t.available]
    for target in unavailable:
        with pytest.raises((TargetError, UnsupportedError), match=target.name):
            graphc.compile(ops.sin, spec, target=target.name)
