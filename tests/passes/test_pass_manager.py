"""The pass manager: verification, dumps, stopping, bisection, reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest

from graphc.ir import GraphError, PassError, parse
from graphc.ir.errors import GraphcError
from graphc.passes import PASSES, GraphPass, PassManager, register, run, run_with_report

TEXT = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      %0 = tanh(%x) : f32[4]
      %1 = tanh(%x) : f32[4]
      %2 = multiply(%1, 1.0) : f32[4]
      %3 = add(%0, %2) : f32[4]
      return %3
    }"""

DONE = """
    graph @f(%x: f32[4]) -> (f32[4]) {
      %0 = tanh(%x) : f32[4]
      %1 = add(%0, %0) : f32[4]
      return %1
    }"""


@dataclass(frozen=True)
class Misbehaving(GraphPass):
    """Does what a pass must not."""

    how: str = "raise"
    name: ClassVar[str] = "misbehaving"

    def run(self, graph, rewriter):
        if self.how == "raise":
            raise ZeroDivisionError("oops")
        if self.how == "complain":
            raise GraphError("bad", received="this", hint="try that")
        if self.how == "break":
            node = next(graph.nodes)
            graph.move(node, None)
        return self.how == "claim"


@pytest.fixture(scope="module", autouse=True)
def misbehaving() -> Iterator[None]:
    register(Misbehaving)
    yield
    del PASSES["misbehaving"]


def test_works_on_a_copy():
    graph = parse(TEXT)
    result = run(graph, "canonicalize,cse")
    assert str(result) == str(parse(DONE))
    assert graph == parse(TEXT)
    assert result.module is not graph.module


def test_groups_repeat_until_nothing_changes():
    result, report = run_with_report(parse(TEXT), "(cse,canonicalize,dce)*")
    assert str(result) == str(parse(DONE))
    # Nothing changed after the last run of those that are left out.
    assert [run.name for run in report.runs] == ["cse", "canonicalize", "dce", "cse"]
    assert [run.rewrites for run in report.runs] == [1, 1, 0, 0]
    assert [run.nodes_after for run in report.runs] == [3, 2, 2, 2]
    assert not report.unfinished


def test_groups_that_never_end_are_cut_off():
    _, report = run_with_report(parse(TEXT), "(misbehaving{how=claim})*", verify=False)
    assert len(report.runs) == 16
    assert report.unfinished == ["(misbehaving{how=claim})*"]


def test_the_report_counts_and_prints():
    _, report = run_with_report(parse(TEXT), "canonicalize,cse")
    assert report.by_rule() == {"canonicalize/times_one": 1, "cse/merge": 1}
    assert (report.nodes_before, report.nodes_after) == (4, 2)
    assert report.seconds == sum(run.seconds for run in report.runs) > 0
    lines = [line.split() for line in report.table().splitlines()]
    assert lines[0] == ["pass", "ms", "nodes", "rewrites"]
    assert lines[1][0] == "canonicalize"
    assert lines[1][2:] == ["4", "->", "3", "1"]
    assert lines[3] == ["1", "canonicalize/times_one"]


def test_dumps_are_numbered_and_parse(tmp_path):
    run(parse(TEXT), "canonicalize,cse", dump_dir=tmp_path / "dumps")
    files = sorted((tmp_path / "dumps").iterdir())
    assert [f.name for f in files] == [
        "00-input.gir",
        "01-canonicalize.gir",
        "02-cse.gir",
    ]
    assert files[0].read_text().startswith("// input, 4 nodes\ngraph @f")
    header, _, text = files[2].read_text().partition("\n")
    assert header.startswith("// after cse, ")
    assert header.endswith(" ms, 3 -> 2 nodes")
    assert str(parse(text)) == text == str(parse(DONE))


@pytest.mark.parametrize("stop", ["canonicalize", 1])
def test_stops_after_a_pass(stop):
    result, report = run_with_report(
        parse(TEXT), "(canonicalize,cse)*,dce", stop_after=stop
    )
    assert [run.name for run in report.runs] == ["canonicalize"]
    assert report.stopped
    assert len(result) == 3


def test_stopping_after_an_unknown_pass_is_an_error():
    with pytest.raises(PassError, match="no pass 'csee' in canonicalize,cse") as caught:
        run(parse(TEXT), "canonicalize,cse", stop_after="csee")
    assert caught.value.hint == "did you mean 'cse'?"


