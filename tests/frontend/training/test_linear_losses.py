"""Which models train without keeping the logits of their loss."""

from __future__ import annotations

from typing import Any

import pytest

import graphc
from graphc import layers
from graphc.passes import FuseLinearCrossEntropy, run_with_report


def found_and_refused(metrics: list[str], **head: Any) -> tuple[set[str], list[str]]:
    """The ops of a model's step once losses are fused, and why one was not."""
    inputs = layers.Input((6,), dtype="int32")
    hidden = layers.Embedding(11, 4)(inputs)
    model = graphc.models.Model(inputs, layers.Dense(11, **head)(hidden))
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=metrics)
    graph = model.graph("train_step", batch_size=3)
    result, report = run_with_report(graph, str(FuseLinearCrossEntropy(least_mib=0.0)))
    names = {node.op.name for each in result.reachable() for node in each.nodes}
    return names, [refusal.reason for refusal in report.ledger.refusals]


@pytest.mark.parametrize("head", [{}, {"use_bias": False}, {"dtype": "mixed_bfloat16"}])
def test_a_sparse_cross_entropy_of_logits_does(head: dict[str, Any]):
    names, reasons = found_and_refused([], **head)
    assert "linear_cross_entropy" in names
    assert "cross_entropy" not in names
    assert not reasons


def test_a_metric_that_reads_the_logits_keeps_them():
    names, reasons = found_and_refused(["accuracy"])
    assert "linear_cross_entropy" not in names
    assert reasons == ["@loss returns the logits"]
