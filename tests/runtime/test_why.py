"""Why compiles come out as they do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import graphc
from graphc.ir import GraphError, parse
from graphc.passes.cost_model import GPUS
from graphc.runtime.kernel_costs import KernelReport
from graphc.runtime.why import Why

TEXT = """
graph @f(%x: f32[64,128], %w: f32[128,128], %b: f32[128])
    -> (f32[64,128], f32[64], f32[64,128]) {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[64,128]  loc("net/dense" n.py:7:9)
  %1 = broadcast_in_dim(%b) {dims=[1], shape=[64,128]} : f32[64,128]
  %2 = add(%0, %1) : f32[64,128]  loc("net/dense" n.py:7:9)
  %3 = softmax(%2) {axis=1} : f32[64,128]  loc("net/softmax" n.py:8:9)
  %h = dot_general(%3, %w) {contract=[[1],[0]]} : f32[64,128]  loc("net/out" n.py:9:9)
  %s = reduce_sum(%h) {axes=[1]} : f32[64]  loc("net/sum" n.py:10:9)
  %t = dot_general(%x, %w) {contract=[[1],[1]]} : f32[64,128]  loc("net/other" n.py:11:9)
  %4 = multiply(%t, 1.0) : f32[64,128]
  return %h, %s, %4
}
"""
AFTER_DOT = "a reduction does not follow a dot in its kernel"


@pytest.fixture(scope="module")
def asked() -> Why:
    return graphc.why(parse(TEXT))


@pytest.mark.parametrize("pair", [("%h", "%s"), ("%s", "%h"), ("net/out", "net/sum")])
def test_neighbours_have_one_reason(asked: Why, pair: tuple[str, str]):
    (reason,) = asked.not_fused(*pair).reasons
    assert reason.text == AFTER_DOT
    assert reason.subject == "@net_out_dot_general and @net_sum_reduce_sum"


def test_the_way_between_two_kernels_is_told(asked: Why):
    answer = asked.not_fused("%0", "%s")
    assert [reason.text for reason in answer.reasons] == [
        AFTER_DOT,
        "its elements are read again for every tile",
        AFTER_DOT,
    ]
    assert str(answer).startswith("why are %0 and %s not one kernel?\n@net_dense")


def test_what_is_fused_is_said_to_be(asked: Why):
    (reason,) = asked.not_fused("exponential", "reduce_max").reasons
    assert reason.text == "has nodes of both"


def test_kernels_that_do_not_depend_on_each_other(asked: Why):
    (reason,) = asked.not_fused("net/other", "net/dense").reasons
    assert reason.text.startswith("neither reads what the other makes")


def test_a_value_that_is_gone_has_a_rewrite(asked: Why):
    with pytest.raises(GraphError, match=r"'%4' after the passes: rewrite #\d+, canon"):
        asked.not_fused("%4", "%s")


def test_an_unknown_name_has_a_near_one(asked: Why):
    with pytest.raises(GraphError, match="did you mean 'net/dense'"):
        asked.not_fused("net/dens", "%s")


SHARED = """
graph @f(%x: f32[4096,64], %w: f32[64,64], %v: f32[4096,64])
    -> (f32[4096], f32[64]) {
  %e = add(%x, %v) : f32[4096,64]  loc("net/sum" n.py:3:9)
  %r = reduce_sum(%e) {axes=[1]} : f32[4096]
  %c = reduce_max(%e) {axes=[0]} : f32[64]
  return %r, %c
}
"""


def test_recomputation_has_a_reason():
    answer = graphc.why(parse(SHARED)).recomputed("%e")
    (reason,) = answer.reasons
    assert reason.subject == "%e = add : f32[4096,64] in @reduce_sum, @reduce_max"
    # Two sections read both operands, instead of one that writes what the other reads.
    assert reason.text == "that moves 2,097,152 bytes, storing and reading it 2,097,152"
    assert reason.location is not None
    assert reason.location.path == "net/sum"


def test_nothing_is_computed_again(asked: Why):
    (reason,) = asked.recomputed("%h").reasons
    assert reason.text == "nothing of it is computed again"


def test_what_is_not_kept_for_the_backward_part_is_named():
    """What is computed again has the reason, and not what reads it."""
    graph = parse("""
        graph @f(%w: f32[64,64], %x: f32[64,64]) -> (f32[], f32[64,64]) {
          %l, %g = value_and_gradient(%w, %x) {graph="loss", wrt=[0]} : f32[], f32[64,64]
          return %l, %g
        }
        graph @loss(%w: f32[64,64], %x: f32[64,64]) -> (f32[]) {
          %h = dot_general(%x, %w) {contract=[[1],[0]]} : f32[64,64]
          %t = tanh(%h) : f32[64,64]
          %u = multiply(%t, %t) : f32[64,64]
          %e = exponential(%u) : f32[64,64]
          %s = reduce_sum(%e) {axes=[0,1]} : f32[]
          return %s
        }""")
    reasons = graphc.why(graph, "autodiff,inline,decompose,rematerialize").recomputed()
    text = "its 16.00 KiB are not kept for what reads it in the backward part"
    assert {reason.text for reason in reasons.reasons} == {text}
    assert all("dot_general" not in reason.subject for reason in reasons.reasons)


def test_what_precision_makes_narrow_is_not_said_to_be_left_alone():
    graph = parse("""
        graph @f(%x: f32[64,64], %w: f32[64,64]) -> (f32[64,64]) {
          %a = dot_general(%x, %w) {contract=[[1],[0]]} : f32[64,64]
          return %a
        }""")
    (reason,) = graphc.why(graph, "precision,triton").float32("%a").reasons
    assert reason.text.startswith("its operands are not (rewrite #1, compute_in_bf16)")


def test_float32_without_a_precision_pass(asked: Why):
    assert "no precision pass ran" in str(asked.float32())


def test_float32_has_the_reasons_of_the_precision_pass():
    pipeline = "precision,triton"
    answer = graphc.why(parse(TEXT), pipeline).float32()
    assert answer.reasons
    assert all(reason.text for reason in answer.reasons)
    assert not any("no precision pass" in reason.text for reason in answer.reasons)


def test_a_name_that_equal_kernels_share_stands_for_each_of_them():
    text = """
        graph @f(%x: f32[64,64], %y: f32[64,64,64], %w: f32[64,64])
            -> (f32[64,64], f32[64,64]) {
          %a = dot_general(%x, %w) {contract=[[1],[0]]} : f32[64,64]
          %s = reduce_sum(%y) {axes=[2]} : f32[64,64]
          %b = dot_general(%s, %w) {contract=[[1],[0]]} : f32[64,64]
          return %a, %b
        }"""
    asked = graphc.why(parse(text))
    after = graphc.passes.run(parse(text), "triton")
    assert [n.attributes["graph"] for n in after.nodes].count("dot_general") == 2
    (reason,) = asked.not_fused("@reduce_sum", "@dot_general").reasons
    assert reason.subject == "@reduce_sum and @dot_general_1"
    (reason,) = asked.not_fused("%s", "%a").reasons
    assert reason.text.startswith("neither reads what the other makes")


def test_a_kernel_is_explained(asked: Why):
    text = str(asked.kernel("net/softmax"))
    assert "@net_reduce_sum: reduction: " in text
    assert f"@net_dense_dot_general and @net_reduce_sum: {AFTER_DOT}" in text
    assert "schedule XBLOCK=" in text
    assert "no measurement for sm_90; whole rows to a program" in text


def test_small_kernels_are_bound_by_launches(asked: Why):
    reasons = asked.slow().reasons
    assert len(reasons) == 5
    assert all("bound by its launch" in reason.text for reason in reasons)


def test_what_is_left_out_of_the_slowest_is_counted(
    asked: Why, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("graphc.runtime.why.MOST_KERNELS", 3)
    *_, last = asked.slow().reasons
    assert (last.subject, last.text[:3]) == ("2 other kernels", "40%")


LARGE = """
graph @f(%x: f32[8192,4096], %w: f32[4096,4096]) -> (f32[8192,4096], f32[8192,4096]) {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8192,4096]
  %1 = negate(%x) : f32[8192,4096]
  return %0, %1
}
"""


def test_large_kernels_are_bound_by_memory_or_arithmetic():
    by_name = {r.subject: r.text for r in graphc.why(parse(LARGE)).slow().reasons}
    (dot,) = (text for name, text in by_name.items() if "dot_general" in name)
    (negate,) = (text for name, text in by_name.items() if "negate" in name)
    seconds = 2 * 8192 * 4096 * 4096 / GPUS["H200"].single
    assert dot.startswith("bound by arithmetic: 274,877,906,944 flops take")
    assert f"{seconds * 1e6:.2f} us on the H200" in dot
    assert negate.startswith("bound by memory: 268,435,456 bytes take")


def test_measured_times_are_compared_with_the_roofline():
    asked = graphc.why(parse(LARGE))
    plain = asked.costs()
    doubled = KernelReport(
        tuple(
            dataclasses.replace(c, seconds=2 * c.roofline(plain.gpu))
            for c in plain.costs
        ),
        plain.gpu,
    )
    reasons = asked.slow("negate", doubled).reasons
    assert [reason.text.endswith("50% of the roofline") for reason in reasons] == [True]


def test_what_answers_name_can_be_asked_for():
    """Numbers of values are another's in each graph, and after the passes."""
    file = Path(__file__).parents[2] / "benchmarks" / "graphs" / "lstm_training.gir"
    asked = graphc.why(parse(file.read_text(encoding="utf-8")))
    answers = 0
    for refusal in asked.report.ledger.refusals:
        if refusal.rule != "fuse" or not refusal.kernels:
            continue
        first, second = (
            f"{name}@{refusal.graph}" if name[1:].isdecimal() else name
            for name in refusal.kernels
        )
        (reason,) = asked.not_fused(first, second).reasons
        assert reason.subject == f"{first} and {second}"
        assert reason.text == refusal.reason
        answers += 1
    assert answers > 20
    (call,) = asked.not_fused("@body_forward", "@body_forward").reasons
    assert call.text == "has nodes of both"
