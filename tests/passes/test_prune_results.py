"""Removing results that nothing reads, and what only they need."""

from __future__ import annotations

import numpy as np

from graphc.ir import Graph, parse
from graphc.passes import run_with_report
from graphc.testing.equivalence import assert_same_meaning, random_arrays


def pruned(text: str, rng: np.random.Generator) -> Graph:
    graph = parse(text)
    result, report = run_with_report(
        graph, "prune_results,dce", verify=True, check=True
    )
    assert report.unchecked is None
    assert_same_meaning(graph, result, random_arrays(graph, rng))
    return result


def test_carries_that_only_they_themselves_need_go(rng: np.random.Generator):
    result = pruned(
        """
        graph @f(%x: f32[3], %y: f32[3], %z: f32[3]) -> (f32[3]) {
          %0, %1, %2, %3 = scan(%x, %y, %z, %z) {body="b", carries=3, length=4}
            : f32[3], f32[3], f32[3], f32[4,3]
          return %0
        }
        graph @b(%x: f32[3], %y: f32[3], %z: f32[3], %w: f32[3])
            -> (f32[3], f32[3], f32[3], f32[3]) {
          %0 = negate(%x) : f32[3]
          %1 = add(%y, %z) : f32[3]
          %2 = multiply(%z, %w) : f32[3]
          %3 = add(%0, %2) : f32[3]
          return %0, %1, %2, %3
        }""",
        rng,
    )
    assert result == parse("""
        graph @f(%x: f32[3], %y: f32[3], %z: f32[3]) -> (f32[3]) {
          %0 = scan(%x) {body="b_1", carries=1, length=4} : f32[3]
          return %0
        }
        graph @b_1(%x: f32[3]) -> (f32[3]) {
          %0 = negate(%x) : f32[3]
          return %0
        }""")


def test_carries_that_others_need_stay(rng: np.random.Generator):
    result = pruned(
        """
        graph @f(%x: f32[3], %s: f32[4,3], %t: f32[4,3]) -> (f32[3]) {
          %0, %1, %2 = scan(%x, %x, %s, %t) {body="b", carries=2, length=4, sequences=2}
            : f32[3], f32[3], f32[4,3]
          return %0
        }
        graph @b(%x: f32[3], %y: f32[3], %s: f32[3], %t: f32[3])
            -> (f32[3], f32[3], f32[3]) {
          %0 = add(%y, %s) : f32[3]
          %1 = negate(%x) : f32[3]
          return %0, %1, %t
        }""",
        rng,
    )
    assert [node.op.name for node in result.nodes] == ["scan"]
    (loop,) = result.nodes
    assert len(loop.results) == 2
    assert loop.attributes["sequences"] == 1


def test_calls_and_branches_lose_results_and_operands(rng: np.random.Generator):
    result = pruned(
        """
        graph @f(%i: i32[], %x: f32[3], %y: f32[3]) -> (f32[3], f32[3]) {
          %0, %1 = call(%x, %y) {graph="g"} : f32[3], f32[3]
          %2, %3 = cond(%i, %x, %y) {branches=["g", "h"]} : f32[3], f32[3]
          return %1, %2
        }
        graph @g(%x: f32[3], %y: f32[3]) -> (f32[3], f32[3]) {
          %0 = negate(%x) : f32[3]
          %1 = abs(%y) : f32[3]
          return %0, %1
        }
        graph @h(%x: f32[3], %y: f32[3]) -> (f32[3], f32[3]) {
          return %x, %y
        }""",
        rng,
    )
    call, cond = result.nodes
    assert [operand.name for operand in call.operands] == ["y"]
    assert [operand.name for operand in cond.operands] == ["i", "x"]


def test_a_loop_keeps_what_its_condition_reads(rng: np.random.Generator):
    result = pruned(
        """
        graph @f(%x: f32[3]) -> (f32[3]) {
          %0, %1, %2 = while(0:i32, %x, %x) {body="b", cond="c"} : i32[], f32[3], f32[3]
          return %1
        }
        graph @c(%i: i32[], %x: f32[3], %y: f32[3]) -> (bool[]) {
          %0 = compare(%i, 3:i32) {direction="LT"} : bool[]
          return %0
        }
        graph @b(%i: i32[], %x: f32[3], %y: f32[3]) -> (i32[], f32[3], f32[3]) {
          %0 = add(%i, 1:i32) : i32[]
          %1 = negate(%x) : f32[3]
          %2 = add(%y, %x) : f32[3]
          return %0, %1, %2
        }""",
        rng,
    )
    (loop,) = result.nodes
    assert len(loop.results) == 2


def test_what_prints_is_left_as_it_is():
    graph = parse("""
        graph @f(%x: f32[3]) -> (f32[3]) {
          %0, %1 = call(%x) {graph="g"} : f32[3], f32[3]
          return %0
        }
        graph @g(%x: f32[3]) -> (f32[3], f32[3]) {
          %0 = negate(%x) : f32[3]
          %1 = print(%0) {format="{}"} : f32[3]
          return %x, %1
        }""")
    result, _ = run_with_report(graph, "prune_results")
    assert result == graph
