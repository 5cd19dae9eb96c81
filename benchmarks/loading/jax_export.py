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
        else:
            x = jax.nn.relu(x)
    return x


command, name, folder = sys.argv[1:4]
path = Path(folder) / f"{name}.jax"
if command == "build":
    spec = jax.ShapeDtypeStruct(models.inputs(name).shape, "float32")
    made = jax.export.export(jax.jit(lambda x: run(name, x)))(spec)
    path.write_bytes(made.serialize())
else:
    models.measure(lambda: jax.jit(jax.export.deserialize(path.read_bytes()).call))
