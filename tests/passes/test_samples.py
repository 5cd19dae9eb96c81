"""Runs on samples: what they hold, what they compare, and that right passes pass."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.ir import UnsupportedError, parse, tensor_type
from graphc.ir.opdef import OPS, OpDef
from graphc.ir.types import F16
from graphc.passes import Rule, run_with_report
from graphc.passes.canonicalize import RULES
from graphc.passes.checking import NUMERICS
from graphc.passes.numerics import Inexact, approx, precision
from graphc.passes.pattern import traced
from graphc.passes.samples import KINDS, Samples, same_bits
from graphc.testing.op_samples import sample_graph

TYPES = ("f64[16]", "f32[16]", "bf16[16]", "f16[16]", "i32[16]", "u8[16]", "bool[16]")


@pytest.mark.parametrize("kind", [pytest.param(k, id=k.name) for k in KINDS])
@pytest.mark.parametrize("text", TYPES)
def test_samples_have_the_type(kind, text: str):
    type = tensor_type(text)
    drawn = kind.draw(type, np.random.default_rng(0))
    assert (drawn.shape, drawn.dtype) == (type.static_shape, type.dtype.numpy)
    if kind.rounds and type.dtype.is_float:
        assert np.isfinite(drawn.astype(np.float64)).all()


def test_large_numbers_overflow_in_exp_and_not_in_squares():
    (large,) = [kind for kind in KINDS if kind.name == "large numbers"]
    for text in ("f32[64]", "f16[64]", "f64[64]"):
        drawn = np.abs(large.draw(tensor_type(text), np.random.default_rng(0)))
        with np.errstate(over="ignore"):
            assert np.isinf(np.exp(drawn)).all()
            assert np.isfinite(drawn * drawn * 8).all()


LIMITED = """
graph @f(%x: f32[64] {low=0.5, high=2.0}, %i: i32[64] {low=0, high=3})
    -> (f32[64], i32[64]) {
  return %x, %i
}
"""


def test_samples_lie_where_parameters_say():
    for x, i in Samples(parse(LIMITED)).arguments:
        assert ((x >= 0.5) & (x <= 2.0)).all()
        assert ((i >= 0) & (i < 3)).all()


HALVES = """
graph @f(%x: f32[4]) -> (f32[4], f32[4]) {{
  %0 = multiply(%x, {0}) : f32[4]
  %1 = exponential(%x) : f32[4]
  return %0, %1
}}
"""


def test_a_class_allows_what_it_says_where_it_reaches():
    before, after = parse(HALVES.format("0.5")), parse(HALVES.format("0.5005"))
    samples = Samples(before)
    assert "result 0 on random numbers" in str(samples.difference(before, after, []))
    within_half = Inexact(1, "p/r", precision(F16), 0b01)
    assert samples.difference(before, after, [within_half]) is None
    elsewhere = Inexact(1, "p/r", precision(F16), 0b10)
    assert samples.difference(before, after, [elsewhere])
    assert samples.difference(before, after, [Inexact(1, "p/r", approx(2), 0b01)])


def test_one_bit_is_a_difference_where_nothing_is_added_up():
    before = parse(HALVES.format("0.5"))
    after = parse(HALVES.format("0.50000006"))
    assert "the bits of" in str(Samples(before).difference(before, after, []))


def test_bits_of_nan_and_signs_of_zero_do_not_count():
    nan = np.array([np.nan, 0.0], np.float32)
    assert same_bits(nan, -nan)
    assert not same_bits(nan, nan.astype(np.float64))


def test_endless_loops_are_given_up():
    text = """
graph @f(%i: i32[], %n: i32[]) -> (i32[]) {
  %0, %1 = while(%i, %n) {cond="less", body="next"} : i32[], i32[]
  return %0
}

graph @less(%i: i32[], %n: i32[]) -> (bool[]) {
  %0 = compare(%i, %n) {direction="NE"} : bool[]
  return %0
}

graph @next(%i: i32[], %n: i32[]) -> (i32[], i32[]) {
  %0 = add(%i, 1:i32) : i32[]
  return %0, %n
}
"""
    graph = parse(text)
    assert Samples(graph, most_work=10_000).difference(graph, graph, []) is None


def test_what_cannot_be_run_says_why():
    large = "graph @f(%x: f32[4096,4096]) -> (f32[4096,4096]) { return %x }"
    with pytest.raises(UnsupportedError, match="too large to be run on samples"):
        Samples(parse(large))
    printing = sample_graph(OPS["print"], OPS["print"].samples[0])
    with pytest.raises(UnsupportedError, match="has effects"):
        Samples(printing)


def test_the_summary_says_what_was_compared_how():
    text = """
graph @f(%x: f32[3]) -> (f32[3]) {
  %0 = add(%x, -0.0) : f32[3]
  %1 = power(%0, 2.0) : f32[3]
  return %1
}
"""
    _, report = run_with_report(parse(text), "canonicalize", check=NUMERICS)
    assert report.check_summary() == (
        "canonicalize, 2 rewrites: equal over finite fields; within rounding on 7"
        " samples"
    )
    large = text.replace("[3]", "[4096,4096]")
    _, report = run_with_report(parse(large), "canonicalize", check=NUMERICS)
    assert report.check_summary() == (
        "nothing was compared: the graph is too large for an exact evaluation"
    )


def rule_passes(rule: Rule, most: int) -> None:
    for each in rule.examples:
        for _, graph in zip(range(most), traced(each), strict=False):
            alone = f"apply_rules{{only=[{rule.name}],late=true}}"
            run_with_report(graph, alone, check=NUMERICS)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [pytest.param(r, id=r.name) for r in RULES.rules])
def test_right_rules_pass_on_every_dtype(rule: Rule):
    rule_passes(rule, 99)


def test_right_rules_pass():
    for rule in RULES.rules[::7]:
        rule_passes(rule, 1)


@pytest.mark.slow
@pytest.mark.parametrize("op", [pytest.param(op, id=n) for n, op in OPS.items()])
def test_right_passes_pass_on_every_op(op: OpDef):
    for sample in op.samples:
        run_with_report(sample_graph(op, sample), "default,fusion", check=NUMERICS)
