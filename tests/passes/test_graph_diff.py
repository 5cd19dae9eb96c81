"""What passes change, node by node."""

from __future__ import annotations

from graphc.ir import parse
from graphc.passes import GraphDiff, run
from graphc.passes.graph_diff import ADDED, PLAIN, REMOVED, NodeChange, PassDiff

TEXT = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      %0 = multiply(%x, 1.0) : f32[4]  loc("a/b" m.py:1:1)
      %y = tanh(%0) : f32[4]  loc("a/b" m.py:2:1)
      %1 = silu(%x) : f32[4]  loc("a/c" m.py:3:1)
      %2 = add(%y, %1) : f32[4]
      return %2
    }"""


def diffs(pipeline: str) -> list[PassDiff]:
    found: list[PassDiff] = []
    run(parse(TEXT), pipeline, watch=GraphDiff(found.append))
    return found


def test_each_pass_that_changed_something_has_its_changes_under_layers():
    removed, decomposed = diffs("canonicalize,cse,decompose")
    assert (removed.run.name, decomposed.run.name) == ("canonicalize", "decompose")
    assert removed.text().splitlines()[1:] == [
        "graph @f",
        " a/b",
        "  - %0 = multiply(%x, 1.0) : f32[4]",
        "  ~ %y = tanh(%0) : f32[4]",
        "  > %y = tanh(%x) : f32[4]",
    ]
    assert decomposed.text().splitlines()[1:] == [
        "graph @f",
        " a/c",
        "  - %1 = silu(%x) : f32[4]",
        "  + %3 = logistic(%x) : f32[4]",
        "  + %4 = multiply(%x, %3) : f32[4]",
        " (no layer)",
        "  ~ %2 = add(%y, %1) : f32[4]",
        "  > %2 = add(%y, %4) : f32[4]",
    ]
    assert "1 removed, 2 added, 1 changed" in decomposed.text()


def test_graphs_that_appear_and_vanish_are_shown_whole():
    text = """
        graph @f(%x: f32[2]) -> (f32[2]) {
          %0 = call(%x) {graph="g"} : f32[2]
          return %0
        }
        graph @g(%x: f32[2]) -> (f32[2]) {
          %0 = tanh(%x) : f32[2]
          return %0
        }"""
    found: list[PassDiff] = []
    run(parse(text), "inline", watch=GraphDiff(found.append))
    (diff,) = found
    assert [(c.before, c.after) for c in diff.changes["g"]] == [
        ("%0 = tanh(%x) : f32[2]", None),
        ("return %0", None),
    ]
    assert [c.after for c in diff.changes["f"]] == [
        None,
        "%1 = tanh(%x) : f32[2]",
        "return %1",
    ]


def test_terminals_get_colours():
    added, removed = NodeChange("", None, "a"), NodeChange("", "b", None)
    assert [*added.lines(True)] == [f"{ADDED}  + a{PLAIN}"]
    assert [*removed.lines(True)] == [f"{REMOVED}  - b{PLAIN}"]
