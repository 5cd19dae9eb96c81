from __future__ import annotations

from pathlib import Path

import pytest

from graphc.fuzz import (
    CHECKS,
    Failure,
    Finding,
    random_program,
    reduce_finding,
    reduce_graph,
    write_reproducer,
)
from graphc.fuzz.checks import Subject
from graphc.ir import Graph, parse


def has(*names: str):
    """Whether a program, its calls included, holds all of these ops."""

    def holds(graph: Graph) -> bool:
        nodes = [node for reached in graph.reachable() for node in reached.nodes]
        return set(names) <= {node.op.name for node in nodes}

    return holds


def program_with(*names: str) -> Graph:
    programs = (random_program(seed, nodes=60) for seed in range(500))
    return next(graph for graph in programs if has(*names)(graph))


@pytest.mark.parametrize("name", ["sort", "convolution", "scan", "cond"])
def test_one_op_is_left(name: str):
    graph = program_with(name)
    small = reduce_graph(graph, has(name))
    small.verify()
    assert len(small) == 1
    assert len(small.results) == 1
    assert not small.ranges
    assert len(str(small).splitlines()) <= 30


def test_what_belongs_together_stays_together():
    def tanh_of_sum(graph: Graph) -> bool:
        return any(
            node.op.name == "tanh"
            and getattr(node.operands[0], "node", None)
            and node.operands[0].node.op.name == "add"
            for node in graph.nodes
        )

    graph = parse("""
        graph @f(%x: f32[5,7], %y: f32[5,7]) -> (f32[5], f32[7,5]) {seed=2} {
          %0 = multiply(%x, %y) : f32[5,7]
          %1 = add(%0, %x) : f32[5,7]
          %2 = tanh(%1) : f32[5,7]
          %3 = transpose(%2) {permutation=[1,0]} : f32[7,5]
          %4 = reduce_sum(%2) {axes=[1]} : f32[5]
          return %4, %3
        }""")
    small = reduce_graph(graph, tanh_of_sum)
    assert [node.op.name for node in small.nodes] == ["add", "tanh"]
    assert small.results[0].type.static_shape == (1, 1)


def test_the_program_itself_stays_as_it_is():
    graph = program_with("sort")
    text = str(graph)
    reduce_graph(graph, has("sort"))
    assert str(graph) == text


def test_a_program_that_cannot_shrink_is_returned():
    graph = parse("graph @f(%x: f32[]) -> (f32[]) { return %x }")
    assert reduce_graph(graph, lambda g: True) == graph


def test_time_is_limited():
    graph = program_with("sort")
    assert len(reduce_graph(graph, has("sort"), seconds=0)) == len(graph)


def test_parameters_hold_what_nodes_were():
    graph = parse("""
        graph @f(%x: f32[9] {low=0.0, high=1.0}) -> (f32[9]) {seed=2} {
          %0 = add(%x, 100.0) : f32[9]
          %1 = log(%0) : f32[9]
          return %1
        }""")

    def log_of_large(graph: Graph) -> bool:
        if not has("log")(graph):
            return False
        return Subject(graph).reference[0].min() > 4

    small = reduce_graph(graph, log_of_large)
    (node,) = small.nodes
    assert node.op.name == "log"
    assert small.parameters[0].attributes["low"] > 99


def test_reproducers_parse_and_say_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def check(subject: Subject) -> str | None:
        return "a sort\nis in it" if has("sort")(subject.graph) else None

    monkeypatch.setitem(CHECKS, "dce", check)
    graph = program_with("sort")
    finding = Finding(12, graph, Failure("dce", "a sort"))
    path = write_reproducer(reduce_finding(finding), tmp_path / "out", nodes=60)
    assert path.name == "dce-12.gir"
    text = path.read_text()
    assert text.startswith(
        "// fails dce: a sort\n// is in it\n"
        "// from: python -m graphc.fuzz --seed 12 --count 1 --nodes 60\ngraph @f("
    )
    assert len(parse(text)) == 1


def test_a_generator_failure_is_written_down(tmp_path: Path):
    finding = Finding(3, None, Failure("generate", "ValueError: no program"))
    assert reduce_finding(finding) is finding
    text = write_reproducer(finding, tmp_path, nodes=5).read_text()
    assert "// fails generate: ValueError: no program" in text
