"""Connectionist temporal classification, as Keras has it."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import numpy as np
import pytest

import graphc
from graphc.ir import GraphError
from tests.closeness import assert_close
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

LABELS = np.array([[1, 1, 2, 4], [3, 2, 0, 0], [2, 2, 2, 2], [4, 0, 0, 0]])
LENGTHS = np.array([4, 2, 0, 1])
STEPS = np.array([9, 6, 3, 1])


@pytest.fixture
def logits(rng: np.random.Generator) -> Any:
    return rng.normal(size=(4, 9, 5)).astype(np.float32)


@pytest.mark.parametrize("blank", [0, 4])
def test_loss(logits: Any, blank: int, keras: Any, recorded: Any):
    given = LABELS, logits, LENGTHS, STEPS, blank
    theirs = recorded(lambda: keras.ops.ctc_loss(*given))
    assert_close(graphc.ops.ctc_loss(*given), theirs)


def test_the_loss_sums_over_all_alignments(logits: Any):
    shares = np.exp(logits[0, :4].astype(np.float64))
    shares /= shares.sum(-1, keepdims=True)
    total = 0.0
    for path in itertools.product(range(5), repeat=4):
        if [c for c, _ in itertools.groupby(path) if c] == [1, 2]:
            total += float(np.prod([shares[t, c] for t, c in enumerate(path)]))
    loss = graphc.ops.ctc_loss([[1, 2]], logits[:1, :4], [2], [4])
    assert_close(loss, [-np.log(total)])


def test_the_gradient_of_the_loss(logits: Any, keras: Any, recorded: Any):
    def loss(x: Any) -> Any:
        return graphc.ops.sum(graphc.ops.ctc_loss(LABELS, x, LENGTHS, STEPS))

    slope = np.asarray(graphc.grad(loss)(logits))

    def theirs(x: Any) -> Any:
        return keras.ops.sum(keras.ops.ctc_loss(LABELS, x, LENGTHS, STEPS))

    assert_close(slope, recorded(lambda: jax.grad(theirs)(logits)))
    assert (slope[1, 6:] == 0).all()


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("blank", [0, 2, None])
def test_greedy_decoding(
    logits: Any, merge: bool, blank: int | None, keras: Any, recorded: Any
):
    options: Any = {"merge_repeated": merge, "mask_index": blank}
    rough = np.round(logits)  # ties, and equal neighbours
    labels, scores = graphc.ops.ctc_decode(rough, STEPS, **options)
    wanted, likely = recorded(lambda: keras.ops.ctc_decode(rough, STEPS, **options))
    np.testing.assert_array_equal(labels, wanted)
    assert_close(scores, likely)


@pytest.mark.parametrize(
    ("width", "paths", "blank"),
    [
        (4, 1, 0),
        pytest.param(3, 3, 2, marks=pytest.mark.slow),
        pytest.param(10, 4, None, marks=pytest.mark.slow),
    ],
)
def test_beam_search(
    logits: Any, width: int, paths: int, blank: int | None, keras: Any, recorded: Any
):
    options: Any = {
        "strategy": "beam_search",
        "beam_width": width,
        "top_paths": paths,
        "mask_index": blank,
    }
    x, steps = 2 * logits[:, :6], np.minimum(STEPS, 6)
    labels, scores = graphc.ops.ctc_decode(x, steps, **options)
    wanted, likely = recorded(lambda: keras.ops.ctc_decode(x, steps, **options))
    np.testing.assert_array_equal(labels, wanted)
    assert_close(scores, likely)


def test_a_wide_beam_finds_the_likeliest_labels(logits: Any):
    found, scores = graphc.ops.ctc_decode(
        logits[:1, :3], [3], strategy="beam_search", beam_width=60, top_paths=5
    )
    for path, score in zip(np.asarray(found)[:, 0], np.asarray(scores)[0], strict=True):
        length = int(np.sum(path >= 0))
        labels = np.where(path < 0, 0, path)[None]
        loss = graphc.ops.ctc_loss(labels, logits[:1, :3], [length], [3])
        assert_close(score, -np.asarray(loss)[0])


@pytest.mark.slow
def test_many_labels_fit_into_the_keys_of_the_beam(keras: Any, recorded: Any, rng: Any):
    x = 3 * rng.normal(size=(1, 12, 40)).astype(np.float32)
    options: Any = {"strategy": "beam_search", "beam_width": 3, "top_paths": 2}
    labels, scores = graphc.ops.ctc_decode(x, [12], **options)
    wanted, likely = recorded(lambda: keras.ops.ctc_decode(x, [12], **options))
    np.testing.assert_array_equal(labels, wanted)
    assert_close(scores, likely)


def test_recorded_and_traced_with_any_batch(logits: Any):
    graph = graphc.trace(
        lambda y, x, a, b: graphc.ops.ctc_loss(y, x, a, b),
        graphc.TensorSpec((None, 4), "int32"),
        graphc.TensorSpec((None, 9, 5)),
        graphc.TensorSpec((None,), "int32"),
        graphc.TensorSpec((None,), "int32"),
    )
    assert graph.results[0].type.symbols
    inputs = graphc.Input((9, 5))
    labels, scores = graphc.ops.ctc_decode(inputs, graphc.Input((), dtype="int32"))
    assert tuple(labels.shape)[2:] == (9,)
    assert tuple(scores.shape)[1:] == (1,)


def test_wrong_uses(logits: Any):
    with pytest.raises(GraphError, match=r"`output` to have the shape \(batch, time"):
        graphc.ops.ctc_loss(LABELS, logits[0], LENGTHS, STEPS)
    with pytest.raises(GraphError, match="`target` to have the shape"):
        graphc.ops.ctc_loss(LABELS[0], logits, LENGTHS, STEPS)
    with pytest.raises(GraphError, match="one of 'greedy', 'beam_search'"):
        graphc.ops.ctc_decode(logits, STEPS, strategy="best")
