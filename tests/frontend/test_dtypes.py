"""Dtype names and promotion, compared with Keras for all pairs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from graphc.frontend import dtypes
from graphc.ir import types
from tests.frontend.recorded import Recorded, archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]  # fixtures

NAMES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64"),
)
NARROWED = {"int64": "int32", "uint64": "uint32", "float64": "float32"}
"""Keras on JAX has no 64-bit types unless asked; graphc keeps them."""


@pytest.fixture
def restored_floatx() -> Iterator[None]:
    before = dtypes.floatx()
    yield
    dtypes.set_floatx(before)


def promotions(result_type: Callable[..., str]) -> dict[str, str]:
    """What becomes of all pairs of dtypes and of Python's numbers, by their names."""
    kinds = {**{name: name for name in NAMES}, "Bool": bool, "Int": int, "Float": float}
    return {
        f"{a} {b}": result_type(kinds[a], kinds[b])
        for a, b in itertools.product(kinds, repeat=2)
    }


def test_promotion_is_that_of_keras(keras: Any, recorded: Recorded) -> None:
    table = recorded(lambda: promotions(keras.backend.result_type))
    ours = promotions(dtypes.result_type)
    assert {pair: NARROWED.get(of, of) for pair, of in ours.items()} == table
    assert len(table) == (len(NAMES) + 3) ** 2


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        (("int32", "int64"), "int64"),
        (("uint32", "int32"), "int64"),
        (("float32", "float64"), "float64"),
        (("int64", float), "float32"),
        (("uint64", "int8"), "float32"),
        (("int4", "int4"), "int4"),
        (("bool", int, float), "float32"),
        ((), "float32"),
        ((None,), "float32"),
        ((2.5, np.ones(2, np.float16)), "float16"),
        ((np.float64(2.5), "float16"), "float16"),
        ((np.int64(2), "int8"), "int8"),
        ((np.int16(2), "int8"), "int16"),
        ((True, 2), "int32"),
    ],
)
def test_promotion(of: tuple[Any, ...], wanted: str) -> None:
    assert dtypes.result_type(*of) == wanted


def test_promotion_needs_a_common_dtype() -> None:
    with pytest.raises(ValueError, match=r"common dtype.*Received: int4, int8"):
        dtypes.result_type("int4", "int8")


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        ("bfloat16", "bfloat16"),
        ("f32", "float32"),
        (None, "float32"),
        (float, "float32"),
        (int, "int32"),
        ("int", "int32"),
        (bool, "bool"),
        (np.float16, "float16"),
        (np.dtype("uint8"), "uint8"),
        (types.BF16, "bfloat16"),
        (types.BF16.numpy, "bfloat16"),
        ("torch.float16", "float16"),
    ],
)
def test_standardize_dtype(of: Any, wanted: str) -> None:
    assert dtypes.standardize_dtype(of) == wanted


@pytest.mark.parametrize("of", ["float33", "string", np.complex64, object(), 3])
def test_unknown_dtypes_are_refused(of: Any) -> None:
    with pytest.raises(ValueError, match=r"Expected a dtype, one of bool.* Received: "):
        dtypes.standardize_dtype(of)


def test_kinds() -> None:
    assert [n for n in NAMES if dtypes.is_float(n)] == list(NAMES[-4:])
    assert [n for n in NAMES if dtypes.is_int(n)] == list(NAMES[1:9])


@pytest.mark.usefixtures("restored_floatx")
def test_floatx() -> None:
    dtypes.set_floatx("bfloat16")
    assert dtypes.floatx() == "bfloat16"
    assert dtypes.result_type("int32", float) == "bfloat16"
    assert dtypes.standardize_dtype(None) == "bfloat16"
    with pytest.raises(ValueError, match=r"one of 'bfloat16'.*value='int32'"):
        dtypes.set_floatx("int32")
