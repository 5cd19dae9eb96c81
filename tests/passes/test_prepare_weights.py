"""What depends on weights alone becomes a graph of its own, if that pays."""

from __future__ import annotations

import numpy as np

from graphc.ir import Graph, evaluate, parse
from graphc.passes import PIPELINES, PrepareWeights, run, run_with_report
from graphc.passes.pipelines import preparing
from graphc.passes.prepare_weights import parts
from graphc.testing.equivalence import random_arrays

LINEAR = """
    graph @f(%x: f32[4,8], %w: f32[8,8] {role="state"}, %b: f32[8] {role="state"}) -> (f32[4,8]) {
      %0 = exponential(%w) : f32[8,8]
      %1 = transpose(%0) {permutation=[1,0]} : f32[8,8]
      %2 = dot_general(%x, %1) {contract=[[1],[0]]} : f32[4,8]
      %3 = broadcast_in_dim(%b) {shape=[4,8], dims=[1]} : f32[4,8]
      %4 = add(%2, %3) : f32[4,8]
      return %4
    }"""


def prepared(text: str, **options: object) -> tuple[Graph, Graph]:
    """A graph, and what the pass makes of it."""
    graph = parse(text)
    return graph, run(graph, str(PrepareWeights(least_kib=0, **options)), verify=True)


def test_what_is_computed_is_prepared_and_what_is_moved_is_not(check_pass):
    check_pass(
        PrepareWeights(least_kib=0),
        before=LINEAR,
        after="""
            graph @f(%x: f32[4,8], %w: f32[8,8] {role="state"}, %b: f32[8] {role="state"}) -> (f32[4,8]) {
              %0 = call(%w) {graph="f_weights"} : f32[8,8]
              %1 = transpose(%0) {permutation=[1,0]} : f32[8,8]
              %2 = dot_general(%x, %1) {contract=[[1],[0]]} : f32[4,8]
              %3 = broadcast_in_dim(%b) {shape=[4,8], dims=[1]} : f32[4,8]
              %4 = add(%2, %3) : f32[4,8]
              return %4
            }
            graph @f_weights(%w: f32[8,8]) -> (f32[8,8]) {prepared=true} {
              %0 = exponential(%w) : f32[8,8]
              return %0
            }""",  # noqa: E501
    )


def test_moves_between_what_is_computed_are_prepared_and_stay_for_others():
    """The broadcast is read on both sides; only the sum is worth keeping."""
    graph, result = prepared(
        """
        graph @f(%x: f32[8,8], %w: f32[8,8] {role="state"}, %b: f32[8] {role="state"}) -> (f32[8,8]) {
          %0 = broadcast_in_dim(%b) {shape=[8,8], dims=[1]} : f32[8,8]
          %1 = add(%w, %0) : f32[8,8]
          %2 = multiply(%x, %1) : f32[8,8]
          %3 = add(%2, %0) : f32[8,8]
          return %3
        }"""  # noqa: E501
    )
    found = parts(result)
    assert [n.op.name for n in found.first.nodes] == ["broadcast_in_dim", "add"]
    assert len(found.first.results) == 1
    arrays = random_arrays(graph, np.random.default_rng(0))
    made = evaluate(found.first, *(arrays[i] for i in found.operands))
    got = evaluate(found.rest, *arrays, *made)
    np.testing.assert_array_equal(got[0], evaluate(graph, *arrays)[0])


def test_what_a_call_replaces_or_makes_larger_is_not_prepared():
    text = """
        graph @f(%x: f32[8], %w: bf16[8] {role="state"}, %n: f32[8] {role="state"}) -> (f32[8], f32[8]) {
          %0 = convert(%w) {dtype="f32"} : f32[8]
          %1 = exponential(%n) : f32[8]
          %2 = add(%x, %0) : f32[8]
          return %2, %1
        }"""  # noqa: E501
    graph, result = prepared(text, written=("n",))
    assert result == graph
    graph, result = prepared(text)
    assert parts(result).operands == (2,)


def test_little_is_not_worth_it():
    result, report = run_with_report(parse(LINEAR), "prepare_weights")
    assert parts(result) is None
    (refusal,) = report.ledger.refusals
    assert refusal.reason == "it moves 0 KiB, fewer than 64"


def test_preparing_comes_before_kernels_are_made():
    text = preparing("triton", ["a", "b"])
    assert "prepare_weights{written=[a,b]},fusion," in text
    assert text.replace("prepare_weights{written=[a,b]},", "") == PIPELINES["triton"]
    assert preparing("cse,dce", []) == "cse,dce,prepare_weights"
