"""Training steps of more kinds of models on Triton: what the reference says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import Input, Model, layers, losses, ops, random
from graphc.frontend.training.data.batch import convert_batch
from graphc.ir import evaluate
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.runtime.compile import compile_graph
from tests.triton_target import TARGET

pytest.importorskip("triton")
pytestmark = [pytest.mark.triton, pytest.mark.slow]

Made = tuple[Any, Any, Any, Any]


def mixer(rng: np.random.Generator) -> Made:
    """An MLP-Mixer: dense layers along patches and along features in turn."""
    x = patches = Input((8, 16))
    for _ in range(2):
        y = layers.Permute((2, 1))(layers.LayerNormalization()(x))
        y = layers.Dense(8)(layers.Dense(16, activation="gelu")(y))
        x = layers.Add()([x, layers.Permute((2, 1))(y)])
        y = layers.Dense(32, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(16)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    model = Model(patches, layers.Dense(5)(x))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, rng.normal(size=(4, 8, 16)), rng.integers(0, 5, 4), loss


def unet(rng: np.random.Generator) -> Made:
    """A U-Net of two levels, with both ways of making images larger."""

    def block(x: Any, filters: int) -> Any:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    image = Input((8, 8, 3))
    first = block(image, 4)
    second = block(layers.MaxPooling2D(2)(first), 8)
    third = block(layers.MaxPooling2D(2)(second), 16)
    x = layers.Concatenate()([layers.UpSampling2D(2)(third), second])
    x = layers.Conv2DTranspose(4, 2, strides=2)(block(x, 8))
    x = block(layers.Concatenate()([x, first]), 4)
    model = Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x))
    masks = rng.integers(0, 2, (2, 8, 8, 1)).astype("f4")
    return model, rng.normal(size=(2, 8, 8, 3)), masks, losses.BinaryCrossentropy()


def separable(rng: np.random.Generator) -> Made:
    """Depthwise convolutions with residuals, and dense connections."""
    image = Input((8, 8, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    for strides in (1, 2):
        y = layers.DepthwiseConv2D(3, strides=strides, padding="same")(x)
        y = layers.ReLU(max_value=6.0)(layers.BatchNormalization()(y))
        y = layers.Conv2D(8, 1, use_bias=False)(y)
        x = layers.Add()([x, y]) if strides == 1 else y
    x = layers.Concatenate()([x, layers.SeparableConv2D(4, 3, padding="same")(x)])
    x = layers.Dense(7, activation="softmax")(layers.GlobalMaxPooling2D()(x))
    labels = np.eye(7, dtype="f4")[rng.integers(0, 7, 2)]
    loss = losses.CategoricalCrossentropy(label_smoothing=0.1)
    return Model(image, x), rng.normal(size=(2, 8, 8, 3)), labels, loss


def translator(rng: np.random.Generator) -> Made:
    """Two recurrent networks with attention from one to the other."""
    source, target = (Input((5,), dtype="int32") for _ in range(2))
    encoder = layers.Bidirectional(layers.GRU(4, return_sequences=True))
    decoder = layers.GRU(8, return_sequences=True)
    keys = encoder(layers.Embedding(11, 8)(source))
    x = decoder(layers.Embedding(11, 8)(target))
    x = layers.Concatenate()([x, layers.Attention()([x, keys])])
    model = Model([source, target], layers.Dense(11)(x))
    tokens = [rng.integers(0, 11, (3, 5)) for _ in range(3)]
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, tokens[:2], tokens[2], loss


def decoder(rng: np.random.Generator) -> Made:
    """A transformer with grouped heads, RMS normalization and gated layers."""
    tokens = Input((6,), dtype="int32")
    x = layers.Embedding(13, 16)(tokens)
    y = layers.RMSNormalization()(x)
    y = layers.GroupQueryAttention(8, 4, 2)(y, y, use_causal_mask=True)
    x = layers.Add()([x, y])
    y = layers.RMSNormalization()(x)
    gate = layers.Dense(32, activation="silu", use_bias=False)(y)
    y = layers.Multiply()([gate, layers.Dense(32, use_bias=False)(y)])
    x = layers.Add()([x, layers.Dense(16, use_bias=False)(y)])
    model = Model(tokens, layers.Dense(13)(layers.RMSNormalization()(x)))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, rng.integers(0, 13, (2, 6)), rng.integers(0, 13, (2, 6)), loss


def recommender(rng: np.random.Generator) -> Made:
    """Embeddings, products of all pairs of them, and cross layers."""
    numbers, ids = Input((13,)), Input((4,), dtype="int32")
    dense = layers.Dense(8, activation="relu")(numbers)
    rows = [layers.Reshape((1, 8))(dense), layers.Embedding(19, 8)(ids)]
    vectors = layers.Concatenate(axis=1)(rows)
    pairs = layers.Flatten()(layers.Dot(axes=2)([vectors, vectors]))
    x = first = layers.Concatenate()([pairs, dense])
    for _ in range(2):
        x = layers.Add()([layers.Multiply()([first, layers.Dense(33)(x)]), x])
    model = Model([numbers, ids], layers.Dense(1, activation="sigmoid")(x))
    x = [rng.normal(size=(6, 13)), rng.integers(0, 19, (6, 4))]
    return (
        model,
        x,
        rng.integers(0, 2, (6, 1)).astype("f4"),
        losses.BinaryCrossentropy(),
    )


class Sampling(layers.Layer):
    """Draws from normal distributions, and adds how far they are from the standard one."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = random.SeedGenerator(3)

    def call(self, inputs: Any) -> Any:
        mean, logarithm = inputs
        spread = ops.exp(0.5 * logarithm)
        terms = 1 + logarithm - ops.square(mean) - ops.exp(logarithm)
        self.add_loss(-0.5 * ops.mean(terms))
        return mean + spread * random.normal(ops.shape(mean), seed=self.seeds)