@pytest.mark.parametrize("limit", range(5))
def test_bisection_stops_after_so_many_rewrites(limit, monkeypatch):
    _, full = run_with_report(parse(TEXT), "default")
    monkeypatch.setenv("GRAPHC_OPT_BISECT", str(limit))
    _, report = run_with_report(parse(TEXT), "default")
    assert report.ledger.count == min(limit, full.ledger.count)
    assert list(map(str, report.ledger.rewrites)) == list(
        map(str, full.ledger.rewrites[:limit])
    )
    assert bool(report.ledger.refusals) == (limit < full.ledger.count)
    _, overridden = run_with_report(parse(TEXT), "default", bisect=99)
    assert overridden.ledger.count == full.ledger.count


def test_bisection_says_what_the_numbers_are(monkeypatch, capsys):
    run(parse(TEXT), "default", bisect=1)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("GRAPHC_OPT_BISECT", "2")
    run(parse(TEXT), "default")
    first, *lines, last = capsys.readouterr().err.splitlines()
    assert first == "@f"
    assert lines
    assert all(line.startswith("#") for line in lines)
    assert last.startswith("last rewrite: #2 ")


def test_bisection_wants_a_number(monkeypatch):
    monkeypatch.setenv("GRAPHC_OPT_BISECT", "two")
    with pytest.raises(GraphcError, match="GRAPHC_OPT_BISECT must be a number"):
        run(parse(TEXT))


def test_a_failure_names_the_pass_and_carries_the_graph():
    with pytest.raises(PassError) as caught:
        run(parse(TEXT), "cse,misbehaving")
    assert str(caught.value) == (
        "misbehaving failed: ZeroDivisionError: oops\n"
        "  hint: dump_dir keeps the graph before each pass"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    (note,) = caught.value.__notes__
    assert note == str(run(parse(TEXT), "cse"))


def test_errors_of_graphs_keep_their_parts():
    with pytest.raises(PassError) as caught:
        run(parse(TEXT), "misbehaving{how=complain}")
    assert str(caught.value) == (
        "misbehaving{how=complain} failed: bad\n  received: this\n  hint: try that"
    )


def test_a_broken_graph_names_the_pass_when_verifying(monkeypatch):
    with pytest.raises(PassError, match=r"broke the graph: graph @f: .*used before"):
        run(parse(TEXT), "misbehaving{how=break},cse", verify=True)
    monkeypatch.delenv("GRAPHC_VERIFY")
    run(parse(TEXT), "misbehaving{how=break}")
    monkeypatch.setenv("GRAPHC_VERIFY", "1")
    with pytest.raises(PassError, match="broke the graph"):
        run(parse(TEXT), "misbehaving{how=break}")


def test_a_pass_must_say_whether_it_changed_anything():
    with pytest.raises(PassError, match="reports a change but made 0 rewrites"):
        run(parse(TEXT), "misbehaving{how=claim}", verify=True)


def test_an_input_that_does_not_verify_is_the_callers_error():
    graph = parse(TEXT)
    graph.move(next(graph.nodes), None)
    with pytest.raises(GraphError, match="used before its definition"):
        PassManager("cse", verify=True).run(graph)


def test_graphs_and_constants_that_nothing_reaches_leave_the_module():
    result = run(
        parse("""
            graph @f(%x: f32[2]) -> (f32[2]) {
              %0 = call(%x) {graph="g"} : f32[2]
              return %x
            }
            graph @g(%x: f32[2]) -> (f32[2]) {
              %0 = constant() {name="c"} : f32[2]
              return %0
            }
            const @c: f32[2] = "AACAPwAAAEA="
            """),
        "dce",
    )
    assert list(result.module.graphs) == ["f"]
    assert not result.module.constants


def test_graph_passes_run_on_callees_that_are_still_called():
    _, report = run_with_report(
        parse("""
            graph @f(%x: f32[2]) -> (f32[], f32[2]) {
              %0, %1 = value_and_gradient(%x) {graph="loss", wrt=[0]} : f32[], f32[2]
              %2 = call(%1) {graph="g"} : f32[2]
              return %0, %2
            }
            graph @loss(%x: f32[2]) -> (f32[]) {
              %0 = negate(%x) : f32[2]
              %1 = negate(%0) : f32[2]
              %2 = reduce_sum(%1) {axes=[0]} : f32[]
              return %2
            }
            graph @g(%x: f32[2]) -> (f32[2]) {
              %0 = negate(%x) : f32[2]
              %1 = negate(%0) : f32[2]
              return %1
            }"""),
        "autodiff,canonicalize",
    )
    assert {r.graph for r in report.ledger.rewrites} == {"f", "g"}
