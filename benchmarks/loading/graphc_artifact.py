"""graphc's artifacts: ``build MODEL FOLDER``, or ``load MODEL FOLDER [trust]``.

Layers are imported when something is built: what loads does without them.
"""

import sys

import graphc
from benchmarks.loading import models


def build(name: str, path: str) -> None:
    """Writes the artifact."""
    inputs = graphc.Input(models.inputs(name).shape[1:])
    x = inputs
    for kind, weights in models.layers(name):
        if kind == "dense":
            x = applied(graphc.layers.Dense(weights[1].size), weights, x)
        elif kind == "conv":
            layer = graphc.layers.Conv2D(weights[1].size, 3, padding="same")
            x = applied(layer, weights, x)
        elif kind == "pool":
            x = graphc.layers.MaxPooling2D()(x)
        elif kind == "flatten":
            x = graphc.layers.Flatten()(x)
        elif kind == "attention":
            norm = graphc.layers.LayerNormalization(epsilon=models.EPSILON)
            x = x + attention(applied(norm, weights[:2], x), *weights[2:])
        elif kind == "feed forward":
            norm = graphc.layers.LayerNormalization(epsilon=models.EPSILON)
            y = applied(norm, weights[:2], x)
            y = applied(graphc.layers.Dense(weights[3].size, "relu"), weights[2:4], y)
            x = x + applied(graphc.layers.Dense(weights[5].size), weights[4:], y)
        elif kind == "mean":
            x = graphc.layers.GlobalAveragePooling1D()(x)
        else:
            x = graphc.layers.ReLU()(x)
    model = graphc.Model(inputs, x)
    model.export(path, targets=["xla:cpu"], batch=models.BATCH)


def applied(layer, weights, x):
    """What a layer with these weights makes of a tensor."""
    y = layer(x)
    layer.set_weights(list(weights))
    return y


def attention(x, *projections):
    """Attention of each token to all."""
    dense = [graphc.layers.Dense(models.WIDTH, use_bias=False) for _ in projections]
    heads = (-1, models.TOKENS, models.HEADS, models.WIDTH // models.HEADS)
    q, k, v = (
        graphc.ops.reshape(applied(layer, [kernel], x), heads)
        for layer, kernel in zip(dense, projections[:3], strict=False)
    )
    y = graphc.ops.reshape(
        graphc.ops.dot_product_attention(q, k, v), (-1, models.TOKENS, models.WIDTH)
    )
    return applied(dense[3], [projections[3]], y)


command, name, folder, *rest = sys.argv[1:]
path = f"{folder}/{name}.gcx"
if command == "build":
    build(name, path)
else:
    trust = "code" if rest else None
    models.measure(lambda: graphc.load(path, trust=trust))
