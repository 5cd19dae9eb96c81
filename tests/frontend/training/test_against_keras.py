"""Training, evaluation and inference against Keras, from the same initial weights.

Keras's results are recorded; see `tests.frontend.recorded`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.closeness import assert_close
from tests.frontend.recorded import archive, keras, recorded
from tests.frontend.twins import Twins, twins

__all__ = ["archive", "keras", "recorded", "twins"]

F32 = np.float32
Make = Callable[..., Twins]


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return rng.normal(size=(10, 4)).astype(F32)


@pytest.fixture
def labels(rng: np.random.Generator) -> Any:
    return rng.integers(0, 3, 10)


def mlp(K: Any) -> Any:
    layers = [K.layers.Dense(5, activation="tanh"), K.layers.Dense(3)]
    return K.Sequential([K.Input((4,)), *layers])


def classify(K: Any) -> dict[str, Any]:
    return {
        "optimizer": K.optimizers.SGD(0.1),
        "loss": K.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": ["accuracy"],
    }


def train(pair: Twins, *data: Any, epochs: int = 2, **options: Any) -> None:
    """Fits both, two batches an epoch, and compares the histories."""
    pair.check(
        "fit", *data, batch_size=5, epochs=epochs, shuffle=False, verbose=0, **options
    )
    pair.check_weights()


def weighted_accuracy(K: Any) -> Any:
    return K.metrics.SparseCategoricalAccuracy(name="weighted")


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "nesterov": lambda K: K.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam-clipnorm": lambda K: K.optimizers.Adam(0.01, clipnorm=0.5),
    "adamw-clipvalue": lambda K: K.optimizers.AdamW(
        0.01, weight_decay=0.1, clipvalue=0.1
    ),
    "rmsprop-global_clipnorm": lambda K: K.optimizers.RMSprop(
        K.optimizers.schedules.ExponentialDecay(0.01, 3, 0.5), global_clipnorm=0.1
    ),
    "adam-ema": lambda K: K.optimizers.Adam(
        0.01, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=2
    ),
    "accumulation": lambda K: K.optimizers.SGD(0.1, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps_of_an_optimizer(name: str, twins: Make, x: Any, labels: Any) -> None:
    pair = twins(mlp)
    pair.compile(lambda K: classify(K) | {"optimizer": OPTIMIZERS[name](K)})
    train(pair, x, labels, epochs=5)


def test_xla_trains_evaluates_and_predicts(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(mlp, target="xla")
    pair.compile(lambda K: classify(K) | {"optimizer": K.optimizers.Adam(0.01)})
    train(pair, x, labels, validation_data=(x[:3], labels[:3]))
    for as_dict in (False, True):
        pair.check("evaluate", x, labels, batch_size=5, verbose=0, return_dict=as_dict)
    pair.check("predict", x, batch_size=5, verbose=0)


def branches(K: Any) -> Any:
    """Two inputs, two outputs, a layer that is called twice."""
    a, b = K.Input((4,), name="a"), K.Input((4,), name="b")
    shared = K.layers.Dense(3, activation="tanh", name="shared")
    joined = K.layers.Concatenate()([shared(a), shared(b) * 2.0])
    first = K.layers.Dense(2, name="first")(joined)
    second = K.layers.Dense(1, name="second")(K.ops.sin(joined))
    return K.Model([a, b], [first, second])


@pytest.mark.parametrize("by_name", [False, True])
def test_several_inputs_and_outputs(by_name: bool, twins: Make, x: Any) -> None:
    pair = twins(branches)
    y = [x[:, :2], x[:, 2:3]]
    losses: Any = ["mse", "mae"]
    weights: Any = [1.0, 0.5]
    metrics: Any = [["mae"], ["mse", "mae"]]
    inputs: Any = [x, x[::-1]]
    if by_name:
        names = ("first", "second")
        losses, weights, metrics, y = (
            dict(zip(names, given, strict=True))
            for given in (losses, weights, metrics, y)
        )
        inputs = {"a": x, "b": x[::-1]}
    pair.compile(
        lambda K: {
            "optimizer": K.optimizers.SGD(0.01, momentum=0.9),
            "loss": losses,
            "loss_weights": weights,
            "metrics": metrics,
        }
    )
    train(pair, inputs, y)
    pair.check("evaluate", inputs, y, batch_size=5, verbose=0)
    pair.check("evaluate", inputs, y, batch_size=5, verbose=0, return_dict=True)
    pair.check("predict", inputs, batch_size=5, verbose=0)
    pair.check("train_on_batch", inputs, y)
    pair.check("test_on_batch", inputs, y, return_dict=True)


def test_sample_weights_of_each_output(twins: Make, x: Any) -> None:
    pair = twins(branches)
    pair.compile(
        lambda K: {
            "optimizer": "sgd",
            "loss": "mse",
            "weighted_metrics": [["mae"], ["mae"]],
        }
    )
    weights = [np.linspace(0, 1, 10), np.linspace(2, 1, 10)]
    y = [x[:, :2], x[:, 2:3]]
    train(pair, [x, x], y, sample_weight=weights)


def nested(K: Any) -> Any:
    """A model in a model, used twice, and a Sequential in it."""
    inner_input = K.Input((4,))
    inner = K.Model(
        inner_input, K.layers.Dense(4, activation="relu")(inner_input), name="inner"
    )
    outer_input = K.Input((4,))
    y = inner(inner(outer_input))
    head = K.Sequential([K.layers.Dense(4), K.layers.Dense(3)], name="head")
    return K.Model(outer_input, head(y))


def test_nested_models(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(nested)
    pair.compile(classify)
    train(pair, x, labels)


def test_sequential_without_input(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(
        lambda K: K.Sequential(
            [K.layers.Dense(5, activation="relu"), K.layers.Dense(3)]
        ),
        x,
    )
    pair.compile(classify)
    train(pair, x, labels)


def subclassed(K: Any) -> Any:
    class Scale(K.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight(
                shape=(input_shape[-1],), initializer="ones", name="scale"
            )
            self.calls = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="calls"
            )

        def call(self, x: Any, training: bool = False) -> Any:
            if not training:
                return x * self.scale
            self.calls.assign_add(1.0)
            return x * self.scale * 2.0

    class Classifier(K.Model):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = [K.layers.Dense(4), Scale()]
            self.head = K.layers.Dense(3)

        def call(self, x: Any, training: bool = False) -> Any:
            for block in self.blocks:
                x = block(x, training=training)
            return self.head(x)

    return Classifier()


def test_subclassed_layer_and_model(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(subclassed, x)
    pair.compile(classify)
    calls = next(w for w in pair.ours.weights if w.name == "calls")
    start = float(calls)
    train(pair, x, labels)
    assert_close(float(calls), start + 4)
    pair.check("evaluate", x, labels, verbose=0)
    pair.check("predict", x, verbose=0)


def test_sample_weight(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(mlp)
    pair.compile(lambda K: classify(K) | {"weighted_metrics": [weighted_accuracy(K)]})
    weight = np.linspace(0.0, 2.0, 10)
    held_out = (x, labels, weight[::-1].copy())
    train(pair, x, labels, sample_weight=weight, validation_data=held_out)
    pair.check("evaluate", x, labels, sample_weight=weight, verbose=0)
    pair.check("test_on_batch", x, labels, sample_weight=weight)


def test_class_weight(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(mlp)
    pair.compile(lambda K: classify(K) | {"weighted_metrics": [weighted_accuracy(K)]})
    train(pair, x, labels, class_weight={0: 1.0, 1: 3.0, 2: 0.5})
    pair.check("train_on_batch", x, labels, class_weight={0: 1.0, 1: 3.0, 2: 0.5})


def test_mask_reaches_the_loss(twins: Make, rng: Any) -> None:
    def build(K: Any) -> Any:
        tokens = K.Input((5,), dtype="int32")
        embedded = K.layers.Embedding(7, 4, mask_zero=True)(tokens)
        return K.Model(tokens, K.layers.Dense(3)(K.layers.Dropout(0.0)(embedded)))

    pair = twins(build)
    pair.compile(lambda K: classify(K) | {"weighted_metrics": [weighted_accuracy(K)]})
    tokens = rng.integers(0, 7, (10, 5))
    train(pair, tokens, rng.integers(0, 3, (10, 5)))


def test_mask_reaches_pooling(twins: Make, rng: Any, labels: Any) -> None:
    def build(K: Any) -> Any:
        return K.Sequential(
            [
                K.Input((5,), dtype="int32"),
                K.layers.Embedding(7, 4, mask_zero=True),
                K.layers.GlobalAveragePooling1D(),
                K.layers.Dense(3),
            ]
        )

    pair = twins(build)
    pair.compile(classify)
    tokens = rng.integers(0, 7, (10, 5))
    tokens[:, 0] = 1
    train(pair, tokens, labels)
    pair.check("predict", tokens, batch_size=5, verbose=0)


def normalized(K: Any) -> Any:
    norm = K.layers.BatchNormalization(momentum=0.7, name="norm")
    return K.Sequential([K.Input((4,)), K.layers.Dense(4), norm, K.layers.Dense(3)])


@pytest.mark.parametrize("frozen", [False, True])
def test_batch_normalization(frozen: bool, twins: Make, x: Any, labels: Any) -> None:
    pair = twins(normalized)
    pair.each(
        lambda model, _: setattr(model.get_layer("norm"), "trainable", not frozen)
    )
    pair.compile(classify)
    before = pair.ours.get_layer("norm").get_weights()
    train(pair, x, labels, validation_data=(x, labels))
    after = pair.ours.get_layer("norm").get_weights()
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [frozen] * 4
    pair.check("predict", x, verbose=0)


def test_a_frozen_layer_stays_and_thaws(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(mlp)
    for trainable in (False, True):
        for model in filter(None, (pair.ours, pair.theirs)):
            model.layers[0].trainable = trainable
        pair.compile(classify)
        before = pair.ours.layers[0].get_weights()
        train(pair, x, labels)
        after = pair.ours.layers[0].get_weights()
        assert np.array_equal(before[0], after[0]) is not trainable


def penalized(K: Any) -> Any:
    class Penalty(K.layers.Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(0.01 * K.ops.mean(K.ops.square(x)))
            return x

    first = K.layers.Dense(
        5, kernel_regularizer=K.regularizers.L2(0.1), activity_regularizer="l1"
    )
    inputs = K.Input((4,))
    y = Penalty()(first(inputs))
    return K.Model(
        inputs, K.layers.Dense(3, bias_regularizer=K.regularizers.L1L2(0.1, 0.2))(y)
    )


def test_regularizers_and_add_loss(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(penalized)
    pair.compile(classify)
    train(pair, x, labels, validation_split=0.3)
    pair.check("evaluate", x, labels, batch_size=5, verbose=0)


def test_the_only_loss_is_added(twins: Make, x: Any) -> None:
    pair = twins(penalized)
    pair.compile(lambda K: {"optimizer": K.optimizers.SGD(0.1)})
    train(pair, x)


def test_metrics_start_afresh_in_each_epoch(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(mlp)
    pair.compile(lambda K: classify(K) | {"optimizer": K.optimizers.SGD(0.0)})
    history = pair.check("fit", x, labels, batch_size=5, epochs=3, verbose=0)
    assert_close(history["loss"], [history["loss"][0]] * 3)


def test_single_batches(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(mlp)
    pair.compile(classify)
    for size in (4, 4, 3):  # each call starts metrics afresh
        pair.check("train_on_batch", x[:size], labels[:size])
        pair.check("train_on_batch", x[:size], labels[:size], return_dict=True)
    pair.check("test_on_batch", x[:3], labels[:3])
    pair.check("test_on_batch", x, labels, return_dict=True)
    pair.check("predict_on_batch", x)
    pair.check_weights()


def test_single_batch_of_a_loss_alone(twins: Make, x: Any, labels: Any) -> None:
    pair = twins(mlp)
    pair.compile(lambda K: {k: v for k, v in classify(K).items() if k != "metrics"})
    pair.check("train_on_batch", x, labels)
    pair.check("evaluate", x, labels, verbose=0)


def test_generator_and_steps(twins: Make, x: Any, labels: Any) -> None:
    def batches() -> Any:
        while True:
            for i in range(0, 10, 4):
                yield x[i : i + 4], labels[i : i + 4]

    pair = twins(mlp)
    pair.compile(classify)
    pair.each(
        lambda model, _: model.fit(
            batches(), steps_per_epoch=3, epochs=2, verbose=0, shuffle=False
        )
    )
    pair.check_weights()


def test_convolutional_network(twins: Make, rng: Any, labels: Any) -> None:
    def build(K: Any) -> Any:
        return K.Sequential(
            [
                K.Input((6, 6, 1)),
                K.layers.Conv2D(3, 3, activation="relu"),
                K.layers.MaxPooling2D(),
                K.layers.Flatten(),
                K.layers.Dense(3),
            ]
        )

    pair = twins(build)
    pair.compile(classify)
    train(pair, rng.normal(size=(10, 6, 6, 1)).astype(F32), labels)


def test_weights_assigned_between_batches_count(
    x: Any, labels: Any, twins: Make
) -> None:
    pair = twins(mlp, target="xla")
    pair.compile(classify)

    def halving(K: Any) -> Any:
        class Halve(K.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                bias = self.model.layers[0].bias
                bias.assign(bias * 0.5 + 1.0)

        return Halve()

    pair.each(
        lambda model, K: model.fit(
            x, labels, batch_size=4, shuffle=False, verbose=0, callbacks=[halving(K)]
        )
    )
    pair.check_weights()
