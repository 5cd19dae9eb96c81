"""Models with users' code of all kinds, to be saved here and loaded where it is not."""

from collections.abc import Callable
from typing import Any

import numpy as np

import graphc
from graphc import layers, ops

BATCH = 8

EVALUATED = {"run_eagerly": True}
"""Steps run on the NumPy evaluator: nothing to compile, and exact."""


class Noisy(layers.Layer):
    """Weights, dropout, a counter, an added loss, a known layer inside."""

    def __init__(self, factor: float = 2.0, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.factor = factor
        self.dropout = layers.Dropout(0.3)
        self.normalize = layers.BatchNormalization()

    def build(self, input_shape: Any) -> None:
        size = (input_shape[-1],)
        self.scale = self.add_weight(
            shape=size,
            initializer="ones",
            name="scale",
            regularizer=sum_of_cubes,
            constraint=lambda w: ops.clip(w, 0.5, 1.5),
        )
        self.calls = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="calls"
        )

    def call(self, x: Any, training: Any = None, shift: float = 0.0) -> Any:
        if training:
            self.calls.assign_add(1.0)
        self.add_loss(0.01 * ops.mean(x**2))
        x = self.normalize(x * self.scale * self.factor + shift)
        return self.dropout(x)


class Net(graphc.Model):
    """A subclassed model; tells training from inference, has random state."""

    def __init__(self, width: int = 6, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.hidden = [layers.Dense(width, activation="relu"), Noisy(1.5)]
        self.head = layers.Dense(2, kernel_regularizer="l2")

    def call(self, x: Any, training: Any = None) -> Any:
        for layer in self.hidden:
            x = layer(x)
        return {"out": self.head(x), "hidden": x}


class FixedNet(graphc.Model):
    """A subclassed model that asks for the batch size."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.dense = layers.Dense(2)

    def call(self, x: Any) -> Any:
        rows = [x[i] for i in range(int(x.shape[0]))]
        return self.dense(ops.stack(rows[::-1]))


class Shift(layers.Layer):
    """Passes masks on, and uses them."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.supports_masking = True

    def call(self, x: Any, mask: Any = None) -> Any:
        if mask is None:
            return x
        return x * ops.expand_dims(ops.cast(mask, x.dtype), -1)


class Tied(layers.Layer):
    """Reads the weights of another layer."""

    def __init__(self, embedding: Any, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.embedding = embedding

    def call(self, x: Any) -> Any:
        return ops.matmul(x, ops.transpose(self.embedding.embeddings))


class Mix(layers.Layer):
    """Is called in several ways."""

    def build(self, a_shape: Any) -> None:
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")

    def call(self, a: Any, b: Any = None, weights: Any = (1.0, 1.0)) -> Any:
        other = 0.0 if b is None else ops.mean(b, axis=-1, keepdims=True)
        return self.gain * (weights[0] * a + weights[1] * other)


class Quartic(graphc.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean((y_true - y_pred) ** 4, axis=-1)


class Halving(graphc.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step: Any) -> Any:
        return 0.1 * 0.5 ** ops.cast(step, "float32")

    def get_config(self) -> dict[str, Any]:
        return {}


def sum_of_cubes(w: Any) -> Any:
    return 0.001 * ops.sum(ops.abs(w) ** 3)


def bent(x: Any) -> Any:
    return ops.where(x > 0, x, 0.1 * x)


def absolute_difference(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def functional() -> Any:
    x = graphc.Input((4,), name="x")
    h = layers.Dense(6, activation="relu")(x)
    h = Noisy()(h, shift=0.5)
    h = h[:, :5] * 2.0
    h = layers.Lambda(lambda t: t + 1.0)(h)
    model = graphc.Model(x, layers.Dense(2, activation=bent)(h))
    model.compile("adam", loss="mse", metrics=["mae"], **EVALUATED)
    return model


def sequential() -> Any:
    model = graphc.Sequential([
        graphc.Input((4,)),
        layers.Dense(6, activation=lambda x: bent(x) + 0.1),
        layers.Dropout(0.25),
        Noisy(),
        layers.Dense(2, kernel_regularizer=sum_of_cubes),
    ])  # fmt: skip
    rate = graphc.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)
    model.compile(
        graphc.optimizers.SGD(rate, momentum=0.9, use_ema=True, clipnorm=1.0),
        loss="mse",
        **EVALUATED,
    )
    return model


def subclassed() -> Any:
    model = Net()
    model.compile("adam", loss={"out": "mse", "hidden": None}, **EVALUATED)
    return model


def custom_training() -> Any:
    x = graphc.Input((4,))
    model = graphc.Model(x, layers.Dense(2)(layers.Dropout(0.2)(x)))
    model.compile(
        graphc.optimizers.AdamW(Halving(), weight_decay=0.01),
        loss=Quartic(),
        metrics=[absolute_difference],
        **EVALUATED,
    )
    return model


def custom_loss_function() -> Any:
    x = graphc.Input((4,))
    model = graphc.Model(x, layers.Dense(2)(x))
    model.compile(
        graphc.optimizers.Adam(gradient_accumulation_steps=2),
        loss=absolute_difference,
        **EVALUATED,
    )
    return model


def masked() -> Any:
    x = graphc.Input((None,), dtype="int32")
    embedding = layers.Embedding(7, 3, mask_zero=True)
    h = Shift()(embedding(x))
    h = layers.GlobalAveragePooling1D()(h)
    model = graphc.Model(x, layers.Dense(2)(h))
    model.compile("rmsprop", loss="mse", **EVALUATED)
    return model


def tied() -> Any:
    x = graphc.Input((3,), dtype="int32")
    embedding = layers.Embedding(7, 4)
    h = layers.GlobalAveragePooling1D()(embedding(x))
    logits = Tied(embedding)(h) + ops.matmul(h, ops.transpose(embedding.embeddings))
    model = graphc.Model(x, layers.Dense(2)(logits))
    model.compile("adam", loss="mse", **EVALUATED)
    return model


def many_calls() -> Any:
    x = graphc.Input((4,), name="x")
    y = graphc.Input((6,), name="y")
    mix = Mix()
    a = mix(x, y)
    b = mix(y, weights=(2.0, 0.5))
    c = mix(a, b=b, weights=[0.5, 0.5])
    inner_x = graphc.Input((4,))
    inner = graphc.Model(inner_x, Noisy()(layers.Dense(4)(inner_x)), name="inner")
    out = layers.Concatenate()([inner(c), inner(a), b])
    model = graphc.Model([x, y], layers.Dense(2)(out))
    model.compile("adam", loss="mse", **EVALUATED)
    return model


def fixed_batch() -> Any:
    model = FixedNet()
    model.compile("sgd", loss="mse", **EVALUATED)
    return model


def outside_state() -> Any:
    seen = graphc.Variable(0.0, name="seen", trainable=False)

    class Count(layers.Layer):
        def call(self, x: Any) -> Any:
            seen.assign_add(1.0)
            return x + seen

    x = graphc.Input((4,))
    model = graphc.Model(x, layers.Dense(2)(Count()(Count()(x))))
    model.compile("sgd", loss="mse", **EVALUATED)
    return model


def mixed_precision() -> Any:
    x = graphc.Input((4,))
    h = layers.Dense(6, dtype="mixed_bfloat16")(x)
    h = Noisy(dtype="mixed_bfloat16")(h)
    model = graphc.Model(x, layers.Dense(2, dtype="float32")(h))
    model.compile("adam", loss="mse", **EVALUATED)
    return model


MODELS: dict[str, Callable[[], Any]] = {
    made.__name__: made
    for made in (
        *(functional, sequential, subclassed, custom_training, custom_loss_function),
        *(masked, tied, many_calls, fixed_batch, outside_state, mixed_precision),
    )
}


def batch(name: str) -> tuple[Any, Any]:
    """Inputs and targets for the model of that name."""
    rng = np.random.default_rng(len(name))
    floats = rng.normal(size=(BATCH, 4)).astype(np.float32)
    y: Any = rng.normal(size=(BATCH, 2)).astype(np.float32)
    x: Any = floats
    if name in ("masked", "tied"):
        x = rng.integers(0, 7, size=(BATCH, 3)).astype(np.int32)
    if name == "many_calls":
        x = [floats, rng.normal(size=(BATCH, 6)).astype(np.float32)]
    if name == "subclassed":
        y = {"out": y, "hidden": np.zeros((BATCH, 6), np.float32)}
    return x, y
