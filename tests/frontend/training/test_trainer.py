"""The training loops: state, interrupts, compiles, own steps, and what they refuse."""

import logging
import os
import signal
import threading
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers, ops
from graphc.ir import evaluate, parse
from tests.closeness import assert_close

F32 = np.float32


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return rng.normal(size=(8, 4)).astype(F32)


@pytest.fixture
def labels(rng: np.random.Generator) -> Any:
    return rng.integers(0, 3, 8)


def make(target: str = "numpy", **arguments: Any) -> Any:
    model = graphc.Sequential(
        [graphc.Input((4,)), layers.Dense(5, activation="relu"), layers.Dense(3)]
    )
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    chosen = {"optimizer": graphc.optimizers.SGD(0.1), "loss": loss} | arguments
    model.compile(**chosen, target=target)
    return model


class Hook(graphc.callbacks.Callback):
    """Calls a function of the callback after each training batch."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.function(self, batch, logs)


# State.


def test_what_was_read_survives_later_steps(x: Any, labels: Any) -> None:
    model = make("xla")
    kernel = model.layers[0].kernel
    read, array, copy = kernel.value, np.asarray(kernel.value), kernel.numpy()
    model.train_on_batch(x, labels)
    after = kernel.value
    model.fit(x, labels, batch_size=8, epochs=2, verbose=0)
    for kept in (read, array, copy):
        np.testing.assert_array_equal(kept, copy)
    assert not np.array_equal(after, kernel.numpy())
    model.predict(x, verbose=0)
    np.testing.assert_array_equal(read, copy)


def test_outputs_survive_later_steps(x: Any, labels: Any) -> None:
    model = make("xla")
    first = model.predict_on_batch(x)
    copy = first.copy()
    model.fit(x, labels, batch_size=8, verbose=0)
    model.predict_on_batch(x)
    np.testing.assert_array_equal(first, copy)
    first[0] = 0.0  # the user's own


def test_callbacks_read_and_assign_weights_in_mid_epoch(x: Any, labels: Any) -> None:
    seen = []

    def look(callback: Any, batch: int, logs: Any) -> None:
        bias = callback.model.layers[1].bias
        seen.append(bias.numpy())
        bias.assign(np.full(3, batch, F32))

    model = make("xla", optimizer=graphc.optimizers.SGD(0.0))
    model.fit(x, labels, batch_size=4, verbose=0, callbacks=[Hook(look)])
    np.testing.assert_array_equal(seen, [[0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(model.layers[1].bias, [1, 1, 1])
    model.fit(x, labels, batch_size=4, verbose=0, callbacks=[Hook(look)])
    np.testing.assert_array_equal(seen[2:], [[1, 1, 1], [0, 0, 0]])


def test_two_models_share_layers_and_state(x: Any, labels: Any) -> None:
    inputs = graphc.Input((4,))
    features = layers.Dense(3)(inputs)
    model = graphc.Model(inputs, features)
    other = graphc.Model(inputs, layers.Activation("relu")(features))
    before = other.predict(x, verbose=0)
    model.compile("sgd", "mse", target="numpy")
    model.fit(x, np.zeros((8, 3)), verbose=0)
    after = other.predict(x, verbose=0)
    assert not np.array_equal(before, after)
    wanted = np.maximum(model.predict(x, verbose=0), 0)
    assert_close(after, wanted)


def test_get_and_set_weights(x: Any) -> None:
    model = make()
    weights = model.get_weights()
    assert [w.shape for w in weights] == [(4, 5), (5,), (5, 3), (3,)]
    changed = [w + 1 for w in weights]
    model.set_weights(changed)
    for found, wanted in zip(model.get_weights(), changed, strict=True):
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ValueError, match=r"list of length 3, .* expecting 4"):
        model.set_weights(weights[:3])
    with pytest.raises(ValueError, match=r"dense.*/bias' expects shape \(5,\)"):
        model.set_weights([weights[0], weights[2], *weights[2:]])
    np.testing.assert_array_equal(model.get_weights()[0], changed[0])


# Interrupts.


def test_interrupt_leaves_usable_weights(x: Any, labels: Any) -> None:
    model = make("xla")
    steps = []

    def press(callback: Any, batch: int, logs: Any) -> None:
        steps.append(batch)
        if batch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        model.fit(x, labels, batch_size=2, epochs=9, verbose=0, callbacks=[Hook(press)])
    assert steps == [0, 1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert int(model.optimizer.iterations) == 2
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert np.isfinite(model.evaluate(x, labels, verbose=0))
    model.fit(x, labels, batch_size=2, verbose=0)
    assert int(model.optimizer.iterations) == 6


def test_interrupt_from_elsewhere_during_a_step(x: Any, labels: Any) -> None:
    model = make("xla")
    model.train_on_batch(x, labels)

    press = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, labels, batch_size=8, epochs=10**6, verbose=0)
    press.join()
    before = model.get_weights()
    assert all(np.isfinite(w).all() for w in before)
    model.train_on_batch(x, labels)


def test_fit_works_in_another_thread(x: Any, labels: Any) -> None:
    model = make()
    thread = threading.Thread(target=model.fit, args=(x, labels), kwargs={"verbose": 0})
    thread.start()
    thread.join()
    assert int(model.optimizer.iterations) == 1


# Compiles.


def test_last_partial_batch_costs_one_more_compile(
    x: Any, labels: Any, caplog: Any
) -> None:
    model = make("xla")
    with caplog.at_level(logging.INFO, "graphc"):
        model.fit(x, labels, batch_size=5, epochs=3, verbose=0)
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith("compiled train_step for B=5 in ")
    assert lines[0].endswith("first call")
    assert lines[1].startswith("compiled train_step for B=3 in ")
    assert lines[1].endswith("new shape B=3")
    compiles = model.step("train_step").programs.values()
    assert [c.bindings for p in compiles for c in p.compiles] == [{"B": 5}, {"B": 3}]
    caplog.clear()
    with caplog.at_level(logging.INFO, "graphc"):
        model.fit(x, labels, batch_size=3, epochs=1, verbose=0)
    assert [r.getMessage()[:28] for r in caplog.records] == [
        "compiled train_step for B=2 "
    ]


def test_one_hint_after_five_shapes(x: Any, labels: Any, caplog: Any) -> None:
    model = make()
    with caplog.at_level(logging.WARNING, "graphc"):
        for size in (1, 2, 3, 4, 5, 6, 7):
            model.predict_on_batch(x[:size])
    (hint,) = [r.getMessage() for r in caplog.records]
    assert "predict has been compiled for 5 shapes" in hint
    assert "drop or pad the last one" in hint


def test_run_eagerly_is_on_the_evaluator(x: Any, labels: Any) -> None:
    graphc.utils.set_random_seed(3)
    eager, compiled = make(run_eagerly=True), make("xla")
    compiled.set_weights(eager.get_weights())
    histories = [
        model.fit(x, labels, batch_size=4, epochs=2, verbose=0, shuffle=False).history
        for model in (eager, compiled)
    ]
    (program,) = eager.step("train_step").programs.values()
    assert [e.target for e in program.executables] == ["numpy"]
    assert_close(histories[0]["loss"], histories[1]["loss"])


@pytest.mark.parametrize("steps", [1, 3])
def test_steps_per_execution(steps: int, x: Any, labels: Any) -> None:
    class Ends(graphc.callbacks.Callback):
        once_per_block = True

        def __init__(self) -> None:
            super().__init__()
            self.batches: list[int] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.batches.append(batch)

    graphc.utils.set_random_seed(1)
    model = make(steps_per_execution=steps)
    ends = Ends()
    history = model.fit(x, labels, batch_size=2, verbose=0, callbacks=[ends]).history
    assert ends.batches == ([0, 1, 2, 3] if steps == 1 else [2, 3])
    assert int(model.optimizer.iterations) == 4
    graphc.utils.set_random_seed(1)
    again = make().fit(x, labels, batch_size=2, verbose=0).history
    assert history["loss"] == again["loss"]


# Seeds.


def noisy() -> Any:
    return graphc.Sequential(
        [
            graphc.Input((4,)),
            layers.Dense(5, name="first"),
            layers.Dropout(0.5),
            layers.Dense(3, name="last"),
        ],
        name="noisy",
    )


def test_seed_makes_runs_bit_identical(x: Any, labels: Any) -> None:
    def run(seed: int) -> tuple[Any, Any]:
        graphc.utils.set_random_seed(seed)
        model = noisy()
        loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, target="numpy")
        history = model.fit(x, labels, batch_size=4, epochs=3, verbose=0).history
        return history["loss"], model.get_weights()

    (first, weights), (again, same), (other, _) = run(7), run(7), run(8)
    assert first == again
    assert all(np.array_equal(a, b) for a, b in zip(weights, same, strict=True))
    assert first != other


def test_another_layer_moves_no_initial_values() -> None:
    graphc.utils.set_random_seed(5)
    small = noisy().get_layer("first").get_weights()
    graphc.utils.set_random_seed(5)
    inputs = graphc.Input((4,))
    y = layers.Dense(4, name="extra")(inputs)
    graphc.Model(inputs, y).get_weights()
    with_more = noisy().get_layer("first").get_weights()
    np.testing.assert_array_equal(small[0], with_more[0])


def test_dropout_differs_between_steps_and_layers(x: Any) -> None:
    inputs = graphc.Input((4,))
    ones = layers.Dropout(0.5)(inputs)
    others = layers.Dropout(0.5)(inputs)
    model = graphc.Model(inputs, [ones, others])
    a, b = model(np.ones((8, 4), F32), training=True)
    c, _ = model(np.ones((8, 4), F32), training=True)
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert set(np.unique(a)) == {0.0, 2.0}


# Own steps.


class Own(graphc.Model):
    """A train_step written as in the documentation."""

    def train_step(self, data: Any) -> Any:
        x, y = data

        def loss() -> Any:
            y_pred = self(x, training=True)
            return self.compute_loss(x, y, y_pred), y_pred

        differentiated = graphc.value_and_grad(
            loss, has_aux=True, variables=self.trainable_variables
        )
        (value, y_pred), gradients = differentiated()
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(value)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics if m.name == "loss"}


def functional(kind: type = graphc.Model) -> Any:
    inputs = graphc.Input((4,))
    hidden = layers.Dense(5, activation="relu", name="hidden")(inputs)
    return kind(inputs, layers.Dense(1, name="out")(hidden))


def test_own_train_step_equals_the_built_in_one(x: Any) -> None:
    y = x[:, :1] * 2
    own, builtin = functional(Own), functional()
    builtin.set_weights(own.get_weights())
    losses = []
    for model in (own, builtin):
        model.compile("adam", "mse", metrics=["mae"], target="numpy")
        history = model.fit(x, y, batch_size=4, epochs=3, verbose=0, shuffle=False)
        losses.append(history.history["loss"])
    assert_close(losses[0], losses[1])
    for a, b in zip(own.get_weights(), builtin.get_weights(), strict=True):
        assert_close(a, b)


class Stateless(graphc.Model):
    """Steps written as functions of the state, as for Keras on JAX."""

    def loss_and_updates(
        self, trainable: Any, others: Any, x: Any, y: Any, training: bool = False
    ) -> Any:
        y_pred, others = self.stateless_call(trainable, others, x, training=training)
        return self.compute_loss(x, y, y_pred), (y_pred, others)

    def updated(self, values: Any, loss: Any, y: Any, y_pred: Any) -> Any:
        logs, new = {}, []
        for metric in self.metrics:
            own = values[len(new) : len(new) + len(metric.variables)]
            given = (loss,) if metric.name == "loss" else (y, y_pred)
            own = metric.stateless_update_state(own, *given)
            logs[metric.name] = metric.stateless_result(own)
            new += own
        return logs, new

    def train_step(self, state: Any, data: Any) -> Any:
        trainable, others, optimizer, metrics = state
        x, y = data
        differentiated = graphc.value_and_grad(self.loss_and_updates, has_aux=True)
        (loss, (y_pred, others)), gradients = differentiated(
            trainable, others, x, y, training=True
        )
        trainable, optimizer = self.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        logs, metrics = self.updated(metrics, loss, y, y_pred)
        return logs, (trainable, others, optimizer, metrics)

    def test_step(self, state: Any, data: Any) -> Any:
        trainable, others, metrics = state
        x, y = data
        loss, (y_pred, others) = self.loss_and_updates(trainable, others, x, y)
        logs, metrics = self.updated(metrics, loss, y, y_pred)
        return logs, (trainable, others, metrics)


def test_steps_of_state_equal_the_built_in_ones(x: Any) -> None:
    def make_model(kind: type) -> Any:
        inputs = graphc.Input((4,))
        hidden = layers.BatchNormalization()(layers.Dense(5, name="hidden")(inputs))
        return kind(inputs, layers.Dense(1, name="out")(hidden))

    y = x[:, :1] * 2
    stateless, builtin = make_model(Stateless), make_model(graphc.Model)
    builtin.set_weights(stateless.get_weights())
    found = []
    for model in (stateless, builtin):
        model.compile("adam", "mse", metrics=["mae"], target="numpy")
        history = model.fit(x, y, batch_size=4, epochs=3, verbose=0, shuffle=False)
        evaluated = model.evaluate(x, y, verbose=0, return_dict=True)
        found.append(history.history | evaluated)
    assert sorted(found[0]) == sorted(found[1])
    for name, values in found[1].items():
        assert_close(found[0][name], values)
    for a, b in zip(stateless.get_weights(), builtin.get_weights(), strict=True):
        assert_close(a, b)


def test_state_that_does_not_fit() -> None:
    class Forgetful(Stateless):
        def train_step(self, state: Any, data: Any) -> Any:
            logs, (trainable, *rest) = super().train_step(state, data)
            return logs, (trainable[1:], *rest)

    model = functional(Forgetful)
    model.compile("sgd", "mse", target="numpy")
    message = refuses(model.train_on_batch, np.ones((2, 4)), np.ones((2, 1)))
    assert "as many trainable_variables as it was given" in message
    assert "Expected: 4. Received: 3" in message


def test_two_optimizers_in_one_step() -> None:
    class Gan(graphc.Model):
        def __init__(self) -> None:
            super().__init__()
            self.generator = layers.Dense(2, name="generator")
            self.critic = layers.Dense(1, name="critic")
            self.seeds = graphc.random.SeedGenerator(1)
            self.critic_loss = graphc.metrics.Mean(name="critic_loss")

        def compile(self, g_optimizer: Any, d_optimizer: Any, **options: Any) -> None:
            super().compile(**options)
            self.g_optimizer = g_optimizer
            self.d_optimizer = d_optimizer

        def build(self, input_shape: Any) -> None:
            self.generator.build((None, 3))
            self.critic.build((None, 2))

        def train_step(self, real: Any) -> Any:
            noise = graphc.random.normal((4, 3), seed=self.seeds)

            def critic_loss() -> Any:
                fake = self.critic(self.generator(noise))
                return ops.mean(fake) - ops.mean(self.critic(real))

            def generator_loss() -> Any:
                return -ops.mean(self.critic(self.generator(noise)))

            for function, layer, optimizer in (
                (critic_loss, self.critic, self.d_optimizer),
                (generator_loss, self.generator, self.g_optimizer),
            ):
                variables = layer.trainable_variables
                loss, gradients = graphc.value_and_grad(function, variables=variables)()
                optimizer.apply(gradients, variables)
                if function is critic_loss:
                    self.critic_loss.update_state(loss)
            return {"critic_loss": self.critic_loss.result(), "g_loss": loss}

        @property
        def metrics(self) -> Any:
            return [self.critic_loss]

    model = Gan()
    model.build((None, 2))
    model.compile(
        graphc.optimizers.Adam(0.1), graphc.optimizers.SGD(0.1), target="numpy"
    )
    before = model.get_weights()
    history = model.fit(np.ones((8, 2), F32), batch_size=4, epochs=2, verbose=0).history
    assert sorted(history) == ["critic_loss", "g_loss"]
    assert int(model.g_optimizer.iterations) == int(model.d_optimizer.iterations) == 4
    after = model.get_weights()
    # The mean difference does not depend on the critic's bias.
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [False, False, False, True]


def test_own_test_and_predict_steps(x: Any) -> None:
    class Constant(graphc.Model):
        def test_step(self, data: Any) -> Any:
            return {"size": ops.sum(data[0]) * 0 + 3.0}

        def predict_step(self, data: Any) -> Any:
            return self(data) * 0 + 1.0

    model = functional(Constant)
    model.compile("sgd", "mse", target="numpy")
    assert model.evaluate(x, x[:, :1], verbose=0) == 3.0
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.ones((8, 1)))


# Loops.


def test_predict_keeps_structure_and_partial_batches(x: Any) -> None:
    inputs = graphc.Input((4,))
    outputs = {"a": inputs + 1.0, "b": (inputs * 2.0, layers.Flatten()(inputs))}
    model = graphc.Model(inputs, outputs)
    found = model.predict(x, batch_size=3, verbose=0)
    np.testing.assert_array_equal(found["a"], x + 1)
    np.testing.assert_array_equal(found["b"][0], x * 2)
    np.testing.assert_array_equal(found["b"][1], x)
    on_batch = model.predict_on_batch(x)
    np.testing.assert_array_equal(on_batch["b"][1], x)
    assert isinstance(on_batch["a"], np.ndarray)


def test_validation_split_takes_the_tail_before_shuffling(x: Any) -> None:
    class Mean(graphc.Model):
        def test_step(self, data: Any) -> Any:
            return {"mean": ops.mean(data[0])}

    model = functional(Mean)
    model.compile("sgd", "mse", target="numpy")
    history = model.fit(x, x[:, :1], validation_split=0.25, verbose=0).history
    assert_close(history["val_mean"], [x[6:].mean()])


def test_validation_frequency_and_initial_epoch(x: Any, labels: Any) -> None:
    history = make().fit(
        x,
        labels,
        verbose=0,
        epochs=5,
        initial_epoch=1,
        validation_data=(x, labels),
        validation_freq=2,
    )
    assert history.epoch == [1, 2, 3, 4]
    assert len(history.history["loss"]) == 4
    assert len(history.history["val_loss"]) == 2


def test_stop_training_from_a_callback(x: Any, labels: Any) -> None:
    def stop(callback: Any, batch: int, logs: Any) -> None:
        callback.model.stop_training = True

    model = make()
    model.fit(x, labels, batch_size=2, epochs=5, verbose=0, callbacks=[Hook(stop)])
    assert int(model.optimizer.iterations) == 1


def test_model_is_built_by_the_first_batch(x: Any, labels: Any) -> None:
    model = graphc.Sequential([layers.Dense(3)])
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, target="numpy")
    assert model.weights == []
    model.fit(x, labels, verbose=0)
    assert [w.shape for w in model.weights] == [(4, 3), (3,)]


def test_metrics_of_layers_are_logged(x: Any, labels: Any) -> None:
    class Watched(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.largest = graphc.metrics.Mean(name="largest")

        def call(self, x: Any) -> Any:
            self.largest.update_state(ops.max(x))
            return x

    model = graphc.Sequential([graphc.Input((4,)), Watched(), layers.Dense(3)])
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, target="numpy")
    history = model.fit(x, labels, verbose=0).history
    assert_close(history["largest"], [x.max()])


# The step as a graph.


@pytest.mark.parametrize("name", ["train_step", "eval_step"])
def test_graph_of_a_step_is_what_the_trainer_runs(
    name: str, x: Any, labels: Any
) -> None:
    model = make("xla", optimizer="adam", metrics=["accuracy"])
    step = {"train_step": model.train_on_batch, "eval_step": model.test_on_batch}[name]
    step(x, labels)
    model.reset_metrics()
    (program,) = model.step(name).programs.values()
    graph = model.graph(name, batch_size=8)
    graph.verify()
    assert parse(str(graph)) == graph
    state = [v.numpy() for v in program.state]
    logs = step(x, labels, return_dict=True)
    results = evaluate(graph, x, labels.astype(np.int32), *state)
    count = len(results) - len(program.written)
    names = sorted(logs)
    assert count == len(names)
    for key, found in zip(names, results, strict=False):
        assert_close(logs[key], float(found))
    for variable, found in zip(program.written, results[count:], strict=True):
        assert_close(variable.numpy(), found)


# What is refused.


def refuses(method: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises((ValueError, TypeError)) as caught:
        method(*arguments, **options)
    return str(caught.value)


def test_not_compiled(x: Any) -> None:
    model = functional()
    for method in ("fit", "evaluate", "train_on_batch", "test_on_batch"):
        message = refuses(getattr(model, method), x, x[:, :1])
        assert message.startswith(
            f"You must call `compile()` before calling `{method}()`"
        )


@pytest.mark.parametrize(
    ("argument", "name", "nearest"),
    [
        ("optimizer", "adan", "adam"),
        ("loss", "msee", "mse"),
        ("metrics", ["acuracy"], "accuracy"),
    ],
)
def test_unknown_names(argument: str, name: Any, nearest: str) -> None:
    def use() -> None:
        model = functional()
        arguments = {"optimizer": "sgd", "loss": "mse", argument: name}
        model.compile(**arguments, target="numpy")

    message = refuses(use)
    assert nearest in message
    assert str(name if isinstance(name, str) else name[0]) in message


def test_empty_and_mismatched_data(x: Any, labels: Any) -> None:
    model = make()
    assert "Received: empty arrays" in refuses(model.fit, x[:0], labels[:0])
    assert "at least one batch" in refuses(model.fit, iter(()), verbose=0)
    message = refuses(model.fit, x, labels[:5])
    assert "'x' sizes: 8" in message
    assert "'y' sizes: 5" in message
    assert "Data cardinality is ambiguous" in refuses(
        model.train_on_batch, x, labels[:5]
    )


def test_unknown_keyword_and_option(x: Any, labels: Any) -> None:
    model = make()
    assert "not recognized by `evaluate()`" in refuses(model.evaluate, x, labels, foo=1)
    assert "foo" in refuses(model.fit, x, labels, foo=1)
    assert "Received: verbose=7" in refuses(model.fit, x, labels, verbose=7)
    assert "Received: epochs=1.5" in refuses(model.fit, x, labels, epochs=1.5)
    assert "`steps_per_execution`" in refuses(make, steps_per_execution=0)


def test_unknown_target_and_triton() -> None:
    with pytest.raises(graphc.errors.TargetError, match="quantum"):
        make("quantum")


def test_no_loss_and_no_weights(x: Any) -> None:
    model = functional()
    model.compile("sgd", target="numpy")
    assert "No loss to compute" in refuses(model.train_on_batch, x, x[:, :1])
    model.compile("sgd", "mse", target="numpy")
    model.trainable = False
    weights = model.get_weights()
    assert model.train_on_batch(x, x[:, :1]) > 0
    np.testing.assert_array_equal(weights[0], model.get_weights()[0])


def test_trainable_changed_after_compile(x: Any, labels: Any) -> None:
    model = make()
    model.fit(x, labels, verbose=0)
    model.layers[0].trainable = False
    with pytest.warns(UserWarning, match=r"after `compile`.*\['dense"):
        model.fit(x, labels, verbose=0)
    model.fit(x, labels, verbose=0)


def test_wrong_input_shape_names_the_model(x: Any, labels: Any) -> None:
    message = refuses(make().train_on_batch, x[:, :3], labels)
    assert "expected shape=(None, 4), found shape=(None, 3)" in message


def test_terminate_on_nan(x: Any, labels: Any) -> None:
    model = make()
    x[3] = np.nan
    model.fit(
        x,
        labels,
        batch_size=2,
        epochs=5,
        verbose=0,
        shuffle=False,
        callbacks=[graphc.callbacks.TerminateOnNaN()],
    )
    assert int(model.optimizer.iterations) == 2


def test_find_nonfinite_names_op_layer_and_line(x: Any, labels: Any) -> None:
    class Log(layers.Layer):
        def call(self, x: Any) -> Any:
            return ops.log(x - 100.0)

    inputs = graphc.Input((4,))
    y = layers.Dense(3, name="last")(Log(name="log")(inputs))
    model = graphc.Model(inputs, y, name="m")
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, target="numpy")
    weights = model.get_weights()
    found = model.find_nonfinite(x, labels)
    assert (found.op, found.value, found.count, found.path) == (
        "log",
        "nan",
        32,
        "m/log",
    )
    text = str(found)
    assert text.startswith("the first nan comes from log: 32 in f32[B,4]")
    assert "return ops.log(x - 100.0)" in text
    assert "in layer 'm/log'" in text
    assert all(
        np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True)
    )
    assert int(model.optimizer.iterations) == 0
    assert model.find_nonfinite(x + 200, labels) is None
    x[0, 0] = np.inf
    assert model.find_nonfinite(x, labels).op == "input x"


def test_find_nonfinite_in_the_backward_pass(x: Any) -> None:
    inputs = graphc.Input((4,))
    y = layers.Dense(1, kernel_initializer="zeros", name="d")(inputs)
    model = graphc.Model(inputs, ops.sqrt(y), name="m")
    model.compile("sgd", "mse", target="numpy")
    found = model.find_nonfinite(x, np.zeros((8, 1)))
    assert found.value in ("nan", "inf")
    assert "gradient" in str(found.location.origin)


def test_run_eagerly_can_be_set_later(x: Any, labels: Any) -> None:
    model = make("xla")
    assert (model.run_eagerly, model.target) == (False, "xla")
    model.run_eagerly = True
    model.train_on_batch(x, labels)
    (program,) = model.step("train_step").programs.values()
    assert (program.options.target, model.target) == ("numpy", "numpy")
    model.run_eagerly = False
    assert model.target == "xla"


def test_float16_models_scale_their_loss(x: Any, labels: Any) -> None:
    def half(**options: Any) -> Any:
        dense = layers.Dense(3, dtype="mixed_float16")
        inputs = graphc.Input((4,), dtype="float16")
        model = graphc.Model(inputs, dense(inputs), dtype="mixed_float16")
        loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, target="numpy", **options)
        return model

    model = half()
    assert isinstance(model.optimizer, graphc.optimizers.LossScaleOptimizer)
    plain = half(auto_scale_loss=False)
    assert isinstance(plain.optimizer, graphc.optimizers.SGD)
    plain.set_weights(model.get_weights())
    found = [m.train_on_batch(x, labels) for m in (model, plain)]
    assert_close(found[0], found[1])
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        assert_close(a, b)
