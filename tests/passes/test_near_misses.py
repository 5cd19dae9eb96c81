"""Programs that look as if a rule applied: canonicalization must keep their bits.

The rules' own examples show that they fire; these show where they must not, or where
they fire with less symmetric attributes than in the examples.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.ir import Graph, building, tensor_type
from graphc.ir.ops import (
    abs_,
    add,
    and_,
    attention,
    broadcast_in_dim,
    compare,
    concatenate,
    convert,
    divide,
    iota,
    maximum,
    minimum,
    multiply,
    negate,
    not_,
    or_,
    pad,
    reduce_max,
    reduce_sum,
    remainder,
    reshape,
    reverse,
    select,
    shift_left,
    slice_,
    subtract,
    transpose,
    xor,
)
from graphc.passes import run_with_report
from graphc.testing.equivalence import assert_same_meaning, random_arrays


def filled(value: Any, *shape: int) -> Any:
    return broadcast_in_dim(value, shape=shape, dims=[])


def steps() -> Any:
    return iota(shape=[4], axis=0, dtype="f32")


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "negated absolute": (lambda x: negate(abs_(x)), ("f32[8]",)),
    "absolute difference": (lambda x: abs_(subtract(0.0, x)), ("f32[8]",)),
    "plus zero": (lambda x: add(x, 0.0), ("f32[8]",)),
    "zero minus": (lambda x: subtract(0.0, x), ("f32[8]",)),
    "times zero": (lambda x: multiply(x, 0.0), ("f32[8]",)),
    "itself minus itself": (lambda x: subtract(x, x), ("f32[8]",)),
    "integer by -1": (lambda x: divide(x, -1), ("i8[8]",)),
    "one by": (lambda x: divide(1.0, x), ("f32[8]",)),
    "remainder of 2": (lambda x: remainder(x, 2), ("i32[8]",)),
    "shift by one": (lambda x: shift_left(x, 1), ("i32[8]",)),
    "negated quotient": (lambda x, y: divide(negate(x), negate(y)), ("i8[8]",) * 2),
    "one negated factor": (lambda x, y: multiply(negate(x), y), ("f32[8]",) * 2),
    "minus negated": (lambda x, y: subtract(negate(x), y), ("f32[8]",) * 2),
    "max with inf": (lambda x: maximum(x, np.inf), ("f32[8]",)),
    "min with -inf": (lambda x: minimum(x, -np.inf), ("f32[8]",)),
    "max with the highest": (lambda x: maximum(x, 127), ("i8[8]",)),
    "not less": (lambda x, y: not_(compare(x, y, direction="LT")), ("f32[8]",) * 2),
    "not greater": (lambda x, y: not_(compare(x, y, direction="GT")), ("f32[8]",) * 2),
    "equals itself": (lambda x: compare(x, x, direction="EQ"), ("f32[8]",)),
    "below a number": (lambda x: compare(1, x, direction="LE"), ("f32[8]",)),
    "select truth": (lambda p, q: select(p, True, q), ("bool[8]",) * 2),
    "and one": (lambda x: and_(x, 1), ("i32[8]",)),
    "or one": (lambda x: or_(x, 1), ("i32[8]",)),
    "xor one": (lambda x: xor(x, 1), ("i32[8]",)),
    "through bf16": (
        lambda x: convert(convert(x, dtype="bf16"), dtype="f32"),
        ("f32[8]",),
    ),
    "through i8": (lambda x: convert(convert(x, dtype="i8"), dtype="i32"), ("i32[8]",)),
    "through u32": (
        lambda x: convert(convert(x, dtype="u32"), dtype="f32"),
        ("i32[8]",),
    ),
    "through floats to i8": (
        lambda x: convert(convert(x, dtype="f64"), dtype="i8"),
        ("i32[8]",),
    ),
    "scaled queries": (
        lambda q, k, v: attention(multiply(q, 0.3), k, v),
        ("f32[1,3,2,8]", "f32[1,5,2,8]", "f32[1,5,2,2]"),
    ),
    "transpose twice": (
        lambda x: transpose(transpose(x, permutation=[1, 2, 0]), permutation=[0, 2, 1]),
        ("f32[2,3,4]",),
    ),
    "transposed broadcast": (
        lambda x: transpose(
            broadcast_in_dim(x, shape=[4, 2, 3], dims=[0, 1]), permutation=[2, 0, 1]
        ),
        ("f32[4,2]",),
    ),
    "equal sizes transposed": (
        lambda x: transpose(
            broadcast_in_dim(x, shape=[3, 3, 3], dims=[0, 1]), permutation=[1, 2, 0]
        ),
        ("f32[3,3]",),
    ),
    "broadcast twice": (
        lambda x: broadcast_in_dim(
            broadcast_in_dim(x, shape=[3, 2], dims=[1]), shape=[2, 4, 3], dims=[2, 0]
        ),
        ("f32[2]",),
    ),
    "broadcast of a reshape": (
        lambda x: broadcast_in_dim(
            reshape(x, shape=[2, 1, 3]), shape=[2, 4, 3], dims=[0, 1, 2]
        ),
        ("f32[3,2]",),
    ),
    "slices with strides": (
        lambda x: slice_(
            slice_(x, start=[1], limit=[19], strides=[3]),
            start=[1],
            limit=[6],
            strides=[2],
        ),
        ("f32[20]",),
    ),
    "slice of parts": (
        lambda x, y: slice_(concatenate(x, y, x, axis=0), start=[7], limit=[9]),
        ("f32[3]", "f32[4]"),
    ),
    "slice across parts": (
        lambda x, y: slice_(concatenate(x, y, axis=0), start=[1], limit=[5]),
        ("f32[3]", "f32[4]"),
    ),
    "two fillings": (
        lambda s, t: concatenate(filled(s, 2), filled(t, 2), axis=0),
        ("f32[]", "f32[]"),
    ),
    "padded filling": (
        lambda s: pad(filled(s, 2), 0.5, low=[1], high=[2]),
        ("f32[]",),
    ),
    "two folded constants": (
        lambda x: subtract(multiply(x, add(steps(), 1.0)), multiply(steps(), steps())),
        ("f32[4]",),
    ),
    "pad and crop": (lambda x: pad(x, 0.5, low=[-1], high=[1]), ("f32[4]",)),
    "pad between": (
        lambda x: pad(x, 0.5, low=[0], high=[0], interior=[1]),
        ("f32[4]",),
    ),
    "nested concatenation": (
        lambda x, y: concatenate(
            y, concatenate(x, y, axis=1), reshape(x, shape=[2, 4]), axis=1
        ),
        ("f32[2,4]", "f32[2,3]"),
    ),
    "concatenations along two axes": (
        lambda x: concatenate(concatenate(x, x, axis=1), axis=0),
        ("f32[2,3]",),
    ),
    "reversed twice": (
        lambda x: reverse(reverse(x, axes=[0, 2]), axes=[1, 2]),
        ("f32[2,3,4]",),
    ),
    "maximum twice": (
        lambda x: reduce_max(reduce_max(x, axes=[0]), axes=[1]),
        ("f32[2,3,4]",),
    ),
    "maximum of sums": (
        lambda x: reduce_max(reduce_sum(x, axes=[0]), axes=[0]),
        ("f32[2,3]",),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("late", ["false", "true"])
def test_canonicalization_keeps_bits(name: str, late: str, rng: np.random.Generator):
    program, types = PROGRAMS[name]
    graph = Graph("f")
    parameters = [graph.add_parameter(tensor_type(each)) for each in types]
    with building(graph):
        graph.results = [program(*parameters)]
    result, report = run_with_report(
        graph, f"(canonicalize{{late={late}}},constant_folding,cse,dce)*", check=True
    )
    assert report.unchecked is None
    for special in (False, True, True):
        arrays = random_arrays(graph, rng, special)
        assert_same_meaning(graph, result, arrays)