def variational(rng: np.random.Generator) -> Made:
    """A variational autoencoder, which draws random numbers."""
    values = Input((12,))
    x = layers.Dense(16, activation="softplus")(values)
    x = Sampling()([layers.Dense(3)(x), layers.Dense(3)(x)])
    x = layers.Dense(12, activation="sigmoid")(layers.Dense(16, activation="relu")(x))
    data = rng.uniform(size=(4, 12))
    return Model(values, x), data, data, losses.BinaryCrossentropy()


class Routed(layers.Layer):
    """Experts of which each example is given to the two that a router likes most."""

    def build(self, shape: tuple[int, ...]) -> None:
        width = shape[-1]
        self.router = self.add_weight(shape=(width, 4), name="router")
        self.up = self.add_weight(shape=(4, width, 12), name="up")
        self.down = self.add_weight(shape=(4, 12, width), name="down")

    def call(self, x: Any) -> Any:
        shares = ops.softmax(ops.matmul(x, self.router))
        best, which = ops.top_k(shares, 2)
        best = best / ops.sum(best, axis=-1, keepdims=True)
        taken = ops.one_hot(which, 4, dtype="float32")
        gates = ops.sum(taken * ops.expand_dims(best, -1), axis=1)
        even = ops.mean(shares, axis=0) * ops.mean(ops.sum(taken, axis=1), axis=0)
        self.add_loss(0.04 * ops.sum(even))
        hidden = ops.gelu(ops.einsum("nd,edh->enh", x, self.up))
        found = ops.einsum("enh,ehd->end", hidden, self.down)
        return ops.einsum("end,ne->nd", found, gates)


def experts(rng: np.random.Generator) -> Made:
    """A mixture of experts with a loss for even shares of them."""
    x = Input((8,))
    y = layers.Add()([x, Routed()(layers.LayerNormalization()(x))])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model = Model(x, layers.Dense(5)(y))
    return model, rng.normal(size=(6, 8)), rng.integers(0, 5, 6), loss


