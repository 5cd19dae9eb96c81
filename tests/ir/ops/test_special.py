import math

import numpy as np
import pytest

from graphc.ir import Graph, building, tensor_type
from graphc.ir.evaluate import evaluate
from graphc.ir.ops import OPS, multiply
from tests.closeness import assert_close, ulp_error
from tests.op_results import body, gradients, run

ERF = np.vectorize(math.erf, otypes=[np.float64])
ERFC = np.vectorize(math.erfc, otypes=[np.float64])


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_erf_has_full_accuracy_everywhere(kind: str):
    x = np.concatenate([np.linspace(-7, 7, 4001), np.geomspace(1e-30, 1, 2000)])
    x = x.astype(kind)
    expected = ERF(x.astype(np.float64))
    assert ulp_error(body("erf", x), expected) <= OPS["erf"].ulp
    np.testing.assert_array_equal(run("erf", x), expected.astype(kind))


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_erf_of_special_values(kind: str):
    x = np.array([-np.inf, -0.0, 0.0, np.inf, np.nan, 1e30], kind)
    for found in (body("erf", x), run("erf", x)):
        np.testing.assert_array_equal(found, [-1, -0.0, 0, 1, np.nan, 1])


def test_erf_stays_within_its_range():
    x = np.linspace(3, 5, 5001, dtype=np.float32)
    assert body("erf", x).max() == 1


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_erfc_keeps_its_accuracy_where_it_vanishes(kind: str):
    end = {"float32": 9.19, "float64": 26.5}[kind]
    x = np.linspace(-6, end, 4001).astype(kind)
    expected = ERFC(x.astype(np.float64))
    assert ulp_error(body("erfc", x), expected) <= OPS["erfc"].ulp
    special = np.array([-np.inf, 0, 40, np.inf, np.nan], kind)
    np.testing.assert_array_equal(body("erfc", special), [2, 1, 0, 0, np.nan])


def improved(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What is nearer to erf_inv(x) than y, by one Newton step in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    by_tail = np.sign(x) * (1 - np.abs(x) - ERFC(np.abs(y)))
    excess = np.where(np.abs(x) > 0.5, by_tail, ERF(y) - x)
    return y - excess * math.sqrt(math.pi) / 2 * np.exp(y * y)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_erf_inv_has_full_accuracy_everywhere(kind: str):
    tiny = float(np.finfo(kind).eps)
    near_one = 1 - np.geomspace(tiny, 0.1, 500)
    x = [np.linspace(-0.999, 0.999, 2000), np.geomspace(1e-30, 0.1, 500), near_one]
    x = np.concatenate([*x, -near_one]).astype(kind)
    for found in (body("erf_inv", x), run("erf_inv", x)):
        assert ulp_error(found, improved(x, found)) <= OPS["erf_inv"].ulp


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_erf_inv_of_special_values(kind: str):
    x = np.array([-1, -0.0, 0, 1, 1.5, np.nan], kind)
    for found in (body("erf_inv", x), run("erf_inv", x)):
        np.testing.assert_array_equal(found, [-np.inf, -0.0, 0, np.inf, np.nan, np.nan])


def test_gradients_undo_each_other():
    x = np.linspace(-2, 2, 9)
    (forward,) = gradients("erf", [x])
    (back,) = gradients("erf_inv", [ERF(x)])
    assert_close(forward * back, 1)
    assert_close(forward, 2 / math.sqrt(math.pi) * np.exp(-x * x))


def test_the_judge_sees_more_than_float32():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"))
    with building(graph):
        graph.results = [multiply(OPS["erf_inv"](OPS["erf"](x)), 1.0)]
    values = np.array([0.1, 0.7, 1.9])
    (found,) = evaluate(graph, values, dtype="f64")
    assert_close(found, values)
