"""Cross-entropies of a linear layer's logits as one op."""

from __future__ import annotations

import pytest

from graphc.ir import parse
from graphc.passes import FuseLinearCrossEntropy, run, run_with_report
from tests.closeness import REORDERED_ULP
from tests.passes.linear_losses import LOSS, STEP

FUSE = FuseLinearCrossEntropy(least_mib=0.0)


def test_a_product_with_a_bias_becomes_one_op(check_pass):
    check_pass(
        f"{FUSE},dce",
        before="""
            graph @f(%x: f32[6,3], %w: f32[3,5], %b: f32[5], %y: i32[6]) -> (f32[6]) {
              %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[6,5]
              %1 = broadcast_in_dim(%b) {dims=[1], shape=[6,5]} : f32[6,5]
              %2 = add(%0, %1) : f32[6,5]
              %3 = cross_entropy(%2, %y) : f32[6]
              return %3
            }""",
        after="""
            graph @f(%x: f32[6,3], %w: f32[3,5], %b: f32[5], %y: i32[6]) -> (f32[6]) {
              %3 = linear_cross_entropy(%x, %w, %y, %b) : f32[6]
              return %3
            }""",
        ulp=REORDERED_ULP,
    )


def test_logits_of_embeddings_of_several_dimensions_and_narrow_floats():
    graph = parse("""
        graph @f(%x: bf16[2,3,4], %w: bf16[5,4], %y: i32[6]) -> (f32[6]) {
          %0 = dot_general(%x, %w) {contract=[[2],[1]]} : bf16[2,3,5]
          %1 = convert(%0) {dtype="f32"} : f32[2,3,5]
          %2 = reshape(%1) {shape=[6,5]} : f32[6,5]
          %3 = cross_entropy(%2, %y) : f32[6]
          return %3
        }""")
    assert run(graph, f"{FUSE},dce") == parse("""
        graph @f(%x: bf16[2,3,4], %w: bf16[5,4], %y: i32[6]) -> (f32[6]) {
          %0 = reshape(%x) {shape=[6,4]} : bf16[6,4]
          %3 = linear_cross_entropy(%0, %w, %y) {axis=1} : f32[6]
          return %3
        }""")


def test_returned_logits_that_no_caller_reads_do_not_count():
    result = run(parse(STEP), f"{FUSE},autodiff,inline,dce", verify=True)
    found = [node.op.name for node in result.nodes]
    assert found.count("linear_cross_entropy") == 1
    assert found.count("linear_cross_entropy_gradient") == 1
    assert "cross_entropy" not in found
    assert "dot_general" not in found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("", ""), "@loss returns the logits"),
        (("return %5, %2", "%6 = tanh(%2) : f32[50,20]\n  return %5, %6"), "by tanh"),
        (("add(%0, %1)", "multiply(%0, %1)"), "not the product of a linear layer"),
        (("add(%0, %1)", "add(%1, %1)"), "not the product of a linear layer"),
    ],
)
def test_logits_that_are_needed_stay(change: tuple[str, str], reason: str):
    text = LOSS.replace(*change)
    if reason != "@loss returns the logits" and "tanh" not in text:
        text = text.replace("return %5, %2", "return %5, %0")
    result, report = run_with_report(parse(text), f"{FUSE},dce")
    assert "cross_entropy" in [node.op.name for node in result.nodes]
    (refusal,) = report.ledger.refusals
    assert reason in refusal.reason


def test_small_logits_stay():
    result, report = run_with_report(parse(STEP), "fuse_linear_cross_entropy")
    assert result == parse(STEP)
    (refusal,) = report.ledger.refusals
    assert refusal.reason == "the logits take 0.0 MiB, less than 16"
