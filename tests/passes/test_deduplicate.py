"""Deduplication of equal graphs."""

from __future__ import annotations

from graphc.ir import parse
from graphc.passes import run
from graphc.passes.deduplicate import Deduplicate


def test_calls_of_equal_graphs_call_the_first(check_pass):
    report = check_pass(
        Deduplicate(),
        before="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = call(%x) {graph="g"} : f32[4]  loc("a" m.py:1:1)
              %1 = call(%0) {graph="h"} : f32[4]  loc("b" m.py:2:1)
              return %1
            }
            graph @g(%x: f32[4]) -> (f32[4]) {fused=true} {
              %a = multiply(%x, 2.0) : f32[4]  loc("a" m.py:1:1)
              return %a
            }
            graph @h(%y: f32[4]) -> (f32[4]) {fused=true} {
              %b = multiply(%y, 2.0) : f32[4]  loc("b" m.py:2:1)
              return %b
            }""",
        after="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = call(%x) {graph="g"} : f32[4]  loc("a" m.py:1:1)
              %1 = call(%0) {graph="g"} : f32[4]  loc("b" m.py:2:1)
              return %1
            }
            graph @g(%x: f32[4]) -> (f32[4]) {fused=true} {
              %a = multiply(%x, 2.0) : f32[4]  loc("a" m.py:1:1)
              return %a
            }""",
    )
    assert report.by_rule() == {"deduplicate/share": 1}


def test_graphs_that_call_equal_graphs_are_equal():
    result = run(
        parse("""
            graph @f(%x: f32[4]) -> (f32[4], f32[4]) {
              %0 = call(%x) {graph="a"} : f32[4]
              %1 = call(%x) {graph="b"} : f32[4]
              return %0, %1
            }
            graph @a(%x: f32[4]) -> (f32[4]) {
              %0 = call(%x) {graph="c"} : f32[4]
              return %0
            }
            graph @b(%x: f32[4]) -> (f32[4]) {
              %0 = call(%x) {graph="d"} : f32[4]
              return %0
            }
            graph @c(%x: f32[4]) -> (f32[4]) {
              %0 = negate(%x) : f32[4]
              return %0
            }
            graph @d(%x: f32[4]) -> (f32[4]) {
              %0 = negate(%x) : f32[4]
              return %0
            }"""),
        "deduplicate",
        verify=True,
    )
    assert list(result.module.graphs) == ["f", "a", "c"]


def test_a_literal_an_attribute_or_a_type_makes_a_difference(check_pass):
    check_pass(
        Deduplicate(),
        before="""
            graph @f(%x: f32[4]) -> (f32[4], f32[4], f32[4]) {
              %0 = call(%x) {graph="a"} : f32[4]
              %1 = call(%x) {graph="b"} : f32[4]
              %2 = call(%x) {graph="c"} : f32[4]
              return %0, %1, %2
            }
            graph @a(%x: f32[4]) -> (f32[4]) {
              %0 = multiply(%x, 0.0) : f32[4]
              return %0
            }
            graph @b(%x: f32[4]) -> (f32[4]) {
              %0 = multiply(%x, -0.0) : f32[4]
              return %0
            }
            graph @c(%x: f32[4]) -> (f32[4]) {fused=true} {
              %0 = multiply(%x, 0.0) : f32[4]
              return %0
            }""",
    )
