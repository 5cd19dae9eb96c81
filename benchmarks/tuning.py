"""How far two tuning runs on XLA:CPU agree, and what tuning is worth there.

``taskset -c 0 python -m benchmarks.tuning`` tunes each graph twice, with other seeds of
the search and stores of their own, and prints the lines, which part of them is the same,
and the time of what was chosen relative to the canonical choice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import graphc
from graphc import ops
from graphc.files.lock import Key, Line, agreement
from graphc.ir import Graph
from graphc.tuning.search import Budget
from graphc.tuning.store import MeasurementStore
from graphc.tuning.tuner import Settings, Task, line_of, tasks_of, tune_task

TARGET = "xla:cpu"


def graphs() -> dict[str, Graph]:
    """Graphs in which passes of the pipeline matter, and some in which none does."""
    found: dict[str, Graph] = {}
    spec = graphc.TensorSpec
    for size in (4, 8, 16):
        found[f"pool_{size}"] = graphc.trace(
            lambda x: ops.max_pool(ops.relu(x), 2), spec((4, size, size, 32))
        )
        gradient = graphc.grad(lambda x: ops.sum(ops.max_pool(x, 2) ** 2))
        found[f"pool_gradient_{size}"] = graphc.trace(
            gradient, spec((4, size, size, 32))
        )
    for size, channels in ((2, 64), (4, 64), (8, 32)):
        found[f"convolution_{size}"] = graphc.trace(
            lambda x, k: ops.conv(x, k, padding="same"),
            spec((2, size, size, channels)),
            spec((3, 3, channels, channels)),
        )
    for width in (64, 256):
        found[f"mlp_{width}"] = graphc.trace(
            lambda x, a, b: ops.softmax(ops.matmul(ops.relu(ops.matmul(x, a)), b)),
            spec((32, width)),
            spec((width, width)),
            spec((width, 10)),
        )
    found["attention"] = graphc.trace(
        lambda q, k, v: ops.matmul(ops.softmax(ops.matmul(q, k)), v),
        spec((4, 64, 32)),
        spec((4, 32, 64)),
        spec((4, 64, 32)),
    )
    return found


def tasks(settings: Settings) -> Iterator[tuple[str, Task]]:
    """What is tuned: pipelines, precision of products, steps in one dispatch."""
    for name, graph in graphs().items():
        precisions = ["float32"]
        if name.startswith("mlp"):
            precisions.append("mixed_bfloat16")
        for task in tasks_of({1: graph}, TARGET, {}, settings, None, precisions):
            yield name, task
    for batch in (4, 32):
        steps = {n: graph.bind(B=batch) for n, graph in train_steps(16).items()}
        blocks = {n: g.bind(K=n) if n > 1 else g for n, g in steps.items()}
        for task in tasks_of(blocks, TARGET, {"B": batch}, settings):
            yield f"train_{batch}", task


def train_steps(width: int) -> dict[int, Graph]:
    """The training step of a small model, alone and several in one dispatch."""
    model = graphc.Sequential(
        [
            graphc.Input((width,)),
            graphc.layers.Dense(width, "relu"),
            graphc.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    kinds = {1: "train_step", 4: "train_block", 16: "train_block"}
    return {steps: model.graph(kind) for steps, kind in kinds.items()}


def tuned(seed: int, folder: Path) -> tuple[dict[Key, Line], dict[Key, float]]:
    """The lock of one run over all graphs, and what each choice is worth."""
    lock: dict[Key, Line] = {}
    worth: dict[Key, float] = {}
    settings = Settings("evolutionary", Budget(24), seed, clock="cpu")
    store = MeasurementStore(folder / f"{seed}.sqlite")
    for name, task in tasks(settings):
        if task.space.size == 1:
            continue
        outcome = tune_task(task, store, settings)
        line = line_of(task, outcome)
        lock[line.about], worth[line.about] = line, outcome.ratio
        print(f"seed {seed}, {name}: {line.choice}, {outcome.ratio:.3f}", flush=True)
    return lock, worth


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = (tuned(seed, Path(folder))[0] for seed in (1, 2))
    print(f"{len(first)} lines, the same in both runs: {agreement(first, second):.1%}")


if __name__ == "__main__":
    main()
