"""What do models cost on a CPU beside the same models in plain jax?

    taskset -c 0 python -m benchmarks.cpu_models [NAME ...]

Training steps of a CNN, a ResNet-18, a small GPT and an LSTM, and inference of a
ResNet-50 and a BERT with a batch of one; the GPT and the LSTM also in jax with gradients
by hand. All start from the same weights; losses of three steps, or outputs, must agree
before anything is timed. Times are of the processor, so that others on the machine
disturb them little.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import graphc
from benchmarks.by_hand import ByHand
from benchmarks.gpu import bert, resnet
from benchmarks.gpu.functional import Jax
from benchmarks.gpu.training import is_trained, weights_of
from benchmarks.timing import interleaved, table
from graphc import layers, ops

Array = np.ndarray[Any, Any]
Weights = Mapping[str, Any]

PLAIN, BY_HAND = Jax(), ByHand()
JAX, HAND, OURS = "plain jax.jit", "jax.jit, gradients by hand", "graphc"


@dataclass(frozen=True)
class Workload:
    """A model in graphc and in jax, and what it is run on.

    Attributes:
        build: The model in graphc.
        plain: The same model in jax: weights by name, inputs, and a dictionary for
            statistics that a training step changes (None in inference).
        inputs: Draws the inputs.
        labels: Draws the labels of a training step; None for inference.
        rounds: How often contestants take turns.
        by_hand: As `plain`, with gradients by hand, if there are some to write.
    """

    build: Callable[[], Any]
    plain: Callable[[Weights, Any, dict[str, Any] | None], Any]
    inputs: Callable[[np.random.Generator], Array]
    labels: Callable[[np.random.Generator], Array] | None = None
    rounds: int = 9
    by_hand: Callable[[Weights, Any, dict[str, Any] | None], Any] | None = None


# -- models ----------------------------------------------------------------------------


def _norm(name: str) -> Any:
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-5, name=name)


def _conv(width: int, size: int, stride: int, name: str, **options: Any) -> Any:
    options = {"padding": "same", "use_bias": False, **options}
    return layers.Conv2D(width, size, stride, name=f"{name}_conv", **options)


WIDTHS = (32, 64, 128)


def cnn(data_format: str = "channels_last") -> Any:
    """Three convolutions of 3x3, each with batch normalization, ReLU and pooling."""
    first = data_format == "channels_first"
    inputs = x = layers.Input((3, 32, 32) if first else (32, 32, 3))
    for name, width in enumerate(WIDTHS):
        x = _conv(width, 3, 1, f"c{name}", data_format=data_format)(x)
        x = layers.BatchNormalization(
            1 if first else -1, momentum=0.99, epsilon=1e-5, name=f"c{name}"
        )(x)
        x = layers.MaxPooling2D(data_format=data_format)(layers.ReLU()(x))
    x = layers.GlobalAveragePooling2D(data_format=data_format)(x)
    return graphc.Model(inputs, layers.Dense(10, name="head")(x))


def _plain_block(
    p: Weights, x: Any, name: str, stride: int, padding: int, changed: Any
) -> Any:
    x = PLAIN.conv(p, f"{name}_conv", x, stride, padding)
    return PLAIN.batch_norm(p, name, x, changed is not None, changed)


def _plain_cnn(p: Weights, x: Any, changed: Any) -> Any:
    for name in range(len(WIDTHS)):
        x = PLAIN.relu(_plain_block(p, x, f"c{name}", 1, 1, changed))
        x = PLAIN.max_pool(x, 2, 2, 0)
    return PLAIN.dense(p, "head", PLAIN.pixel_mean(x))


STAGES = [(64 << stage, 2 if stage else 1) for stage in range(4)]


def resnet18() -> Any:
    """ResNet-18 (He et al., 2015) for images of 64 x 64."""

    def block(x: Any, name: str, width: int, size: int, stride: int) -> Any:
        if size > 1:
            x = layers.ZeroPadding2D(size // 2)(x)
        return _norm(name)(_conv(width, size, stride, name, padding="valid")(x))

    inputs = layers.Input((64, 64, 3))
    x = layers.ReLU()(block(inputs, "stem", 64, 7, 2))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for stage, (width, stride) in enumerate(STAGES):
        for number in range(2):
            name, steps = f"s{stage}b{number}", 1 if number else stride
            y = layers.ReLU()(block(x, f"{name}_1", width, 3, steps))
            y = block(y, f"{name}_2", width, 3, 1)
            if stage and not number:
                x = block(x, f"{name}_0", width, 1, steps)
            x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return graphc.Model(inputs, layers.Dense(200, name="head")(x))


def _plain_resnet18(p: Weights, x: Any, changed: Any) -> Any:
    x = PLAIN.relu(_plain_block(p, x, "stem", 2, 3, changed))
    x = PLAIN.max_pool(x, 3, 2, 1)
    for stage, (_, stride) in enumerate(STAGES):
        for number in range(2):
            name, steps = f"s{stage}b{number}", 1 if number else stride
            y = PLAIN.relu(_plain_block(p, x, f"{name}_1", steps, 1, changed))
            y = _plain_block(p, y, f"{name}_2", 1, 1, changed)
            if stage and not number:
                x = _plain_block(p, x, f"{name}_0", steps, 0, changed)
            x = PLAIN.relu(x + y)
    return PLAIN.dense(p, "head", PLAIN.pixel_mean(x))


VOCABULARY, TIME, WIDTH, HEADS, BLOCKS = 4096, 128, 256, 4, 4


class GPT(graphc.Model):
    """A decoder with an untied head and the exact GELU."""

    def __init__(self) -> None:
        super().__init__(name="gpt")
        start = graphc.initializers.RandomNormal(stddev=0.02, seed=0)
        dense = partial(layers.Dense, kernel_initializer=start)
        norm = partial(layers.LayerNormalization, epsilon=1e-5)
        embedding = partial(layers.Embedding, embeddings_initializer=start)
        self.tokens = embedding(VOCABULARY, WIDTH, name="tokens")
        self.positions = embedding(TIME, WIDTH, name="positions")
        self.parts = [
            (
                norm(name=f"before_{n}"),
                dense(3 * WIDTH, name=f"qkv_{n}"),
                dense(WIDTH, name=f"out_{n}"),
                norm(name=f"between_{n}"),
                dense(4 * WIDTH, name=f"expand_{n}"),
                dense(WIDTH, name=f"contract_{n}"),
            )
            for n in range(BLOCKS)
        ]
        self.last = norm(name="last")
        self.head = dense(VOCABULARY, name="head")

    def call(self, tokens: Any) -> Any:
        """The logits of the next tokens."""
        x = self.tokens(tokens) + self.positions(np.arange(TIME, dtype="int32"))
        for before, qkv, out, between, expand, contract in self.parts:
            q, k, v = (
                ops.reshape(part, (-1, TIME, HEADS, WIDTH // HEADS))
                for part in ops.split(qkv(before(x)), 3, axis=-1)
            )
            y = ops.dot_product_attention(q, k, v, is_causal=True)
            x = x + out(ops.reshape(y, (-1, TIME, WIDTH)))
            x = x + contract(ops.gelu(expand(between(x)), approximate=False))
        return self.head(self.last(x))


def _plain_gpt(f: Any, p: Weights, tokens: Any, changed: Any) -> Any:
    shape = (-1, TIME, HEADS, WIDTH // HEADS)
    x = p["tokens/embeddings"][tokens] + p["positions/embeddings"]
    for n in range(BLOCKS):
        parts = f.split(f.dense(p, f"qkv_{n}", f.norm(p, f"before_{n}", x, 1e-5)), 3)
        q, k, v = (part.reshape(shape).transpose(0, 2, 1, 3) for part in parts)
        scores = (q @ k.transpose(0, 1, 3, 2)) * (WIDTH // HEADS) ** -0.5
        seen = jnp.tril(jnp.ones((TIME, TIME), bool))
        y = jax.nn.softmax(jnp.where(seen, scores, -1e9), -1) @ v
        y = y.transpose(0, 2, 1, 3).reshape(x.shape)
        x = x + f.dense(p, f"out_{n}", y)
        y = f.dense(p, f"expand_{n}", f.norm(p, f"between_{n}", x, 1e-5))
        x = x + f.dense(p, f"contract_{n}", f.gelu(y, False))
    return f.dense(p, "head", f.norm(p, "last", x, 1e-5))


def lstm() -> Any:
    """One recurrent layer and a linear one."""
    inputs = layers.Input((64, 32))
    x = layers.LSTM(128, name="lstm")(inputs)
    return graphc.Model(inputs, layers.Dense(10, name="head")(x))


def _plain_lstm(p: Weights, x: Any, changed: Any) -> Any:
    def cell(state: Any, at: Any) -> Any:
        h, c = state
        gates = at + h @ p["lstm_cell/recurrent_kernel"]
        i, f, g, o = jnp.split(gates, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    projected = x @ p["lstm_cell/kernel"] + p["lstm_cell/bias"]
    start = jnp.zeros((x.shape[0], 128))
    (h, _), _ = lax.scan(cell, (start, start), projected.transpose(1, 0, 2))
    return PLAIN.dense(p, "head", h)


def _lstm_by_hand(p: Weights, x: Any, changed: Any) -> Any:
    return BY_HAND.dense(p, "head", BY_HAND.lstm(p, "lstm_cell", x))


def _resnet50() -> Any:
    return resnet.network(resnet.Sizes())


def _plain_resnet50(p: Weights, x: Any, changed: Any) -> Any:
    return resnet.logits(PLAIN, resnet.Sizes(), p, x, False, {})


def _bert() -> Any:
    model = bert.Encoder(bert.Sizes())
    model.build((1, 128))
    return model


def _plain_bert(p: Weights, tokens: Any, changed: Any) -> Any:
    return bert.vectors(PLAIN, bert.Sizes(), p, tokens)


def _normal(*shape: int) -> Callable[[np.random.Generator], Array]:
    return lambda draw: draw.normal(size=shape).astype("float32")


def _integers(below: int, *shape: int) -> Callable[[np.random.Generator], Array]:
    return lambda draw: draw.integers(0, below, shape).astype("int32")


WORKLOADS = {
    "cnn": Workload(
        cnn, _plain_cnn, _normal(32, 32, 32, 3), _integers(10, 32), rounds=25
    ),
    "resnet18": Workload(
        resnet18, _plain_resnet18, _normal(8, 64, 64, 3), _integers(200, 8)
    ),
    "gpt": Workload(
        GPT,
        partial(_plain_gpt, PLAIN),
        _integers(VOCABULARY, 8, TIME),
        _integers(VOCABULARY, 8, TIME),
        by_hand=partial(_plain_gpt, BY_HAND),
    ),
    "lstm": Workload(
        lstm,
        _plain_lstm,
        _normal(32, 64, 32),
        _integers(10, 32),
        rounds=25,
        by_hand=_lstm_by_hand,
    ),
    "resnet50 b1": Workload(
        _resnet50, _plain_resnet50, _normal(1, 224, 224, 3), rounds=15
    ),
    "bert b1": Workload(_bert, _plain_bert, _integers(30522, 1, 128), rounds=15),
}


# -- contestants -----------------------------------------------------------------------

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-7


class PlainTraining:
    """Steps of Adam (Kingma and Ba, 2014) in one jitted function; state is donated."""

    def __init__(self, model: Callable[..., Any], f: Any, weights: Weights) -> None:
        trained = {k: jnp.asarray(w) for k, w in weights.items() if is_trained(k)}
        others = {k: jnp.asarray(w) for k, w in weights.items() if not is_trained(k)}
        zeros = [{k: jnp.zeros_like(w) for k, w in trained.items()} for _ in range(2)]
        self.state = (trained, others, *zeros, jnp.zeros((), jnp.int32))
        self.step = jax.jit(partial(_plain_step, model, f), donate_argnums=0)

    def __call__(self, x: Array, y: Array) -> float:
        """One step; returns its loss."""
        self.state, loss = self.step(self.state, x, y)
        return float(loss)


def _plain_step(model: Callable[..., Any], f: Any, state: Any, x: Any, y: Any) -> Any:
    trained, others, means, squares, count = state

    def loss(trained: Any) -> Any:
        changed: dict[str, Any] = {}
        logits = model({**trained, **others}, x, changed)
        return f.cross_entropy(logits, y), changed

    (value, changed), gradients = jax.value_and_grad(loss, has_aux=True)(trained)
    count = count + 1
    t = count.astype(jnp.float32)
    rate = RATE * jnp.sqrt(1 - BETA2**t) / (1 - BETA1**t)
    new: list[dict[str, Any]] = [{}, {}, {}]
    for k, g in gradients.items():
        m = BETA1 * means[k] + (1 - BETA1) * g
        v = BETA2 * squares[k] + (1 - BETA2) * g * g
        w = trained[k] - rate * m / (jnp.sqrt(v) + EPSILON)
        for at, array in zip(new, (w, m, v), strict=True):
            at[k] = array
    return (new[0], {**others, **changed}, new[1], new[2], count), value


def trained(model: Any, **options: Any) -> Any:
    """`model`, compiled for training as `PlainTraining` does."""
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(graphc.optimizers.Adam(RATE, epsilon=EPSILON), loss, **options)
    return model


def contestants(workload: Workload) -> dict[str, Callable[[], Any]]:
    """What runs once, for each contestant; their results have been compared."""
    draw = np.random.default_rng(0)
    x = workload.inputs(draw)
    model = workload.build()
    if workload.labels is None:
        weights = {k: jnp.asarray(w) for k, w in weights_of(model).items()}
        plain = jax.jit(lambda p, x: workload.plain(p, x, None))
        runs = {
            JAX: lambda: np.asarray(plain(weights, x)),
            OURS: lambda: np.asarray(model.predict_on_batch(x)),
        }
        found = [run() for run in runs.values()]
        np.testing.assert_allclose(found[1], found[0], rtol=1e-3, atol=1e-3)
        return runs
    y = workload.labels(draw)
    if not model.built:
        model.build(x.shape)
    weights = weights_of(model)
    runs = {JAX: partial(PlainTraining(workload.plain, PLAIN, weights), x, y)}
    if workload.by_hand is not None:
        by_hand = PlainTraining(workload.by_hand, BY_HAND, weights)
        runs[HAND] = partial(by_hand, x, y)
    step = trained(model).step("train_step")

    def ours() -> float:
        return float(step((x, y))["loss"])

    for _ in range(3):
        model.reset_metrics()
        wanted = ours()
        for run in runs.values():
            np.testing.assert_allclose(wanted, run(), rtol=2e-3)
    return {**runs, OURS: ours}


def main(names: list[str]) -> None:
    """Prints a table for each of the workloads, or for those named."""
    for name in names or WORKLOADS:
        workload = WORKLOADS[name]
        runs = contestants(workload)
        times = interleaved(runs, workload.rounds, inner=2, clock=time.process_time)
        print(f"\n{name}\n{table(times, JAX)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
