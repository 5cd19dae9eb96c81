import numpy as np
import pytest

from graphc.ir import Graph, building, evaluate, tensor_type
from graphc.ir.ops import cross_entropy
from graphc.ir.types import BF16
from tests.closeness import assert_close
from tests.op_results import gradients, run

LOGITS = np.array([[1.0, 2.0, 0.5], [-1.0, 0.0, 3.0]])
POWERS = np.exp(LOGITS)
CHANCES = POWERS / POWERS.sum(1, keepdims=True)


def test_softmax():
    assert_close(run("softmax", LOGITS, axis=1), CHANCES)
    assert_close(run("log_softmax", LOGITS, axis=1), np.log(CHANCES))
    first = POWERS / POWERS.sum(0)
    assert_close(run("softmax", LOGITS, axis=0), first)


@pytest.mark.parametrize("shift", [-1e30, 3e38, 1e4])
def test_softmax_does_not_overflow(shift: float):
    x = np.full((1, 4), shift, np.float32)
    assert_close(run("softmax", x, axis=1), 0.25)
    assert_close(run("log_softmax", x, axis=1), -np.log(4))


def test_masked_logits_have_no_chance_and_no_gradient():
    x = np.array([[0.0, -np.inf, 0.0]])
    np.testing.assert_array_equal(run("softmax", x, axis=1), [[0.5, 0, 0.5]])
    (slope,) = gradients("softmax", [x], [np.array([[1.0, 5.0, 2.0]])], axis=1)
    assert_close(slope, [[-0.25, 0, 0.25]])


def test_logsumexp():
    found = run("logsumexp", LOGITS, axes=[0, 1])
    assert_close(found, np.log(POWERS.sum()))
    assert_close(gradients("logsumexp", [LOGITS], axes=[1])[0], CHANCES)
    assert run("logsumexp", np.array([1e4, 1e4], np.float32), axes=[0]) == np.float32(
        1e4 + np.log(2)
    )


def test_logsumexp_of_infinities():
    x = np.array([[-np.inf, -np.inf], [np.inf, 1.0], [-np.inf, 2.0]])
    np.testing.assert_array_equal(run("logsumexp", x, axes=[1]), [-np.inf, np.inf, 2])
    (slope,) = gradients("logsumexp", [x[[0, 2]]], axes=[1])
    np.testing.assert_array_equal(slope, [[0, 0], [0, 1]])


def test_cross_entropy():
    labels = np.array([2, 1], np.int32)
    expected = -np.log(CHANCES[[0, 1], labels])
    assert_close(run("cross_entropy", LOGITS, labels), expected)
    (slope,) = gradients("cross_entropy", [LOGITS, labels], [np.array([1.0, 2.0])])
    one_hot = np.eye(3)[labels]
    assert_close(slope, (CHANCES - one_hot) * [[1], [2]])


@pytest.mark.parametrize("label", [-1, 3, 2**31])
def test_a_label_that_is_no_class_costs_nothing(label: int):
    labels = np.array([label, 0], np.int64)
    losses = run("cross_entropy", LOGITS, labels)
    assert losses[0] == 0
    assert losses[1] > 0
    (slope,) = gradients("cross_entropy", [LOGITS, labels])
    assert not slope[0].any()
    assert slope[1].any()


def test_cross_entropy_of_many_classes_and_small_labels():
    logits = np.zeros((2, 300), np.float32)
    labels = np.array([255, 7], np.uint8)
    assert_close(run("cross_entropy", logits, labels), np.log(300))


def test_cross_entropy_is_stable():
    logits = np.array([[1e4, 0, -1e4]], np.float32)
    for label, expected in enumerate([0.0, 1e4, 2e4]):
        labels = np.array([label], np.int32)
        assert run("cross_entropy", logits, labels)[0] == expected
        assert np.isfinite(gradients("cross_entropy", [logits, labels])[0]).all()


def test_cross_entropy_in_bfloat16_has_a_float32_gradient_rounded_once():
    logits = np.linspace(-3, 3, 64).reshape(2, 32).astype(BF16.numpy)
    labels = np.array([3, 30], np.int32)
    (narrow,) = gradients("cross_entropy", [logits, labels])
    (wide,) = gradients("cross_entropy", [logits.astype(np.float32), labels])
    assert narrow.dtype == BF16.numpy
    np.testing.assert_array_equal(narrow, wide.astype(BF16.numpy))


def test_classes_may_be_symbolic():
    graph = Graph("f")
    graph.ranges = {"B": (1, 9), "C": (1, 9)}
    logits = graph.add_parameter(tensor_type("f32[B,C]"))
    labels = graph.add_parameter(tensor_type("i32[B]"))
    with building(graph):
        graph.results = [cross_entropy(logits, labels)]
    given = np.array([0, 3, 2], np.int32)
    (found,) = evaluate(graph, np.zeros((3, 3), np.float32), given)
    assert_close(found, [np.log(3), 0, np.log(3)])


def test_softmax_cross_entropy():
    targets = np.array([[0.2, 0.3, 0.5], [1.0, 0.5, 0.0]])
    losses = run("softmax_cross_entropy", LOGITS, targets)
    assert_close(losses, -(targets * np.log(CHANCES)).sum(1))
    by_logits, by_targets = gradients("softmax_cross_entropy", [LOGITS, targets])
    total = targets.sum(1, keepdims=True)
    assert_close(by_logits, CHANCES * total - targets)
    assert_close(by_targets, -np.log(CHANCES))


def test_sigmoid_cross_entropy():
    x = np.array([-2.0, 0.0, 3.0])
    t = np.array([0.0, 0.25, 1.0])
    p = 1 / (1 + np.exp(-x))
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    assert_close(run("sigmoid_cross_entropy", x, t), expected)
    by_logits, by_targets = gradients("sigmoid_cross_entropy", [x, t])
    assert_close(by_logits, p - t)
    assert_close(by_targets, -x)
    large = run("sigmoid_cross_entropy", np.float32([-1e4, 1e4]), np.float32([1, 0]))
    np.testing.assert_array_equal(large, [1e4, 1e4])


def test_one_hot():
    indices = np.array([[0, 2], [-1, 3]], np.int64)
    found = run("one_hot", indices, depth=3, dtype="f32")
    np.testing.assert_array_equal(
        found, [[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]]
    )
    assert found.dtype == np.float32


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint32", "int64", "uint64"])
def test_one_hot_tells_positions_beyond_the_index_dtype(kind: str):
    largest = min(np.iinfo(kind).max, 300)
    found = run("one_hot", np.array([largest], kind), depth=302, dtype="bool")
    assert np.flatnonzero(found).tolist() == [largest]
    wrapping = np.array([np.iinfo(kind).max], kind)
    hot = run("one_hot", wrapping, depth=2, dtype="bool")
    assert not hot.any()
