"""Whole training steps on Triton: the losses and weights that XLA gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers, losses, models, optimizers
from graphc.ir import evaluate
from graphc.ir.tolerance import inaccuracy, mismatch
from graphc.ir.types import BF16
from graphc.passes import PIPELINES
from graphc.runtime.compile import compile_graph
from graphc.testing.equivalence import random_arrays
from tests.closeness import Comparison, assert_close
from tests.triton_target import TARGET

pytest.importorskip("triton")
pytestmark = pytest.mark.triton

Made = tuple[Any, Any, Any]


def perceptron(rng: np.random.Generator) -> Made:
    model = models.Sequential(
        [
            layers.Input((12,)),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(5),
        ]
    )
    return model, rng.normal(size=(8, 12)).astype("f4"), rng.integers(0, 5, 8)


def convolutional(rng: np.random.Generator) -> Made:
    model = models.Sequential(
        [
            layers.Input((6, 6, 3)),
            layers.Conv2D(4, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.Conv2D(8, 3, strides=2, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )
    return model, rng.normal(size=(3, 6, 6, 3)).astype("f4"), rng.integers(0, 5, 3)


def transformer(rng: np.random.Generator) -> Made:
    tokens = layers.Input((6,), dtype="int32")
    x = layers.Embedding(11, 16)(tokens)
    h = layers.LayerNormalization()(x)
    h = layers.MultiHeadAttention(2, 8)(h, h, use_causal_mask=True)
    x = layers.Add()([x, h])
    h = layers.LayerNormalization()(x)
    h = layers.Dense(32, activation="gelu")(h)
    x = layers.Add()([x, layers.Dense(16)(h)])
    model = models.Model(tokens, layers.Dense(11)(x))
    return model, rng.integers(0, 11, (2, 6)), rng.integers(0, 11, (2, 6))


def recurrent(rng: np.random.Generator) -> Made:
    model = models.Sequential([layers.Input((5, 4)), layers.LSTM(8), layers.Dense(3)])
    return model, rng.normal(size=(4, 5, 4)).astype("f4"), rng.integers(0, 3, 4)


def trained(
    make: Callable[[np.random.Generator], Made], target: str, steps: int
) -> tuple[list[float], list[np.ndarray]]:
    """The losses of some steps, and the weights after them."""
    graphc.utils.set_random_seed(1)
    model, x, y = make(np.random.default_rng(0))
    model.compile(
        optimizer=optimizers.Adam(0.01, clipnorm=1.0),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        target=target,
    )
    found = [float(model.train_on_batch(x, y)) for _ in range(steps)]
    return found, [np.asarray(w) for w in model.get_weights()]


@pytest.mark.parametrize(
    "make",
    [
        perceptron,
        convolutional,
        transformer,
        pytest.param(recurrent, marks=pytest.mark.slow),
    ],
)
def test_steps_train_as_on_xla(make: Callable[[np.random.Generator], Made]):
    steps = 2
    loss, weights = trained(make, TARGET, steps)
    want_loss, want_weights = trained(make, "xla:cpu", steps)
    assert_close(loss, want_loss, Comparison.TRAINED)
    # Adam divides by the root of what may be rounding alone, of some biases' gradients.
    got, want = (
        np.concatenate([w.ravel() for w in ws]) for ws in (weights, want_weights)
    )
    assert_close(got, want, Comparison.TRAINED)


@pytest.mark.parametrize("policy", ["bfloat16", "mixed_bfloat16"])
@pytest.mark.slow
def test_narrow_floats_train(policy: str):
    before = graphc.config.dtype_policy()
    graphc.config.set_dtype_policy(policy)
    try:
        loss, _ = trained(perceptron, TARGET, 3)
        want, _ = trained(perceptron, "xla:cpu", 3)
    finally:
        graphc.config.set_dtype_policy(before)
    assert_close(np.asarray(loss).astype(BF16.numpy), want)


def test_sums_of_tiles_are_part_of_a_step():
    """A layer whose gradient of the bias is summed where that of its input is made."""
    rng = np.random.default_rng(0)
    model = models.Sequential(
        [layers.Input((8,)), layers.Dense(32, activation="tanh"), layers.Dense(16)]
    )
    model.compile("sgd", "mse")
    graph = model.graph("train_step", 128)
    pipeline = PIPELINES["triton"].replace(
        "split_reductions", "split_reductions{programs=8,work=40960}"
    )
    program = compile_graph(graph, TARGET, pipeline=pipeline)
    assert "one result for each 64 rows" in program.text.lower()
    arrays = random_arrays(graph, rng)
    expected = evaluate(graph, *arrays)
    exact = evaluate(graph, *arrays, dtype="f64")
    for got, want, judge in zip(program(*arrays), expected, exact, strict=True):
        if mismatch(np.asarray(got), want):
            assert not inaccuracy(np.asarray(got), want, judge)
