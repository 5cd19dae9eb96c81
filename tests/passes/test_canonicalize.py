"""Canonicalization: identities together, and which of them apply when."""

from __future__ import annotations

import pytest

from graphc.ir import PassError, parse
from graphc.passes import run
from graphc.passes.canonicalize import Canonicalize
from tests.closeness import REORDERED_ULP


def test_identities_feed_one_another(check_pass):
    report = check_pass(
        Canonicalize(),
        before="""
            graph @f(%x: f32[B,4]) -> (f32[B,4]) where B in 1..8 {
              %0 = broadcast_in_dim(1.0) {dims=[], shape=["B",4]} : f32[B,4]
              %1 = transpose(%x) {permutation=[1,0]} : f32[4,B]
              %2 = transpose(%1) {permutation=[1,0]} : f32[B,4]
              %3 = multiply(%0, %2) : f32[B,4]
              %4 = negate(%3) : f32[B,4]
              %y = subtract(%x, %4) : f32[B,4]
              return %y
            }""",
        after="""
            graph @f(%x: f32[B,4]) -> (f32[B,4]) where B in 1..8 {
              %y = add(%x, %x) : f32[B,4]
              return %y
            }""",
    )
    assert report.by_rule()["canonicalize/subtract_negated"] == 1


def test_new_nodes_say_where_they_come_from(check_pass):
    check_pass(
        Canonicalize(),
        before="""
            graph @f(%x: f32[4], %y: f32[4]) -> (f32[4], f32[4]) {
              %0 = negate(%y) : f32[4]  loc("a" m.py:1:1)
              %1 = add(%x, %0) : f32[4]  loc("b" m.py:2:2)
              %2 = divide(%1, 4.0) : f32[4]  loc("c" m.py:3:3 from "ORIGIN")
              return %1, %2
            }""".replace("ORIGIN", "gradient of tan"),
        after="""
            graph @f(%x: f32[4], %y: f32[4]) -> (f32[4], f32[4]) {
              %0 = subtract(%x, %y) : f32[4]  loc("b" m.py:2:2 from "rewritten by canonicalize")
              %1 = multiply(%0, 0.25) : f32[4]  loc("c" m.py:3:3 from "ORIGIN, rewritten by NAME")
              return %0, %1
            }""".replace("ORIGIN", "gradient of tan").replace("NAME", "canonicalize"),
    )


def test_float_identities_that_are_not_exact_stay(check_pass):
    check_pass(
        Canonicalize(),
        before="""
            graph @f(%x: f32[4], %y: f32[4]) -> (f32[4], bool[4]) {
              %0 = add(%x, 0.0) : f32[4]
              %1 = subtract(0.0, %0) : f32[4]
              %2 = subtract(%1, %1) : f32[4]
              %3 = multiply(%2, 0.0) : f32[4]
              %4 = compare(%x, %x) {direction="EQ"} : bool[4]
              %5 = subtract(%3, %y) : f32[4]
              %6 = negate(%5) : f32[4]
              return %6, %4
            }""",
    )


SUMS = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      %0 = add(%x, 1.5) : f32[4]
      %1 = add(%0, 2.5) : f32[4]
      return %1
    }"""


def test_reassociation_is_an_option(check_pass):
    check_pass(Canonicalize(), before=SUMS)
    check_pass(
        Canonicalize(allow=("reassociates",)),
        before=SUMS,
        after="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = add(%x, 4.0) : f32[4]
              return %0
            }""",
        ulp=REORDERED_ULP,
    )


def test_unknown_classes_are_refused():
    with pytest.raises(PassError, match="no rule is of the class 'fast'") as caught:
        Canonicalize(allow=("fast",))
    assert caught.value.hint == "there is reassociates"


def test_powers_are_within_what_power_allows(check_pass):
    check_pass(
        Canonicalize(),
        before="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = power(%x, 2.0) : f32[4]
              return %0
            }""",
        after="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = multiply(%x, %x) : f32[4]
              return %0
            }""",
        ulp=REORDERED_ULP,
    )


STOPPED = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      %0 = stop_gradient(%x) : f32[4]
      %1 = multiply(%x, %0) : f32[4]
      return %1
    }"""


def test_stop_gradient_goes_late(check_pass):
    check_pass(Canonicalize(), before=STOPPED)
    check_pass(
        Canonicalize(late=True),
        before=STOPPED,
        after="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = multiply(%x, %x) : f32[4]
              return %0
            }""",
    )


def test_scalars_that_stretch_are_broadcast_where_their_result_was(check_pass):
    check_pass(
        Canonicalize(),
        before="""
            graph @f(%p: bool[5], %s: f32[], %x: i32[5]) -> (f32[5], i32[5]) {
              %0 = select(%p, %s, %s) : f32[5]
              %1 = subtract(%x, %x) : i32[5]
              return %0, %1
            }""",
        after="""
            graph @f(%p: bool[5], %s: f32[], %x: i32[5]) -> (f32[5], i32[5]) {
              %0 = broadcast_in_dim(%s) {dims=[], shape=[5]} : f32[5]
              %1 = broadcast_in_dim(0:i32) {dims=[], shape=[5]} : i32[5]
              return %0, %1
            }""",
    )


def test_symbolic_slices_with_strides_stay():
    graph = parse("""
        graph @f(%x: f32[T]) -> (f32[(T-2)//2]) where T in 3..8 {
          %0 = slice(%x) {limit=["T-1"], start=[0], strides=[2]} : f32[T//2]
          %1 = slice(%0) {limit=["T//2"], start=[1]} : f32[T//2-1]
          return %1
        }""")
    assert run(graph, "canonicalize") == graph


def test_broadcasts_keep_the_order_of_dimensions():
    graph = parse("""
        graph @f(%x: f32[3,4]) -> (f32[2,4,3]) {
          %0 = broadcast_in_dim(%x) {dims=[0,2], shape=[3,2,4]} : f32[3,2,4]
          %1 = transpose(%0) {permutation=[1,2,0]} : f32[2,4,3]
          return %1
        }""")
    assert run(graph, "canonicalize") == graph


def test_a_concatenation_that_others_read_stays():
    graph = parse("""
        graph @f(%x: f32[2]) -> (f32[4], f32[6]) {
          %0 = concatenate(%x, %x) {axis=0} : f32[4]
          %1 = concatenate(%0, %x) {axis=0} : f32[6]
          return %0, %1
        }""")
    assert run(graph, "canonicalize") == graph
