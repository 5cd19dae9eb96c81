"""What do training steps and inference gain, and lose, in narrower floats?

    taskset -c 0 python benchmarks/precision.py [MODEL ...]

A multilayer perceptron, a transformer and a CNN, each as a training step and as
inference, in float32 and by each policy of `precision` that has a dtype this CPU has
products for. Before anything is timed, the outputs and the losses of ten steps are
compared with those in float32: their relative errors are printed beside the times.
Times are of the processor, so that others on the machine disturb them little.
"""

import sys
import time
from functools import partial

import numpy as np
from timing import interleaved, table

import graphc
from graphc import layers

POLICIES = ("float32", "mixed_bfloat16", "bfloat16")
STEPS = 10


def mlp():
    """A perceptron of 512-1024-1024-100."""
    hidden = [layers.Dense(1024, activation="relu") for _ in range(2)]
    return graphc.Sequential([graphc.Input((512,)), *hidden, layers.Dense(100)])


def transformer():
    """Two blocks of width 256 on 64 tokens of 1,000."""
    inputs = graphc.Input((64,), dtype="int32")
    x = layers.Embedding(1000, 256)(inputs)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(4, 64)(y, y, use_causal_mask=True)
        y = layers.LayerNormalization()(x)
        x = x + layers.Dense(256)(layers.Dense(1024, activation="gelu")(y))
    x = layers.LayerNormalization()(x)
    return graphc.Model(inputs, layers.Dense(1000)(x))


def cnn():
    """Three convolutions with batch normalization on 32 x 32 images."""
    stages = []
    for filters in (32, 64, 128):
        stages += [
            layers.Conv2D(filters, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(2),
        ]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(10)]
    return graphc.Sequential([graphc.Input((32, 32, 3)), *stages, *head])


def batch(name, rng):
    """Inputs and labels of one batch."""
    if name == "mlp":
        x = rng.normal(size=(128, 512)).astype("float32")
        return x, rng.integers(0, 100, 128)
    if name == "transformer":
        tokens = rng.integers(0, 1000, (8, 65))
        return tokens[:, :-1].astype("int32"), tokens[:, 1:]
    return rng.normal(size=(32, 32, 32, 3)).astype("float32"), rng.integers(0, 10, 32)


MODELS = {"mlp": mlp, "transformer": transformer, "cnn": cnn}


def relative_error(found, wanted):
    """The root of the mean squared error over that of the mean square."""
    found, wanted = (np.asarray(a, np.float64) for a in (found, wanted))
    return float(np.sqrt(np.mean((found - wanted) ** 2) / np.mean(wanted**2)))


def compiled(name, precision, weights):
    """A model that computes by a policy, with given initial weights."""
    model = MODELS[name]()
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(graphc.optimizers.Adam(1e-3), loss, precision=precision)
    if weights is not None:
        model.set_weights(weights)
    return model


def measure(name):
    """Prints a table of training steps and one of inference."""
    x, y = batch(name, np.random.default_rng(0))
    models, outputs, losses = {}, {}, {}
    weights = None
    for policy in POLICIES:
        models[policy] = compiled(name, policy, weights)
        weights = weights or [np.array(w) for w in models[policy].get_weights()]
        outputs[policy] = models[policy].predict_on_batch(x)
        found = []
        for _ in range(STEPS):
            models[policy].reset_metrics()
            found.append(float(models[policy].train_on_batch(x, y)))
        losses[policy] = found
    for what, results, method in (
        ("training", losses, "train_on_batch"),
        ("inference", outputs, "predict_on_batch"),
    ):
        contestants = {}
        for policy, model in models.items():
            error = relative_error(results[policy], results["float32"])
            assert error < 0.05, (name, what, policy, error)
            arguments = (x, y) if what == "training" else (x,)
            run = partial(getattr(model, method), *arguments)
            contestants[f"{policy} (error {error:.1e})"] = run
        print(f"{name}, {what}")
        times = interleaved(contestants, 15, 2, time.process_time)
        print(table(times, next(iter(contestants))))


if __name__ == "__main__":
    for chosen in sys.argv[1:] or MODELS:
        measure(chosen)
