"""Whether an executor agrees with the reference, judged by what each op declares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ml_dtypes import finfo

from graphc.ir import dtype, evaluate
from graphc.testing.op_cases import Array, Case


def assert_agreement(
    given: Sequence[Case], found: Sequence[Sequence[Array]], by_element: bool = False
) -> None:
    """Asserts that the results found for each case are the reference's.

    Errors are judged by the magnitude of the element if `by_element`, else by the
    largest of all cases: one case may be a single number near a zero of the op.
    """
    expected = [evaluate(case.graph, *case.arrays) for case in given]
    scales = magnitudes(want for results in expected for want in results)
    for case, wanted, results in zip(given, expected, found, strict=True):
        for want, got in zip(wanted, results, strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            if want.dtype not in scales:
                np.testing.assert_array_equal(got, want, str(case.graph))
                continue
            relative = case.ulp * float(finfo(want.dtype).eps)
            absolute = 0 if by_element else relative * scales[want.dtype]
            np.testing.assert_allclose(
                flushed(got),
                flushed(want),
                rtol=relative if by_element else 0,
                atol=absolute,
                err_msg=str(case.graph),
            )


def magnitudes(arrays: Iterable[Array]) -> dict[Any, float]:
    """The largest finite magnitude among the arrays of each floating-point dtype."""
    found: dict[Any, float] = {}
    for array in arrays:
        if dtype(array.dtype).is_float:
            wide = np.abs(array.astype(np.float64))
            largest = np.max(wide, where=np.isfinite(wide), initial=0.0)
            found[array.dtype] = max(found.get(array.dtype, 0.0), float(largest))
    return found


def flushed(array: Array) -> Array:
    """The array in float64, zeros in the place of subnormal numbers.

    XLA:CPU flushes them; integers and bool stay as they are.
    """
    if not dtype(array.dtype).is_float:
        return array
    wide = array.astype(np.float64)
    return np.where(np.abs(wide) < float(finfo(array.dtype).smallest_normal), 0, wide)
