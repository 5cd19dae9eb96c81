"""einsum and rearrange: what Keras does not show, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc.frontend import ops
from graphc.ir.errors import GraphError
from tests.closeness import assert_close

A = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
SQUARE = np.arange(9, dtype=np.float32).reshape(3, 3)


@pytest.mark.parametrize(
    ("subscripts", "operands"),
    [
        ("...->...", (A,)),
        ("i...j->j...i", (A,)),
        ("...", (A,)),
        ("ba", (SQUARE,)),
        ("iij->ij", (np.float32([SQUARE] * 3),)),
        ("iii->i", (np.float32([SQUARE] * 3),)),
        ("ij,jk,kl,lm->im", (SQUARE,) * 4),
        ("ab,cd->", (SQUARE, SQUARE)),
        ("...a,...a->...", (A, A)),
        ("...,...->...", (A, np.float32(2))),
        ("ab,b->ab", (SQUARE, np.float32([1]))),
        ("i,i,i->", (SQUARE[0],) * 3),
        (" i j , j k -> i k ", (SQUARE, SQUARE)),
    ],
)
def test_einsum_is_that_of_numpy(subscripts: str, operands: Any) -> None:
    found = np.asarray(ops.einsum(subscripts, *operands))
    assert_close(found, np.einsum(subscripts, *operands))


@pytest.mark.parametrize(
    ("subscripts", "operands", "message"),
    [
        ("ij,jk->ik", (SQUARE,), "2 operands.*Received: 1"),
        ("ijk->i", (SQUARE,), "one letter for each of 2 dimensions"),
        ("i1->i", (SQUARE,), "one letter for each"),
        ("ij->ii", (SQUARE,), "labels that are distinct"),
        ("ij->ik", (SQUARE,), "occur in an operand"),
        ("ij,jk->ik", (SQUARE, A[0]), None),
        ("ij,jk->ik", (A[0], A[0]), "one size for label 'j'. Received: 4 and 3"),
        ("i->i", (), "at least one operand"),
    ],
)
def test_wrong_einsums(subscripts: str, operands: Any, message: str | None) -> None:
    if message is None:
        assert ops.einsum(subscripts, *operands).shape == (3, 4)
        return
    with pytest.raises(GraphError, match=message):
        ops.einsum(subscripts, *operands)


def test_rearrange() -> None:
    found = ops.rearrange(A, "a (b c) d -> (d b) 1 a c", c=1)
    np.testing.assert_array_equal(
        np.asarray(found), A.transpose(2, 1, 0).reshape(12, 1, 2, 1)
    )
    found = ops.rearrange(A[:, :, :1], "a b 1 -> (a b)")
    np.testing.assert_array_equal(np.asarray(found), A[:, :, 0].ravel())


@pytest.mark.parametrize(
    ("pattern", "lengths", "message"),
    [
        ("a b c -> a b", {}, "the same names, each once"),
        ("a b c", {}, "the same names"),
        ("a a b -> a b", {}, "each once"),
        ("a b -> b a", {}, "a pattern of 3 dimensions"),
        ("a b (c d) -> a b c d", {}, "the sizes of"),
        ("a b (c d) -> a b c d", {"c": 3}, "with the product 4"),
        ("a b 1 -> a b", {}, "with the product 4"),
        ("a (b (c)) d -> a b c d", {}, "parentheses that match"),
        ("a b) c -> a b c", {}, "parentheses that match"),
        ("a b ? -> a b ?", {}, "Expected names, got"),
    ],
)
def test_wrong_patterns(pattern: str, lengths: dict[str, int], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        ops.rearrange(A, pattern, **lengths)
