"""``jax.export``: ``build MODEL FOLDER``, or ``load MODEL FOLDER``."""

import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp

from benchmarks.loading import models


def run(name: str, x: jax.Array) -> jax.Array:
    """The model."""
    for kind, weights in models.layers(name):
        if kind == "dense":
            x = x @ weights[0] + weights[1]
        elif kind == "conv":
            numbers = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(
                x, weights[0], (1, 1), "SAME", dimension_numbers=numbers
            )
            x = x + weights[1]
        elif kind == "pool":
            window = (1, 2, 2, 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        elif kind == "attention":
            x = x + attention(normalized(x, *weights[:2]), *weights[2:])
        elif kind == "feed forward":
            first, one, second, two = weights[2:]
            hidden = jax.nn.relu(normalized(x, *weights[:2]) @ first + one)
            x = x + hidden @ second + two
        elif kind == "mean":
            x = x.mean(1)
        else:
            x = jax.nn.relu(x)
    return x


def normalized(x: jax.Array, scale: jax.Array, offset: jax.Array) -> jax.Array:
    """Each token with a mean of 0 and a variance of 1, then scaled."""
    centered = x - x.mean(-1, keepdims=True)
    variance = (centered * centered).mean(-1, keepdims=True)
    return centered * jax.lax.rsqrt(variance + models.EPSILON) * scale + offset


def attention(x: jax.Array, *projections: jax.Array) -> jax.Array:
    """Attention of each token to all."""
    heads = (*x.shape[:2], models.HEADS, -1)
    q, k, v = ((x @ each).reshape(heads) for each in projections[:3])
    return jax.nn.dot_product_attention(q, k, v).reshape(x.shape) @ projections[3]


command, name, folder = sys.argv[1:4]
path = Path(folder) / f"{name}.jax"
if command == "build":
    spec = jax.ShapeDtypeStruct(models.inputs(name).shape, "float32")
    made = jax.export.export(jax.jit(lambda x: run(name, x)))(spec)
    path.write_bytes(made.serialize())
else:
    models.measure(lambda: jax.jit(jax.export.deserialize(path.read_bytes()).call))
