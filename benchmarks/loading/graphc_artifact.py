"""graphc's artifacts: ``build MODEL FOLDER``, or ``load MODEL FOLDER [trust]``."""

import sys

import graphc
from benchmarks.loading import models


def build(name: str, path: str) -> None:
    """Writes the artifact."""
    made = [graphc.Input(models.inputs(name).shape[1:])]
    for kind, weights in models.layers(name):
        if kind == "dense":
            made.append(graphc.layers.Dense(weights[1].size))
        elif kind == "conv":
            made.append(graphc.layers.Conv2D(weights[1].size, 3, padding="same"))
        elif kind == "pool":
            made.append(graphc.layers.MaxPooling2D())
        elif kind == "flatten":
            made.append(graphc.layers.Flatten())
        else:
            made.append(graphc.layers.ReLU())
    model = graphc.Sequential(made)
    model.set_weights([w for _, weights in models.layers(name) for w in weights])
    model.export(path, targets=["xla:cpu"], batch=models.BATCH)


command, name, folder, *rest = sys.argv[1:]
path = f"{folder}/{name}.gcx"
if command == "build":
    build(name, path)
else:
    trust = "code" if rest else None
    models.measure(lambda: graphc.load(path, trust=trust))
