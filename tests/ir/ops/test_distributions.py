"""Gamma, beta and binomial numbers against their distributions; executors agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from graphc.ir import Graph, building, evaluate, tensor_type
from graphc.ir.ops import OPS
from graphc.runtime.compile import compile_graph
from tests.closeness import (
    DRAWN_ULP,
    assert_close,
    assert_distributed,
    assert_mean,
    ulp_error,
)
from tests.op_results import run

KEY = np.array([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], np.uint32)
COUNT = 10000


def draw(name: str, *parameters: float, dtype: str = "float32") -> np.ndarray:
    """`COUNT` numbers in ascending order, in float64."""
    filled = [np.full(COUNT, p, dtype) for p in parameters]
    found = run(name, KEY, *filled)
    assert found.dtype == dtype
    return np.sort(found.astype(np.float64))


def gamma_cdf(x: np.ndarray, alpha: float) -> np.ndarray:
    """The incomplete gamma function by its power series."""
    total = term = np.full_like(x, 1 / alpha)
    for n in range(1, 400):
        term = term * x / (alpha + n)
        total = total + term
    with np.errstate(divide="ignore"):
        return total * np.exp(alpha * np.log(x) - x - math.lgamma(alpha))


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 1.7, 5.0, 60.0])
def test_gamma(alpha: float) -> None:
    x = draw("random_gamma", alpha)
    assert_distributed(x, gamma_cdf(x, alpha))
    assert_mean(x, alpha)


def test_gamma_in_other_dtypes() -> None:
    exact = draw("random_gamma", 2.5, dtype="float64")
    assert_close(draw("random_gamma", 2.5), exact)
    assert_distributed(exact, gamma_cdf(exact, 2.5))


def test_gamma_of_odd_parameters() -> None:
    alpha = np.float32([0.0, -1.0, np.nan, np.inf])
    found = run("random_gamma", KEY, alpha)
    np.testing.assert_array_equal(found, np.float32([0, np.nan, np.nan, np.inf]))


@pytest.mark.parametrize(
    ("alpha", "beta", "distribution"),
    [
        (0.5, 0.5, lambda x: 2 / math.pi * np.arcsin(np.sqrt(x))),
        (0.2, 1.0, lambda x: x**0.2),
        (1.0, 4.0, lambda x: 1 - (1 - x) ** 4),
        (2.0, 3.0, lambda x: 6 * x**2 - 8 * x**3 + 3 * x**4),
    ],
)
def test_beta(alpha: float, beta: float, distribution: Any) -> None:
    x = draw("random_beta", alpha, beta)
    assert ((x >= 0) & (x <= 1)).all()
    assert_distributed(x, distribution(x))


def test_beta_of_tiny_parameters_is_0_or_1() -> None:
    x = draw("random_beta", 1e-4, 1e-4)
    assert np.mean((x == 0) | (x == 1)) > 0.99
    assert_mean(x, 0.5)


def binomial_chances(n: int, p: float) -> np.ndarray:
    k = np.arange(n + 1)
    ways = np.array(
        [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k]
    )
    return np.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))


@pytest.mark.parametrize(
    ("n", "p"),
    [(1, 0.3), (12, 0.5), (30, 0.33), (25, 0.4), (60, 0.9), (900, 0.02)],
)
def test_binomial(n: int, p: float) -> None:
    x = draw("random_binomial", n, p)
    expected = binomial_chances(n, p) * COUNT
    counts = np.bincount(x.astype(int), minlength=n + 1)
    many = expected > 5
    rest = (expected[~many].sum(), counts[~many].sum())
    statistic = ((counts - expected)[many] ** 2 / expected[many]).sum()
    if rest[0] > 1:
        statistic += (rest[1] - rest[0]) ** 2 / rest[0]
    # It has about as many degrees of freedom as classes, and twice the variance.
    degrees = many.sum()
    assert statistic < degrees + 4 * math.sqrt(2 * degrees)


def test_binomial_of_many_trials() -> None:
    x = draw("random_binomial", 1e6, 0.3)
    deviation = math.sqrt(1e6 * 0.3 * 0.7)
    z = (x - 3e5) / deviation
    assert_mean(z, 0)
    assert_mean(z * z, 1)


def test_binomial_of_odd_parameters() -> None:
    count = np.float32([0, 7, 7, 9.7, -1, 5, 5, np.nan])
    chance = np.float32([0.5, 0, 1, 1, 0.5, -0.1, 1.1, 0.5])
    found = run("random_binomial", KEY, count, chance)
    nan = np.nan
    np.testing.assert_array_equal(found, [0, 0, 7, 9, nan, nan, nan, nan])


def test_no_gradient_flows_to_parameters() -> None:
    for name in ("random_gamma", "random_beta", "random_binomial"):
        assert "not known in closed form" in str(OPS[name].vjp)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("random_normal", ()),
        ("random_gamma", (np.linspace(0.05, 20, COUNT),)),
        ("random_beta", (np.linspace(0.1, 4, COUNT), np.linspace(3, 0.2, COUNT))),
        (
            "random_binomial",
            (np.round(np.linspace(1, 4000, COUNT)), np.linspace(0.99, 0.01, COUNT)),
        ),
    ],
)
def test_executors_draw_the_same_numbers(
    name: str, parameters: tuple[np.ndarray, ...]
) -> None:
    arrays = [p.astype(np.float32) for p in parameters]
    graph = Graph("draws")
    key = graph.add_parameter(tensor_type("u32[4]"))
    operands = [graph.add_parameter(tensor_type(f"f32[{COUNT}]")) for _ in arrays]
    with building(graph):
        options = {} if arrays else {"shape": [COUNT]}
        graph.results = [OPS[name](key, *operands, **options)]
    (wanted,) = evaluate(graph, KEY, *arrays)
    (found,) = compile_graph(graph)(KEY, *arrays)
    assert ulp_error(np.asarray(found), wanted) <= DRAWN_ULP
