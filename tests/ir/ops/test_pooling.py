import numpy as np

from tests.closeness import assert_close
from tests.op_results import gradients, run

HALVES = {"window": [2, 2], "strides": [2, 2], "padding": [[0, 0], [0, 0]]}
SAME = {"window": [3], "strides": [2], "padding": [[1, 1]]}


def test_max_pool(rng: np.random.Generator):
    x = rng.normal(size=(2, 4, 6, 3))
    blocks = x.reshape(2, 2, 2, 3, 2, 3)
    np.testing.assert_array_equal(run("max_pool", x, **HALVES), blocks.max((2, 4)))


def test_padding_never_wins():
    x = -np.arange(1.0, 6.0).reshape(1, 5, 1)
    assert run("max_pool", x, **SAME).ravel().tolist() == [-1, -2, -4]
    (slope,) = gradients("max_pool", [x], **SAME)
    assert slope.ravel().tolist() == [1, 1, 0, 1, 0]


def test_the_first_of_equal_elements_has_the_gradient():
    (slope,) = gradients("max_pool", [np.ones((1, 2, 4, 1))], **HALVES)
    assert slope[0, :, :, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


def test_max_pool_of_integers():
    x = np.array([3, -7, 2, 9], np.int8).reshape(1, 4, 1)
    halves = {"window": [2], "strides": [2], "padding": [[0, 0]]}
    assert run("max_pool", x, **halves).ravel().tolist() == [3, 9]


def test_average_pool(rng: np.random.Generator):
    x = rng.normal(size=(2, 4, 6, 3))
    blocks = x.reshape(2, 2, 2, 3, 2, 3)
    assert_close(run("average_pool", x, **HALVES), blocks.mean((2, 4)))
    (slope,) = gradients("average_pool", [x], **HALVES)
    assert_close(slope, 0.25)


def test_padding_counts_only_when_asked():
    x = np.array([3.0, 6.0, 9.0, 12.0, 15.0]).reshape(1, 5, 1)
    assert run("average_pool", x, **SAME).ravel().tolist() == [4.5, 9, 13.5]
    counted = run("average_pool", x, **SAME, count_padding=True)
    assert counted.ravel().tolist() == [3, 9, 9]
    (slope,) = gradients("average_pool", [x], **SAME)
    assert_close(slope.ravel(), [1 / 2, 5 / 6, 1 / 3, 5 / 6, 1 / 2])


def test_float16_sums_do_not_overflow():
    x = np.full((1, 64, 1), 60000, np.float16)
    whole = {"window": [64], "strides": [64], "padding": [[0, 0]]}
    assert run("average_pool", x, **whole).item() == 60000
