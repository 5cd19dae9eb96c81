"""How long do tracing, passes and emission take, and how does that grow?

    taskset -c 0 python -m benchmarks.compiler_speed
    taskset -c 0 python -m benchmarks.compiler_speed --target xla:cpu ResNet cells

Training steps with Adam, loss and accuracy: ResNet-50, GPT-2 of 12 blocks, and networks
of NASNet's cells up to 20,000 nodes. CPU seconds of this process; the exponent says with
which power of the number of nodes a time grows. `collection` is what Python's garbage
collector then makes up for, which a compile keeps from running.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import graphc
from benchmarks.gpu import gpt2, resnet
from graphc import layers
from graphc.codegen.stablehlo import emit_stablehlo
from graphc.codegen.triton.module import emit_kernels
from graphc.codegen.triton.planning import make_plan
from graphc.ir import Graph
from graphc.ir.collection import collection_paused
from graphc.passes import PassManager, PassRun

Times = dict[str, float]


def cells(count: int) -> Any:
    """A network of cells such as NASNet's (Zoph et al., 2018): five sums of branches."""

    def separable(x: Any, size: int) -> Any:
        for _ in range(2):
            x = layers.SeparableConv2D(32, size, padding="same", use_bias=False)(
                layers.ReLU()(x)
            )
            x = layers.BatchNormalization()(x)
        return x

    def squeezed(x: Any) -> Any:
        x = layers.Conv2D(32, 1, use_bias=False)(layers.ReLU()(x))
        return layers.BatchNormalization()(x)

    pool = layers.AveragePooling2D
    inputs = layers.Input((32, 32, 3))
    before = x = layers.BatchNormalization()(layers.Conv2D(32, 3)(inputs))
    for _ in range(count):
        p, h = squeezed(before), squeezed(x)
        sums = [
            layers.Add()([separable(h, 3), h]),
            layers.Add()([separable(p, 3), separable(h, 5)]),
            layers.Add()([pool(3, 1, padding="same")(h), p]),
            layers.Add()([pool(3, 1, padding="same")(p), pool(3, 1, "same")(p)]),
            layers.Add()([separable(p, 5), separable(p, 3)]),
        ]
        before, x = x, layers.Concatenate()([p, *sums])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return graphc.Model(inputs, layers.Dense(10)(x))


def transformer(blocks: int) -> Any:
    """GPT-2 (Radford et al., 2019)."""
    sizes = gpt2.Sizes(time=256, blocks=blocks)
    inputs = layers.Input((sizes.time,), dtype="int32")
    return graphc.Model(inputs, gpt2.Decoder(sizes)(inputs))


MODELS: dict[str, Callable[[], Any]] = {
    "ResNet-50": lambda: resnet.network(resnet.Sizes()),
    "GPT-2, 3 blocks": lambda: transformer(3),
    "GPT-2, 6 blocks": lambda: transformer(6),
    "GPT-2, 12 blocks": lambda: transformer(12),
    "GPT-2, 24 blocks": lambda: transformer(24),
    "4 cells": lambda: cells(4),
    "9 cells": lambda: cells(9),
    "18 cells": lambda: cells(18),
    "28 cells": lambda: cells(28),
}


def emit(graph: Graph, target: str) -> None:
    """Makes the text of a lowered graph."""
    if target == "triton":
        make_plan(graph, emit_kernels(graph))
    else:
        emit_stablehlo(graph)


def measure(make: Callable[[], Any], target: str) -> tuple[int, Times]:
    """The nodes after tracing and the CPU seconds of each stage."""
    model = make()
    model.compile(
        "adam",
        graphc.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    times: Times = {}
    gc.collect()
    last = time.process_time()

    def note(stage: str) -> None:
        nonlocal last
        now = time.process_time()
        times[stage] = times.get(stage, 0.0) + now - last
        last = now

    def watch(run: PassRun | None, graph: Graph) -> None:
        note(run.name.split("{")[0] if run else "start")

    graph = model.graph("train_step", batch_size=32)
    nodes = sum(map(len, graph.reachable()))
    note("trace")
    with collection_paused():  # as a compile does
        graph = graph.copy()
        manager = PassManager(target, verify=False, check=False, watch=watch)
        manager.run(graph)
        note("end")
        emit(graph, target)
        note("emit")
    gc.collect(0)  # what has been put off until now
    note("collection")
    times["total"] = sum(times.values())
    return nodes, times


def exponent(nodes: Sequence[int], seconds: Sequence[float]) -> float:
    """The power of the number of nodes with which the seconds grow."""
    return float(np.polyfit(np.log(nodes), np.log(seconds), 1)[0])


def table(found: dict[str, tuple[int, Times]]) -> str:
    """A column for each model and a row for each stage."""
    stages = list(dict.fromkeys(s for _, times in found.values() for s in times))
    names = "".join(f"{name:>18}" for name in found)
    lines = [
        f"{'CPU s':28}{names}{'exponent':>10}",
        f"{'nodes':28}" + "".join(f"{nodes:18}" for nodes, _ in found.values()),
    ]
    sizes = [nodes for nodes, _ in found.values()]
    for stage in stages:
        seconds = [times.get(stage, 0.0) for _, times in found.values()]
        text = "".join(f"{s:18.3f}" for s in seconds)
        grows = len(seconds) > 1 and min(seconds) > 0.005
        power = f"{exponent(sizes, seconds):10.2f}" if grows else ""
        lines.append(f"{stage:28}{text}{power}")
    return "\n".join(lines)


def main() -> None:
    """Prints a table for each family of models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=["xla", "xla:cpu", "triton"], default="xla")
    parser.add_argument("--rounds", type=int, default=3, help="the best counts")
    parser.add_argument("families", nargs="*", default=["ResNet", "GPT", "cells"])
    chosen = parser.parse_args()
    for family in chosen.families:
        names = [name for name in MODELS if family in name]
        found: dict[str, tuple[int, Times]] = {}
        for _ in range(chosen.rounds):
            for name in names:
                result = measure(MODELS[name], chosen.target)
                best = found.get(name)
                if best is None or result[1]["total"] < best[1]["total"]:
                    found[name] = result
        print(table(found), end="\n\n")


if __name__ == "__main__":
    main()
