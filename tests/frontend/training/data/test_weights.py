"""Weights of classes and samples, with Keras as the judge."""

import numpy as np
import pytest

from graphc.frontend.training.data.weights import (
    class_weights_to_sample_weights,
    match_sample_weights,
)


@pytest.mark.parametrize(
    "y",
    [
        np.array([0, 2, 1, 5]),
        np.array([[0], [2], [1], [5]]),
        np.eye(6, dtype=np.float32)[[0, 2, 1, 5]],
        np.array([0.0, 2.0, 0.9999999, 5.0], np.float32),
    ],
)
def test_class_weights_are_those_of_keras(y):
    from keras.src.trainers.data_adapters.data_adapter_utils import (
        class_weight_to_sample_weights,
    )

    class_weight = {0: 0.5, 1: 3.0, 2: 2.0, 7: 9.0}
    weights = class_weights_to_sample_weights(y, class_weight)
    assert weights.dtype == np.float32
    assert weights.tolist() == [0.5, 2.0, 3.0, 1.0]
    assert weights.tolist() == class_weight_to_sample_weights(y, class_weight).tolist()


def test_class_weights_of_positions():
    y = np.array([[[0], [1]], [[1], [2]]])
    weights = class_weights_to_sample_weights(y, {1: 4.0})
    assert weights.tolist() == [[1, 4], [4, 1]]


@pytest.mark.parametrize(
    ("y", "class_weight", "sample_weight", "message"),
    [
        (np.zeros(2), {0: 1}, np.ones(2), "Received: both"),
        (None, {0: 1}, None, "Expected `y` to be one array. Received: y=NoneType"),
        ([np.zeros(2), np.zeros(2)], {0: 1}, None, "a single output"),
        (np.zeros(2), [1.0, 2.0], None, "class_weight=[1.0, 2.0]"),
        (np.zeros(2), {"cat": 1.0}, None, "class_weight={'cat': 1.0}"),
    ],
)
def test_class_weight_errors(y, class_weight, sample_weight, message):
    with pytest.raises(ValueError, match="class_weight") as error:
        class_weights_to_sample_weights(y, class_weight, sample_weight)
    assert message in str(error.value)


def test_one_weight_per_sample_serves_all_outputs():
    y = {"a": np.zeros((3, 2)), "b": np.zeros(3)}
    weights = match_sample_weights(np.array([1, 2, 3]), y)
    assert weights.keys() == y.keys()
    assert weights["a"].dtype == np.float32
    assert weights["b"].tolist() == [1, 2, 3]


def test_sample_weight_errors():
    y = [np.zeros(3), np.zeros(3)]
    with pytest.raises(ValueError, match=r"sample_weight.shape=\(3, 2\)"):
        match_sample_weights(np.ones((3, 2)), y)
    with pytest.raises(ValueError, match="Received: sample_weight of type list"):
        match_sample_weights([np.ones(3)], np.zeros(3))
