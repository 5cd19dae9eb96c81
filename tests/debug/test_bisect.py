"""Any program stops after any number of rewrites, and still compiles and is right."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.debug.judges import Meaning, evaluated
from graphc.ir import Graph
from graphc.ir.random_inputs import random_inputs
from graphc.ir.tolerance import inaccuracy
from graphc.passes import run, run_with_report
from graphc.runtime.compile import compile_graph, emit

LIMITS = 4
"""How many limits are tried, evenly spread over all rewrites."""


def _model(*parts) -> Graph:
    made = graphc.Sequential([*parts, layers.Dense(3, activation="softmax")])
    loss = "sparse_categorical_crossentropy"
    made.compile("adam", loss=loss, metrics=["accuracy"])
    return made.graph("train_step", batch_size=4)


MODELS = {
    "convolution": lambda: _model(
        layers.Input((6, 6, 2)),
        layers.Conv2D(3, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.5),
    ),
    "recurrent": lambda: _model(layers.Input((4, 3)), layers.GRU(5)),
    "embedding": lambda: _model(
        layers.Input((5,), dtype="int32"),
        layers.Embedding(7, 4),
        layers.LayerNormalization(),
        layers.Flatten(),
    ),
}


@functools.cache
def training_step(name: str) -> Graph:
    return MODELS[name]()


def limits(graph: Graph, pipeline: str) -> list[int]:
    count = run_with_report(graph, pipeline)[1].ledger.count
    return sorted({round(share * count) for share in np.linspace(0, 1, LIMITS)})


@pytest.mark.parametrize("name", MODELS)
def test_the_passes_of_a_training_step_stop_anywhere(name: str):
    graph = training_step(name)
    meaning = Meaning(graph, random_inputs(graph))
    for limit in limits(graph, "xla"):
        stopped = run(graph, "xla", bisect=limit, verify=True)
        assert meaning.problem(stopped) is None, limit
        emit(stopped, "xla", pipeline="")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_that_stops_anywhere_runs(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    graph = training_step(name)
    arrays = random_inputs(graph)
    wanted = evaluated(graph, arrays)
    for limit in limits(graph, "xla"):
        monkeypatch.setenv("GRAPHC_OPT_BISECT", str(limit))
        results = compile_graph(graph, "xla")(*arrays)
        triples = zip(results, wanted.rounded, wanted.exact, strict=True)
        for found, rounded, exact in triples:
            assert inaccuracy(np.asarray(found), rounded, exact) is None, limit


@pytest.mark.parametrize("name", MODELS)
def test_the_kernels_of_a_training_step_are_complete_wherever_it_stops(name: str):
    graph = training_step(name)
    for limit in (0, 40):
        emit(run(graph, "triton", bisect=limit, verify=True), "triton", pipeline="")
