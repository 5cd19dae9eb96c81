"""How far results may be from what they should be: one table for all comparisons.

Three rules, from the narrowest to the widest use:

* one op: `node_ulp`, units in the last place that the op's record allows;
* a few ops: `mismatch`, element by element, by the table of `tolerance`;
* whole programs: `inaccuracy`, where rounding in the same dtype is the yardstick: the
  error against float64 may be twice that of the reference evaluator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ml_dtypes import finfo

from graphc.ir.graph import Node
from graphc.ir.types import (
    BF16,
    F8E4M3FN,
    F8E5M2,
    F16,
    F32,
    F64,
    DType,
    dtype,
    product,
)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a number may be from the expected one, y.

    That is by ``absolute + relative * |y|``.
    """

    relative: float
    absolute: float


EXACT = Tolerance(0.0, 0.0)
"""What integers and bool are held to."""

TOLERANCES: dict[DType, Tolerance] = {
    F64: Tolerance(1e-7, 1e-7),
    F32: Tolerance(1.3e-6, 1e-5),
    BF16: Tolerance(1.6e-2, 1e-5),
    F16: Tolerance(1e-3, 1e-5),
    F8E4M3FN: Tolerance(1.25e-1, 1e-5),
    F8E5M2: Tolerance(2.5e-1, 1e-5),
}
"""For each floating-point dtype; down to 16 bits those of `torch.testing.assert_close`,
below them one unit in the last place."""

RMSE_FACTOR = 2.0
"""How much larger than the reference's own error another executor's may be."""

COMPOSITE_ULP: dict[DType, float] = {BF16: 4, F16: 4, F32: 64, F64: 64}
"""What composites, and ops that call graphs, may differ by if they do not declare it:
XLA contracts multiply-adds, and rounds to narrow floats in other places of a body than
the reference does."""

F64_FACTOR = 8
"""How much larger errors in float64 may be: XLA's log1p is good to 53 ulp there."""


def tolerance(of: DType) -> Tolerance:
    """The table's entry for a dtype; `EXACT` for integers and bool."""
    return TOLERANCES.get(of, EXACT)


def node_ulp(node: Node) -> float:
    """How far an executor's results of a node without symbols may be off.

    In units in the last place of the largest result: what the op declares, for each
    operand element that goes into one result element.
    """
    op, result = node.op, node.results[0].type
    if not result.dtype.is_float:
        return 0
    if (op.is_composite or op.calls_graphs) and op.ulp == 0:
        return COMPOSITE_ULP.get(result.dtype, 0)
    read = sum(product(operand.type.static_shape) for operand in node.operands)
    terms = max(1, read // max(1, product(result.static_shape)))
    return op.ulp * terms * (F64_FACTOR if result.dtype is F64 else 1)


def mismatch(found: Any, expected: Any, allowed: Tolerance | None = None) -> str | None:
    """What is wrong with `found`, or None where it is close to `expected`.

    NaN is close to NaN and an infinity to itself.

    Args:
        found: An array-like, whose dtype chooses the tolerance.
        expected: An array-like of the same shape, which may have a wider dtype.
        allowed: Another tolerance than the table's.
    """
    got, want = np.asarray(found), np.asarray(expected)
    if got.shape != want.shape:
        return f"shape {got.shape}, not {want.shape}"
    bound = tolerance(dtype(got.dtype)) if allowed is None else allowed
    if bound == EXACT:
        wrong = got != want
        error = np.where(wrong, np.inf, 0.0)
    else:
        wide_got, wide_want = got.astype(np.float64), want.astype(np.float64)
        with np.errstate(invalid="ignore"):
            error = np.abs(wide_got - wide_want)
        same = (wide_got == wide_want) | (np.isnan(wide_got) & np.isnan(wide_want))
        error = np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))
        size = np.where(np.isfinite(wide_want), np.abs(wide_want), 0.0)
        wrong = error > bound.absolute + bound.relative * size
    return _worst(got, want, error, wrong) if np.any(wrong) else None


def near(found: Array, expected: Array, relative: float) -> bool:
    """Whether two arrays are equal but for rounding.

    Args:
        found: Numbers that were computed in one order.
        expected: The same numbers computed in another.
        relative: How far floats may be apart, of themselves and, since what cancels
            keeps the errors of what it is made of, of the largest of `expected`.
    """
    if found.shape != expected.shape or found.dtype.kind != "f":
        return np.array_equal(found, expected)
    with np.errstate(all="ignore"):
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
        return np.allclose(found, expected, relative, relative * scale, equal_nan=True)


def _worst(got: Array, want: Array, error: Array, wrong: Array) -> str:
    at = np.unravel_index(int(np.argmax(error)), error.shape)
    place = f" at {list(map(int, at))}" if at else ""
    return (
        f"{np.count_nonzero(wrong)} of {wrong.size} elements differ, "
        f"most{place}: {got[at]}, not {want[at]}"
    )


def rmse(found: Any, exact: Any) -> float:
    """The root of the mean squared error of `found`; infinite for a NaN in it.

    Elements that are equal, infinities among them, have no error.
    """
    got, want = np.asarray(found, np.float64), np.asarray(exact, np.float64)
    if not got.size:
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        error = np.where(same, 0.0, np.abs(got - want))
    largest = float(np.max(error))
    if not math.isfinite(largest) or largest == 0:
        return 0.0 if largest == 0 else math.inf
    return largest * math.sqrt(float(np.mean(np.square(error / largest))))


def inaccuracy(found: Any, reference: Any, exact: Any) -> str | None:
    """What is wrong with `found`, or None where it is as accurate as its dtype allows.

    The rule: ``rmse(found, exact) <= 2 * rmse(reference, exact) + tolerance``, where
    the tolerance is the table's for the root mean square of the exact results. Integers
    and bool must equal the reference. Source of the rule: how PyTorch compares what
    Inductor compiles with eager results.

    Args:
        found: What an executor returned.
        reference: What the reference evaluator returned in the same dtype.
        exact: What it returned with all floats computed in float64.
    """
    got, eager, judge = (np.asarray(a) for a in (found, reference, exact))
    if (got.shape, got.dtype) != (eager.shape, eager.dtype):
        return f"{got.dtype}{got.shape}, not {eager.dtype}{eager.shape}"
    element = dtype(got.dtype)
    if not element.is_float:
        return mismatch(got, eager)
    # What the dtype cannot hold, or no arithmetic defines, is the reference's say.
    wide = judge.astype(np.float64)
    held = np.isfinite(wide) & (np.abs(wide) <= float(finfo(element.numpy).max))
    defined = held & np.isfinite(eager.astype(np.float64))
    if problem := mismatch(got[~defined], eager[~defined]):
        return problem
    got, eager, wide = got[defined], eager[defined], wide[defined]
    bound = tolerance(element)
    allowed = RMSE_FACTOR * rmse(eager, wide)
    allowed += bound.absolute + bound.relative * rmse(wide, np.zeros_like(wide))
    error = rmse(got, wide)
    if error <= allowed:
        return None
    return f"the error against float64 is {error:.3g}, at most {allowed:.3g} is allowed"
