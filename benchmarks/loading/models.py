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
TOKENS, WIDTH, HEADS = 32, 64, 4
"""The tokens of an example of the transformer, the size of each, and its heads."""

EPSILON = 1e-5
"""What is added to variances."""

CALLS = 300

Layer = tuple[str, tuple[np.ndarray[Any, Any], ...]]


def layers(name: str) -> list[Layer]:
    """The layers of a model with their weights, the same in each process.

    Attention and what feeds forward normalize first, by a scale and an offset, and add
    what they are given; attention projects to queries, keys, values, then results.
    """
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
    if name == "transformer":
        scale = rng.normal(size=(2, WIDTH)).astype(np.float32)
        found: list[Layer] = []
        for _ in range(2):
            projections = [weights(WIDTH, WIDTH)[0] for _ in range(4)]
            hidden = (*weights(WIDTH, 256), *weights(256, WIDTH))
            found += [("attention", (*scale, *projections))]
            found += [("feed forward", (*scale, *hidden))]
        return [*found, ("mean", ()), ("dense", weights(WIDTH, 10))]
    first = [("conv", weights(3, 3, 1, 16)), relu, ("pool", ())]
    second = [("conv", weights(3, 3, 16, 32)), relu, ("pool", ())]
    return [*first, *second, ("flatten", ()), ("dense", weights(7 * 7 * 32, 10))]


def inputs(name: str) -> np.ndarray[Any, Any]:
    """A batch of a model's inputs, channels last."""
    shapes = {"mlp": (784,), "cnn": (28, 28, 1), "transformer": (TOKENS, WIDTH)}
    shape = (BATCH, *shapes[name])
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
    before = time.process_time()
    for _ in range(CALLS):
        start = time.perf_counter()
        np.asarray(run(x))
        calls.append(time.perf_counter() - start)
    computed = time.process_time() - before
    found = {
        "import": imported - started,
        "load": loaded - imported,
        "first call": first - loaded,
        "first result": first - started,
        "first result, CPU": used,
        "later call": statistics.median(calls),
        "later call, CPU": computed / CALLS,
    }
    print(json.dumps({"seconds": found, "results": y.tolist()}))
