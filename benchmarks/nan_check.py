"""What does ``compile(..., check="nan")`` cost while everything stays finite?

    taskset -c 0 python -m benchmarks.nan_check

Training steps with and without the check, of a wide and a small multilayer perceptron,
a CNN and a transformer block, all with Adam. Two models with the same weights take
turns on the same batch; their losses must be equal before anything is timed. Times are
of the processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc
from benchmarks.timing import interleaved, table
from graphc import layers

PLAIN, CHECKED = "without", 'check="nan"'


def wide() -> Any:
    """Two layers of 2048: a step is mostly the optimizer's, which is bound by memory."""
    return [layers.Dense(2048, activation="relu"), layers.Dense(2048), layers.Dense(10)]


def small() -> Any:
    """Two layers of 64: a step is mostly dispatch."""
    return [layers.Dense(64, activation="relu"), layers.Dense(64), layers.Dense(10)]


def cnn() -> Any:
    """Three convolutions with batch normalization."""
    inner: list[Any] = [layers.Reshape((16, 16, 3))]
    for width in (16, 32, 64):
        inner += [
            layers.Conv2D(width, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
        ]
    return [*inner, layers.Flatten(), layers.Dense(10)]


class Block(layers.Layer):
    """Attention and a feed-forward network, each with a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = layers.MultiHeadAttention(4, width // 4)
        self.norms = [layers.LayerNormalization() for _ in range(2)]
        self.grow = layers.Dense(4 * width, activation="gelu")
        self.shrink = layers.Dense(width)

    def call(self, x: Any) -> Any:
        """The block's output, in the shape of `x`."""
        y = self.norms[0](x)
        x = x + self.attention(y, y)
        return x + self.shrink(self.grow(self.norms[1](x)))


def transformer() -> Any:
    """A block of width 128 on 6 tokens for each example."""
    return [layers.Reshape((6, 128)), Block(128), layers.Flatten(), layers.Dense(10)]


MODELS: dict[str, tuple[Callable[[], Any], int]] = {
    "wide": (wide, 32),
    "small": (small, 32),
    "cnn": (cnn, 32),
    "transformer": (transformer, 16),
}
"""What makes the layers of a model, and the batch size."""


def stepper(make: Callable[[], Any], check: str | None, batch: int) -> Any:
    """A function that trains on one batch and returns the loss."""
    graphc.utils.set_random_seed(0)
    model = graphc.Sequential([graphc.Input((768,)), *make()])
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, check=check)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, 768)).astype(np.float32)
    y = rng.integers(0, 10, batch).astype(np.int32)
    return lambda: model.train_on_batch(x, y)


def main() -> None:
    """Prints a table for each model."""
    for name, (make, batch) in MODELS.items():
        steps = {
            PLAIN: stepper(make, None, batch),
            CHECKED: stepper(make, "nan", batch),
        }
        losses = {key: [step() for _ in range(3)] for key, step in steps.items()}
        assert np.allclose(losses[PLAIN], losses[CHECKED], rtol=1e-5), losses
        times = interleaved(steps, rounds=11, inner=8, clock=time.process_time)
        print(f"{name}\n{table(times, PLAIN)}\n", flush=True)


if __name__ == "__main__":
    main()
