"""Gradients of parts of a batch, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import ops
from graphc.ir import Graph, evaluate
from graphc.ir.errors import UnsupportedError
from graphc.passes.micro_batch import MicroBatches
from graphc.testing.equivalence import random_arrays
from tests.closeness import assert_close

SIZES = {"B": 6}


def gradient(loss: Callable[..., Any], *shapes: Any, aux: bool = False) -> Graph:
    """A loss of a batch and a matrix, and its gradient by the matrix."""
    specs = [graphc.TensorSpec(shape) for shape in (("B", 4), (4, 3), *shapes)]
    return graphc.trace(graphc.value_and_grad(loss, argnums=1, has_aux=aux), *specs)


def loss_of(head: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x, w: head(ops.tanh(ops.matmul(x, w)))


@pytest.mark.parametrize(
    "loss",
    [
        loss_of(ops.mean),
        loss_of(ops.sum),
        loss_of(lambda y: 3.0 * ops.mean(ops.sum(y * y, axis=-1)) + 1.0),
        lambda x, w: (
            ops.mean(ops.softmax(ops.matmul(x, w))[:, 0]) + 0.1 * ops.sum(w * w)
        ),
        loss_of(lambda y: ops.mean(ops.reshape(y, (-1,)))),
        loss_of(lambda y: ops.sum(ops.mean(ops.transpose(y), axis=1))),
    ],
    ids=["mean", "sum", "affine", "regularized", "flat", "transposed"],
)
@pytest.mark.parametrize("count", [2, 3])
def test_results_are_those_of_the_whole_batch(loss: Callable[..., Any], count: int):
    graph = gradient(loss)
    found = MicroBatches(graph, SIZES)(count)
    found.verify()
    whole = graph.bind(**SIZES)
    assert [p.type for p in found.parameters] == [p.type for p in whole.parameters]
    arrays = random_arrays(whole, np.random.default_rng(0), False)
    for got, want in zip(
        evaluate(found, *arrays), evaluate(whole, *arrays), strict=True
    ):
        assert_close(got, want)


def test_rows_and_what_does_not_depend_on_the_batch_are_handed_on():
    def loss(x, w):
        y = ops.matmul(x, w)
        return ops.mean(y * y), (y, ops.sum(w), ops.shape(x)[0])

    graph = gradient(loss, aux=True)
    whole, found = graph.bind(**SIZES), MicroBatches(graph, SIZES)(3)
    arrays = random_arrays(whole, np.random.default_rng(0), False)
    for got, want in zip(
        evaluate(found, *arrays), evaluate(whole, *arrays), strict=True
    ):
        assert_close(got, want)


def batch_norm(y: Any) -> Any:
    return ops.mean(ops.sin(y - ops.mean(y, axis=0)))


@pytest.mark.parametrize(
    ("head", "op"),
    [
        (batch_norm, "broadcast_in_dim|subtract"),
        (lambda y: ops.square(ops.mean(y)), "multiply|square|power"),
        (lambda y: ops.log(ops.sum(ops.exp(y))), "log"),
        (ops.max, "reduce_max"),
        (
            lambda y: ops.mean(ops.cumsum(y, axis=0)),
            "cumsum|cumulative|reduce_window|scan",
        ),
        (lambda y: ops.mean(ops.flip(y, axis=0) * y), "reverse|flip"),
    ],
    ids=["batch norm", "square", "logsumexp", "max", "cumsum", "flip"],
)
def test_what_combines_examples_is_refused_by_name(head: Callable[[Any], Any], op: str):
    graph = gradient(loss_of(head))
    with pytest.raises(UnsupportedError) as caught:
        MicroBatches(graph, SIZES)(2)
    message = caught.value.message
    assert "does not treat the examples of a batch one by one" in message
    assert any(message.startswith(name) for name in op.split("|")), message


def noisy(y: Any) -> Any:
    return y * graphc.random.uniform(ops.shape(y), seed=1)


def dropped(y: Any) -> Any:
    return graphc.random.dropout(y, 0.5, seed=1)


def dropped_together(y: Any) -> Any:
    return graphc.random.dropout(y, 0.5, (ops.shape(y)[0], 1), seed=1)


def centered(y: Any) -> Any:
    noise = graphc.random.normal(ops.shape(y), seed=1)
    return y + noise - ops.mean(noise, axis=0)


def positions(y: Any) -> Any:
    return y * ops.cast(ops.arange(ops.shape(y)[0]), "float32")[:, None]


@pytest.mark.parametrize(
    "draw", [noisy, dropped, dropped_together, centered, positions]
)
def test_what_reads_no_example_is_computed_for_the_whole_batch(
    draw: Callable[[Any], Any],
):
    def loss(x: Any, w: Any) -> Any:
        ones = ops.ones_like(x)
        return ops.mean(draw(ops.matmul(x, w))), draw(ones)

    graph = gradient(loss, aux=True)
    whole, found = graph.bind(**SIZES), MicroBatches(graph, SIZES)(3)
    arrays = random_arrays(whole, np.random.default_rng(0), False)
    first, *rest = zip(evaluate(found, *arrays), evaluate(whole, *arrays), strict=True)
    for got, want in (first, *rest):
        assert_close(got, want)
    got, want = rest[0]
    assert np.array_equal(got, want), "the same numbers for the same examples"
    assert len(np.unique(want)) > 1


def test_masks_are_cut_and_not_their_bits():
    def head(y: Any) -> Any:
        return ops.mean(dropped(y))

    found = MicroBatches(gradient(loss_of(head)), SIZES)(2)
    (loop,) = [node for node in found.nodes if node.op.name == "scan"]
    assert "bool[2,3,3]" in {str(operand.type) for operand in loop.operands}
    assert "u32" not in {operand.type.dtype.name for operand in loop.operands}


def test_noise_that_is_differentiated_is_not_moved():
    def loss(x: Any, w: Any) -> Any:
        rows = (ops.shape(x)[0], 4)
        noise = graphc.random.normal(rows, seed=1) @ w
        return ops.mean(ops.tanh(ops.matmul(x, w) + noise))

    graph = gradient(loss)
    whole, found = graph.bind(**SIZES), MicroBatches(graph, SIZES)(3)
    arrays = random_arrays(whole, np.random.default_rng(0), False)
    for got, want in zip(
        evaluate(found, *arrays), evaluate(whole, *arrays), strict=True
    ):
        assert_close(got, want)


def test_noise_along_another_axis_is_refused():
    def head(y: Any) -> Any:
        noise = graphc.random.normal((3, ops.shape(y)[0]), seed=1)
        return ops.mean(ops.transpose(y) * noise)

    with pytest.raises(UnsupportedError, match="along another axis than 0"):
        MicroBatches(gradient(loss_of(head)), SIZES)(2)


@pytest.mark.parametrize("shape", [("B", "B"), (3, "B")])
def test_examples_along_another_axis_of_an_input_are_refused(shape: tuple[Any, ...]):
    graph = gradient(lambda x, w, z: ops.mean(ops.matmul(x, w)) + ops.sum(z), shape)
    with pytest.raises(UnsupportedError, match="an input has examples along another"):
        MicroBatches(graph, SIZES)(2)


def test_what_has_no_batch_is_refused():
    graph = graphc.trace(graphc.grad(lambda w: ops.sum(w * w)), graphc.TensorSpec((3,)))
    with pytest.raises(UnsupportedError, match="no gradient of a batch"):
        MicroBatches(graph, {})(2)
