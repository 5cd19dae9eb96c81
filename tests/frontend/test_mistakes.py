"""Mistakes that users make, and unusual but legal uses."""

import logging
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers, ops, passes
from graphc.ir import Graph, parse
from graphc.ir.errors import GraphcError, GraphError
from tests.closeness import assert_close

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
    assert_close(found["twice"], 2 * found["loss"])


def test_a_frozen_model_still_reports_its_loss() -> None:
    model = graphc.Sequential([graphc.Input((4,)), layers.Dense(1)])
    model.trainable = False
    model.compile("sgd", "mse", **EAGER)
    before = model.get_weights()
    history = model.fit(X, Y, verbose=0).history
    assert_close(history["loss"], [model.evaluate(X, Y, verbose=0)])
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


# -- what the message of a mistake says ----------------------------------------------------


def configured(loss: Any = "mse", **options: Any) -> graphc.Model:
    model = graphc.Sequential([graphc.Input((4,)), layers.Dense(3)])
    model.compile("sgd", loss, **options, **EAGER)  # the line that is at fault
    return model


@pytest.mark.parametrize("shape", [(8,), (8, 2)])
def test_labels_of_another_shape_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`y_true` and `y_pred` must have the same"):
        configured().fit(X, np.zeros(shape, "f"), verbose=0)
    with pytest.raises(ValueError, match="`y_true` and `y_pred` must have the same"):
        configured(metrics=["mae"]).evaluate(X, np.zeros(shape, "f"), verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": ["mse", "mse"]}, "`loss` must have one entry"),
        ({"loss": {"other": "mse"}}, "`loss` names outputs"),
        ({"loss_weights": [1, 2]}, "`loss_weights` must have one entry"),
        ({"metrics": ["categorical_accuracy"]}, "`y_true` must be one-hot"),
    ],
)
def test_wrong_arguments_of_compile_point_at_its_call(
    options: dict[str, Any], message: str
) -> None:
    model = configured(**options)
    targets = np.zeros((8, 1 if "metrics" in options else 3), "f")
    with pytest.raises(GraphError, match=message) as caught:
        model.fit(X, targets, verbose=0)
    assert "# the line that is at fault" in str(caught.value)


def double() -> Graph:
    return graphc.trace(lambda x: x * 2.0, graphc.TensorSpec((3,)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: graphc.compile(double(), target=None), "given by its name"),
        (lambda: graphc.emit(None), "emit: expected a graph"),
        (lambda: passes.run(None), "passes.run: expected a graph"),
        (lambda: passes.run(double(), None), "expected a pipeline's name or text"),
        (lambda: passes.run(double(), ["cse"]), "expected a pipeline's name or text"),
        (lambda: parse(None), "parse: expected text"),
        (lambda: parse(b"graph"), "parse: expected text"),
        (lambda: graphc.TensorSpec(("B ", 3)), "names of symbols, such as 'B'"),
        (lambda: graphc.TensorSpec(("1B",)), "names of symbols, such as 'B'"),
    ],
)
def test_arguments_of_another_kind_are_refused(call: Any, message: str) -> None:
    with pytest.raises(GraphcError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: graphc.TensorSpec((2, 3.5)), ValueError, r"`shape\[1\]` to be an int"),
        (lambda: graphc.jit(3), TypeError, "Expected a function. Received: 3"),
        (lambda: graphc.grad(3), TypeError, "Expected a function. Received: 3"),
        (lambda: graphc.jit(lambda x, s: x)(X, {1}), TypeError, "must be hashable"),
        (lambda: layers.BatchNormalization(5)(X), GraphError, r"in -2\.\.1 .*axis=5"),
        (lambda: layers.LayerNormalization(-3)(X), GraphError, r"in -2\.\.1 .*axis=-3"),
        (lambda: layers.Concatenate(2)([X, X]), GraphError, r"in -2\.\.1 .*axis=2"),
        (lambda: layers.Bidirectional(layers.Dense(2)), ValueError, "go backwards"),
        (lambda: graphc.Sequential(layers.Dense(2)), ValueError, "a list of layers"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    call: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_model_is_no_graph_but_has_some() -> None:
    for function in (graphc.emit, passes.run):
        with pytest.raises(GraphError, match=r"model.graph\('predict'\)"):
            function(configured())


def test_two_layers_of_one_name_are_refused() -> None:
    inputs = graphc.Input((3,))
    outputs = layers.Dense(2, name="a")(layers.Dense(2, name="a")(inputs))
    with pytest.raises(ValueError, match="2 layers called 'a'"):
        graphc.Model(inputs, outputs)


def test_a_recurrent_layer_takes_sequences() -> None:
    with pytest.raises(GraphError, match="expected ndim=3, found ndim=2"):
        layers.LSTM(3)(X)


def test_validation_data_without_targets_are_named() -> None:
    with pytest.raises(GraphError, match="has a loss but no targets"):
        configured().fit(X, np.zeros((8, 3)), validation_data=X, verbose=0)


def test_what_losses_compute_has_the_line_that_ran_them() -> None:
    model = configured()
    model.train_on_batch(X, np.zeros((8, 3)))  # this line
    locations = [node.location for node in model.graph("train_step").nodes]
    assert {place.file.rpartition("/")[2] for place in locations if place} == {
        "test_mistakes.py"
    }


class AsksForAValue(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * float(ops.sum(x))


def test_asking_for_a_value_says_what_to_do() -> None:
    model = graphc.Sequential([AsksForAValue()])
    model.compile("sgd", "mse", **EAGER)
    for call in (lambda: AsksForAValue()(X), lambda: model.predict(X, verbose=0)):
        with pytest.raises(GraphError, match=r"float\(\) needs the value") as caught:
            call()
        assert "ops.cond" in caught.value.hint
        assert "ops.print" in caught.value.hint
    with pytest.raises(GraphError, match="needs the value of a tensor") as caught:
        graphc.jit(lambda x, axis: ops.sum(x, axis=axis))(X, 1)
    assert "arguments of jitted functions are tensors" in caught.value.hint


def test_errors_of_saving_name_the_file_that_was_given(tmp_path: Any) -> None:
    target = str(tmp_path / "missing" / "m.graphc")
    with pytest.raises(FileNotFoundError) as caught:
        configured().save(target)
    assert caught.value.filename == target


def test_a_dump_directory_that_cannot_be_made(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path / "file"))
    with pytest.raises(GraphcError, match="GRAPHC_DUMP must be a directory"):
        graphc.compile(double())


def test_indices_and_labels_out_of_range_have_a_meaning() -> None:
    table = layers.Embedding(3, 2)
    rows = np.asarray(table(np.int32([0, 1, 2])))
    model = graphc.Sequential([graphc.Input((4,), dtype="int32"), table])
    model.compile(**EAGER)
    indices = np.int32([[5, -1, -3, -9]])
    for found in (table(indices), model.predict(indices, verbose=0)):
        np.testing.assert_array_equal(np.asarray(found)[0], rows[[2, 2, 0, 0]])
    likely = np.float32([[0.1, 0.2, 0.7]] * 2)
    losses = graphc.losses.sparse_categorical_crossentropy(np.int32([7, -1]), likely)
    np.testing.assert_array_equal(losses, [0, 0])


def test_elements_are_not_assigned() -> None:
    def change(x: Any) -> Any:
        x[0] = 1.0
        return x

    for use in (change, graphc.jit(change)):
        with pytest.raises(TypeError, match=r"changed in place.*ops\.slice_update"):
            use(ops.array(X))
