"""What does a training step cost in time when it must fit into less memory?

    taskset -c 0 python benchmarks/memory_budget.py

A small GPT and a CNN, with budgets of 100, 75 and 50 % of the memory that their steps
are predicted to need without one. The losses of the first three steps must agree before
anything is timed. The table has what XLA allocates, what was predicted, and how long a
step takes beside the step without a budget.
"""

import numpy as np
from timing import interleaved, ratios

import graphc
from graphc import layers

SHARES = (1.0, 0.75, 0.5)


def gpt(tokens=128, width=128, blocks=4, heads=4, words=512):
    """A decoder of 4 blocks, and a batch of 16 sequences for it."""
    x = inputs = graphc.Input((tokens,), dtype="int32")
    x = layers.Embedding(words, width)(x)
    for _ in range(blocks):
        y = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(heads, width // heads)(y, y, use_causal_mask=True)
        x = layers.Add()([x, y])
        y = layers.LayerNormalization()(x)
        y = layers.Dense(width)(layers.Dense(4 * width, activation="gelu")(y))
        x = layers.Add()([x, y])
    outputs = layers.Dense(words)(layers.LayerNormalization()(x))
    rng = np.random.default_rng(0)
    batch = rng.integers(0, words, (2, 16, tokens), dtype=np.int32)
    return graphc.Model(inputs, outputs), tuple(batch)


def cnn(size=32, filters=(32, 32, 64, 64)):
    """Convolutions with layer normalization and GELU, and a batch of 64 images."""
    found = [graphc.Input((size, size, 3))]
    for count in filters:
        found.append(layers.Conv2D(count, 3, padding="same"))
        found.append(layers.LayerNormalization())
        found.append(layers.Activation("gelu"))
    found += [layers.GlobalAveragePooling2D(), layers.Dense(10)]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, size, size, 3)).astype(np.float32)
    return graphc.Sequential(found), (x, rng.integers(0, 10, 64).astype(np.int32))


class Contestant:
    """A model whose steps have a budget; all of its kind start from the same weights."""

    def __init__(self, make, weights, budget):
        self.model, (self.x, self.y) = make()
        loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile("adam", loss, memory_budget=budget)
        if weights is not None:
            self.model.set_weights(weights)
        self.weights = self.model.get_weights()
        self.losses = [self.step() for _ in range(3)]
        (program,) = self.model.step("train_step").programs.values()
        (self.executable,) = program.executables

    def step(self):
        """One step; its loss."""
        self.model.reset_metrics()
        return float(self.model.step("train_step")((self.x, self.y))["loss"])


def main() -> None:
    """Checks that the losses agree, then prints a table for each model."""
    for make in (gpt, cnn):
        free = Contestant(make, None, None)
        peak = free.executable.memory_plan().peak
        runs = {"none": free}
        for share in SHARES:
            runs[f"{share:.0%}"] = Contestant(make, free.weights, int(share * peak))
        for run in runs.values():
            np.testing.assert_allclose(run.losses, free.losses, rtol=1e-3)
        steps = {name: run.step for name, run in runs.items()}
        slower = ratios(interleaved(steps, rounds=10, inner=1), "none")
        print(
            f"{make.__name__:8}{'predicted':>11}{'measured':>10}{'temp':>9}{'time':>6}"
        )
        for name, run in runs.items():
            plan, memory = run.executable.memory_plan(), run.executable.memory()
            sizes = (plan.peak, memory.peak, memory.temporaries)
            row = "".join(f"{size / 2**20:9.1f}" for size in sizes)
            how = plan.attempts[-1].description if plan.attempts else ""
            print(f"{name:8} {row} {slower[name]:7.2f}  {how}")


if __name__ == "__main__":
    main()
