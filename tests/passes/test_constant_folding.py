"""Constant folding."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from graphc.ir import parse
from graphc.passes import run, run_with_report
from graphc.passes.constant_folding import ConstantFolding

FOLD_AND_CLEAN = "constant_folding,dce"


def test_literals_become_literals(check_pass):
    check_pass(
        FOLD_AND_CLEAN,
        before="""
            graph @f(%x: f32[4]) -> (f32[4], i32[], bool[]) {
              %0 = multiply(2.0, 3.0) : f32[]
              %1 = subtract(%0, 0.5) : f32[]
              %2 = add(%x, %1) : f32[4]
              %3 = divide(7:i32, -2:i32) : i32[]
              %4 = compare(nan, 1.0) {direction="LT"} : bool[]
              return %2, %3, %4
            }""",
        after="""
            graph @f(%x: f32[4]) -> (f32[4], i32[], bool[]) {
              %0 = add(%x, 5.5) : f32[4]
              return %0, -3:i32, false
            }""",
    )


def test_small_results_become_constants_which_equal_ones_share():
    graph = parse("""
        graph @f(%x: f32[3]) -> (f32[3], f32[3]) {
          %0 = iota() {axis=0, dtype="f32", shape=[3]} : f32[3]
          %1 = multiply(%0, 2.0) : f32[3]
          %2 = add(%0, %0) : f32[3]
          %3 = add(%x, %1) : f32[3]
          %4 = add(%x, %2) : f32[3]
          return %3, %4
        }""")
    result = run(graph, "constant_folding,cse,dce")
    assert [node.op.name for node in result.nodes] == ["constant", "add"]
    assert list(result.module.constants) == ["folded"]
    np.testing.assert_array_equal(result.module.constants["folded"], [0, 2, 4])
    assert not graph.module.constants


def test_uniform_results_stay_symbolic_whatever_their_size(check_pass):
    check_pass(
        FOLD_AND_CLEAN,
        before="""
            graph @f(%x: f32[90,100]) -> (f32[90,100]) {
              %0 = broadcast_in_dim(2.0) {dims=[], shape=[90,100]} : f32[90,100]
              %1 = sqrt(%0) : f32[90,100]
              %2 = multiply(%1, %1) : f32[90,100]
              %3 = add(%x, %2) : f32[90,100]
              return %3
            }""",
        after="""
            graph @f(%x: f32[90,100]) -> (f32[90,100]) {
              %0 = broadcast_in_dim(1.9999999) {dims=[], shape=[90,100]} : f32[90,100]
              %1 = add(%x, %0) : f32[90,100]
              return %1
            }""",
    )


def test_results_no_larger_than_their_constants_are_folded():
    text = """
        graph @f() -> (f32[100]) {
          %0 = constant() {name="c"} : f32[100]
          %1 = negate(%0) : f32[100]
          return %1
        }
        const @c: f32[100] = "DATA"
        """
    data = np.arange(100, dtype=np.float32)
    graph = parse(text.replace("DATA", base64.b64encode(data).decode()))
    result = run(graph, FOLD_AND_CLEAN)
    assert [node.op.name for node in result.nodes] == ["constant"]
    (array,) = result.module.constants.values()
    np.testing.assert_array_equal(array, -data)


@pytest.mark.parametrize(
    "nodes",
    [
        # What comes out of nothing is small or stays.
        """%0 = iota() {axis=0, dtype="i32", shape=[100]} : i32[100]
          %1 = add(%0, 1:i32) : i32[100]""",
        """%0 = iota() {axis=0, dtype="i32", shape=[1099511627776]} : i32[1099511627776]
          %1 = add(%0, 1:i32) : i32[1099511627776]""",
        """%0 = broadcast_in_dim(1.0) {dims=[], shape=[1099511627776]} : f32[1099511627776]
          %1 = sqrt(%0) : f32[1099511627776]""",
        """%0 = iota() {axis=0, dtype="i32", shape=[4]} : i32[4]
          %1 = pad(%0, 0:i32) {high=[1099511627776], low=[0]} : i32[1099511627780]""",
        """%0 = iota() {axis=0, dtype="f32", shape=[2]} : f32[2]
          %1 = reduce_window_max(%0) {padding=[[1048576,0]], strides=[1], window=[1048577]}
            : f32[2]""",
        # Not known, or not worth it.
        """%0 = iota() {axis=0, dtype="f32", shape=["B"]} : f32[B]
          %1 = sqrt(%0) : f32[B]""",
        """%0 = call(2.0) {graph="g"} : f32[]
          %1 = add(%0, %0) : f32[]""",
    ],
    ids=["sequence", "iota", "broadcast", "pad", "window", "symbolic", "call"],
)
def test_bombs_and_unknowns_stay(nodes: str):
    type = nodes.rpartition(" : ")[2]
    graph = parse(f"""
        graph @f(%b: f32[B]) -> ({type}) where B in 1..8 {{
          {nodes}
          return %1
        }}
        graph @g(%x: f32[]) -> (f32[]) {{
          return %x
        }}""")
    result, report = run_with_report(graph, "constant_folding")
    assert [n.op for n in result.nodes] == [n.op for n in graph.nodes]
    assert report.ledger.count == 0


def test_limits_are_options():
    graph = parse("""
        graph @f() -> (i32[4]) {
          %0 = iota() {axis=0, dtype="i32", shape=[4]} : i32[4]
          %1 = add(%0, 1:i32) : i32[4]
          return %1
        }""")
    assert run(graph, "constant_folding{small=3}") == graph
    assert run(graph, "constant_folding{max_elements=8}") == graph
    assert run(graph, "constant_folding{small=4,max_elements=9}") != graph
    assert str(ConstantFolding(small=3)) == "constant_folding{small=3}"


def test_uniform_constants_become_literals(check_pass):
    check_pass(
        FOLD_AND_CLEAN,
        before="""
            graph @f(%x: f32[2]) -> (f32[2]) {
              %0 = constant() {name="ones"} : f32[2]
              %1 = multiply(%x, %0) : f32[2]
              return %1
            }
            const @ones: f32[2] = "AACAPwAAgD8="
            """,
        after="""
            graph @f(%x: f32[2]) -> (f32[2]) {
              %0 = broadcast_in_dim(1.0) {dims=[], shape=[2]} : f32[2]
              %1 = multiply(%x, %0) : f32[2]
              return %1
            }""",
    )
