"""Seeded faults are found in a training step of ResNet-50."""

from __future__ import annotations

import functools

import pytest

import graphc
from benchmarks.gpu.resnet import Sizes, network
from graphc.debug import blame
from graphc.ir import Graph
from graphc.ir.random_inputs import random_inputs
from tests.debug.seeded_faults import FAULTS, Fault

WITH_REWRITES = {
    *("canonicalize", "constant_folding", "cse", "dce", "autodiff", "decompose"),
    "split_contractions",
}
"""The passes that rewrite this step. The fault of fusion lies in what outlines nodes,
which `outline_repeats` does before."""


@functools.cache
def training_step() -> Graph:
    model = network(Sizes(image=32, width=16))
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer=graphc.optimizers.SGD(0.1, momentum=0.9), loss=loss)
    return model.graph("train_step", batch_size=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [fault for fault in FAULTS if fault.pass_name in WITH_REWRITES],
    ids=lambda fault: fault.pass_name,
)
def test_seeded_faults_are_found(fault: Fault, monkeypatch: pytest.MonkeyPatch):
    graph = training_step()
    assert len(graph.reachable()) > 1
    fault.put_in(monkeypatch)
    pipeline = "xla" if fault.pipeline == "default" else fault.pipeline
    found = blame(graph, random_inputs(graph), "differs", "numpy", pipeline, 0)
    assert found.rewrite is not None
    assert (found.rewrite.pass_name, found.rewrite.rule) == (
        fault.pass_name,
        fault.rule,
    )
