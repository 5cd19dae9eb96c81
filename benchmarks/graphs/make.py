"""Makes the graphs of this directory from models.

    python benchmarks/graphs/make.py

Weights are parameters of the graphs, so that files are small and values do not matter.
"""

from pathlib import Path

import graphc
from graphc import layers, ops
from graphc.frontend.training.losses import (
    BinaryCrossentropy,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from graphc.ir import Graph, Location

HERE = Path(__file__).parent


def residual(x, filters, stride):
    """Two convolutions with batch normalization around a shortcut."""
    shortcut = x
    x = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    if stride > 1:
        shortcut = layers.Conv2D(filters, 1, stride, use_bias=False)(shortcut)
        shortcut = layers.BatchNormalization()(shortcut)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def cnn():
    """A residual network for images of 32x32."""
    image = layers.Input((32, 32, 3), name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        x = residual(x, filters, stride)
    x = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    model = graphc.Model(image, x, name="cnn")
    model.compile("sgd", SparseCategoricalCrossentropy(from_logits=True))
    return model


def transformer(length=64, width=128, blocks=2, characters=256):
    """A decoder-only transformer over characters."""
    tokens = layers.Input((length,), dtype="int32", name="tokens")
    x = layers.Embedding(characters, width)(tokens)
    for _ in range(blocks):
        y = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(4, width // 4)(y, y, use_causal_mask=True)
        x = layers.Add()([x, y])
        y = layers.Dense(4 * width, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(width)(y)])
    logits = layers.Dense(characters)(layers.LayerNormalization()(x))
    model = graphc.Model(tokens, logits, name="transformer")
    model.compile("adamw", SparseCategoricalCrossentropy(from_logits=True))
    return model


def lstm():
    """Two LSTMs over a sequence of words, and a classifier."""
    words = layers.Input((32,), dtype="int32", name="words")
    x = layers.Embedding(1000, 64)(words)
    x = layers.LSTM(128, return_sequences=True)(x)
    x = layers.Dropout(0.2)(layers.LSTM(128)(x))
    model = graphc.Model(words, layers.Dense(5)(x), name="lstm")
    model.compile("adam", SparseCategoricalCrossentropy(from_logits=True))
    return model


def recommender(features=4, width=16):
    """Embeddings of categories, their products in pairs, and dense layers."""
    numbers = layers.Input((13,), name="numbers")
    inputs, found = [numbers], [layers.Dense(width, activation="relu")(numbers)]
    for feature in range(features):
        category = layers.Input((), dtype="int32", name=f"category_{feature}")
        inputs.append(category)
        found.append(layers.Embedding(1000, width)(category))
    pairs = [
        layers.Dot(axes=1)([a, b])
        for place, a in enumerate(found)
        for b in found[:place]
    ]
    x = layers.Concatenate()([found[0], *pairs])
    for units in (64, 32):
        x = layers.Dense(units, activation="relu")(x)
    model = graphc.Model(inputs, layers.Dense(1)(x), name="recommender")
    model.compile("rmsprop", BinaryCrossentropy(from_logits=True))
    return model


class GroupNormalization(layers.Layer):
    """Normalizes groups of channels."""

    def build(self, input_shape):
        """Creates scale and offset of each channel."""
        shape = (input_shape[-1],)
        self.scale = self.add_weight(shape=shape, initializer="ones", name="scale")
        self.offset = self.add_weight(shape=shape, initializer="zeros", name="offset")

    def call(self, x, groups=8, epsilon=1e-5):
        """The normalized images."""
        _, height, width, channels = x.shape
        y = ops.reshape(x, (-1, height, width, groups, channels // groups))
        y = y - ops.mean(y, axis=(1, 2, 4), keepdims=True)
        y = y * ops.rsqrt(ops.mean(y * y, axis=(1, 2, 4), keepdims=True) + epsilon)
        y = ops.reshape(y, (-1, height, width, channels))
        return y * self.scale + self.offset


def denoising(x, time, filters):
    """A residual block of a diffusion U-Net, which the time shifts."""
    y = layers.Conv2D(filters, 3, padding="same")(
        layers.Activation("silu")(GroupNormalization()(x))
    )
    shift = layers.Dense(filters)(layers.Activation("silu")(time))
    y = layers.Add()([y, layers.Reshape((1, 1, filters))(shift)])
    y = layers.Conv2D(filters, 3, padding="same")(
        layers.Activation("silu")(GroupNormalization()(y))
    )
    if x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1)(x)
    return layers.Add()([x, y])


def unet(size=16, channels=32):
    """One level of a diffusion U-Net: down, attention in the middle, up."""
    image = layers.Input((size, size, channels), name="image")
    time = layers.Input((64,), name="time")
    down = denoising(image, time, channels)
    x = layers.Conv2D(2 * channels, 3, 2, padding="same")(down)
    x = denoising(x, time, 2 * channels)
    y = layers.Reshape((size * size // 4, 2 * channels))(GroupNormalization()(x))
    y = layers.MultiHeadAttention(4, channels // 2)(y, y)
    x = layers.Add()([x, layers.Reshape((size // 2, size // 2, 2 * channels))(y)])
    x = layers.Conv2D(channels, 3, padding="same")(layers.UpSampling2D()(x))
    x = denoising(layers.Concatenate()([x, down]), time, channels)
    model = graphc.Model([image, time], x, name="unet")
    model.compile("adam", MeanSquaredError())
    return model


MODELS = {
    "cnn": (cnn, 32),
    "transformer": (transformer, 8),
    "lstm": (lstm, 16),
    "recommender": (recommender, 128),
    "unet": (unet, 4),
}
"""Each model with its batch size."""

KINDS = {"training": "train_step", "inference": "predict"}


def make(name, purpose):
    """The graph of one file: ``make("cnn", "training")``."""
    build, batch = MODELS[name]
    graphc.utils.clear_session()  # layers are numbered from 0 in each graph
    graph = build().graph(KINDS[purpose], batch_size=batch)
    for each in graph.reachable():
        for node in each.nodes:
            node.location = _anywhere(node.location)
    return graph


def _anywhere(location):
    """A location that does not say which directory this file is in."""
    if location is None:
        return None
    file, line, column = Path(location.file).name, location.line, location.column
    return Location(file, line, column, location.path, location.origin)


def paths():
    """The file of each graph, with the name and the purpose of its model."""
    for name in MODELS:
        for purpose in KINDS:
            yield HERE / f"{name}_{purpose}.gir", name, purpose


def graphs() -> dict[str, Graph]:
    """The graphs that the files hold, by name: ``cnn_training``."""
    return {
        path.stem: graphc.ir.parse(path.read_text(encoding="utf-8"))
        for path, _, _ in paths()
    }


if __name__ == "__main__":
    for path, name, purpose in paths():
        text = str(make(name, purpose))
        path.write_text(text, encoding="utf-8")
        print(f"{path.name:28} {len(text) / 1024:6.0f} KiB")
