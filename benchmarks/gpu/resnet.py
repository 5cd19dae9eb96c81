"""How fast is ResNet-50, in training and in inference?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    policy,
    random_array,
)
from benchmarks.gpu.functional import Jax, Torch, Weights
from benchmarks.gpu.inference import Inference
from benchmarks.gpu.training import (
    MOMENTUM,
    SPEED,
    jax_runner,
    jax_sgd,
    our_runner,
    torch_runner,
    torch_sgd,
    weights_of,
)
from graphc import layers


@dataclass(frozen=True)
class Sizes:
    """The sizes of a residual network."""

    image: int = 224
    width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    classes: int = 1000


TINY = Sizes(image=8, width=4, blocks=(1, 1), classes=10)


def _plan(sizes: Sizes) -> list[tuple[str, int, int, bool]]:
    """For each block its name, width, stride, and whether its shortcut has a layer."""
    return [
        (f"s{stage}b{n}", sizes.width << stage, 2 if stage and not n else 1, not n)
        for stage, count in enumerate(sizes.blocks)
        for n in range(count)
    ]


def network(sizes: Sizes) -> Any:
    """ResNet v1.5 (He et al., 2015; strides in the 3x3 convolutions)."""

    def conv(x: Any, name: str, filters: int, size: int, stride: int) -> Any:
        x = layers.ZeroPadding2D(size // 2)(x) if size > 1 else x
        return layers.Conv2D(
            filters,
            size,
            stride,
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_conv",
        )(x)

    def norm(x: Any, name: str) -> Any:
        return layers.BatchNormalization(momentum=0.99, epsilon=1e-5, name=name)(x)

    inputs = layers.Input((sizes.image, sizes.image, 3))
    x = conv(inputs, "stem", sizes.width, 7, 2)
    x = layers.ReLU()(norm(x, "stem"))
    # Nothing is negative here, so zeros around are as good as none.
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for name, width, stride, projects in _plan(sizes):
        y = layers.ReLU()(norm(conv(x, f"{name}_1", width, 1, 1), f"{name}_1"))
        y = layers.ReLU()(norm(conv(y, f"{name}_2", width, 3, stride), f"{name}_2"))
        y = norm(conv(y, f"{name}_3", 4 * width, 1, 1), f"{name}_3")
        if projects:
            x = norm(conv(x, f"{name}_0", 4 * width, 1, stride), f"{name}_0")
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return graphc.Model(inputs, layers.Dense(sizes.classes, name="head")(x))


def logits(
    f: Any,
    sizes: Sizes,
    p: Weights,
    x: Any,
    training: bool,
    changed: dict[str, Any],
) -> Any:
    """The same network by layers of torch or jax."""

    def block(x: Any, name: str, stride: int, size: int) -> Any:
        x = f.conv(p, f"{name}_conv", x, stride, size // 2)
        return f.batch_norm(p, name, x, training, changed)

    x = f.max_pool(f.relu(block(x, "stem", 2, 7)), 3, 2, 1)
    for name, _, stride, projects in _plan(sizes):
        y = f.relu(block(x, f"{name}_1", 1, 1))
        y = f.relu(block(y, f"{name}_2", stride, 3))
        y = block(y, f"{name}_3", 1, 1)
        x = block(x, f"{name}_0", stride, 1) if projects else x
        x = f.relu(x + y)
    return f.dense(p, "head", f.pixel_mean(x))


# -- training ------------------------------------------------------------------------------


def training(tiny: bool) -> Sequence[Steps]:
    """T3."""
    sizes, batch = (TINY, 4) if tiny else (Sizes(), 256)
    made = _Training(sizes, batch)
    return [
        Steps(
            f"B{batch}",
            {
                OURS: made.ours,
                EAGER: lambda options: made.in_torch(EAGER),
                COMPILED: lambda options: made.in_torch(COMPILED),
                TUNED: lambda options: made.in_torch(TUNED),
                JAX: lambda options: made.in_jax(),
            },
            trains=True,
            allowed=5e-2,
        )
    ]


class _Training:
    def __init__(self, sizes: Sizes, batch: int) -> None:
        self.sizes = sizes
        rng = np.random.default_rng(0)
        shape = (batch, sizes.image, sizes.image, 3)
        self.batches = [
            (
                random_array(rng, shape, "bfloat16"),
                rng.integers(0, sizes.classes, batch).astype("int32"),
            )
            for _ in range(2)
        ]
        self.weights: dict[str, Any] = {}

    def ours(self, options: Options) -> Runner:
        with policy("mixed_bfloat16"):
            model = network(self.sizes)
        self.weights = weights_of(model)
        model.compile(
            graphc.optimizers.SGD(SPEED, momentum=MOMENTUM),
            graphc.losses.SparseCategoricalCrossentropy(from_logits=True),
            target=options.target,
        )
        return our_runner(model, self.batches, options)

    def in_torch(self, name: str) -> Runner:
        f = Torch()

        def loss(weights: Weights, x: Any, y: Any) -> Any:
            p = f.narrowed(weights, "bfloat16")
            x = f.image(x, "bfloat16")
            return f.cross_entropy(logits(f, self.sizes, p, x, True, {}), y)

        return torch_runner(loss, self.weights, self.batches, torch_sgd, name)

    def in_jax(self) -> Runner:
        f = Jax()

        def loss(weights: Weights, x: Any, y: Any) -> Any:
            p = f.narrowed(weights, "bfloat16")
            changed: dict[str, Any] = {}
            found = logits(f, self.sizes, p, x, True, changed)
            return f.cross_entropy(found, y), changed

        return jax_runner(loss, self.weights, self.batches, jax_sgd)


# -- inference -----------------------------------------------------------------------------


def inference(tiny: bool) -> Sequence[Steps]:
    """I1."""
    sizes = TINY if tiny else Sizes()
    return [_inference(sizes, batch) for batch in ((2,) if tiny else (1, 128))]


def _inference(sizes: Sizes, batch: int) -> Steps:
    def run(f: Any, weights: Weights, x: Any, dtype: str) -> Any:
        p = f.narrowed(weights, dtype)
        return logits(f, sizes, p, f.image(x, dtype), False, {})

    shape = (batch, sizes.image, sizes.image, 3)
    x = random_array(np.random.default_rng(0), shape, "float16")
    with policy("float16"):
        model = network(sizes)
    made = Inference(model, weights_of(model), (x,), run)
    return made.steps(f"B{batch}", allowed=2e-2)
