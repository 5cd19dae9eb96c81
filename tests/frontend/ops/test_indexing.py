"""Indexing with known and unknown sizes, and what indices may not be."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from graphc.frontend import ops
from graphc.frontend.program import Slot, trace_program
from graphc.ir import TensorType, dtype, evaluate
from graphc.ir.dims import SymbolicDim
from graphc.ir.errors import GraphError
from tests.closeness import assert_close

X = np.arange(5 * 4 * 6, dtype=np.float32).reshape(5, 4, 6)
PARTS = (
    *(1, -2, slice(None), slice(1, 3), slice(None, None, -2), slice(9, 0, -1)),
    *(slice(-3, None), slice(3, 1), None, Ellipsis, np.int32([1, 0, -1])),
    np.int32([[2, 1, 0]]),
)


def keys() -> list[tuple[Any, ...]]:
    found = [(part,) for part in PARTS]
    found += list(itertools.product(PARTS, repeat=2))
    found += [
        triple
        for triple in itertools.product(PARTS, repeat=3)
        if any(isinstance(p, np.ndarray) for p in triple) or None in map(type, triple)
    ][::7]
    return [
        key
        for key in found
        if sum(p is Ellipsis for p in key) < 2
        and sum(p is not None and p is not Ellipsis for p in key) < 4
    ]


def evaluated(function: Any, *arrays: np.ndarray) -> Any:
    """The result of a function traced with all sizes of the first array unknown."""
    symbols = tuple(SymbolicDim.symbol(s) for s in "BTC")
    types = [TensorType(symbols[: arrays[0].ndim], dtype(arrays[0].dtype))]
    types += [TensorType(a.shape, dtype(a.dtype)) for a in arrays[1:]]
    slots = tuple(Slot(i) for i in range(len(arrays)))
    program = trace_program("f", function, slots, types)
    program.graph.verify()
    return evaluate(program.graph, *arrays)[0]


def test_keys_mean_what_they_mean_in_numpy() -> None:
    for key in keys():
        np.testing.assert_array_equal(
            np.asarray(ops.get_item(X, key)), X[key], str(key)
        )


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("starts", [(-2, 1, -6), (-9, 9, -1), (4, -4, 0)])
def test_starts_below_0_count_from_the_end(starts: tuple[int, ...], known: bool):
    shape = (2, 1, 3)
    # Then they are limited, as those of jax.lax.dynamic_slice are.
    counted = np.where(np.less(starts, 0), np.add(starts, X.shape), starts)
    first = np.clip(counted, 0, np.subtract(X.shape, shape))
    part = tuple(map(slice, first, first + shape))
    given = starts if known else np.int32(starts)
    np.testing.assert_array_equal(ops.slice(X, given, shape), X[part])
    wanted = X.copy()
    wanted[part] = 0
    found = ops.slice_update(X, given, np.zeros(shape, np.float32))
    np.testing.assert_array_equal(found, wanted)
    symbolic = evaluated(lambda x: ops.slice(x, starts, shape), X)
    np.testing.assert_array_equal(symbolic, X[part])


def test_scalars_are_one_row_where_keras_takes_them_so():
    np.testing.assert_array_equal(ops.argsort(2.0), [0])
    np.testing.assert_array_equal(ops.repeat(2.0, 3, axis=0), [2, 2, 2])
    with pytest.raises(GraphError, match="Received: axis=-1 for a tensor of rank 0"):
        ops.sort(2.0)


@pytest.mark.parametrize(
    "key",
    [
        np.s_[1],
        np.s_[:, -1],
        np.s_[1:],
        np.s_[:-1],
        np.s_[..., ::2],
        np.s_[::-1],
        np.s_[:, 1:-1, None],
        np.s_[:, np.int32([1, 0])],
        np.s_[np.int32([-1]), :, np.int32([2])],
    ],
)
def test_keys_of_unknown_sizes(key: Any) -> None:
    np.testing.assert_array_equal(evaluated(lambda x: x[key], X), X[key])


def test_sizes_as_bounds() -> None:
    found = evaluated(lambda x: x[: ops.shape(x)[0] - 2], X)
    np.testing.assert_array_equal(found, X[:-2])
    found = evaluated(lambda x: x[:, -ops.shape(x)[1] + 1 :], X)
    np.testing.assert_array_equal(found, X[:, 1:])
    found = evaluated(lambda x: x[ops.shape(x)[0] - 1], X)
    np.testing.assert_array_equal(found, X[-1])


def test_a_traced_index() -> None:
    for index in (2, -1):
        found = evaluated(lambda x, i: x[i], X, np.int32(index))
        np.testing.assert_array_equal(found, X[index])
        found = evaluated(lambda x, i: x[:, i, 1], X, np.int32(index))
        np.testing.assert_array_equal(found, X[:, index, 1])


@pytest.mark.parametrize("mask", [X > 1, [True, False], np.bool_(True), True])
def test_masks_are_refused(mask: Any) -> None:
    with pytest.raises(GraphError, match="Received: a mask of bool") as caught:
        ops.get_item(X, mask)
    assert "ops.where(mask, x, 0)" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (5, r"index in -5\.\.4. Received: index=5"),
        (np.s_[:, -5], r"index in -4\.\.3. Received: index=-5"),
        (np.s_[0, 0, 0, 0], "at most 3 indices"),
        (np.s_[..., 0, ...], "one '...'"),
        (np.s_[::0], "step other than 0"),
        (np.float32([0.5]), "integer indices"),
    ],
)
def test_wrong_keys(key: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        ops.get_item(X, key)


def test_indices_of_other_integer_dtypes() -> None:
    for name in ("int8", "uint16", "int64", "uint8"):
        indices = np.array([1, 3], name)
        np.testing.assert_array_equal(ops.take(X, indices, axis=0), X[[1, 3]])


def test_scatters_along_unknown_sizes() -> None:
    def add_at(x: Any) -> Any:
        return ops.scatter_update(x, np.int32([[-1], [0]]), x[:2], reduction="add")

    wanted = X.copy()
    wanted[-1] += X[0]
    wanted[0] += X[1]
    assert_close(evaluated(add_at, X), wanted)


def test_places_of_scatters_count_from_the_end() -> None:
    found = ops.scatter([[-1], [0], [9], [-5]], np.float32([1, 2, 3, 4]), (4,))
    np.testing.assert_array_equal(found, [2, 0, 0, 1])


def test_wrong_scatters() -> None:
    with pytest.raises(GraphError, match="Received: reduction='mean'"):
        ops.scatter_update(X, [[0]], X[:1], reduction="mean")
    with pytest.raises(GraphError, match="a depth of at most 3"):
        ops.scatter_update(X, [[0, 0, 0, 0]], np.float32([1]))
    with pytest.raises(GraphError, match="Expected `num_segments`"):
        ops.segment_sum(X, np.int32([0, 1, 0, 1, 0]))
    with pytest.raises(GraphError, match=r"Expected numbers\. Received: bool"):
        ops.segment_max(X > 0, np.int32([0, 1, 0, 1, 0]), num_segments=2)


def test_take_along_axis_needs_equal_ranks() -> None:
    with pytest.raises(GraphError, match="indices of rank 3"):
        ops.take_along_axis(X, np.int32([0]), axis=0)
