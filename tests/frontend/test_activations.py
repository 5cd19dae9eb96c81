"""Activations, compared with Keras on the same numbers."""

from typing import Any

import keras
import numpy as np
import pytest

from graphc.frontend import activations
from graphc.frontend.keras_tensor import KerasTensor
from tests.closeness import assert_close

X = np.linspace(-7.0, 7.0, 30, dtype=np.float32).reshape(5, 6)

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in activations.__all__ if hasattr(keras.activations, name)),
    ("relu", {"threshold": 1.0}),
    ("relu", {"threshold": 1.0, "negative_slope": 0.1}),
    ("relu", {"negative_slope": 0.1, "max_value": 6}),
    ("relu", {"max_value": 6, "threshold": -1}),
    ("relu", {"max_value": 6}),
    ("leaky_relu", {"negative_slope": 0.5}),
    ("elu", {"alpha": 0.5}),
    ("celu", {"alpha": 0.5}),
    ("gelu", {"approximate": True}),
    ("softmax", {"axis": 0}),
    ("softmax", {"axis": (0, 1)}),
    ("threshold", {"threshold": 1.0, "default_value": 9.0}),
]
NO_TENSOR = {"get", "serialize", "deserialize"}
NOT_COMPARED = NO_TENSOR | {"sparsemax"}  # whose results add up to more than 1 in Keras


@pytest.mark.parametrize(
    ("name", "options"),
    [c for c in CASES if c[0] not in NOT_COMPARED and c != ("threshold", {})],
)
def test_values_are_those_of_keras(name: str, options: dict[str, Any]):
    found = getattr(activations, name)(X, **options)
    expected = getattr(keras.activations, name)(X, **options)
    assert_close(np.asarray(found), expected)


@pytest.mark.parametrize("name", ["relu", "swish", "silu", "hard_swish", "softmax"])
def test_names(name: str):
    found = activations.get(name)
    assert found.__name__ == keras.activations.get(name).__name__
    assert activations.serialize(found) == (
        keras.activations.serialize(keras.activations.get(name))
    )
    assert activations.deserialize(activations.serialize(found)) is found


def test_get():
    assert activations.get(None) is activations.linear
    assert activations.get(np.tanh) is np.tanh
    with pytest.raises(ValueError, match=r"identifier='rlu'. Did you mean 'relu'\?"):
        activations.get("rlu")


def test_symbolic_inputs_are_recorded():
    made = activations.mish(KerasTensor((None, 3)))
    assert isinstance(made, KerasTensor)
    assert made.shape == (None, 3)
    assert made.operation is not None
    assert made.operation.name == "mish"
