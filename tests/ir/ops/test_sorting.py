"""Orders: ties, keys, nan and signed zeros, in both directions."""

import numpy as np
import pytest

from tests.op_results import gradients, run

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize("descending", [False, True])
def test_ties_stay_in_order(descending: bool):
    keys = np.array([1, 0, 1, 0, 1], np.int32)
    places = np.arange(5, dtype=np.int32)
    _, found = run("sort", keys, places, axis=0, descending=descending)
    expected = [0, 2, 4, 1, 3] if descending else [1, 3, 0, 2, 4]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("descending", [False, True])
def test_further_keys_decide_ties(descending: bool, rng: np.random.Generator):
    first, second = rng.integers(0, 3, (2, 50))
    places = np.arange(50)
    found = run("sort", first, second, places, axis=0, keys=2, descending=descending)
    sign = -1 if descending else 1
    order = np.lexsort((places, sign * second, sign * first))
    np.testing.assert_array_equal(found[2], order)


def test_nan_is_the_largest():
    x = np.array([2, NAN, -INF, INF])
    np.testing.assert_array_equal(run("sort", x, axis=0), [-INF, 2, INF, NAN])
    descending = run("sort", x, axis=0, descending=True)
    np.testing.assert_array_equal(descending, [NAN, INF, 2, -INF])
    values, places = run("top_k", x, k=3)
    np.testing.assert_array_equal(values, [NAN, INF, 2])
    np.testing.assert_array_equal(places, [1, 3, 0])


def test_top_k_takes_the_first_of_equal_elements():
    x = np.array([[1, 3, 3, 0], [2, 2, 2, 2]], np.int32)
    values, places = run("top_k", x, k=2)
    np.testing.assert_array_equal(values, [[3, 3], [2, 2]])
    np.testing.assert_array_equal(places, [[1, 2], [0, 1]])


def test_top_k_puts_zero_above_negative_zero():
    _, places = run("top_k", np.array([-0.0, 0.0, -0.0, 0.0]), k=4)
    np.testing.assert_array_equal(places, [1, 3, 0, 2])


def test_gradients_go_where_elements_came_from():
    x = np.array([5.0, 7.0, 6.0])
    (slope,) = gradients("top_k", [x], [[1.0, 10.0], [0, 0]], k=2)
    np.testing.assert_array_equal(slope, [0, 1, 10])
    (slope,) = gradients("sort", [x], [[1.0, 10.0, 100.0]], axis=0)
    np.testing.assert_array_equal(slope, [1, 100, 10])
