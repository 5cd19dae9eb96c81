"""Going through a graph where something has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphc.ir import parse
from graphc.ir.graph import Graph
from graphc.passes import PassManager
from graphc.passes.journal import Journal
from graphc.passes.ledger import Ledger
from graphc.passes.rewrite import Rewriter
from graphc.passes.sweep import sweep

GRAPHS = Path(__file__).parents[2] / "benchmarks" / "graphs"

CHAIN = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      %a = negate(%x) : f32[4]
      %b = abs(%a) : f32[4]
      %c = tanh(%b) : f32[4]
      %d = exponential(%c) : f32[4]
      %e = sine(%d) : f32[4]
      return %e
    }"""


def seen(graph: Graph, rewriter: Rewriter) -> list[str | None]:
    return [node.result.name for node in sweep(graph, rewriter)]


def test_a_pass_that_comes_again_sees_what_was_touched_and_its_neighbours():
    graph, journal = parse(CHAIN), Journal()
    first = Rewriter(Ledger(), "first", journal=journal)
    assert journal.begin("first", 0)
    assert seen(graph, first) == ["a", "b", "c", "d", "e"]
    journal.end("first", 0, [graph])
    assert not journal.begin("first", 0)
    other = Rewriter(Ledger(), "other", journal=journal)
    _, b, _, _, _ = graph.nodes
    assert other.set_operand(b, 0, graph.parameters[0], "past")
    assert journal.begin("first", 1)
    assert seen(graph, first) == ["a", "b", "c"]
    journal.end("first", 1, [graph])
    journal.begin("first", 1)
    assert seen(graph, first) == []
    assert journal.begin("other", 1)
    assert seen(graph, other) == ["a", "b", "c", "d", "e"]


def rewritten(name: str) -> tuple[str, list[str]]:
    graph = parse((GRAPHS / f"{name}.gir").read_text(encoding="utf-8"))
    report = PassManager("xla:cpu", verify=False, check=False).run(graph)
    return str(graph), [f"{r.pass_name}/{r.rule}" for r in report.ledger.rewrites]


@pytest.mark.parametrize("name", ["cnn_training", "recommender_training"])
def test_looking_where_something_changed_finds_as_much_as_looking_everywhere(
    name, monkeypatch
):
    found = rewritten(name)
    monkeypatch.setattr(Journal, "due", lambda self, graph: set(graph.nodes))
    assert found == rewritten(name)
