"""Where does the time of a first call go: tracing, passes, emission, XLA?

    python benchmarks/compile_time.py

CPU seconds of this process for training steps of the demo's two models.
"""

import time

from graphc.cli.demo import models
from graphc.frontend.training.losses import SparseCategoricalCrossentropy
from graphc.runtime.compile import compile_graph


def main() -> None:
    """Prints a row for each model."""
    print(f"{'':14}{'nodes':>8}{'trace':>8}{'passes':>8}{'emit':>8}{'XLA':>8}  CPU s")
    contestants = {
        "digits": models.digits_cnn,
        "transformer": lambda: models.transformer(64, 96),
    }
    for name, make in contestants.items():
        start = time.process_time()
        model = make()
        model.compile("adam", SparseCategoricalCrossentropy(from_logits=True))
        graph = model.graph("train_step", batch_size=32)
        trace = time.process_time() - start
        executable = compile_graph(graph)
        total = time.process_time() - start
        seconds = executable.compile_seconds
        xla = total - trace - seconds["passes"] - seconds["emit"]
        print(
            f"{name:14}{len(executable.graph):8}{trace:8.2f}"
            f"{seconds['passes']:8.2f}{seconds['emit']:8.2f}{xla:8.2f}"
        )


if __name__ == "__main__":
    main()
