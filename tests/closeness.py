"""Assertions by the one table of tolerances, which is `graphc.ir.tolerance`.

No test has numbers of its own; `tests/test_tolerances.py` sees to it. From the narrowest
to the widest, tests compare

* what must be equal by ``==``, `numpy.testing.assert_array_equal` or
  `graphc.testing.equivalence.assert_same_bits`, and what Python computes by
  `math.isclose`;
* one op by `ulp_error`, which is at most the ``ulp`` of the op's record;
* two forms of a graph by `graphc.testing.equivalence`, to `REORDERED_ULP`;
* a few ops by `assert_close`: the dtype's row of the table, times a `Comparison`;
* whole programs by `graphc.ir.tolerance.inaccuracy`, against float64, and by
  `assert_alike` where there is only another program that rounds otherwise;
* random numbers by `assert_mean` and `assert_distributed`.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from graphc.ir.tolerance import Tolerance, mismatch, rmse, tolerance
from graphc.ir.types import DType, dtype

Array = np.ndarray[Any, Any]


class Comparison(float, enum.Enum):
    """What is compared: how many times the dtype's tolerance it may be apart."""

    OURS = 1
    """Results of graphc, or of NumPy in the same dtype."""

    FRAMEWORK = 8
    """Another framework's results, gradients and optimizer steps: it sums in another
    order and approximates functions by other polynomials."""

    TRAINED = 64
    """Weights and losses after several steps of training: each step starts from what
    the last one rounded, and Adam divides by the root of what may be rounding alone."""

    DIFFERENCES = 32
    """Derivatives by differences of float32 results, whose step is a trade of what
    rounding and what curvature does to them."""

    EXTREMES = 1024
    """Gradients in float32 for operands so large, small or equal that few digits
    separate the terms."""


LEAST = 1e-3
"""The least part of the table's absolute tolerance for small numbers: below it is what
sums of larger ones left by rounding."""

REORDERED_ULP = 16
"""What a pass may change, in units in the last place of the largest result, that adds
in another order or puts factors somewhere else."""

DRAWN_ULP = 4
"""What executors may differ by in numbers drawn from a seed, whole numbers excepted."""

STANDARD_ERRORS = 5
"""What the mean of draws may be off by: more is seen once in two million means."""

KOLMOGOROV = 1.95
"""Kolmogorov and Smirnov's statistic times the root of the size of a sample: it is
larger for one sample in a thousand."""


def assert_close(
    found: Any, expected: Any, comparison: Comparison = Comparison.OURS
) -> None:
    """Asserts that all numbers in two nests are as near as the table says.

    Where all numbers are below 1, the absolute part of the tolerance is as much smaller
    as the largest of them is, but not below `LEAST` of the table's.

    Args:
        found: An array, or a nest of lists and dicts of them. Its dtype is a row of the
            table; a number of Python's counts as float32, from which it was read.
        expected: The same nest; an array may be one number for all, or of another dtype.
        comparison: What the two are.
    """
    __tracebackhide__ = True
    if isinstance(found, dict):
        assert sorted(found) == sorted(expected)
        for key, value in found.items():
            assert_close(value, expected[key], comparison)
    elif isinstance(found, (list, tuple)):
        assert len(found) == len(expected)
        for value, wanted in zip(found, expected, strict=True):
            assert_close(value, wanted, comparison)
    else:
        got = np.asarray(found, np.float32 if type(found) is float else None)
        want = np.broadcast_to(expected, got.shape)
        problem = mismatch(got, want, allowed(got, want, comparison))
        assert problem is None, problem


def allowed(found: Array, expected: Array, comparison: Comparison) -> Tolerance:
    """The tolerance that `assert_close` applies."""
    usual = row(dtype(found.dtype), comparison)
    finite = np.where(np.isfinite(expected), np.abs(expected), 0)
    largest = float(np.max(finite.astype(np.float64), initial=0))
    small = max(LEAST, min(largest, 1.0)) if largest else 1.0
    return Tolerance(usual.relative, usual.absolute * small)


def row(of: DType, comparison: Comparison) -> Tolerance:
    """The table's tolerance for a dtype, as many times as a comparison takes."""
    usual = tolerance(of)
    return Tolerance(comparison * usual.relative, comparison * usual.absolute)


def assert_alike(found: Any, expected: Any, rounded: DType) -> None:
    """Asserts that an array is another one as a whole, up to rounding to a dtype.

    The root of the mean squared difference may be the table's relative tolerance times
    that of the numbers: one number may be far off where terms of both signs cancel.

    Args:
        found: An array.
        expected: The same numbers, computed by another program.
        rounded: The narrowest dtype that either program may round to on the way.
    """
    __tracebackhide__ = True
    wanted = np.asarray(expected, np.float64)
    error, size = rmse(found, wanted), rmse(wanted, np.zeros_like(wanted))
    allowed = tolerance(rounded).relative * size
    assert error <= allowed, f"off by {error:.3g}, at most {allowed:.3g} is allowed"


def ulp_error(found: Array, exact: Array, least: float = 0.0) -> float:
    """The largest error of an element, in units in the last place of its own dtype.

    Where the exact result is below `least`, those of `least`.
    """
    size = np.maximum(np.abs(exact), least).astype(found.dtype)
    unit = np.spacing(size).astype(np.float64)
    return float(np.max(np.abs(found.astype(np.float64) - exact) / unit))


def assert_mean(draws: Any, expected: Any) -> None:
    """Asserts that independent draws, along the first axis, have the expected means."""
    __tracebackhide__ = True
    values = np.asarray(draws, np.float64)
    found = values.mean(axis=0)
    error = values.std(axis=0) / np.sqrt(len(values))
    within = np.abs(found - expected) <= STANDARD_ERRORS * error
    assert within.all(), f"{found} +- {error}, not {expected}"


def assert_distributed(ordered: Array, distribution: Array) -> None:
    """Asserts that an ordered sample follows the distribution, given at its points."""
    __tracebackhide__ = True
    steps = np.arange(len(ordered) + 1) / len(ordered)
    apart = np.maximum(distribution - steps[:-1], steps[1:] - distribution)
    assert float(apart.max()) * np.sqrt(len(ordered)) < KOLMOGOROV
