"""Saves a model again and again in processes that are killed at random moments.

The weights of the k-th save are all k. After each kill the file must load, hold one k
everywhere, and no older one than the last that was reported saved.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import graphc

KILLS = int(sys.argv[2])
path = Path(sys.argv[1])
weights_only = path.suffix == ".safetensors"


def build() -> Any:
    return graphc.Sequential(
        [graphc.Input((256,)), graphc.layers.Dense(1024), graphc.layers.Dense(256)]
    )


def save_forever(model: Any, version: int, report: int) -> None:
    while True:
        version += 1
        for weight in model.weights:
            weight.assign(np.full(weight.shape, version, np.float32))
        (model.save_weights if weights_only else model.save)(path)
        os.write(report, f"{version}\n".encode())


def version_of(model: Any) -> int:
    if weights_only:
        model.load_weights(path)
    else:
        model = graphc.load_model(path)
    (found,) = {float(x) for w in model.weights for x in np.unique(w.numpy())}
    return int(found)


model = build()
for weight in model.weights:
    weight.assign(np.zeros(weight.shape, np.float32))
(model.save_weights if weights_only else model.save)(path)
random.seed(0)
version, during = 0, 0
for _ in range(KILLS):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        save_forever(model, version, writing)
    os.close(writing)
    time.sleep(random.uniform(0.01, 0.2))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        reported = [int(line) for line in pipe.read().split()]
    found = version_of(build())
    last = reported[-1] if reported else version
    assert last <= found <= last + 1, (last, found)
    during += len(list(path.parent.glob(".*.tmp"))) > 0
    for leftover in path.parent.glob(".*.tmp"):
        leftover.unlink()
    version = found
print(f"versions={version} during={during}")
