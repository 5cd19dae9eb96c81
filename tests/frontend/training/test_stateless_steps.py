"""Keras's guides to custom steps and loops with JAX, against Keras itself.

The code is that of the guides; graphc's transformations stand in the place of jax's.
Keras's results are recorded; see `tests.frontend.recorded`.
"""

import importlib
from typing import Any

import numpy as np
import pytest

import graphc
from tests.closeness import assert_close
from tests.frontend.recorded import Recorded, archive, recorded

__all__ = ["archive", "recorded"]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 6)).astype("float32")
Y = X[:, :3].argmax(1).astype("int32")


def make(K: Any, cls: Any) -> Any:
    inputs = K.Input((6,))
    x = K.layers.Dense(8, activation="relu", kernel_regularizer="l2")(inputs)
    x = K.layers.BatchNormalization()(x)
    model = cls(inputs, K.layers.Dense(3)(x))
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(0.3 * rng.normal(size=variable.shape).astype("float32"))
    return model


def loss_of(K: Any) -> Any:
    return K.losses.SparseCategoricalCrossentropy(from_logits=True)


def state_of(*groups: Any) -> tuple[list[Any], ...]:
    return tuple([variable.value for variable in group] for group in groups)


def custom_model(K: Any, J: Any) -> Any:
    class CustomModel(K.Model):
        def compute_loss_and_updates(
            self, trainable, non_trainable, metrics, x, y, training=False
        ):
            y_pred, non_trainable = self.stateless_call(
                trainable, non_trainable, x, training=training
            )
            loss, (trainable, non_trainable, metrics) = self.stateless_compute_loss(
                trainable, non_trainable, metrics, x=x, y=y, y_pred=y_pred
            )
            return loss, (y_pred, non_trainable, metrics)

        def update_metrics(self, metrics, loss, y, y_pred):
            updated, logs = [], {}
            for metric in self.metrics:
                own = metrics[len(updated) : len(updated) + len(metric.variables)]
                if metric.name == "loss":
                    own = metric.stateless_update_state(own, loss)
                else:
                    own = metric.stateless_update_state(own, y, y_pred)
                logs[metric.name] = metric.stateless_result(own)
                updated += own
            return updated, logs

        def train_step(self, state, data):
            trainable, non_trainable, optimizer, metrics = state
            x, y = data
            grad_fn = J.value_and_grad(self.compute_loss_and_updates, has_aux=True)
            (loss, (y_pred, non_trainable, metrics)), grads = grad_fn(
                trainable, non_trainable, metrics, x, y, training=True
            )
            trainable, optimizer = self.optimizer.stateless_apply(
                optimizer, grads, trainable
            )
            metrics, logs = self.update_metrics(metrics, loss, y, y_pred)
            return logs, (trainable, non_trainable, optimizer, metrics)

        def test_step(self, state, data):
            trainable, non_trainable, metrics = state
            x, y = data
            loss, (y_pred, non_trainable, metrics) = self.compute_loss_and_updates(
                trainable, non_trainable, metrics, x, y
            )
            metrics, logs = self.update_metrics(metrics, loss, y, y_pred)
            return logs, (trainable, non_trainable, metrics)

    return make(K, CustomModel)


def custom_fit(K: Any, J: Any) -> dict[str, Any]:
    model = custom_model(K, J)
    accuracy = "sparse_categorical_accuracy"
    model.compile(
        K.optimizers.Adam(1e-2),
        loss_of(K),
        metrics=[accuracy],
        run_eagerly=K is graphc,  # compiling takes longer
    )
    options = {"batch_size": 16, "verbose": 0}
    history = model.fit(X, Y, epochs=2, shuffle=False, **options).history
    logs = model.evaluate(X, Y, return_dict=True, **options)
    return {
        "history": {name: np.float32(history[name]) for name in ("loss", accuracy)},
        "evaluate": {name: np.float32(logs[name]) for name in ("loss", accuracy)},
        "weights": [np.asarray(variable.value) for variable in model.weights],
    }


def custom_loop(K: Any, J: Any) -> dict[str, Any]:
    model = make(K, K.Model)
    optimizer, metric = K.optimizers.Adam(1e-2), K.metrics.SparseCategoricalAccuracy()
    loss_fn = loss_of(K)

    def compute_loss_and_updates(trainable, non_trainable, metrics, x, y):
        y_pred, non_trainable = model.stateless_call(
            trainable, non_trainable, x, training=True
        )
        metrics = metric.stateless_update_state(metrics, y, y_pred)
        return loss_fn(y, y_pred), (non_trainable, metrics)

    grad_fn = J.value_and_grad(compute_loss_and_updates, has_aux=True)

    @J.jit
    def train_step(state, data):
        trainable, non_trainable, variables, metrics = state
        x, y = data
        (loss, (non_trainable, metrics)), grads = grad_fn(
            trainable, non_trainable, metrics, x, y
        )
        trainable, variables = optimizer.stateless_apply(variables, grads, trainable)
        return loss, (trainable, non_trainable, variables, metrics)

    optimizer.build(model.trainable_variables)
    layers = (model.trainable_variables, model.non_trainable_variables)
    state = state_of(*layers, optimizer.variables, metric.variables)
    losses = []
    for step in range(4):
        rows = slice(step % 2 * 16, step % 2 * 16 + 16)
        loss, state = train_step(state, (X[rows], Y[rows]))
        losses.append(float(loss))
    state = [*state[:2], state[3]]
    for group, values in zip((*layers, metric.variables), state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)
    return {
        "losses": np.float32(losses),
        "accuracy": np.float32(metric.result()),
        "predictions": np.asarray(model.predict(X[:3], verbose=0)),
        "weights": [np.asarray(variable.value) for variable in model.weights],
    }


def keras_on_jax() -> tuple[Any, Any]:
    return pytest.importorskip("keras"), importlib.import_module("jax")


@pytest.mark.parametrize("run", [custom_fit, custom_loop])
def test_the_guides_give_what_keras_gives(run: Any, recorded: Recorded) -> None:
    wanted = recorded(lambda: run(*keras_on_jax()))
    found = run(graphc, graphc)
    compare(found, wanted)


def compare(found: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        found, wanted = list(found.values()), list(wanted.values())
    if isinstance(wanted, (list, tuple)):
        for a, b in zip(found, wanted, strict=True):
            compare(a, b)
        return
    assert_close(found, wanted)


def test_the_number_of_values_is_checked() -> None:
    model = make(graphc, graphc.Model)
    model.compile("sgd", loss_of(graphc))
    with pytest.raises(ValueError, match="0 values for the"):
        model.stateless_compute_loss([], [], [], y=Y, y_pred=X[:, :3])
