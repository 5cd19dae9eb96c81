"""How fast is fit for models so small that launches cost more than kernels?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import graphc
from benchmarks.gpu.cases import Runner, Steps
from benchmarks.gpu.frameworks import (
    COMPILED,
    EAGER,
    JAX,
    OURS,
    TUNED,
    Options,
    random_array,
    wait_for_ours,
)
from benchmarks.gpu.functional import Jax, Torch, Weights
from benchmarks.gpu.training import (
    MOMENTUM,
    SPEED,
    jax_runner,
    jax_sgd,
    torch_runner,
    torch_sgd,
    weights_of,
)
from graphc import layers

BLOCK = 16
"""Steps that `fit` runs in one dispatch, in graphc's second contestant."""


def training(tiny: bool) -> Sequence[Steps]:
    """T4: an MLP and a CNN for images of 28 x 28, batches of 128."""
    batch, steps = (8, 2) if tiny else (128, 96)
    makers = {"MLP": (_mlp, _mlp_logits), "CNN": (_cnn, _cnn_logits)}
    return [
        _case(f"{name} B{batch}, {steps} steps", batch, steps, make, logits, tiny)
        for name, (make, logits) in makers.items()
    ]


def _mlp(tiny: bool) -> Any:
    return graphc.Sequential(
        [
            graphc.Input((8, 8, 1) if tiny else (28, 28, 1)),
            layers.Flatten(),
            layers.Dense(16 if tiny else 512, activation="relu", name="hidden"),
            layers.Dense(10, name="head"),
        ]
    )


def _mlp_logits(f: Any, p: Weights, x: Any) -> Any:
    return f.dense(p, "head", f.relu(f.dense(p, "hidden", f.flat(x))))


def _cnn(tiny: bool) -> Any:
    width = 4 if tiny else 32
    return graphc.Sequential(
        [
            graphc.Input((8, 8, 1) if tiny else (28, 28, 1)),
            layers.Conv2D(width, 3, use_bias=False, padding="same", name="first"),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(2 * width, 3, use_bias=False, padding="same", name="second"),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, name="head"),
        ]
    )


def _cnn_logits(f: Any, p: Weights, x: Any) -> Any:
    for name in ("first", "second"):
        x = f.max_pool(f.relu(f.conv(p, name, x, 1, 1)), 2, 2, 0)
    return f.dense(p, "head", f.flat(x))


def _case(
    name: str,
    batch: int,
    steps: int,
    make: Callable[[bool], Any],
    logits: Callable[..., Any],
    tiny: bool,
) -> Steps:
    rng = np.random.default_rng(0)
    side = 8 if tiny else 28
    x = random_array(rng, (steps * batch, side, side, 1), "float32")
    y = rng.integers(0, 10, steps * batch).astype("int32")
    batches = [
        (x[start : start + batch], y[start : start + batch])
        for start in range(0, len(x), batch)
    ]
    weights = weights_of(make(tiny))

    def fitted(options: Options, block: int) -> Runner:
        model = make(tiny)
        for weight in model.weights:
            weight.assign(weights["/".join(weight.path.split("/")[-2:])])
        model.compile(
            graphc.optimizers.SGD(SPEED, momentum=MOMENTUM),
            graphc.losses.SparseCategoricalCrossentropy(from_logits=True),
            steps_per_execution=block,
            target=options.target,
        )

        def epoch() -> Any:
            history = model.fit(x, y, batch, verbose=0, shuffle=False)
            return history.history["loss"][0]

        return Runner(epoch, lambda: wait_for_ours(options), steps)

    def in_torch(kind: str) -> Runner:
        f = Torch()

        def loss(weights: Weights, x: Any, y: Any) -> Any:
            return f.cross_entropy(logits(f, weights, f.image(x, "float32")), y)

        return _epoch(torch_runner(loss, weights, batches, torch_sgd, kind), steps)

    def in_jax() -> Runner:
        f = Jax()

        def loss(weights: Weights, x: Any, y: Any) -> Any:
            return f.cross_entropy(logits(f, weights, x), y), {}

        return _epoch(jax_runner(loss, weights, batches, jax_sgd), steps)

    return Steps(
        name,
        {
            OURS: lambda options: fitted(options, 1),
            f"{OURS}, {BLOCK} steps at once": lambda options: fitted(options, BLOCK),
            EAGER: lambda options: in_torch(EAGER),
            COMPILED: lambda options: in_torch(COMPILED),
            TUNED: lambda options: in_torch(TUNED),
            JAX: lambda options: in_jax(),
        },
        trains=True,
        allowed=2e-2,
    )


def _epoch(runner: Runner, steps: int) -> Runner:
    """A runner whose call is as many steps, and whose result their mean loss."""

    def epoch() -> Any:
        losses = [runner.step() for _ in range(steps)]
        return sum(losses[1:], losses[0]) / steps

    return Runner(epoch, runner.wait, steps, runner.memory)
