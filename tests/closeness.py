"""Assertions by the one table of tolerances."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.tolerance import Tolerance, mismatch

Array = np.ndarray[Any, Any]


def assert_close(found: Any, expected: Any, allowed: Tolerance | None = None) -> None:
    """Asserts that `found` is `expected` within what the table allows its dtype.

    `expected` may be of a wider dtype, and one number for all elements.
    """
    __tracebackhide__ = True
    want = np.broadcast_to(expected, np.shape(found))
    problem = mismatch(found, want, allowed)
    assert problem is None, problem


def ulp_error(found: Array, exact: Array) -> float:
    """The largest error of an element, in units in the last place of its own dtype."""
    unit = np.spacing(np.abs(exact).astype(found.dtype)).astype(np.float64)
    return float(np.max(np.abs(found.astype(np.float64) - exact) / unit))
