"""Whole training steps as kernels: how many, and that they mean the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.ir import Graph, evaluate
from graphc.passes import PIPELINES, run, run_with_report
from graphc.passes.fusion import FusionReport, fusion_report
from graphc.passes.fusion.decisions import STORE

LOSS = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)


UNFUSED = PIPELINES["triton"].removesuffix(",fusion,deduplicate")


def mlp() -> Graph:
    model = graphc.Sequential(
        [graphc.Input((20,)), layers.Dense(16, activation="relu"), layers.Dense(5)]
    )
    model.compile("adam", LOSS, metrics=["accuracy"])
    return model.graph("train_step", 4)


def cnn() -> Graph:
    model = graphc.Sequential(
        [
            graphc.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.Conv2D(8, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )
    model.compile(graphc.optimizers.SGD(0.1, momentum=0.9), LOSS)
    return model.graph("train_step", 2)


def transformer(blocks: int, dropout: float = 0.0) -> Graph:
    tokens = graphc.Input((6,), dtype="int32")
    x = layers.Embedding(11, 16)(tokens)
    for _ in range(blocks):
        y = layers.LayerNormalization()(x)
        y = layers.MultiHeadAttention(2, 8, dropout=dropout)(y, y, use_causal_mask=True)
        x = layers.Add()([x, y])
        y = layers.LayerNormalization()(x)
        y = layers.Dense(32, activation="gelu")(y)
        y = layers.Dense(16)(y)
        x = layers.Add()([x, y])
    x = layers.Dense(11)(layers.LayerNormalization()(x))
    model = graphc.Model(tokens, x)
    model.compile(graphc.optimizers.AdamW(1e-3, global_clipnorm=1.0), LOSS)
    return model.graph("train_step", 2)


def arrays_for(graph: Graph) -> list[np.ndarray]:
    """Operands of a step: positive, so that variances and counts may be among them."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 5, p.type.static_shape).astype(p.type.dtype.numpy)
        if p.type.dtype.is_integer
        else rng.uniform(0.1, 1, p.type.static_shape).astype(p.type.dtype.numpy)
        for p in graph.parameters
    ]


def check(graph: Graph) -> FusionReport:
    """The figures of a step as kernels, which must compute what its nodes do."""
    result = run(graph, "triton", verify=True)
    arrays = arrays_for(graph)
    wanted = evaluate(run(graph, UNFUSED), *arrays)
    for got, want in zip(evaluate(result, *arrays), wanted, strict=True):
        np.testing.assert_array_equal(got, want)
    outside = {node.op.name for node in result.nodes} - {"call", "constant", "reshape"}
    assert not outside, "all work is done by kernels"
    return fusion_report(result)


STEPS: dict[str, tuple[Callable[[], Graph], int, float]] = {
    "mlp": (mlp, 8, 0.24),
    "cnn": (cnn, 17, 0.23),
    "transformer": (lambda: transformer(1), 40, 0.18),
}
"""Steps with the most kernels they may take, and the most bytes of those unfused."""


@pytest.mark.parametrize("name", STEPS)
def test_steps_take_few_kernels(name: str):
    make, kernels, share = STEPS[name]
    report = check(make())
    assert report.kernels.total() <= kernels, str(report)
    assert report.bytes <= share * report.bytes_unfused, str(report)


def test_what_a_kernel_has_the_operands_of_is_not_kept_for_it():
    image = graphc.Input((4, 4, 16))
    x = layers.Activation("silu")(layers.LayerNormalization()(image))
    model = graphc.Model(image, layers.Conv2D(16, 3, padding="same")(x))
    model.compile("sgd", "mse")
    graph = model.graph("train_step", 2)
    check(graph)
    _, report = run_with_report(graph, "triton")
    reasons = {r.node.op: r.reason for r in report.ledger.refusals if r.rule == STORE}
    saved = 2 * (2 * 4 * 4 * 16) * 4
    at_hand = f"its operands are at hand, which saves {saved:,} bytes"
    assert reasons["logistic"] == at_hand


@pytest.mark.slow
def test_equal_blocks_of_a_transformer_share_their_kernels():
    one = fusion_report(run(transformer(1), "triton"))
    two = fusion_report(run(transformer(2), "triton"))
    more = two.kernels.total() - one.kernels.total()
    assert two.distinct - one.distinct <= more / 2, f"{one}\n{two}"


@pytest.mark.slow
def test_dropout_and_more_blocks_mean_the_same():
    check(transformer(2, dropout=0.2))
