"""What the cache saves: the first and the second start of the same program.

    python -m benchmarks.second_start [--rounds 3]

A process builds a model, trains it for one step and predicts. The first start has an
empty cache, the second what the first one left there and compiles nothing, which is
checked; both give the same bits. Ratios are medians over the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter

import jax
import numpy as np

import graphc
from graphc.cli.demo import models

EVENTS = ("cache_hits", "cache_misses")


def work(name: str) -> None:
    """Trains a model for a step, predicts, and prints what that took."""
    counts: Counter[str] = Counter()
    jax.monitoring.register_event_listener(
        lambda event, **_: counts.update([event.rpartition("/")[2]])
    )
    graphc.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    if name == "cnn":
        model = models.digits_cnn()
        x = rng.normal(size=(32, *model.inputs[0].shape[1:])).astype(np.float32)
        y = rng.integers(0, 10, 32)
    else:
        model = models.transformer(64, 96)
        x, y = rng.integers(0, 96, (32, 64)), rng.integers(0, 96, (32, 64))
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    found = float(np.asarray(model.train_on_batch(x, y)))
    outputs = np.asarray(model.predict(x, verbose=0))
    seconds = time.time() - float(os.environ["STARTED"])
    said = [seconds, found, float(np.sum(outputs)), *(counts[e] for e in EVENTS)]
    print(json.dumps(said))


def started(name: str, cache: str) -> list[float]:
    """What a start of the program prints."""
    variables = os.environ | {"GRAPHC_CACHE": cache, "STARTED": repr(time.time())}
    command = [sys.executable, "-m", "benchmarks.second_start", "--work", name]
    done = subprocess.run(
        command, env=variables, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    print(f"{'':14}{'first s':>9}{'second s':>10}{'ratio':>8}  compiled, then found")
    for name in ("cnn", "transformer"):
        pairs = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                cache = f"{folder}/cache"
                pairs.append((started(name, cache), started(name, cache)))
        for first, second in pairs:
            assert first[1:3] == second[1:3], "the results differ"
            assert second[4] == 0, "the second start compiled something"
        times = [statistics.median(pair[i][0] for pair in pairs) for i in (0, 1)]
        ratio = statistics.median(first[0] / second[0] for first, second in pairs)
        first, second = pairs[-1]
        print(
            f"{name:14}{times[0]:9.2f}{times[1]:10.2f}{ratio:8.2f}"
            f"  {first[4]:.0f}, {second[3]:.0f}"
        )


if __name__ == "__main__":
    main()
