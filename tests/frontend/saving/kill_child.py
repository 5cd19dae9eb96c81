"""Saves a model again and again in processes that are killed at random moments.

The weights of the k-th save are all k.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import graphc
from tests.files.kills import kill_writers

path = Path(sys.argv[1])
weights_only = path.suffix == ".safetensors"


def build() -> Any:
    return graphc.Sequential(
        [graphc.Input((256,)), graphc.layers.Dense(1024), graphc.layers.Dense(256)]
    )


def save(version: int) -> None:
    for weight in model.weights:
        weight.assign(np.full(weight.shape, version, np.float32))
    (model.save_weights if weights_only else model.save)(path)


def saved() -> int:
    found = build()
    if weights_only:
        found.load_weights(path)
    else:
        found = graphc.load_model(path)
    (version,) = {float(x) for w in found.weights for x in np.unique(w.numpy())}
    return int(version)


model = build()
versions, during = kill_writers(
    save, saved, lambda: path.parent.glob(".*.tmp"), int(sys.argv[2])
)
print(f"versions={versions} during={during}")
