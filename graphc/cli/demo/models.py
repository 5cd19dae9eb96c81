"""The demo's models, written as Keras users write them."""

from __future__ import annotations

from typing import Any

from graphc.frontend import layers, models


def digits_cnn() -> models.Sequential:
    """A small convolutional network for 8x8 images of digits."""
    return models.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.BatchNormalization(momentum=0.9),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.BatchNormalization(momentum=0.9),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(10),
        ],
        name="digits",
    )


class Positions(layers.Layer):
    """Adds a trained vector for each position of a sequence."""

    def build(self, input_shape: Any) -> None:
        """Creates the vectors."""
        self.vectors = self.add_weight(
            shape=input_shape[1:], initializer="uniform", name="vectors"
        )

    def call(self, x: Any) -> Any:
        """Adds them."""
        return x + self.vectors


def transformer(length: int, characters: int, width: int = 96, blocks: int = 2) -> Any:
    """A decoder-only character transformer."""
    inputs = layers.Input((length,), dtype="int32")
    x = layers.Embedding(characters, width)(inputs)
    x = Positions(name="positions")(x)
    for number in range(blocks):
        y = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(4, width // 4, name=f"attention_{number}")(
            y, y, use_causal_mask=True
        )
        x = layers.Add()([x, y])
        y = layers.LayerNormalization()(x)
        y = layers.Dense(4 * width, activation="gelu", name=f"expand_{number}")(y)
        y = layers.Dense(width, name=f"contract_{number}")(y)
        x = layers.Add()([x, y])
    outputs = layers.Dense(characters, name="logits")(layers.LayerNormalization()(x))
    return models.Model(inputs, outputs, name="characters")
