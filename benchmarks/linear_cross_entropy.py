"""What does a training step gain where the logits of its loss are never kept?

    taskset -c 0 python benchmarks/linear_cross_entropy.py

A small GPT (4 layers of width 256, 8 sequences of 128 tokens, a vocabulary of 8192) with
AdamW. The same step is compiled twice, with and without the passes that fuse the last
layer with the loss and compute both for a chunk of tokens at a time; the losses must
agree before anything is timed.
"""

import jax
import numpy as np
from timing import interleaved, table

import graphc
from graphc import layers
from graphc.passes.pipelines import XLA

VOCABULARY, TOKENS, WIDTH, BATCH = 8192, 128, 256, 8
PASSES = ("fuse_linear_cross_entropy,", "chunk_linear_cross_entropy,")


def build():
    """The model, compiled."""
    tokens = layers.Input((TOKENS,), dtype="int32")
    x = layers.Embedding(VOCABULARY, WIDTH)(tokens)
    for _ in range(4):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(8, WIDTH // 8)(y, y, use_causal_mask=True)
        y = layers.LayerNormalization()(x)
        y = layers.Dense(4 * WIDTH, activation="gelu")(y)
        x = x + layers.Dense(WIDTH)(y)
    logits = layers.Dense(VOCABULARY, use_bias=False)(layers.LayerNormalization()(x))
    model = graphc.models.Model(tokens, logits)
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(graphc.optimizers.AdamW(1e-3), loss)
    return model


def main() -> None:
    """Checks that the losses agree, then prints memory and the table."""
    draw = np.random.default_rng(0)
    graph = build().graph("train_step", batch_size=BATCH)
    arrays = [random_array(value.type, draw) for value in graph.parameters]
    without = XLA
    for name in PASSES:
        without = without.replace(name, "")
    steps = {
        "logits kept": graphc.compile(graph, passes=without),
        "a chunk of logits": graphc.compile(graph),
    }
    losses = [float(np.asarray(step(*arrays)[0])) for step in steps.values()]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    for name, step in steps.items():
        print(f"{name:28} {step.memory().temporaries / 2**20:10.1f} MiB of temporaries")
    runs = {
        name: lambda step=step: np.asarray(step(*arrays)[0])  # waits for the step
        for name, step in steps.items()
    }
    print(table(interleaved(runs, rounds=30, inner=1), "logits kept"))


def random_array(type, draw):
    """An array on the device: tokens, or numbers as weights may have them."""
    shape = type.static_shape
    if type.dtype.is_integer:
        return jax.numpy.asarray(draw.integers(0, VOCABULARY, shape), type.dtype.numpy)
    return jax.numpy.asarray(abs(draw.normal(0, 0.05, shape)), type.dtype.numpy)


if __name__ == "__main__":
    main()
