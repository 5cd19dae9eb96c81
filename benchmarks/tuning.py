"""How far two tuning runs on XLA:CPU agree, and what tuning is worth there.

``taskset -c 0 python -m benchmarks.tuning`` tunes each graph twice, with other seeds of
the search and stores of their own, and prints the lines, which part of them is the same,
and the time of what was chosen relative to the canonical choice.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import graphc
from graphc import ops
from graphc.ir import Graph
from graphc.tuning.lock import Key, Line, agreement
from graphc.tuning.search import Budget
from graphc.tuning.store import MeasurementStore
from graphc.tuning.tuner import Settings, line_of, tasks_of, tune_task

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


def tuned(seed: int, folder: Path) -> tuple[dict[Key, Line], dict[Key, float]]:
    """The lock of one run over all graphs, and what each choice is worth."""
    lock: dict[Key, Line] = {}
    worth: dict[Key, float] = {}
    settings = Settings("evolutionary", Budget(24), seed, clock="cpu")
    store = MeasurementStore(folder / f"{seed}.sqlite")
    for name, graph in graphs().items():
        for task in tasks_of({1: graph}, TARGET, {}, settings):
            outcome = tune_task(task, store, settings)
            line = line_of(task, outcome)
            lock[line.about], worth[line.about] = line, outcome.ratio
            print(
                f"seed {seed}, {name}: {line.choice}, {outcome.ratio:.3f}", flush=True
            )
    return lock, worth


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = (tuned(seed, Path(folder))[0] for seed in (1, 2))
    print(f"{len(first)} lines, the same in both runs: {agreement(first, second):.1%}")


if __name__ == "__main__":
    main()
