"""How fast does GPT-2 124M train, the whole step?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
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
)
from benchmarks.gpu.functional import Jax, Torch, Weights
from benchmarks.gpu.training import (
    BETAS,
    DECAY,
    EPSILON,
    RATE,
    jax_adamw,
    jax_runner,
    our_runner,
    torch_adamw,
    torch_runner,
    weights_of,
)
from graphc import layers, ops


@dataclass(frozen=True)
class Sizes:
    """The sizes of a decoder and of its batches."""

    batch: int = 32
    time: int = 1024
    vocabulary: int = 50304
    width: int = 768
    heads: int = 12
    blocks: int = 12

    @property
    def flops(self) -> int:
        """Of the products of a training step, logits that are masked not counted."""
        linear = 12 * self.width**2 * self.blocks + self.width * self.vocabulary
        attention = 2 * self.width * self.time * self.blocks // 2
        return 6 * self.batch * self.time * (linear + attention)


TINY = Sizes(batch=2, time=16, vocabulary=48, width=32, heads=2, blocks=1)


class Decoder(graphc.Model):
    """GPT-2 (Radford et al., 2019) without dropout; the head's weights are the table's."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(name="gpt2")
        self.sizes = sizes
        width = sizes.width
        start = graphc.initializers.RandomNormal(stddev=0.02, seed=0)
        dense = partial(layers.Dense, kernel_initializer=start)
        norm = partial(layers.LayerNormalization, epsilon=1e-5)
        embedding = partial(layers.Embedding, embeddings_initializer=start)
        self.tokens = embedding(sizes.vocabulary, width, name="tokens")
        self.positions = embedding(sizes.time, width, name="positions")
        self.parts = [
            (
                norm(name=f"before_{n}"),
                dense(3 * width, name=f"qkv_{n}"),
                dense(width, name=f"out_{n}"),
                norm(name=f"between_{n}"),
                dense(4 * width, name=f"expand_{n}"),
                dense(width, name=f"contract_{n}"),
            )
            for n in range(sizes.blocks)
        ]
        self.last = norm(name="last")

    def call(self, tokens: Any) -> Any:
        """The logits of the next tokens."""
        sizes = self.sizes
        x = self.tokens(tokens) + self.positions(np.arange(sizes.time, dtype="int32"))
        depth = sizes.width // sizes.heads
        for before, qkv, out, between, expand, contract in self.parts:
            q, k, v = (
                ops.reshape(part, (-1, sizes.time, sizes.heads, depth))
                for part in ops.split(qkv(before(x)), 3, axis=-1)
            )
            y = ops.dot_product_attention(q, k, v, is_causal=True)
            x = x + out(ops.reshape(y, (-1, sizes.time, sizes.width)))
            x = x + contract(ops.gelu(expand(between(x)), approximate=True))
        x = self.last(x)
        table = ops.cast(self.tokens.embeddings, x.dtype)
        return ops.matmul(x, ops.transpose(table))


def training(tiny: bool) -> Sequence[Steps]:
    """T1."""
    sizes = TINY if tiny else Sizes()
    model = _Made(sizes)
    return [
        Steps(
            f"B{sizes.batch} T{sizes.time}",
            {
                OURS: model.ours,
                EAGER: lambda options: model.in_torch(EAGER),
                COMPILED: lambda options: model.in_torch(COMPILED),
                TUNED: lambda options: model.in_torch(TUNED),
                JAX: lambda options: model.in_jax(),
            },
            trains=True,
            allowed=1e-2,
            flops=sizes.flops,
        )
    ]


class _Made:
    """The contestants, which start from the same weights."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        rng = np.random.default_rng(0)
        shape = (8, sizes.batch, sizes.time + 1)
        tokens = rng.integers(0, sizes.vocabulary, shape).astype("int32")
        self.batches = [(t[:, :-1].copy(), t[:, 1:].copy()) for t in tokens]
        self.weights: dict[str, Any] = {}

    def ours(self, options: Options) -> Runner:
        with policy("mixed_bfloat16"):
            model = Decoder(self.sizes)
            model.build(self.batches[0][0].shape)
        self.weights = weights_of(model)
        model.compile(
            graphc.optimizers.AdamW(
                RATE,
                weight_decay=DECAY,
                beta_1=BETAS[0],
                beta_2=BETAS[1],
                epsilon=EPSILON,
            ),
            graphc.losses.SparseCategoricalCrossentropy(from_logits=True),
            target=options.target,
        )
        return our_runner(model, self.batches, options)

    def in_torch(self, name: str) -> Runner:
        f = Torch()

        def loss(weights: Weights, x: Any, y: Any) -> Any:
            return _loss(f, self.sizes, weights, x, y)

        return torch_runner(loss, self.weights, self.batches, torch_adamw, name)

    def in_jax(self) -> Runner:
        def loss(weights: Weights, x: Any, y: Any) -> Any:
            return _loss(Jax(), self.sizes, weights, x, y), {}

        return jax_runner(loss, self.weights, self.batches, jax_adamw)


def _loss(f: Any, sizes: Sizes, weights: Weights, tokens: Any, labels: Any) -> Any:
    """The same model by layers of torch or jax."""
    p = f.narrowed(weights, "bfloat16")
    x = f.take(p["tokens/embeddings"], tokens) + p["positions/embeddings"]
    shape = (*tokens.shape, sizes.heads, sizes.width // sizes.heads)
    for n in range(sizes.blocks):
        qkv = f.dense(p, f"qkv_{n}", f.norm(p, f"before_{n}", x, 1e-5))
        q, k, v = (part.reshape(shape) for part in f.split(qkv, 3))
        y = f.attention(q, k, v, True).reshape(x.shape)
        x = x + f.dense(p, f"out_{n}", y)
        y = f.gelu(f.dense(p, f"expand_{n}", f.norm(p, f"between_{n}", x, 1e-5)), True)
        x = x + f.dense(p, f"contract_{n}", y)
    x = f.norm(p, "last", x, 1e-5)
    return f.cross_entropy(x @ p["tokens/embeddings"].T, labels)
