from __future__ import annotations

import numpy as np
import pytest

from graphc.fuzz import inputs
from graphc.ir import evaluate, parse
from graphc.ir.rounding import disagreement, spreads
from graphc.ir.tolerance import tolerance
from graphc.ir.types import F32

HEAD = "graph @f(%x: f32[64] {low=0.1, high=2.0}) -> (f32[64]) {seed=3}"
STABLE = HEAD + "{ %0 = exponential(%x) : f32[64] return %0 }"
MOVED = HEAD + "{ %0 = reverse(%x) {axes=[0]} : f32[64] return %0 }"
CANCELS = (
    HEAD
    + """{
    %0 = multiply(%x, 1000.3) : f32[64]
    %1 = tanh(%0) : f32[64]
    %2 = add(%0, %1) : f32[64]
    %3 = subtract(%2, %0) : f32[64]
    return %3
}"""
)
JUMPS = """
    graph @f(%x: f32[64] {low=0.0, high=4.0, step=0.5}) -> (i32[64]) {seed=3} {
      %0 = multiply(%x, 0.1) : f32[64]
      %1 = multiply(%0, 10.0) : f32[64]
      %2 = floor(%1) : f32[64]
      %3 = convert(%2) {dtype="i32"} : i32[64]
      return %3
    }"""


NARROW = tolerance(F32).absolute
"""What float32 results may be apart whatever their size."""


def results(text: str) -> tuple[np.ndarray, np.ndarray]:
    graph = parse(text)
    arrays = inputs(graph)
    return evaluate(graph, *arrays)[0], spreads(graph, arrays, 0)[0]


def test_what_moves_data_has_no_error():
    assert not results(MOVED)[1].any()


def test_well_conditioned_results_are_compared_narrowly():
    result, spread = results(STABLE)
    assert 0 < spread.max() < NARROW
    assert disagreement(result, result, spread) is None
    assert disagreement(result * np.float32(1 + 2e-7), result, spread) is None
    problem = disagreement(result * np.float32(1.001), result, spread)
    assert problem is not None
    assert problem.startswith("64 of 64 elements differ, the first at [0]: ")


def test_one_wrong_element_is_found():
    result, spread = results(STABLE)
    wrong = result.copy()
    wrong[17] = 0
    problem = disagreement(wrong, result, spread)
    assert (
        problem == f"1 of 64 elements differ, the first at [17]: 0.0, not {result[17]}"
    )


def test_sums_that_cancel_are_compared_loosely():
    result, spread = results(CANCELS)
    assert spread.max() > NARROW
    assert disagreement(result + spread.astype(np.float32), result, spread) is None
    assert disagreement(result + np.float32(0.1), result, spread) is not None


def test_elements_near_a_jump_are_not_compared():
    result, spread = results(JUMPS)
    assert np.isinf(spread).any()
    assert (spread == 0).any()
    moved = np.where(np.isinf(spread), result - 1, result).astype(np.int32)
    assert disagreement(moved, result, spread) is None
    assert disagreement(result + 1, result, spread) is not None


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f64"])
def test_other_dtypes_have_errors_of_their_size(dtype: str):
    text = STABLE.replace("f32[", f"{dtype}[")
    result, spread = results(text)
    assert (spread.max() > NARROW) == (dtype != "f64")
    assert disagreement(result, result, spread) is None


def test_types_are_compared():
    result, spread = results(STABLE)
    found = result.astype(np.float64)
    assert disagreement(found, result, spread) == "float64[64], not float32[64]"


def test_nan_and_infinities_are_themselves():
    want = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    none = np.zeros(4)
    assert disagreement(want, want, none) is None
    for place in range(4):
        got = want.copy()
        got[place] = 5
        assert disagreement(got, want, none) is not None


SINGULAR = """
    graph @f(%x: f32[2,3,3] {low=0.0, high=1.0}) -> (f32[2,3,3]) {seed=1} {
      %0, %1, %2 = svd(%x) : f32[2,3,3], f32[2,3], f32[2,3,3]
      return %0
    }"""


def test_vectors_that_singular_matrices_leave_open_are_not_compared():
    graph = parse(SINGULAR)
    x = np.stack([np.outer([1, 2, 3], [1, 1, 2]), 3 * np.eye(3) + np.diag([0, 1, 2])])
    spread = spreads(graph, [x.astype(np.float32)], 0)[0]
    assert spread[0, :, 1:].max() > 0.1
    assert max(spread[0, :, 0].max(), spread[1].max()) < spread[0, :, 1:].max() / 1000
