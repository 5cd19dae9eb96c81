"""The exact evaluator, for every op: it agrees with float64 where that is exact."""

import numpy as np
import pytest

from graphc.ir import OpDef, Sample, UnsupportedError, evaluate, parse
from graphc.ir.exact import evaluate_exact
from graphc.ir.opdef import Kind, Trait
from graphc.ir.ops import OPS
from graphc.ir.payload import Payload, exact, opaque
from graphc.testing.op_samples import bound_graph, sample_arrays
from tests.op_samples import sample_cases

UNCOVERED = {"bitcast_reshape"}
"""Ops that have no exact meaning: those that move parts of floats around."""

MOVING = sample_cases(lambda op, sample: Trait.MOVES_DATA in op.traits)
SUMMING = sample_cases(
    lambda op, sample: (
        op.kind is Kind.CONTRACTION
        or op.name in ("add", "subtract", "multiply", "negate", "reduce_sum", "scatter")
    )
)


def whole_arrays(sample: Sample, rng: np.random.Generator) -> list[np.ndarray]:
    """Arrays for the parameters of a sample in which floats are whole."""
    return [
        a if a.dtype.kind in "iub" else np.round(a.astype(float) * 8).astype(a.dtype)
        for a in sample_arrays(sample, rng)
    ]


@pytest.mark.parametrize(
    ("op", "sample"),
    [c for c in (*MOVING, *SUMMING) if c.values[0].body is None],
)
def test_arithmetic_and_moves_agree_with_floats(op: OpDef, sample: Sample, rng):
    graph = bound_graph(op, sample)
    arrays = whole_arrays(sample, rng)
    found, wanted = evaluate_exact(graph, *arrays), evaluate(graph, *arrays)
    for got, want in zip(found, wanted, strict=True):
        expected = want if want.dtype.kind in "iub" else exact(want)
        np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))


@pytest.mark.parametrize("op", [pytest.param(op, id=n) for n, op in OPS.items()])
def test_every_op_has_an_exact_meaning_or_says_so(op: OpDef, rng):
    for sample in op.samples[:1]:
        graph = bound_graph(op, sample)
        arrays = sample_arrays(sample, rng)
        if op.name in UNCOVERED:
            with pytest.raises(UnsupportedError, match="no exact meaning"):
                evaluate_exact(graph, *arrays)
            continue
        found = evaluate_exact(graph, *arrays)
        for got, result in zip(found, graph.results, strict=True):
            assert got.shape == result.type.shape
            assert isinstance(got, Payload) == result.type.dtype.is_float


def test_conversions_keep_what_they_can():
    text = """
graph @f(%x: f32[2], %n: i32[2]) -> (bf16[2], f32[2], i32[2], bool[2]) {
  %a = convert(%x) {dtype="bf16"} : bf16[2]
  %b = convert(%n) {dtype="f32"} : f32[2]
  %c = convert(%x) {dtype="i32"} : i32[2]
  %d = convert(%x) {dtype="bool"} : bool[2]
  return %a, %b, %c, %d
}
"""
    x, n = exact([7.0, 0.0]), np.array([2**31 - 1, -5], np.int32)
    narrow, number, whole, truth = evaluate_exact(parse(text), x, n)
    np.testing.assert_array_equal(narrow, x)
    np.testing.assert_array_equal(number, exact(n.astype(float)))
    np.testing.assert_array_equal(whole, [7, 0])
    np.testing.assert_array_equal(truth, [True, False])


def test_too_much_work_is_refused():
    text = """
graph @f(%x: f32[64,64]) -> (f32[64,64]) {
  %y = dot_general(%x, %x) {contract=[[1], [0]]} : f32[64,64]
  return %y
}
"""
    x = opaque("x", np.arange(64 * 64).reshape(64, 64))
    with pytest.raises(UnsupportedError, match="too large for an exact evaluation"):
        evaluate_exact(parse(text), x, most_work=10**5)
    np.testing.assert_array_equal(evaluate_exact(parse(text), x)[0], x @ x)


def test_decompositions_depend_on_every_element():
    text = """
graph @f(%x: f32[3,2]) -> (f32[3,2], f32[2,2]) {
  %q, %r = qr(%x) : f32[3,2], f32[2,2]
  return %q, %r
}
"""
    x = opaque("x", np.arange(6).reshape(3, 2))
    first, again = (evaluate_exact(parse(text), x) for _ in range(2))
    other = x.copy()
    other[2, 1] = other[0, 0]
    for got, same, changed in zip(
        first, again, evaluate_exact(parse(text), other), strict=True
    ):
        np.testing.assert_array_equal(got, same)
        assert (np.asarray(got) != np.asarray(changed)).all()
        assert len(np.unique(np.asarray(got))) == got.size
