import math

import numpy as np
import pytest

from graphc.ir.ops import OPS
from tests.closeness import assert_close, ulp_error
from tests.op_results import gradients, run

X = np.array([-3.5, -1.0, -0.25, 0.0, 0.5, 2.0, 7.0])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


SELU = np.where(X > 0, X, 1.6732632423543772 * np.expm1(np.minimum(X, 0)))
FORMULAS = {
    "relu": (np.maximum(X, 0), {}),
    "relu6": (np.clip(X, 0, 6), {}),
    "leaky_relu": (np.where(X < 0, 0.1 * X, X), {"slope": 0.1}),
    "hard_sigmoid": (np.clip(X / 6 + 0.5, 0, 1), {}),
    "hard_silu": (X * np.clip(X / 6 + 0.5, 0, 1), {}),
    "silu": (X * sigmoid(X), {}),
    "softplus": (np.log1p(np.exp(X)), {}),
    "log_sigmoid": (np.log(sigmoid(X)), {}),
    "softsign": (X / (1 + np.abs(X)), {}),
    "elu": (np.where(X > 0, X, 2 * np.expm1(np.minimum(X, 0))), {"alpha": 2.0}),
    "selu": (1.0507009873554805 * SELU, {}),
    "mish": (X * np.tanh(np.log1p(np.exp(X))), {}),
    "gelu": (X * normal_cdf(X), {}),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name: str):
    expected, attributes = FORMULAS[name]
    found = run(name, X, **attributes)
    assert_close(found, expected)


def test_gelu_by_tanh():
    inner = math.sqrt(2 / math.pi) * (X + 0.044715 * X**3)
    found = run("gelu", X, approximate=True)
    assert_close(found, X * (1 + np.tanh(inner)) / 2)


@pytest.mark.parametrize(
    ("name", "at", "slope", "attributes"),
    [
        ("relu", 0.0, 0.0, {}),
        ("relu6", 0.0, 0.0, {}),
        ("relu6", 6.0, 0.0, {}),
        ("leaky_relu", 0.0, 1.0, {"slope": 0.1}),
        ("elu", 0.0, 1.5, {"alpha": 1.5}),
        ("softplus", 0.0, 0.5, {}),
        ("softsign", 0.0, 1.0, {}),
        ("hard_sigmoid", 3.0, 0.0, {}),
    ],
)
def test_derivative_at_a_kink(name: str, at: float, slope: float, attributes: dict):
    (found,) = gradients(name, [np.array([at])], **attributes)
    assert_close(found, slope)


@pytest.mark.parametrize("name", ["softplus", "log_sigmoid", "mish", "silu", "gelu"])
def test_large_operands_neither_overflow_nor_give_nan(name: str):
    x = np.array([-1e4, -200.0, 200.0, 1e4], np.float32)
    (slope,) = gradients(name, [x])
    expected = {
        "softplus": ([0, 0, 200, 1e4], [0, 0, 1, 1]),
        "log_sigmoid": ([-1e4, -200, 0, 0], [1, 1, 0, 0]),
    }.get(name, ([0, 0, 200, 1e4], [0, 0, 1, 1]))
    assert_close(run(name, x), expected[0])
    assert_close(slope, expected[1])


def test_softplus_keeps_small_results():
    x = np.array([-80.0, -20.0], np.float32)
    exact = np.exp(x.astype(np.float64))
    assert ulp_error(run("softplus", x), exact) <= OPS["softplus"].ulp


@pytest.mark.parametrize("name", ["relu", "relu6"])
def test_rectifiers_take_integers(name: str):
    x = np.array([-3, 0, 4, 9], np.int8)
    found = run(name, x)
    assert found.dtype == np.int8
    assert found.tolist() == [0, 0, 4, 6 if name == "relu6" else 9]


def test_nan_passes_through():
    for name, (_, attributes) in FORMULAS.items():
        assert np.isnan(run(name, np.array([np.nan], np.float32), **attributes)[0]), (
            name
        )
    assert set(FORMULAS) <= set(OPS)
