"""What does inference gain from weights that are prepared once?

    taskset -c 0 python -m benchmarks.prepared_weights [NAME ...]

The inference of models, in float32 and by the policy `mixed_bfloat16`, beside the same
graph whose weights are converted, and whose statistics of normalizations become factors,
in each call. Outputs are compared before anything is timed. Times are of the processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import graphc
from benchmarks.cpu_models import WORKLOADS
from benchmarks.timing import interleaved, table
from graphc import layers
from graphc.runtime.compile import compile_graph
from graphc.runtime.executable import Executable

PLAIN, PREPARED = "in each call", "prepared"


def mlp() -> Any:
    """A perceptron of 512-1024-1024-100."""
    hidden = [layers.Dense(1024, activation="relu") for _ in range(2)]
    return graphc.Sequential([graphc.Input((512,)), *hidden, layers.Dense(100)])


def _vectors(count: int, rng: np.random.Generator) -> Any:
    return rng.normal(size=(count, 512)).astype("float32")


MODELS: dict[str, tuple[Callable[[], Any], Callable[[np.random.Generator], Any]]] = {
    "MLP, batch 32": (mlp, partial(_vectors, 32)),
    "MLP, batch 128": (mlp, partial(_vectors, 128)),
    "BERT, batch 1": (WORKLOADS["bert b1"].build, WORKLOADS["bert b1"].inputs),
    "ResNet-50, batch 1": (
        WORKLOADS["resnet50 b1"].build,
        WORKLOADS["resnet50 b1"].inputs,
    ),
}


def _call(executable: Executable, arrays: list[Any]) -> Any:
    return np.asarray(executable(*arrays)[0])


def measure(name: str, precision: str) -> str:
    """The table of a model."""
    build, draw = MODELS[name]
    x = draw(np.random.default_rng(0))
    model = build()
    model.predict_on_batch(x)
    graph = model.graph("predict", len(x))
    state = list(model.step("predict").programs.values())[-1].state
    runs: dict[str, Callable[[], Any]] = {}
    for each in (PLAIN, PREPARED):
        made = compile_graph(graph, precision=precision, prepare=each == PREPARED)
        weights = [made.program.place(v.numpy()) for v in state]
        runs[each] = partial(_call, made, [x, *weights])
    one, other = (run() for run in runs.values())
    assert np.abs(one - other).max() <= 2e-2 * np.abs(one).max()
    return table(interleaved(runs, 11, 2, time.process_time), PLAIN)


def main() -> None:
    """Prints a table for each model and precision."""
    for name in sys.argv[1:] or MODELS:
        for precision in ("float32", "mixed_bfloat16"):
            print(f"{name}, {precision}", measure(name, precision), sep="\n")


if __name__ == "__main__":
    main()
