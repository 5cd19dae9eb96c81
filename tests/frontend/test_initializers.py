"""Initializers: their distributions, recipes, seeds and configs."""

from typing import Any

import keras
import numpy as np
import pytest

from graphc.frontend import initializers
from graphc.frontend.random import SeedGenerator
from graphc.frontend.seeds import set_random_seed
from graphc.frontend.variables import Variable
from tests.closeness import assert_close, assert_mean

SHAPE = (3, 3, 16, 48)

RANDOM: list[tuple[str, dict[str, Any]]] = [
    ("RandomNormal", {"mean": 0.5, "stddev": 0.2}),
    ("RandomUniform", {"minval": -0.5, "maxval": 0.25}),
    ("TruncatedNormal", {"mean": 0.5, "stddev": 0.2}),
    ("VarianceScaling", {}),
    ("VarianceScaling", {"mode": "fan_out", "distribution": "untruncated_normal"}),
    ("VarianceScaling", {"scale": 2.5, "mode": "fan_avg", "distribution": "uniform"}),
    ("VarianceScaling", {"input_axes": [0, 2], "output_axes": [3], "mode": "fan_avg"}),
    ("GlorotNormal", {}),
    ("GlorotUniform", {}),
    ("HeNormal", {}),
    ("HeUniform", {}),
    ("LecunNormal", {}),
    ("LecunUniform", {}),
]


@pytest.mark.parametrize(("name", "options"), RANDOM)
def test_distributions_are_those_of_keras(name: str, options: dict[str, Any]):
    ours = getattr(initializers, name)(seed=1, **options)(SHAPE).numpy()
    theirs = np.asarray(getattr(keras.initializers, name)(seed=1, **options)(SHAPE))
    assert ours.shape == SHAPE
    assert ours.dtype == np.float32
    found, centre = ours.ravel(), theirs.mean()
    assert_mean(found, centre)
    assert_mean((found - centre) ** 2, theirs.var())
    shares = np.arange(0.1, 1, 0.1)
    assert_mean(found[:, None] < np.quantile(theirs, shares), shares)
    beyond = (found < theirs.min()) | (found > theirs.max())
    assert np.count_nonzero(beyond) < 20  # one on either side is expected


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), (1, 1)), ((5,), (5, 5)), ((4, 6), (4, 6)), ((3, 2, 4, 6), (24, 36))],
)
def test_fans(shape: tuple[int, ...], expected: tuple[int, int]):
    assert initializers.fans(shape) == expected


@pytest.mark.parametrize(("name", "value"), [("Zeros", 0.0), ("Ones", 1.0)])
def test_constants(name: str, value: float):
    made = getattr(initializers, name)()
    assert made((2, 3)).numpy().tolist() == [[value] * 3] * 2
    assert made((2,), dtype="int32").numpy().tolist() == [int(value)] * 2
    assert made((2,), dtype="bool").dtype == "bool"
    assert made.recipe((2,)).distribution == "constant"


def test_constant_broadcasts():
    made = initializers.Constant([1, 2])((2, 2)).numpy()
    assert made.tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert made.dtype == np.float32


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (2, 3, 4)])
def test_orthogonal(shape: tuple[int, ...]):
    made = initializers.Orthogonal(gain=2.0, seed=3)(shape).numpy()
    assert made.shape == shape
    matrix = made.reshape(-1, shape[-1])
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    assert_close(matrix.T @ matrix, 4 * np.eye(matrix.shape[1]))


def test_identity():
    made = initializers.Identity(2.0)((2, 3)).numpy()
    assert made.tolist() == [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]


def test_seeds():
    def draw(initializer: Any) -> list[float]:
        return initializer((3,)).numpy().tolist()

    seeded, unseeded = initializers.HeNormal(seed=7), initializers.HeNormal()
    assert draw(seeded) == draw(seeded) == draw(initializers.HeNormal(seed=7))
    assert draw(unseeded) == draw(unseeded) != draw(initializers.HeNormal())
    generated = initializers.HeNormal(seed=SeedGenerator(7))
    assert draw(generated) != draw(generated)
    again = initializers.HeNormal(seed=SeedGenerator(7))
    first = draw(again)
    assert first == draw(initializers.HeNormal(seed=SeedGenerator(7)))


def test_global_seed_makes_unseeded_draws_repeat():
    found = []
    for _ in range(2):
        set_random_seed(5)
        found.append(initializers.RandomNormal()((2,)).numpy().tolist())
    assert found[0] == found[1]


def test_variables_get_the_values_of_a_seeded_call():
    initializer = initializers.GlorotUniform(seed=3)
    variable = Variable(initializer, shape=(4, 5))
    np.testing.assert_array_equal(variable.numpy(), initializer((4, 5)).numpy())


def test_unseeded_variables_differ():
    initializer = initializers.GlorotUniform()
    first, second = (Variable(initializer, shape=(4,)).numpy() for _ in range(2))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize(("name", "options"), RANDOM)
def test_configs_are_those_of_keras(name: str, options: dict[str, Any]):
    ours = getattr(initializers, name)(seed=3, **options)
    config = initializers.serialize(ours)
    theirs = getattr(keras.initializers, name)(seed=3, **options)
    assert config == keras.initializers.serialize(theirs)
    assert initializers.serialize(initializers.deserialize(config)) == config
    assert ours.clone().get_config() == ours.get_config()


@pytest.mark.parametrize(
    "made",
    [
        initializers.Zeros(),
        initializers.Constant(np.arange(2)),
        initializers.Orthogonal(0.5, seed=2),
        initializers.Identity(3.0),
        initializers.RandomNormal(seed=SeedGenerator(4)),
    ],
)
def test_configs_make_equal_initializers(made: Any):
    config = initializers.serialize(made)
    assert initializers.serialize(initializers.deserialize(config)) == config


@pytest.mark.parametrize(
    "name",
    [
        *("zeros", "zero", "one", "Ones", "uniform", "normal", "glorot_uniform"),
        *("HeNormal", "lecun_normal", "identity", "IdentityInitializer"),
        "OrthogonalInitializer",
    ],
)
def test_names(name: str):
    assert type(initializers.get(name)).__name__ == (
        type(keras.initializers.get(name)).__name__
    )


def test_get():
    assert initializers.get(None) is None
    assert isinstance(initializers.get(initializers.Ones), initializers.Ones)
    assert initializers.get(np.ones)((2,)).tolist() == [1.0, 1.0]
    assert initializers.get(np.arange(2))((2,)).numpy().tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: initializers.get("glorot"), "identifier='glorot'.*Did you mean 'glo"),
        (lambda: initializers.get(3.0), "Received: identifier=3.0"),
        (lambda: initializers.VarianceScaling(scale=-1), "scale=-1"),
        (
            lambda: initializers.VarianceScaling(mode="fan"),
            "'fan_avg'. Received: mode='fan'",
        ),
        (lambda: initializers.VarianceScaling(distribution="x"), "distribution='x'"),
        (lambda: initializers.RandomNormal(seed="x"), "seed='x'"),
        (lambda: initializers.RandomNormal()((2,), dtype="int32"), "dtype=int32"),
        (lambda: initializers.Orthogonal()((3,)), r"shape=\(3,\) of rank 1"),
        (lambda: initializers.Identity()((3,)), r"shape=\(3,\) of rank 1"),
    ],
)
def test_errors(call: Any, message: str):
    with pytest.raises(ValueError, match=message):
        call()
