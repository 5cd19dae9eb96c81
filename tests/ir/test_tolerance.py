"""The table of tolerances and the three rules that use it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from graphc.ir import parse
from graphc.ir.tolerance import (
    COMPOSITE_ULP,
    EXACT,
    F64_FACTOR,
    TOLERANCES,
    Tolerance,
    inaccuracy,
    mismatch,
    node_ulp,
    rmse,
    tolerance,
)
from graphc.ir.types import BF16, BOOL, DTYPES, F32, F64, I32, DType


def test_every_dtype_has_a_tolerance():
    for dtype in DTYPES.values():
        assert (tolerance(dtype) == EXACT) is not dtype.is_float
    relative = [TOLERANCES[dtype].relative for dtype in (F64, F32, BF16)]
    assert relative == sorted(relative)
    assert tolerance(I32) == tolerance(BOOL) == Tolerance(0, 0)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_what_is_allowed_is_relative_and_absolute(dtype: DType):
    bound = tolerance(dtype)
    one = np.array(1.0)
    step = bound.relative + bound.absolute
    assert mismatch(one + 0.9 * step, one, bound) is None
    assert mismatch(one + 1.1 * step, one, bound) is not None
    assert mismatch(one.astype(dtype.numpy), np.array(1.0)) is None


@pytest.mark.parametrize(
    ("found", "expected", "problem"),
    [
        (np.float32([1, 2]), [1, 2, 3], "shape (2,), not (3,)"),
        (np.float32(1), 1.1, "1 of 1 elements differ, most: 1.0, not 1.1"),
        (np.float32([[1, 2]]), [[1, 3]], "most at [0, 1]: 2.0, not 3"),
        (np.float32([np.nan, np.inf]), [np.nan, np.inf], None),
        (np.float32([np.nan]), [0.0], "most at [0]: nan, not 0.0"),
        (np.float32([np.inf]), [-np.inf], "most at [0]: inf, not -inf"),
        (np.float32([3.4e38]), [np.inf], "not inf"),
        (np.int32([1, 2]), [1, 3], "1 of 2 elements differ"),
        (np.array([True]), [False], "True, not False"),
        (np.zeros((0, 2), np.float32), np.zeros((0, 2)), None),
    ],
)
def test_mismatch(found: Any, expected: Any, problem: str | None):
    said = mismatch(found, expected)
    assert said is None if problem is None else problem in (said or "")


def test_mean_errors():
    assert math.isclose(rmse([1.0, 2.0], [1.0, 4.0]), math.sqrt(2))
    assert math.isclose(rmse([1e200, 0.0], [0.0, 0.0]), 1e200 / math.sqrt(2))
    assert rmse([np.nan, np.inf], [np.nan, np.inf]) == 0
    assert rmse([np.nan], [1.0]) == math.inf
    assert rmse([], []) == 0


def test_an_executor_may_be_off_twice_as_far_as_the_reference():
    exact = np.ones(4)
    reference = np.float32([1.01, 1, 1, 1])
    assert inaccuracy(np.float32([1, 1, 1, 0.981]), reference, exact) is None
    said = inaccuracy(np.float32([1, 1, 1, 0.97]), reference, exact)
    assert said is not None
    assert "0.015, at most 0.01" in said


def test_what_a_dtype_cannot_hold_is_left_to_the_reference():
    exact = np.array([1e40, 1.0])
    reference = np.float32([np.inf, 1])
    assert inaccuracy(reference, reference, exact) is None
    assert inaccuracy(np.float32([3e38, 1]), reference, exact) is not None


def test_integers_must_equal_the_reference():
    three = np.int32([3])
    assert inaccuracy(three, three, three) is None
    assert inaccuracy(np.int32([4]), three, three) is not None
    assert inaccuracy(np.int64([3]), three, three) == "int64(1,), not int32(1,)"


@pytest.mark.parametrize(
    ("line", "ulp"),
    [
        ('convert(%x) {dtype="i32"} : i32[2,3]', 0),
        ("add(%x, %x) : f32[2,3]", 0),
        ("exponential(%x) : f32[2,3]", 4),
        ("reduce_sum(%x) {axes=[1]} : f32[2]", 3),
        ("leaky_relu(%x) {slope=0.5} : f32[2,3]", COMPOSITE_ULP[F32]),
    ],
)
def test_the_error_of_a_node_follows_from_its_record(line: str, ulp: float):
    graph = parse(
        f"graph @f(%x: f32[2,3]) -> ({line.split(' : ')[1]}) {{\n  %0 = {line}\n  return %0\n}}"
    )
    assert node_ulp(graph.last) == ulp
    if ulp and not graph.last.op.is_composite:
        wide = parse(str(graph).replace("f32", "f64"))
        assert node_ulp(wide.last) == ulp * F64_FACTOR