class Biased(layers.Layer):
    """Attention whose logits have a learned bias for each range of distances."""

    def build(self, shape: tuple[int, ...]) -> None:
        names = ("query", "key", "value")
        self.maps = [self.add_weight(shape=(8, 8), name=name) for name in names]
        self.table = self.add_weight(shape=(8, 2), name="table")

    def call(self, x: Any) -> Any:
        count, length, width = ops.shape(x)

        def heads(weight: Any) -> Any:
            found = ops.reshape(ops.matmul(x, weight), (count, length, 2, 4))
            return ops.transpose(found, (0, 2, 1, 3))

        query, key, value = map(heads, self.maps)
        place = ops.arange(length)
        apart = place[None, :] - place[:, None]
        size = ops.cast(ops.maximum(ops.abs(apart), 1), "float32")
        near = ops.minimum(ops.cast(2 * ops.log(size), "int32"), 3)
        bucket = near + 4 * ops.cast(apart > 0, "int32")
        bias = ops.transpose(ops.take(self.table, bucket, axis=0), (2, 0, 1))
        logits = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) + bias
        found = ops.matmul(ops.softmax(logits), value)
        return ops.reshape(ops.transpose(found, (0, 2, 1, 3)), (count, length, width))


def relative(rng: np.random.Generator) -> Made:
    """A transformer that knows of positions by their distances only."""
    tokens = Input((6,), dtype="int32")
    x = layers.Embedding(11, 8)(tokens)
    x = layers.Add()([x, Biased()(layers.RMSNormalization()(x))])
    model = Model(tokens, layers.Dense(11)(layers.RMSNormalization()(x)))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, rng.integers(0, 11, (2, 6)), rng.integers(0, 11, (2, 6)), loss


def wave(rng: np.random.Generator) -> Made:
    """Gated convolutions of the past, further and further back."""
    tokens = Input((16,), dtype="int32")
    x, skipped = layers.Embedding(7, 4)(tokens), []
    for back in (1, 2):
        how = {"padding": "causal", "dilation_rate": back}
        y = layers.Conv1D(4, 2, activation="tanh", **how)(x)
        gate = layers.Conv1D(4, 2, activation="sigmoid", **how)(x)
        y = layers.Multiply()([y, gate])
        skipped.append(layers.Conv1D(8, 1)(y))
        x = layers.Add()([x, layers.Conv1D(4, 1)(y)])
    model = Model(tokens, layers.Conv1D(7, 1)(layers.ReLU()(layers.Add()(skipped))))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, rng.integers(0, 7, (2, 16)), rng.integers(0, 7, (2, 16)), loss


@pytest.mark.parametrize("kind", ["predict", "train_step"])
@pytest.mark.parametrize(
    "make",
    [
        *(mixer, unet, separable, translator, decoder, recommender, variational),
        *(experts, relative, wave),
    ],
    ids=lambda make: make.__name__,
)
def test_steps_agree_with_the_reference(
    make: Callable[[np.random.Generator], Made], kind: str
):
    graphc.utils.set_random_seed(1)
    model, x, y, loss = make(np.random.default_rng(0))
    model.compile(optimizer=graphc.optimizers.SGD(0.1, momentum=0.9), loss=loss)
    batch = convert_batch(x) if kind == "predict" else convert_batch(x, y)
    graph, arrays = model.step(kind).graph_and_arrays(batch)
    bound = graph.bind(B=len(y)) if graph.symbols else graph
    inputs = [np.asarray(array) for array in arrays]
    expected = evaluate(bound, *inputs)
    exact = evaluate(bound, *inputs, dtype="f64")
    found = compile_graph(bound, TARGET)(*inputs)
    for got, want, judge in zip(map(np.asarray, found), expected, exact, strict=True):
        if mismatch(got, want):
            assert not inaccuracy(got, want, judge)
