"""Whether two graphs mean the same: both are evaluated on the same arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from ml_dtypes import finfo

from graphc.ir import Graph, TensorType, evaluate
from graphc.ir.dims import substitute

SIZE = 3
"""What dimension symbols are bound to, within their ranges."""

Array = np.ndarray[Any, Any]


def random_arrays(
    graph: Graph, rng: np.random.Generator, special: bool = False
) -> list[Array]:
    """An array for each parameter; `special` mixes in zeros, limits, infinities, nan."""
    sizes = {s: min(max(SIZE, low), high) for s, (low, high) in graph.ranges.items()}
    arrays: list[Array] = []
    for parameter in graph.parameters:
        type = parameter.type
        shape = tuple(int(substitute(d, sizes)) for d in type.shape)
        fill = special_array if special else plain_array
        arrays.append(fill(type.with_shape(shape), rng))
    return arrays


def plain_array(type: TensorType, rng: np.random.Generator) -> Array:
    """Small numbers of either sign."""
    dtype, shape = type.dtype, type.static_shape
    if dtype.kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.is_float:
        return np.asarray(rng.normal(size=shape)).astype(dtype.numpy)
    low = 0 if dtype.kind == "uint" else -6
    return np.asarray(rng.integers(low, 7, shape)).astype(dtype.numpy)


def special_array(type: TensorType, rng: np.random.Generator) -> Array:
    """Numbers that identities get wrong, and some others."""
    dtype, shape = type.dtype, type.static_shape
    pool = [*np.atleast_1d(plain_array(TensorType((8,), dtype), rng))]
    if dtype.is_float:
        limits = finfo(dtype.numpy)
        edges = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan]
        edges += [limits.max, limits.min, limits.smallest_normal]
        edges += [limits.smallest_subnormal, -limits.smallest_subnormal]
    elif dtype.kind == "bool":
        edges = []
    else:
        low = -(2 ** (dtype.bits - 1)) if dtype.kind == "int" else 0
        edges = [0, 1, low, low + 2**dtype.bits - 1]
    pool += [np.asarray(edge).astype(dtype.numpy)[()] for edge in edges]
    chosen = rng.integers(0, len(pool), shape)
    flat = [pool[i] for i in np.ravel(chosen)]
    return np.asarray(flat, dtype.numpy).reshape(shape)


def assert_same_meaning(
    before: Graph,
    after: Graph,
    arrays: list[Array],
    ulp: float = 0,
    signed_zeros: bool = True,
) -> None:
    """Asserts that two graphs give the same results, up to `ulp` in the last place."""
    wanted, found = evaluate(before, *arrays), evaluate(after, *arrays)
    assert len(wanted) == len(found)
    for want, got in zip(wanted, found, strict=True):
        if ulp:
            assert_close(got, want, ulp)
        else:
            assert_same_bits(got, want, signed_zeros)


def assert_same_bits(got: Array, want: Array, signed_zeros: bool = True) -> None:
    """Asserts that two arrays are equal to the bit, but for the payloads of nan."""
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if got.dtype.kind not in "biu":  # floats, those of ml_dtypes among them
        assert np.array_equal(np.isnan(got), np.isnan(want)), f"{got} != {want}"
        if not signed_zeros:
            got, want = (np.where(a == 0, 0, a).astype(a.dtype) for a in (got, want))
        got, want = (np.where(np.isnan(a), 0, a).astype(a.dtype) for a in (got, want))
    assert got.tobytes() == want.tobytes(), f"{got} != {want}"


def assert_close(got: Array, want: Array, ulp: float) -> None:
    """Asserts that two arrays differ by at most `ulp` of the largest magnitude."""
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if got.dtype.kind in "biu" or not want.size:
        np.testing.assert_array_equal(got, want)
        return
    wide_got, wide_want = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(wide_want)
    np.testing.assert_array_equal(wide_got[~finite], wide_want[~finite])
    scale = np.abs(wide_want[finite]).max(initial=0.0)
    bound = ulp * float(finfo(want.dtype).eps) * scale
    difference = np.abs(wide_got[finite] - wide_want[finite]).max(initial=0.0)
    assert difference <= bound, f"{difference} > {bound}: {got} != {want}"
