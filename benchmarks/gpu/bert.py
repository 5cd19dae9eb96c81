"""How fast does BERT-base infer?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import graphc
from benchmarks.gpu.cases import Steps
from benchmarks.gpu.frameworks import policy
from benchmarks.gpu.functional import Weights
from benchmarks.gpu.inference import Inference
from benchmarks.gpu.training import weights_of
from graphc import layers, ops

EPSILON = 1e-12


@dataclass(frozen=True)
class Sizes:
    """The sizes of an encoder."""

    time: int = 128
    vocabulary: int = 30522
    width: int = 768
    heads: int = 12
    blocks: int = 12


TINY = Sizes(time=16, vocabulary=40, width=32, heads=2, blocks=1)


class Encoder(graphc.Model):
    """BERT (Devlin et al., 2019) for texts of one segment, without padding."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(name="bert")
        self.sizes = sizes
        width = sizes.width
        start = graphc.initializers.RandomNormal(stddev=0.02, seed=0)
        dense = partial(layers.Dense, kernel_initializer=start)
        norm = partial(layers.LayerNormalization, epsilon=EPSILON)
        embedding = partial(layers.Embedding, embeddings_initializer=start)
        self.tokens = embedding(sizes.vocabulary, width, name="tokens")
        self.positions = embedding(sizes.time, width, name="positions")
        self.first = norm(name="first")
        self.parts = [
            (
                *(dense(width, name=f"{letter}_{n}") for letter in "qkv"),
                dense(width, name=f"out_{n}"),
                norm(name=f"between_{n}"),
                dense(4 * width, name=f"expand_{n}"),
                dense(width, name=f"contract_{n}"),
                norm(name=f"after_{n}"),
            )
            for n in range(sizes.blocks)
        ]

    def call(self, tokens: Any) -> Any:
        """A vector for each token."""
        sizes = self.sizes
        x = self.tokens(tokens) + self.positions(np.arange(sizes.time, dtype="int32"))
        x = self.first(x)
        shape = (-1, sizes.time, sizes.heads, sizes.width // sizes.heads)
        for *qkv, out, between, expand, contract, after in self.parts:
            y = ops.dot_product_attention(*(ops.reshape(f(x), shape) for f in qkv))
            x = between(x + out(ops.reshape(y, (-1, sizes.time, sizes.width))))
            x = after(x + contract(ops.gelu(expand(x), approximate=False)))
        return x


def inference(tiny: bool) -> Sequence[Steps]:
    """I2."""
    sizes = TINY if tiny else Sizes()
    return [_inference(sizes, batch) for batch in ((2,) if tiny else (1, 32))]


def _inference(sizes: Sizes, batch: int) -> Steps:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, sizes.vocabulary, (batch, sizes.time)).astype("int32")
    with policy("float16"):
        model = Encoder(sizes)
        model.build(tokens.shape)

    def run(f: Any, weights: Weights, tokens: Any, dtype: str) -> Any:
        return vectors(f, sizes, f.narrowed(weights, dtype), tokens)

    made = Inference(model, weights_of(model), (tokens,), run)
    return made.steps(f"B{batch} T{sizes.time}", allowed=1e-2)


def vectors(f: Any, sizes: Sizes, p: Weights, tokens: Any) -> Any:
    """The same model by layers of torch or jax."""
    x = f.take(p["tokens/embeddings"], tokens) + p["positions/embeddings"]
    x = f.norm(p, "first", x, EPSILON)
    shape = (*tokens.shape, sizes.heads, sizes.width // sizes.heads)
    for n in range(sizes.blocks):
        q, k, v = (f.dense(p, f"{letter}_{n}", x).reshape(shape) for letter in "qkv")
        y = f.attention(q, k, v, False).reshape(x.shape)
        x = f.norm(p, f"between_{n}", x + f.dense(p, f"out_{n}", y), EPSILON)
        y = f.gelu(f.dense(p, f"expand_{n}", x), False)
        x = f.norm(p, f"after_{n}", x + f.dense(p, f"contract_{n}", y), EPSILON)
    return x
