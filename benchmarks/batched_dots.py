"""Does XLA on a CPU gain where small equal dots that share nothing become one?

    taskset -c 0 python -m benchmarks.batched_dots

Products of m by k and k by n matrices, as of experts or heads that a loop in Python
goes through: each by itself, and as one batched product whose operands are joined in
each call ("joined") or slices of one array anyway ("sliced"). Results must agree before
anything is timed. Times are of the processor.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import jax
import numpy as np

import graphc
from benchmarks.timing import interleaved, ratios
from graphc import ops

APART, JOINED, SLICED = "apart", "joined", "sliced"
SIZES = [
    (8, 16, 64, 64),
    (8, 32, 64, 16),
    (16, 128, 32, 128),
    (8, 128, 256, 256),
    (32, 8, 32, 32),
    (16, 1, 64, 64),
]
"""How many dots, m, k and n."""


def apart(*operands: Any) -> Any:
    """The sum of one product after the other."""
    half = len(operands) // 2
    products = [x @ w for x, w in zip(operands[:half], operands[half:], strict=True)]
    return ops.tanh(ops.stack(products))


def joined(*operands: Any) -> Any:
    """The same of operands that are stacked first."""
    half = len(operands) // 2
    return ops.tanh(ops.stack(operands[:half]) @ ops.stack(operands[half:]))


def cut(x: Any, w: Any) -> Any:
    """Products of slices of two arrays."""
    products = [x[i] @ w[i] for i in range(x.shape[0])]
    return ops.tanh(ops.stack(products))


def sliced(x: Any, w: Any) -> Any:
    """The same as one product."""
    return ops.tanh(x @ w)


def measured(count: int, m: int, k: int, n: int) -> tuple[float, float]:
    """The time of joined products over that of single ones; of sliced ones as well."""
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=(count, *shape)).astype("f") for shape in ((m, k), (k, n)))
    pairs = {
        JOINED: (apart, joined, [*x, *w]),
        SLICED: (cut, sliced, [x, w]),
    }
    found: list[float] = []
    for single, batched, arrays in pairs.values():
        given = [jax.numpy.asarray(array) for array in arrays]
        specs = [graphc.TensorSpec(array.shape) for array in arrays]
        runs = {
            name: partial(
                _finished, graphc.compile(function, *specs, passes="xla"), given
            )
            for name, function in ((APART, single), ("one", batched))
        }
        want, got = (run() for run in runs.values())
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
        times = interleaved(runs, 11, 20, time.process_time)
        found.append(ratios(times, APART)["one"])
    return found[0], found[1]


def _finished(program: Any, arrays: Any) -> Any:
    return np.asarray(program(*arrays))


def main() -> None:
    """Prints a row for each size."""
    print(f"{'dots':>5} {'m':>5} {'k':>5} {'n':>5} {JOINED:>8} {SLICED:>8}")
    for size in SIZES:
        first, second = measured(*size)
        row = " ".join(f"{each:5}" for each in size)
        print(f"{row} {first:8.2f} {second:8.2f}", flush=True)


if __name__ == "__main__":
    main()
