"""Regularizers and constraints, compared with Keras on the same numbers."""

from typing import Any

import keras
import numpy as np
import pytest

from graphc.frontend import constraints, regularizers
from graphc.frontend.variables import Variable
from tests.closeness import assert_close

PENALTIES: list[tuple[str, dict[str, Any]]] = [
    ("L1", {"l1": 0.3}),
    ("L2", {}),
    ("L1L2", {"l1": 0.1, "l2": 0.2}),
    ("OrthogonalRegularizer", {"factor": 0.5}),
    ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
]
PROJECTIONS: list[tuple[str, dict[str, Any]]] = [
    ("MaxNorm", {"max_value": 0.8}),
    ("MinMaxNorm", {"min_value": 0.9, "max_value": 1.1, "rate": 0.5}),
    ("NonNeg", {}),
    ("UnitNorm", {"axis": (0, 1)}),
]


@pytest.mark.parametrize(("name", "options"), PENALTIES)
def test_penalties_are_those_of_keras(
    name: str, options: dict[str, Any], rng: np.random.Generator
):
    x = rng.normal(size=(4, 3)).astype(np.float32)
    found = getattr(regularizers, name)(**options)(Variable(x))
    expected = getattr(keras.regularizers, name)(**options)(keras.ops.array(x))
    assert np.asarray(found).shape == ()
    assert_close(float(found), float(expected))


@pytest.mark.parametrize(("name", "options"), PROJECTIONS)
def test_projections_are_those_of_keras(
    name: str, options: dict[str, Any], rng: np.random.Generator
):
    x = rng.normal(size=(4, 3)).astype(np.float32)
    found = getattr(constraints, name)(**options)(Variable(x))
    expected = getattr(keras.constraints, name)(**options)(x)
    assert_close(np.asarray(found), expected)


def in_float32(config: Any) -> Any:
    """A config with its floats in float32, to which Keras rounds some."""
    if isinstance(config, dict):
        return {key: in_float32(value) for key, value in config.items()}
    return np.float32(config) if isinstance(config, float) else config


@pytest.mark.parametrize(
    ("family", "name", "options"),
    [(regularizers, *c) for c in PENALTIES] + [(constraints, *c) for c in PROJECTIONS],
)
def test_configs(family: Any, name: str, options: dict[str, Any]):
    config = family.serialize(getattr(family, name)(**options))
    theirs = getattr(keras, family.__name__.rpartition(".")[2])
    expected = theirs.serialize(getattr(theirs, name)(**options))
    assert in_float32(config) == in_float32(expected)
    assert family.serialize(family.deserialize(config)) == config


def test_names():
    assert regularizers.get("l2").l2 == 0.01
    assert isinstance(regularizers.get("l1_l2"), regularizers.L1L2)
    assert isinstance(constraints.get("max_norm"), constraints.MaxNorm)
    assert regularizers.get(None) is None
    assert constraints.get(abs) is abs


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: regularizers.get("l3"), r"Did you mean '[lL]\d'"),
        (lambda: constraints.get("nonneg"), "Did you mean 'non_neg'"),
        (lambda: regularizers.L2("x"), "finite number. Received: l2='x'"),
        (lambda: regularizers.L1(float("inf")), "l1=inf"),
        (lambda: regularizers.OrthogonalRegularizer(mode="x"), "mode='x'"),
        (
            lambda: regularizers.OrthogonalRegularizer()(Variable([1.0])),
            r"rank 2. Received: x.shape=\(1,\)",
        ),
    ],
)
def test_errors(call: Any, message: str):
    with pytest.raises(ValueError, match=message):
        call()
