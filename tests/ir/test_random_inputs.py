"""Random inputs follow from types, attributes and the seed."""

import numpy as np

from graphc.ir import parse
from graphc.ir.random_inputs import random_inputs

TEXT = """\
graph @f(%x: f32[B,3], %v: bf16[50] {role="state"}, %i: i32[50], %b: bool[50], \
%k: u8[90] {high=9,low=3}, %t: f64[90] {high=0.5,low=0.25}, %s: i64[]) -> (f32[B,3]) \
where B in 1..8 {
  return %x
}
"""


def test_arrays_have_the_types_of_the_parameters():
    graph = parse(TEXT)
    arrays = random_inputs(graph, sizes={"B": 5})
    assert [a.shape for a in arrays] == [(5, 3), (50,), (50,), (50,), (90,), (90,), ()]
    assert [a.dtype for a in arrays] == [p.dtype.numpy for p in graph.parameters]


def test_elements_are_of_use():
    _, state, index, flag, high, bounded, _ = random_inputs(parse(TEXT), sizes={"B": 1})
    assert (state >= 0).all()
    assert set(index) == {0, 1}
    assert set(flag) == {False, True}
    assert set(high) == set(range(3, 9))
    assert ((bounded >= 0.25) & (bounded < 0.5)).all()


def test_the_seed_decides():
    graph = parse(TEXT)
    first, again, other = (random_inputs(graph, s, {"B": 2})[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
