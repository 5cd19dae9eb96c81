"""Merging dots that share an operand."""

from __future__ import annotations

import numpy as np

from graphc.ir import Graph, building, parse, tensor_type
from graphc.ir.ops import constant, dot_general
from graphc.passes import Report, run_with_report
from graphc.testing.equivalence import assert_same_meaning, random_arrays
from tests.closeness import REORDERED_ULP


def merged(text: str) -> tuple[Graph, Graph, Report]:
    graph = parse(text)
    result, report = run_with_report(graph, "merge_dots,dce", verify=True, check=True)
    assert report.unchecked is None
    return graph, result, report


def test_dots_of_one_operand_are_one_dot(rng: np.random.Generator):
    graph, result, _ = merged("""
        graph @f(%x: f32[512,8], %a: f32[8,4], %b: f32[8,3]) -> (f32[512,4], f32[512,3]) {
          %0 = dot_general(%x, %a) {contract=[[1],[0]]} : f32[512,4]
          %1 = negate(%0) : f32[512,4]
          %2 = negate(%b) : f32[8,3]
          %3 = dot_general(%x, %2) {contract=[[1],[0]]} : f32[512,3]
          return %1, %3
        }""")
    assert result == parse("""
        graph @f(%x: f32[512,8], %a: f32[8,4], %b: f32[8,3]) -> (f32[512,4], f32[512,3]) {
          %0 = negate(%b) : f32[8,3]
          %1 = concatenate(%a, %0) {axis=1} : f32[8,7]
          %2 = dot_general(%x, %1) {contract=[[1],[0]]} : f32[512,7]
          %3 = slice(%2) {limit=[512,4], start=[0,0]} : f32[512,4]
          %4 = negate(%3) : f32[512,4]
          %5 = slice(%2) {limit=[512,7], start=[0,4]} : f32[512,3]
          return %4, %5
        }""")
    assert_same_meaning(graph, result, random_arrays(graph, rng), ulp=REORDERED_ULP)


def test_the_second_operand_may_be_the_one_that_is_shared(rng: np.random.Generator):
    graph, result, _ = merged("""
        graph @f(%a: f32[2,3,4], %b: f32[2,5,4], %y: f32[2,4,64])
            -> (f32[2,3,64], f32[2,5,64]) {
          %0 = dot_general(%a, %y) {batch=[[0],[0]], contract=[[2],[1]]} : f32[2,3,64]
          %1 = dot_general(%b, %y) {batch=[[0],[0]], contract=[[2],[1]]} : f32[2,5,64]
          return %0, %1
        }""")
    names = [node.op.name for node in result.nodes]
    assert names == ["concatenate", "dot_general", "slice", "slice"]
    assert_same_meaning(graph, result, random_arrays(graph, rng), ulp=REORDERED_ULP)


def test_a_copy_that_is_larger_than_the_saving_is_refused():
    graph, result, report = merged("""
        graph @f(%x: f32[2,8], %a: f32[8,4], %b: f32[8,3]) -> (f32[2,4], f32[2,3]) {
          %0 = dot_general(%x, %a) {contract=[[1],[0]]} : f32[2,4]
          %1 = dot_general(%x, %b) {contract=[[1],[0]]} : f32[2,3]
          return %0, %1
        }""")
    assert result == graph
    (refusal,) = report.ledger.refusals
    assert refusal.reason == "joining copies 112 elements, to read 16 fewer"


def test_constants_are_joined_at_compile_time():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[2,8]"))
    with building(graph):
        weights = [
            constant(name=graph.module.add_constant(np.eye(8, n, dtype=np.float32)))
            for n in (4, 3)
        ]
        graph.results = [dot_general(x, w, contract=[[1], [0]]) for w in weights]
    result, _ = run_with_report(graph, "merge_dots,constant_folding,dce", verify=True)
    names = [node.op.name for node in result.nodes]
    assert names == ["constant", "dot_general", "slice", "slice"]


def test_what_is_computed_from_a_dot_cannot_be_joined_to_its_operands():
    graph, result, report = merged("""
        graph @f(%x: f32[512,4], %a: f32[4,4]) -> (f32[512,4]) {
          %0 = dot_general(%x, %a) {contract=[[1],[0]]} : f32[512,4]
          %1 = dot_general(%x, %0) {contract=[[0],[0]]} : f32[4,4]
          %2 = dot_general(%x, %1) {contract=[[1],[0]]} : f32[512,4]
          return %2
        }""")
    assert result == graph
    assert "behind the first dot" in report.ledger.refusals[0].reason


def test_parts_of_a_merged_dot_are_joined_for_another(rng: np.random.Generator):
    graph, result, _ = merged("""
        graph @f(%x: f32[512,8], %a: f32[8,4], %b: f32[8,4], %y: f32[64,512])
            -> (f32[64,4], f32[64,4]) {
          %0 = dot_general(%x, %a) {contract=[[1],[0]]} : f32[512,4]
          %1 = dot_general(%y, %0) {contract=[[1],[0]]} : f32[64,4]
          %2 = dot_general(%x, %b) {contract=[[1],[0]]} : f32[512,4]
          %3 = dot_general(%y, %2) {contract=[[1],[0]]} : f32[64,4]
          return %1, %3
        }""")
    assert [node.op.name for node in result.nodes].count("dot_general") == 2
    assert_same_meaning(graph, result, random_arrays(graph, rng), ulp=REORDERED_ULP)
