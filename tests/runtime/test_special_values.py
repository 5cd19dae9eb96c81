"""XLA against the reference on pairs of special values and on conversions.

The sign of a zero counts, but for the larger and the smaller of 0.0 and -0.0.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from graphc.ir import Graph, TensorType, building, dtype, evaluate
from graphc.ir.ops import OPS
from graphc.ir.types import BF16, BOOL, DTYPES, F16, F32, F64, DType
from graphc.runtime.compile import compile_graph
from graphc.testing.equivalence import assert_same_bits
from tests.closeness import assert_close

VALUES = [-np.inf, -2.5, -2, -1, -0.5, -0.0, 0.0, 0.5, 1, 2, 3, np.inf, np.nan]
EXACT = ("divide", "remainder", "next_after", "sign", "abs", "ceil", "floor")
EXACT += ("round_nearest_even", "round_nearest_afz", "sqrt")
ROUNDED = ("power", "atan2", "cbrt", "tanh", "asinh", "sinh")
UNSIGNED_ZEROS = ("maximum", "minimum")


def with_slow(first: DType, *others: DType) -> list[Any]:
    """Dtypes as parameters, of which all but the first make the test slow."""
    slow = [pytest.param(of, id=of.name, marks=pytest.mark.slow) for of in others]
    return [pytest.param(first, id=first.name), *slow]


def special_graph(element: DType) -> tuple[Graph, list[Any]]:
    """A graph of the ops on all pairs of values, and the arrays for it."""
    pairs = np.array(list(itertools.product(VALUES, VALUES))).T
    graph = Graph("special")
    arrays = [column.astype(element.numpy) for column in pairs]
    values = [graph.add_parameter(TensorType(a.shape, element)) for a in arrays]
    with building(graph):
        graph.results = [
            OPS[name](*values[: len(OPS[name].operands)])
            for name in EXACT + ROUNDED + UNSIGNED_ZEROS
        ]
    return graph, arrays


@pytest.mark.parametrize("element", with_slow(F32, BF16, F64))
def test_pairs_of_special_values(element: DType):
    graph, arrays = special_graph(element)
    found = compile_graph(graph)(*arrays)
    for name, got, want in zip(
        EXACT + ROUNDED + UNSIGNED_ZEROS, found, evaluate(graph, *arrays), strict=True
    ):
        if name in ROUNDED:
            assert_same_but_rounding(np.asarray(got), want)
        else:
            assert_same_bits(np.asarray(got), want, name in EXACT)


def assert_same_but_rounding(got: Any, want: Any) -> None:
    assert_close(got, want)
    zeros = want == 0
    assert_same_bits(got[zeros], want[zeros])


POWERS = [2.0**p for p in (7, 8, 15, 16, 31, 32, 53, 63, 64)]
NUMBERS = [0, 0.9, 1.5, 127.5, 128.9, 200.7, 255.9, 65535.5, 1e30, np.inf, np.nan]
NUMBERS = [*NUMBERS, *POWERS, *(p - 1 for p in POWERS)]


def convert_all(array: Any) -> None:
    """Compares the conversions of an array into every dtype."""
    graph = Graph("conversions")
    x = graph.add_parameter(TensorType(array.shape, dtype(array.dtype)))
    with building(graph):
        graph.results = [OPS["convert"](x, dtype=to) for to in DTYPES.values()]
    found = compile_graph(graph, pipeline="decompose")(array)
    for got, want in zip(found, evaluate(graph, array), strict=True):
        assert_same_bits(np.asarray(got), want)


INTEGERS = [of for of in DTYPES.values() if of.is_integer and of.bits >= 8]


@pytest.mark.parametrize("source", with_slow(F32, F16, F64))
def test_floats_become_the_nearest_value_that_a_dtype_has(source: DType):
    with np.errstate(all="ignore"):
        convert_all(np.array([*NUMBERS, *(-n for n in NUMBERS)]).astype(source.numpy))


@pytest.mark.slow
@pytest.mark.parametrize("source", [*INTEGERS, BOOL], ids=str)
def test_integers_wrap_around_or_are_rounded(source: DType):
    if source is BOOL:
        convert_all(np.array([False, True]))
        return
    limits = np.iinfo(source.numpy)
    numbers = [limits.min, limits.min + 1, 0, 1, limits.max - 1, limits.max]
    convert_all(np.array(numbers, source.numpy))
