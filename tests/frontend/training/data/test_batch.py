"""Parts of a batch and their sizes."""

import numpy as np
import pytest

from graphc.frontend.training.data import (
    convert_batch,
    pack_x_y_sample_weight,
    unpack_x_y_sample_weight,
)


@pytest.mark.parametrize(
    "parts",
    [
        (1,),
        ([1, 2],),
        ((1, 2),),
        ({"a": 1}, 2),
        (1, 2, 3),
        ([1], None, 3),
        (1, 2, None),
    ],
)
def test_packing_is_that_of_keras(parts):
    import keras

    packed = pack_x_y_sample_weight(*parts)
    # Keras drops weights that come without targets.
    if parts[1:] != (None, 3):
        assert packed == keras.utils.pack_x_y_sample_weight(*parts)
    assert unpack_x_y_sample_weight(packed) == (*parts, None, None)[:3]


def test_unpacking_lists_and_errors():
    assert unpack_x_y_sample_weight([1, 2]) == (1, 2, None)
    with pytest.raises(ValueError, match="Received: 4 parts"):
        unpack_x_y_sample_weight((1, 2, 3, 4))


def test_convert_batch():
    x, y = convert_batch({"a": [[1.0, 2.0], [3.0, 4.0]], "b": [1, 2]}, [0, 1])
    assert x["a"].dtype == np.float32
    assert x["a"].shape == (2, 2)
    assert x["b"].tolist() == [1, 2]
    assert y.dtype == np.int32
    only = convert_batch(np.zeros((2, 3)))
    assert only.shape == (2, 3)
    (several,) = convert_batch([np.zeros((2, 3)), np.zeros((2, 1))])
    assert [a.shape for a in several] == [(2, 3), (2, 1)]
    *_, weights = convert_batch(np.zeros((2, 3)), np.array([0, 1]), class_weight={1: 5})
    assert weights.tolist() == [1, 5]
    *_, weights = convert_batch(np.zeros((2, 3)), np.zeros(2), [1, 2])
    assert weights.dtype == np.float32


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="Data cardinality is ambiguous") as error:
        convert_batch([np.zeros((5, 2)), np.zeros((4, 2))], np.zeros(3), np.ones(4))
    for line in ("'x' sizes: 5, 4", "'y' sizes: 3", "'sample_weight' sizes: 4"):
        assert line in str(error.value)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.float32(1), None, "Received: a scalar in x"),
        (np.zeros(3), 1, "Received: a scalar in y"),
        (None, np.zeros(3), "Expected arrays. Received: x=None"),
        ([], None, r"Expected arrays. Received: x=\[\]"),
        ("text", None, "Expected numeric data"),
    ],
)
def test_what_is_no_batch(x, y, message):
    with pytest.raises(ValueError, match=message):
        convert_batch(x, y)
