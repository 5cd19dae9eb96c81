"""Training steps as graphs, for tests of passes that need a backward part."""

from __future__ import annotations

import functools

import graphc
from graphc import ops
from graphc.ir import Graph


def block(x, w1, w2):
    """A residual block with an activation and a normalization."""
    mean = ops.mean(x, axis=-1, keepdims=True)
    y = (x - mean) * ops.rsqrt(ops.var(x, axis=-1, keepdims=True) + 1e-3)
    return x + ops.matmul(ops.gelu(ops.matmul(y, w1)), w2)


@functools.cache
def step(blocks: int = 4, width: int = 8, examples: int | str = 16) -> Graph:
    """The loss of a stack of blocks and its gradients, as traced."""

    def loss(x, *weights):
        y = x
        for w1, w2 in zip(weights[::2], weights[1::2], strict=True):
            y = block(y, w1, w2)
        return ops.mean(y * y)

    shapes = [(width, 4 * width), (4 * width, width)] * blocks
    specs = [graphc.TensorSpec(shape) for shape in ((examples, width), *shapes)]
    wrt = tuple(range(1, len(specs)))
    return graphc.trace(graphc.value_and_grad(loss, argnums=wrt), *specs)
