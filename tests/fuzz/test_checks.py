"""The checks find bugs that are planted, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pytest

from graphc.fuzz import CHECKS, QUICK, find_failure, find_failures, find_xla_failures
from graphc.fuzz import checks as checks_module
from graphc.fuzz.checks import Subject, pipeline_problem
from graphc.ir import Graph, Node, parse
from graphc.ir.ops import OPS, multiply
from graphc.passes import PASSES, GraphPass, Rewriter

PROGRAM = """
    graph @f(%x: f32[3,4] {low=-2.0, high=2.0}, %y: f32[3,4] {low=0.5, high=2.0})
        -> (f32[3], i32[3]) {seed=1} {
      %0 = multiply(%x, %y) : f32[3,4]
      %1 = tanh(%0) : f32[3,4]
      %2 = subtract(%1, %y) : f32[3,4]
      %3 = reduce_sum(%2) {axes=[1]} : f32[3]
      %4 = argmax(%2) {axis=1} : i32[3]
      return %3, %4
    }"""

Mistake = Callable[[Node], Any]


def swapped(node: Node) -> Any:
    return (
        OPS["subtract"](*reversed(node.operands))
        if node.op is OPS["subtract"]
        else None
    )


def off_by_little(node: Node) -> Any:
    found = node.op is OPS["tanh"]
    return multiply(OPS["tanh"](*node.operands), 1.0001) if found else None


def fails(node: Node) -> Any:
    raise KeyError("no such node")


def planted(mistake: Mistake) -> type[GraphPass]:
    """A pass that makes a mistake."""

    @final
    @dataclass(frozen=True)
    class Mistaken(GraphPass):
        """Puts something wrong."""

        name: ClassVar[str] = "mistaken"

        def run(self, graph: Graph, rewriter: Rewriter) -> bool:
            made = rewriter.ledger.count
            for node in list(graph.nodes):

                def attempt(node: Node = node) -> Any:
                    found = mistake(node)
                    return None if found is None else ("mistake", (found,))

                rewriter.rewrite(node, attempt)
            return rewriter.ledger.count > made

    return Mistaken


@pytest.fixture
def mistaken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PASSES, "mistaken", planted(request.param))


@pytest.mark.parametrize("mistaken", [swapped, off_by_little], indirect=True)
def test_a_wrong_pass_is_found(mistaken: None):
    problem = pipeline_problem(Subject(parse(PROGRAM)), "mistaken")
    assert problem is not None
    assert "elements differ" in problem


@pytest.mark.parametrize("mistaken", [off_by_little, fails], indirect=True)
def test_a_wrong_pass_is_found_among_others(mistaken: None):
    failure = find_failure(parse(PROGRAM), ["shuffled"])
    assert failure is not None
    assert failure.check == "shuffled"


@pytest.mark.parametrize("mistaken", [fails], indirect=True)
def test_what_a_pass_raises_is_a_failure(mistaken: None):
    failure = find_failure(parse(PROGRAM), ["shuffled"])
    assert "PassError: mistaken failed: KeyError: 'no such node'" in str(failure)


def test_a_wrong_gradient_is_found():
    def vjp(g: Any, y: Any, x: Any) -> tuple[Any]:
        return (multiply(g, OPS["subtract"](1.0, y)),)

    tanh = OPS["tanh"]
    right = tanh.vjp
    object.__setattr__(tanh, "vjp", vjp)  # the record is frozen
    try:
        failure = find_failure(parse(PROGRAM), ["gradient"])
    finally:
        object.__setattr__(tanh, "vjp", right)
    assert failure is not None
    assert "the gradient says" in failure.message


def test_a_right_program_passes_every_check():
    assert find_failure(parse(PROGRAM)) is None
    assert {*QUICK, "xla"} == set(CHECKS)
    assert set(PASSES) < set(CHECKS)


def test_gradients_are_not_compared_where_there_is_none():
    for program in (
        "%0 = floor(%x) : f32[3]",
        "%0 = stop_gradient(%x) : f32[3]",
        '%0 = bitcast_convert(%x) {dtype="i32"} : i32[3]',
        '%0 = convert(%x) {dtype="f8e5m2"} : f8e5m2[3]',
    ):
        type = program.rpartition(" ")[2]
        text = f"graph @f(%x: f32[3]) -> ({type}) {{ {program} return %0 }}"
        assert find_failure(parse(text), ["gradient"]) is None


def test_gradients_are_not_compared_where_shapes_leave_none():
    text = """
    graph @f(%x: f32[3,2]) -> (f32[3,3]) {
      %0, %1 = qr(%x) {full_matrices=true} : f32[3,3], f32[3,2]
      return %0
    }"""
    assert find_failure(parse(text), ["gradient"]) is None


def test_programs_are_compiled_one_by_one_if_not_together(
    monkeypatch: pytest.MonkeyPatch,
):
    compiled = checks_module.compile_graph

    def picky(graph: Graph) -> Any:
        if any(node.op.name in ("sine", "call") for node in graph.nodes):
            raise RuntimeError("refused")
        return compiled(graph)

    monkeypatch.setattr(checks_module, "compile_graph", picky)
    graphs = [
        parse(
            f"graph @f(%x: f32[3]) -> (f32[3]) {{ %0 = {op}(%x) : f32[3] return %0 }}"
        )
        for op in ("sine", "cosine")
    ]
    first, second = find_xla_failures(graphs)
    assert str(first) == "xla: RuntimeError: refused"
    assert second is None


def test_wrong_results_of_xla_are_found(monkeypatch: pytest.MonkeyPatch):
    compiled = checks_module.compile_graph

    def wrong(graph: Graph) -> Any:
        run = compiled(graph)
        return lambda *arrays: [np.asarray(r) + np.asarray(r) for r in run(*arrays)]

    monkeypatch.setattr(checks_module, "compile_graph", wrong)
    (failure,) = find_xla_failures([parse(PROGRAM)])
    assert failure is not None
    assert "result 0" in failure.message


def test_a_generator_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch):
    def broken(seed: int, nodes: int) -> Graph:
        raise ValueError("no program")

    monkeypatch.setattr("graphc.fuzz.findings.random_program", broken)
    (finding,) = find_failures([4], 10)
    assert str(finding) == "seed 4: generate: ValueError: no program"
