"""Eager calls of ops: what is cached, and what arrays and numbers count as."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc.frontend import dispatch, ops
from graphc.frontend.dispatch import op
from graphc.frontend.tensor import Array
from graphc.frontend.variables import Variable

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_PROGRAMS", {})


def cached() -> int:
    return len(dispatch._PROGRAMS)


def test_equal_types_share_a_program() -> None:
    first = ops.add(X, X)
    again = ops.add(X + 1, X)
    assert cached() == 1
    np.testing.assert_array_equal(np.asarray(first), X + X)
    np.testing.assert_array_equal(np.asarray(again), X + X + 1)
    ops.add(X[:1], X)
    assert cached() == 2


def test_numbers_of_other_types_are_other_programs() -> None:
    assert [ops.add(np.int8([1]), n).dtype for n in (1, 1.0, True)] == [
        "int8",
        "float32",
        "int8",
    ]


def test_slices_are_cached() -> None:
    for _ in range(2):
        found = ops.get_item(X, (slice(None), slice(1, 3)))
        np.testing.assert_array_equal(np.asarray(found), X[:, 1:3])
        found = ops.get_item(X, (slice(None), slice(0, 2)))
        np.testing.assert_array_equal(np.asarray(found), X[:, :2])
    assert cached() == 2


def test_the_oldest_program_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MAX_PROGRAMS", 3)
    for number in range(5):
        ops.add(X, number)
    assert cached() == 3
    np.testing.assert_array_equal(np.asarray(ops.add(X, 0)), X)


def test_numpy_scalars_are_numbers() -> None:
    assert ops.full((np.int64(2),), np.float64(3)).tolist() == [3.0, 3.0]
    assert ops.multiply(np.float16([1]), np.float64(2)).dtype == "float16"


def test_unhashable_arguments_work() -> None:
    @op
    def sum_of(x: Any, numbers: Any) -> Any:
        return x + sum(numbers)

    assert sum_of(X, {1, 2}).shape == (2, 3)
    assert cached() == 0


def test_variables_are_read_anew() -> None:
    variable = Variable(np.float32([1, 2]))
    assert ops.add(variable, 1).tolist() == [2.0, 3.0]
    variable.assign([5, 6])
    assert ops.add(variable, 1).tolist() == [6.0, 7.0]


def test_large_arrays_are_compiled() -> None:
    large = np.ones((400, 400), np.float32)
    for _ in range(2):
        found = ops.add(large, large)
        assert isinstance(found, Array)
        assert not isinstance(found.data, np.ndarray)
        np.testing.assert_array_equal(np.asarray(found), large + large)
