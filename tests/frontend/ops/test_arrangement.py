"""Reshaping, joining, cutting and padding: what Keras does not show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc.frontend import ops
from graphc.ir.errors import GraphError

X = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.reshape(X, (5, 5)), r"24 elements.*Received: newshape=\(5, 5\)"),
        (lambda: ops.reshape(X, (-1, -1)), "at most one -1"),
        (lambda: ops.reshape(X, (-1, 7)), "24 elements"),
        (lambda: ops.squeeze(X, 0), "of size 1. Received: axis=0"),
        (lambda: ops.transpose(X, (0,)), r"Expected 2 axes. Received: axes=\(0,\)"),
        (lambda: ops.moveaxis(X, (0, 1), 0), "as many destinations as sources"),
        (lambda: ops.broadcast_to(X, (2, 6)), "do not broadcast"),
        (lambda: ops.broadcast_to(X, (6,)), r"does not broadcast to shape \(6,\)"),
        (lambda: ops.split(X, 4, axis=1), "divides 6. Received: indices_or_sect"),
        (lambda: ops.unstack(X, num=3), "known size. Received: .*num=3"),
        (lambda: ops.concatenate([]), "at least one tensor"),
        (lambda: ops.stack([X, X[:2]]), "tensors of one shape"),
        (lambda: ops.meshgrid(X[0], indexing="yx"), "Received: indexing='yx'"),
        (lambda: ops.repeat(X, [1, 2], axis=0), "one for each of 4 elements"),
        (lambda: ops.pad(X, ((1, 1),) * 3), "Expected 2 pairs"),
        (lambda: ops.pad(X, 1, mode="wrap"), "Received: mode='wrap'"),
        (
            lambda: ops.pad(X, 1, mode="edge", constant_values=1),
            "`constant_values` in mode 'constant' only",
        ),
        (lambda: ops.pad(X, -1), "none below 0. Received: pad_width=-1"),
        (lambda: ops.pad(X[:0], 1, mode="edge"), "elements along axis 0"),
        (lambda: ops.space_to_depth(X, 2), "images of rank 4"),
        (lambda: ops.depth_to_space(X, 0), "Received: block_size=0"),
        (lambda: ops.split(X, 2.0), "Received: indices_or_sections=2.0"),
        (lambda: ops.array_split(X, 0), "Received: indices_or_sections=0"),
        (lambda: ops.roll(X, (1, 2), (0, 1, 1)), r"a shift for each axis.*\(1, 2\)"),
        (lambda: ops.slice(X, 0, 1), "Expected 2 start indices. Received: 0"),
        (lambda: ops.full((2,), np.inf, "int8"), "inf is out of range for i8"),
    ],
)
def test_wrong_arguments(call: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        call()


def test_cuts_from_the_end() -> None:
    for places in ([2, -1], [4, 2], [-9, 99]):
        found = ops.split(X, places, axis=1)
        wanted = np.split(X, places, axis=1)
        assert len(found) == len(wanted)
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(np.asarray(ours), theirs)


def test_shifts_of_axes() -> None:
    for shift, axis in (((1, 2), None), ((1, 2), 0), ((3,), (0, 1)), ((1, -1), (1, 0))):
        wanted = np.roll(X, shift, axis)
        np.testing.assert_array_equal(np.asarray(ops.roll(X, shift, axis)), wanted)


def test_pad_modes() -> None:
    for mode in ("edge", "reflect", "symmetric"):
        found = np.asarray(ops.pad(X, ((2, 3), (1, 0)), mode=mode))
        options: Any = {"mode": mode}
        np.testing.assert_array_equal(found, np.pad(X, ((2, 3), (1, 0)), **options))


def test_pad_widths() -> None:
    for width in (2, (1, 2), ((1, 2),), ((1, 2), (0, 3))):
        np.testing.assert_array_equal(np.asarray(ops.pad(X, width)), np.pad(X, width))


def test_empty_tensors() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert ops.reshape(empty, (3, -1)).shape == (3, 0)
    assert ops.concatenate([empty, X[:, :3]]).shape == (4, 3)
    assert ops.roll(empty, 1, axis=0).shape == (0, 3)
    assert ops.tile(empty, (2, 2)).shape == (0, 6)
    assert ops.repeat(X, 0, axis=1).shape == (4, 0)
