"""Reductions, scans and sorting: ties, nan and zeros."""

from typing import Any

import numpy as np
import pytest

from graphc.ir import Graph, building, evaluate, tensor_type
from graphc.ir.differentiate import differentiate
from graphc.ir.evaluate import evaluate_op
from graphc.ir.ops import OPS, multiply, reduce_sum

NAN = float("nan")


def gradient(name: str, x: list[float], weights: list[float], **attributes: Any) -> Any:
    """The gradient of the op's weighted result for a vector."""
    graph = Graph("f")
    operand = graph.add_parameter(tensor_type(f"f32[{len(x)}]"))
    weight = graph.add_parameter(tensor_type(f"f32[{len(weights)}]"))
    with building(graph):
        y = OPS[name](operand, **attributes)
        product = multiply(y, weight)
        graph.results = [reduce_sum(product, axes=[0])]
    arrays = np.array(x, np.float32), np.array(weights, np.float32)
    return evaluate(differentiate(graph, [0]), *arrays)[1]


def test_elements_that_tie_share_the_gradient():
    found = gradient("reduce_max", [1, 3, 2, 3], [6], axes=[0])
    np.testing.assert_array_equal(found, [0, 3, 0, 3])
    found = gradient("reduce_min", [1, 1, 1], [6], axes=[0])
    np.testing.assert_array_equal(found, [2, 2, 2])


@pytest.mark.parametrize(
    ("x", "expected"),
    [([2, 3, 4], [12, 8, 6]), ([2, 0, 4], [0, 8, 0]), ([0, 0, 4], [0, 0, 0])],
)
def test_gradient_of_a_product_with_zeros(x: list[float], expected: list[float]):
    found = gradient("reduce_prod", x, [1], axes=[0])
    np.testing.assert_array_equal(found, expected)


def test_gradient_of_a_cumulative_product_with_zeros():
    # y = x0, x0 x1, x0 x1 x2, x0 x1 x2 x3 with x1 = 0
    x = [2, 0, 3, 4]
    found = gradient("cumulative_prod", x, [1, 1, 1, 1], axis=0)
    np.testing.assert_array_equal(found, [1, 2 + 6 + 24, 0, 0])
    found = gradient("cumulative_prod", x[::-1], [1, 1, 1, 1], axis=0, reverse=True)
    np.testing.assert_array_equal(found, [0, 0, 2 + 6 + 24, 1])


def test_the_latest_of_equal_elements_has_the_gradient_of_a_cumulative_maximum():
    found = gradient("cumulative_max", [1, 3, 2, 3, 0], [1, 2, 4, 8, 16], axis=0)
    np.testing.assert_array_equal(found, [1, 6, 0, 24, 0])
    found = gradient(
        "cumulative_max", [0, 3, 2, 3, 1], [16, 8, 4, 2, 1], axis=0, reverse=True
    )
    np.testing.assert_array_equal(found, [0, 24, 0, 6, 1])


def test_reductions_of_nothing():
    empty = np.zeros((0,), np.float32)
    assert evaluate_op("reduce_sum", empty, axes=[0]) == 0
    assert evaluate_op("reduce_prod", empty, axes=[0]) == 1
    assert evaluate_op("reduce_max", empty, axes=[0]) == -np.inf
    assert evaluate_op("reduce_min", empty, axes=[0]) == np.inf
    assert evaluate_op("reduce_max", empty.astype(np.int8), axes=[0]) == -128


def test_integer_sums_wrap_around():
    x = np.array([100, 100], np.int8)
    assert evaluate_op("reduce_sum", x, axes=[0]) == -56
    np.testing.assert_array_equal(evaluate_op("cumulative_sum", x, axis=0), [100, -56])


def test_argmax_takes_the_first_and_nan_wins():
    assert evaluate_op("argmax", np.array([1, 3, 3], np.float32), axis=0) == 1
    assert evaluate_op("argmin", np.array([3, 1, 1], np.float32), axis=0) == 1
    with_nan = np.array([5, NAN, 7, NAN], np.float32)
    assert evaluate_op("argmax", with_nan, axis=0) == 1
    assert evaluate_op("argmin", with_nan, axis=0) == 1


@pytest.mark.parametrize("descending", [False, True])
def test_sort_is_stable(descending: bool):
    keys = np.array([2, 1, 2, 0, 1, 2], np.int32)
    places = np.arange(6, dtype=np.int32)
    found = evaluate_op("sort", keys, places, axis=0, descending=descending)
    expected = [0, 2, 5, 1, 4, 3] if descending else [3, 1, 4, 0, 2, 5]
    np.testing.assert_array_equal(found[1], expected)
    np.testing.assert_array_equal(found[0], keys[expected])


def test_sort_counts_nan_as_the_largest():
    x = np.array([1, NAN, -np.inf, np.inf], np.float32)
    ascending = evaluate_op("sort", x, axis=0)
    np.testing.assert_array_equal(ascending, [-np.inf, 1, np.inf, NAN])
    descending = evaluate_op("sort", x, axis=0, descending=True)
    np.testing.assert_array_equal(descending, [NAN, np.inf, 1, -np.inf])
