"""What the models are, for all runtimes, and how loading them is measured."""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BATCH = 32
CALLS = 300

Layer = tuple[str, tuple[np.ndarray[Any, Any], ...]]


def layers(name: str) -> list[Layer]:
    """The layers of a model with their weights, the same in each process."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        scale = 1 / np.sqrt(np.prod(shape[:-1]))
        kernel = rng.normal(size=shape).astype(np.float32) * np.float32(scale)
        return kernel, rng.normal(size=shape[-1]).astype(np.float32)

    relu: Layer = ("relu", ())
    if name == "mlp":
        hidden = [
            ("dense", weights(784, 512)),
            relu,
            ("dense", weights(512, 512)),
            relu,
        ]
        return [*hidden, ("dense", weights(512, 10))]
    first = [("conv", weights(3, 3, 1, 16)), relu, ("pool", ())]
    second = [("conv", weights(3, 3, 16, 32)), relu, ("pool", ())]
    return [*first, *second, ("flatten", ()), ("dense", weights(7 * 7 * 32, 10))]


def inputs(name: str) -> np.ndarray[Any, Any]:
    """A batch of a model's inputs, channels last."""
    shape = (BATCH, 784) if name == "mlp" else (BATCH, 28, 28, 1)
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def measure(load: Callable[[], Callable[[Any], Any]]) -> None:
    """Prints how long it took to be ready, and how long calls took.

    What was imported until now, and when the process was started, counts as loading:
    some import what they need when they load.

    Args:
        load: Loads the program, which takes an array and returns one.
    """
    x = inputs(sys.argv[2])
    started = float(os.environ["STARTED"])
    imported = time.time()
    run = load()
    loaded = time.time()
    y = np.asarray(run(x))
    first, used = time.time(), time.process_time()
    calls: list[float] = []
    for _ in range(CALLS):
        start = time.perf_counter()
        np.asarray(run(x))
        calls.append(time.perf_counter() - start)
    found = {
        "import": imported - started,
        "load": loaded - imported,
        "first call": first - loaded,
        "first result": first - started,
        "first result, CPU": used,
        "later call": statistics.median(calls),
    }
    print(json.dumps({"seconds": found, "results": y.tolist()}))
