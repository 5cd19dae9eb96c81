"""Fusion of pointwise chains."""

from __future__ import annotations

from graphc.ir import parse
from graphc.passes import run, run_with_report
from graphc.passes.fusion import Fusion

MLP = """
    graph @f(%x: f32[8,4], %w: f32[4,4], %b: f32[4]) -> (f32[8,4]) {
      %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,4]  loc("m/d" m.py:1:1)
      %1 = broadcast_in_dim(%b) {dims=[1], shape=[8,4]} : f32[8,4]  loc("m/d" m.py:2:1)
      %2 = add(%0, %1) : f32[8,4]  loc("m/d" m.py:3:1)
      %y = maximum(%2, 0.0) : f32[8,4]  loc("m/a" m.py:4:1)
      return %y
    }"""


def test_outlines_a_chain_and_names_it_by_its_layers(check_pass):
    report = check_pass(
        Fusion(),
        before=MLP,
        after="""
            graph @f(%x: f32[8,4], %w: f32[4,4], %b: f32[4]) -> (f32[8,4]) {
              %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,4]  loc("m/d" m.py:1:1)
              %y = call(%b, %0) {graph="fused_0_m"} : f32[8,4]  loc("m/a" m.py:4:1 from "ORIGIN")
              return %y
            }
            graph @fused_0_m(%b: f32[4], %0: f32[8,4]) -> (f32[8,4]) {fused=true} {
              %1 = broadcast_in_dim(%b) {dims=[1], shape=[8,4]} : f32[8,4]  loc("m/d" m.py:2:1)
              %2 = add(%0, %1) : f32[8,4]  loc("m/d" m.py:3:1)
              %y = maximum(%2, 0.0) : f32[8,4]  loc("m/a" m.py:4:1)
              return %y
            }""".replace("ORIGIN", "fused from broadcast_in_dim, add, maximum"),
    )
    (refusal,) = report.ledger.refusals
    assert (refusal.rule, refusal.reason) == (
        "fuse into add",
        "dot_general is of kind contraction",
    )


def test_a_fused_graph_is_not_fused_again():
    once = run(parse(MLP), "fusion")
    assert run(once, "fusion") == once
    assert run(once, "inline") == once


def test_groups_have_one_exit_and_reasons_say_why(check_pass):
    report = check_pass(
        Fusion(),
        before="""
            graph @f(%x: f32[8]) -> (f32[8], f32[]) {
              %0 = negate(%x) : f32[8]
              %1 = abs(%0) : f32[8]
              %2 = sqrt(%1) : f32[8]
              %3 = tanh(%1) : f32[8]
              %4 = add(%2, %3) : f32[8]
              %5 = sine(%4) : f32[8]
              %6 = reduce_sum(%5) {axes=[0]} : f32[]
              %7 = cosine(%4) : f32[8]
              return %7, %6
            }""",
        after="""
            graph @f(%x: f32[8]) -> (f32[8], f32[]) {
              %0 = call(%x) {graph="fused_0"} : f32[8]
              %1 = sine(%0) : f32[8]
              %2 = reduce_sum(%1) {axes=[0]} : f32[]
              %3 = cosine(%0) : f32[8]
              return %3, %2
            }
            graph @fused_0(%x: f32[8]) -> (f32[8]) {fused=true} {
              %0 = negate(%x) : f32[8]
              %1 = abs(%0) : f32[8]
              %2 = sqrt(%1) : f32[8]
              %3 = tanh(%1) : f32[8]
              %4 = add(%2, %3) : f32[8]
              return %4
            }""",
    )
    assert [(r.node.op, r.rule, r.reason) for r in report.ledger.refusals] == [
        ("sine", "fuse into reduce_sum", "reduce_sum is of kind reduction"),
        ("add", "fuse into sine", "its consumers are in 2 groups"),
        ("add", "fuse into cosine", "its consumers are in 2 groups"),
    ]


def test_nothing_is_computed_again_for_a_broadcast(check_pass):
    report = check_pass(
        Fusion(),
        before="""
            graph @f(%x: f32[8,4], %s: f32[4]) -> (f32[8,4]) {
              %0 = exponential(%s) : f32[4]
              %1 = reshape(%0) {shape=[1,4]} : f32[1,4]
              %2 = broadcast_in_dim(%1) {dims=[0,1], shape=[8,4]} : f32[8,4]
              %3 = multiply(%x, %2) : f32[8,4]
              return %3
            }""",
        after="""
            graph @f(%x: f32[8,4], %s: f32[4]) -> (f32[8,4]) {
              %0 = exponential(%s) : f32[4]
              %1 = call(%0, %x) {graph="fused_0"} : f32[8,4]
              return %1
            }
            graph @fused_0(%0: f32[4], %x: f32[8,4]) -> (f32[8,4]) {fused=true} {
              %1 = reshape(%0) {shape=[1,4]} : f32[1,4]
              %2 = broadcast_in_dim(%1) {dims=[0,1], shape=[8,4]} : f32[8,4]
              %3 = multiply(%x, %2) : f32[8,4]
              return %3
            }""",
    )
    (refusal,) = report.ledger.refusals
    assert "computed again for each element" in refusal.reason


def test_the_size_of_groups_is_limited():
    nodes = "\n".join(f"%v{i} = negate(%v{i - 1}) : f32[4]" for i in range(1, 11))
    graph = parse(f"graph @f(%v0: f32[4]) -> (f32[4]) {{ {nodes} return %v10 }}")
    result, report = run_with_report(graph, "fusion{max_nodes=4}", verify=True)
    assert [len(g) for g in result.reachable()] == [3, 2, 4, 4]
    assert {r.reason for r in report.ledger.refusals} == {"the group has 4 nodes"}


def test_symbols_and_callees_are_kept(check_pass):
    result = run(
        parse("""
            graph @f(%x: f32[B,4]) -> (f32[B,4]) where B in 1..8 {
              %0 = call(%x) {graph="g"} : f32[B,4]
              return %0
            }
            graph @g(%x: f32[B,4]) -> (f32[B,4]) where B in 1..8 {
              %0 = broadcast_in_dim(1.0) {dims=[], shape=["B",4]} : f32[B,4]
              %1 = add(%x, %0) : f32[B,4]
              return %1
            }"""),
        "fusion",
        verify=True,
    )
    assert list(result.module.graphs) == ["f", "g", "fused_0"]
    assert result.module.graphs["fused_0"].ranges == {"B": (1, 8)}
