"""What a page holds is what the graph, the passes and the kernels say."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

import graphc
from graphc.codegen.triton.tuning import emit_tuned_kernels, load_table
from graphc.frontend import layers
from graphc.ir import Graph, parse
from graphc.ir.cost import graph_cost
from graphc.ir.errors import GraphError
from graphc.ir.printer import location_text, statement_text, value_names
from graphc.passes import GraphDiff, run_with_report
from graphc.passes.graph_diff import PassDiff
from graphc.passes.liveness import is_gradient
from graphc.passes.memory_bill import is_state, memory_bill
from graphc.viewer import Document, changes, view


@cache
def step() -> Graph:
    """A training step of two layers."""
    graphc.utils.clear_session()
    model = graphc.Sequential(
        [
            graphc.Input((6,)),
            layers.Dense(5, activation="tanh", name="hidden"),
            layers.Dense(3, name="out"),
        ],
        name="mlp",
    )
    model.compile("sgd", "mean_squared_error", metrics=[])
    return model.graph("train_step", 4)


@cache
def shown(pipeline: str = "triton") -> Document:
    return view(step(), pipeline)


def nodes(data: dict[str, Any], graphs: list[dict[str, Any]]) -> Iterator[Any]:
    """The nodes of all graphs, with fields by name and texts for their numbers."""
    tables = data["tables"]
    for graph in graphs:
        first = graph["parameters"]
        for row in graph["nodes"]:
            node = dict(zip(data["fields"], row, strict=True))
            names = {"attributes", "paths", "lines", "origins"}
            for name in names:
                field = name if name == "attributes" else name[:-1]
                node[field] = tables[name][node[field]]
            node["values"] = range(first, first + node["results"])
            first += node["results"]
            yield graph, node


def statement(data: dict[str, Any], graph: dict[str, Any], node: Any) -> str:
    """The line of a node, from data."""
    names, types = graph["values"], data["tables"]["types"]
    read = [names[o] if isinstance(o, int) else o for o in node["operands"]]
    results = ", ".join(names[value] for value in node["values"])
    declared = ", ".join(types[graph["types"][value]] for value in node["values"])
    text = f"{results} = {node['op']}({', '.join(read)})"
    return " ".join(filter(None, [text, node["attributes"], ":", declared]))


@pytest.mark.parametrize("which", ["before", "after"])
def test_nodes_are_those_of_the_graph(which: str) -> None:
    document = shown()
    graph = step() if which == "before" else document.graph
    reached = graph.reachable()
    data = document.data
    assert [each["name"] for each in data[which]] == [each.name for each in reached]
    wanted = [
        (statement_text(node, value_names(each, each.nodes)), node)
        for each in reached
        for node in each.nodes
    ]
    found = list(nodes(data, data[which]))
    assert len(found) == len(wanted)
    for (text, node), (each, made) in zip(wanted, found, strict=True):
        assert statement(data, each, made) == text
        location = node.location
        assert made["path"] == ((location.path if location else None) or "")
        if location is not None:
            assert made["line"] in location_text(location)
        assert bool(made["backward"]) == is_gradient(node)
        assert made["calls"] == list(node.op.graph_names(node))


def test_costs_add_up_and_the_backward_part_is_marked() -> None:
    document = shown("xla")
    entry = [node for _, node in nodes(document.data, document.data["after"][:1])]
    cost = graph_cost(document.graph)
    assert sum(node["flops"] for node in entry) == cost.flops > 0
    assert sum(node["bytes"] for node in entry) == cost.bytes > 0
    assert all(node["seconds"] >= 0 for node in entry)
    paths = {node["path"] for node in entry if node["backward"]}
    assert {"mlp/hidden", "mlp/out"} <= paths
    assert {node["backward"] for node in entry} == {0, 1}


def test_stages_are_the_runs_with_what_they_changed() -> None:
    diffs: list[PassDiff] = []
    _, report = run_with_report(step(), "triton", watch=GraphDiff(diffs.append))
    stages = shown().data["stages"]
    assert [s["name"] for s in stages] == [run.name for run in report.runs]
    assert [s["after"] for s in stages] == [run.nodes_after for run in report.runs]
    changed = [s for s in stages if s["changes"]]
    assert len(changed) == len(diffs)
    for stage, diff in zip(changed, diffs, strict=True):
        every = [
            [name, change.path, change.before, change.after]
            for name, found in diff.changes.items()
            for change in found
        ]
        counts = stage["added"] + stage["removed"] + stage["changed"]
        assert counts == len(every) == len(stage["changes"])
        for made, wanted in zip(stage["changes"], every, strict=True):
            assert made[:2] == wanted[:2]
            for text, whole in zip(made[2:], wanted[2:], strict=True):
                cut = (text or "").removesuffix(" ...")
                assert (text is None) == (whole is None)
                assert (whole or "").startswith(cut)


def test_the_ledger_counts_every_rewrite_and_refusal() -> None:
    document = shown()
    ledger, report = document.data["ledger"], document.report
    counts = {each["rule"]: each["count"] for each in ledger["rewrites"]}
    assert counts == dict(report.by_rule())
    assert sum(e["count"] for e in ledger["refusals"]) == len(report.ledger.refusals)
    reasons = {each["reason"] for each in ledger["refusals"]}
    assert reasons == {refusal.reason for refusal in report.ledger.refusals}


def test_kernels_are_those_that_are_launched() -> None:
    document = shown()
    kernels = {kernel["graph"]: kernel for kernel in document.data["kernels"]}
    emitted = emit_tuned_kernels(document.graph, load_table("sm_90"), "sm_90")
    assert kernels.keys() == emitted.keys() != set()
    for name, kernel in emitted.items():
        assert kernels[name]["source"] == kernel.source
        assert kernels[name]["grid"] == list(kernel.programs)
        assert kernels[name]["bytes"] == kernel.bytes
    calls = [
        name
        for _, node in nodes(document.data, document.data["after"])
        for name in node["calls"]
    ]
    for name, kernel in kernels.items():
        assert kernel["launches"] == calls.count(name)


def test_the_memory_is_that_of_the_nodes_before_they_are_kernels() -> None:
    data = shown("xla").data
    after = shown("xla").graph
    donated = [p.index for p in after.parameters if is_state(p)]
    assert data["memory"] == str(memory_bill(after, donated))
    assert data["kernels"] == []
    assert "inside loops" not in shown().data["memory"]


def test_numerics_has_a_line_for_each_result() -> None:
    assert len(shown().data["numerics"]) == len(step().results)


def test_much_is_counted_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shown("xla").data
    for limit in ("MOST_CHANGES", "MOST_REWRITES", "MOST_REFUSALS"):
        monkeypatch.setattr(changes, limit, 1)
    cut = view(step(), "xla").data
    for long, short in zip(whole["stages"], cut["stages"], strict=True):
        assert len(short["changes"]) == min(1, len(long["changes"]))
        for key in ("added", "removed", "changed"):
            assert short[key] == long[key]
    for kind in ("rewrites", "refusals"):
        assert all(len(each["entries"]) == 1 for each in cut["ledger"][kind])
        counts = [each["count"] for each in whole["ledger"][kind]]
        assert [each["count"] for each in cut["ledger"][kind]] == counts


def test_what_is_no_graph_of_kernels_is_shown_without() -> None:
    graph = parse("""
        graph @f(%x: f32[4]) -> (f32[4]) {
          %y = call(%x) {graph="g"} : f32[4]
          %z = tanh(%y) : f32[4]
          return %z
        }
        graph @g(%x: f32[4]) -> (f32[4]) {fused=true, kernel="pointwise"} {
          %y = exponential(%x) : f32[4]
          return %y
        }""")
    data = view(graph, "dce").data
    assert data["kernels"] == []
    assert "tanh" in data["problem"]


def test_sizes_must_be_known() -> None:
    graph = parse("""
        graph @f(%x: f32[B]) -> (f32[B]) where B in 1..8 {
          return %x
        }""")
    with pytest.raises(GraphError, match="dimension symbols"):
        view(graph)
