"""Inlining of calls."""

from __future__ import annotations

from graphc.ir import parse
from graphc.passes import run, run_with_report
from graphc.passes.inline import Inline


def test_inlines_a_call_with_its_locations(check_pass):
    check_pass(
        Inline(),
        before="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %y = call(%x) {graph="block"} : f32[4]  loc("encoder" model.py:3:5)
              return %y
            }
            graph @block(%x: f32[4]) -> (f32[4]) {
              %h = negate(%x) : f32[4]  loc("encoder/norm" norm.py:7:9)
              %0 = abs(%h) : f32[4]
              return %0
            }""",
        after="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = negate(%x) : f32[4]  loc("encoder/norm" norm.py:7:9)
              %y = abs(%0) : f32[4]  loc("encoder" model.py:3:5)
              return %y
            }""",
    )


def test_inlines_calls_of_calls_and_graphs_that_return_parameters(check_pass):
    check_pass(
        Inline(),
        before="""
            graph @f(%x: f32[4], %y: f32[4]) -> (f32[4], f32[4], f32[]) {
              %0, %1, %2 = call(%x, %y) {graph="swap"} : f32[4], f32[4], f32[]
              return %0, %1, %2
            }
            graph @swap(%a: f32[4], %b: f32[4]) -> (f32[4], f32[4], f32[]) {
              %0 = call(%a) {graph="neg"} : f32[4]
              return %b, %0, 2.0
            }
            graph @neg(%a: f32[4]) -> (f32[4]) {
              %0 = negate(%a) : f32[4]
              return %0
            }""",
        after="""
            graph @f(%x: f32[4], %y: f32[4]) -> (f32[4], f32[4], f32[]) {
              %0 = negate(%x) : f32[4]
              return %y, %0, 2.0
            }""",
    )


SHARED = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      %0 = call(%x) {graph="block"} : f32[4]
      %1 = call(%0) {graph="block"} : f32[4]
      return %1
    }
    graph @block(%x: f32[4]) -> (f32[4]) {
      %0 = negate(%x) : f32[4]
      %1 = abs(%0) : f32[4]
      %2 = tanh(%1) : f32[4]
      return %2
    }"""


def test_large_shared_graphs_stay_and_the_ledger_says_why():
    result, report = run_with_report(parse(SHARED), "inline{max_nodes=2}")
    assert result == parse(SHARED)
    reasons = {refusal.reason for refusal in report.ledger.refusals}
    assert reasons == {"@block has 3 nodes, more than 2, and 2 uses"}
    assert len(run(parse(SHARED), "inline{max_nodes=3}")) == 6


def test_kernels_stay():
    text = SHARED.replace(
        "-> (f32[4]) {\n      %0 = neg", "-> (f32[4]) {fused=true} {\n      %0 = neg"
    )
    result, report = run_with_report(parse(text), "inline")
    assert result == parse(text)
    assert report.ledger.refusals[0].reason == "the graph is a kernel"


def test_constants_of_callees_are_found(check_pass):
    check_pass(
        Inline(),
        before="""
            graph @f(%x: f32[2]) -> (f32[2]) {
              %0 = call(%x) {graph="g"} : f32[2]
              return %0
            }
            graph @g(%x: f32[2]) -> (f32[2]) {
              %0 = constant() {name="c"} : f32[2]
              %1 = add(%x, %0) : f32[2]
              return %1
            }
            const @c: f32[2] = "AACAPwAAAEA="
            """,
        after="""
            graph @f(%x: f32[2]) -> (f32[2]) {
              %0 = constant() {name="c"} : f32[2]
              %1 = add(%x, %0) : f32[2]
              return %1
            }
            const @c: f32[2] = "AACAPwAAAEA="
            """,
    )


def test_bodies_of_loops_stay_and_calls_in_them_are_inlined(check_pass):
    check_pass(
        Inline(),
        before="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = scan(%x) {body="step", carries=1, length=3} : f32[4]
              return %0
            }
            graph @step(%c: f32[4]) -> (f32[4]) {
              %0 = call(%c) {graph="twice"} : f32[4]
              return %0
            }
            graph @twice(%x: f32[4]) -> (f32[4]) {
              %0 = add(%x, %x) : f32[4]
              return %0
            }""",
        after="""
            graph @f(%x: f32[4]) -> (f32[4]) {
              %0 = scan(%x) {body="step", carries=1, length=3} : f32[4]
              return %0
            }
            graph @step(%c: f32[4]) -> (f32[4]) {
              %0 = add(%c, %c) : f32[4]
              return %0
            }""",
    )


def test_inlines_large_graphs_that_are_called_once():
    steps = "\n".join(f"  %h{n + 1} = negate(%h{n}) : f32[4]" for n in range(20))
    graph = parse(f"""
graph @f(%x: f32[4]) -> (f32[4]) {{
  %0 = call(%x) {{graph="block"}} : f32[4]
  return %0
}}
graph @block(%h0: f32[4]) -> (f32[4]) {{
{steps}
  return %h20
}}
""")
    result, report = run_with_report(graph, "inline")
    assert len(result) == 20
    assert report.ledger.refusals == []
