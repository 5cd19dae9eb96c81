"""One-hot labels, unit vectors and padded sequences, with Keras as the judge."""

import keras
import numpy as np
import pytest

import graphc.utils
from graphc.frontend.preprocessing import normalize, pad_sequences, to_categorical
from tests.closeness import assert_close


@pytest.mark.parametrize(
    ("x", "num_classes"),
    [([0, 2, 1], None), ([0, 2], 5), ([[0], [1]], None), ([[0, 1], [2, 0]], 4), (1, 3)],
)
def test_to_categorical(x, num_classes):
    found = to_categorical(x, num_classes)
    assert found.dtype == np.float32
    assert found.tolist() == keras.utils.to_categorical(x, num_classes).tolist()


def test_to_categorical_of_nothing():
    assert to_categorical([], 3).shape == (0, 3)


@pytest.mark.parametrize("x", [[0, 3], [-1, 1]])
def test_classes_out_of_range(x):
    with pytest.raises(ValueError, match=r"Expected class indices in 0\.\.2") as error:
        to_categorical(x, 3)
    assert f"Received: values in {x[0]}..{x[1]}" in str(error.value)


@pytest.mark.parametrize(("axis", "order"), [(-1, 2), (1, 1), (1, np.inf)])
def test_normalize(axis, order, rng):
    x = rng.normal(size=(3, 4))
    x[0] = 0
    assert_close(normalize(x, axis, order), keras.utils.normalize(x, axis, order))
    assert normalize([3.0, 4.0]).tolist() == [0.6, 0.8]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"maxlen": 2},
        {"maxlen": 2, "truncating": "post"},
        {"maxlen": 4, "padding": "post", "value": -1},
        {"dtype": "float32", "value": 0.5},
    ],
)
@pytest.mark.parametrize(
    "sequences", [[[1], [2, 3], [4, 5, 6], []], [[[1, 2]], [[3, 4], [5, 6]]]]
)
def test_pad_sequences(sequences, options):
    found = pad_sequences(sequences, **options)
    expected = keras.utils.pad_sequences(sequences, **options)
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("sequences", "options", "message"),
    [
        ([[1], 2], {}, "Received: an item 2"),
        ([[1]], {"padding": "left"}, "Received: padding='left'"),
        ([[1]], {"truncating": "left"}, "Received: truncating='left'"),
        ([[[1, 2]], [[1]]], {}, r"of shape \(2,\) in all sequences"),
    ],
)
def test_pad_sequences_errors(sequences, options, message):
    with pytest.raises(ValueError, match=message):
        pad_sequences(sequences, **options)


def test_the_users_namespace():
    for name in graphc.utils.__all__:
        assert hasattr(graphc.utils, name), name
        assert hasattr(keras.utils, name), name
