"""Lowering of composites to primitives."""

from __future__ import annotations

import pytest

from graphc.ir import PassError, parse
from graphc.passes import run
from graphc.passes.decompose import Decompose

SILU = """
    graph @f(%x: f32[B,4]) -> (f32[B,4]) where B in 1..8 {
      %y = silu(%x) : f32[B,4]  loc("act" m.py:3:4)
      return %y
    }"""


def test_lowers_and_says_from_what(check_pass):
    check_pass(
        Decompose(),
        before=SILU,
        after="""
            graph @f(%x: f32[B,4]) -> (f32[B,4]) where B in 1..8 {
              %0 = logistic(%x) : f32[B,4]  loc("act" m.py:3:4 from "decomposed from silu")
              %y = multiply(%x, %0) : f32[B,4]  loc("act" m.py:3:4 from "decomposed from silu")
              return %y
            }""",
    )


def test_keeps_what_a_backend_keeps(check_pass):
    check_pass(Decompose(keep=("silu",)), before=SILU)


def test_lowers_composites_of_composites_but_not_calls():
    graph = parse("""
        graph @f(%x: f32[4,8], %y: i32[4]) -> (f32[4], f32[4,8]) {
          %0 = cross_entropy(%x, %y) : f32[4]
          %1 = call(%x) {graph="g"} : f32[4,8]
          return %0, %1
        }
        graph @g(%x: f32[4,8]) -> (f32[4,8]) {
          %0 = softmax(%x) {axis=1} : f32[4,8]
          return %0
        }""")
    result = run(graph, "decompose", verify=True)
    composites = {
        node.op.name
        for reached in result.reachable()
        for node in reached.nodes
        if node.op.is_composite
    }
    assert composites == {"call"}
    assert len(result.reachable()) == 2


def test_unknown_names_are_refused():
    with pytest.raises(PassError, match="keep names no composite: 'sillu'") as caught:
        Decompose(keep=("sillu",))
    assert caught.value.hint == "did you mean 'silu'?"
