"""Which rewrite is to blame: seeded faults are found, named and made small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from graphc.codegen.spellings import SPELLINGS, Spelling
from graphc.debug import SYMPTOMS, Blame, Reproducer, blame
from graphc.ir import Graph, GraphcError, parse
from graphc.ir.graph import Node
from graphc.ir.opdef import OPS
from graphc.ir.random_inputs import random_inputs
from graphc.ir.values import Literal, Operand
from graphc.passes import cse
from graphc.passes.rewrite import Rewriter
from graphc.runtime.backend import Memory
from graphc.runtime.executable import Executable
from tests.debug.seeded_faults import DENSE, FAULTS, Fault


def find(graph: Graph | str, seconds: float = 0, **options: Any) -> Blame:
    if isinstance(graph, str):
        graph = parse(graph)
    # As random programs have it: other tests' checks of passes leave it alone.
    graph.attributes = {**graph.attributes, "seed": 0}
    options = {"target": "numpy", **options}
    return blame(graph, random_inputs(graph), reduce_seconds=seconds, **options)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.pass_name)
def test_seeded_faults_are_found_and_named(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
):
    fault.put_in(monkeypatch)
    found = find(fault.text, pipeline=fault.pipeline)
    assert found.problem is not None
    assert found.rewrite is not None
    assert (found.rewrite.pass_name, found.rewrite.rule) == (
        fault.pass_name,
        fault.rule,
    )
    assert found.pass_text is not None
    assert found.pass_text.startswith(fault.pass_name)
    assert 1 <= found.rewrite.number <= found.rewrites


def test_a_right_pipeline_has_nothing_to_blame():
    found = find(DENSE, target="xla")
    assert found.problem is None
    assert found.rewrite is None
    assert "differs: does not show" in str(found)


def fault_of(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.pass_name == name)


def test_the_report_shows_the_layer_the_line_and_the_change(
    monkeypatch: pytest.MonkeyPatch,
):
    fault_of("decompose").put_in(monkeypatch)
    text = str(find(DENSE))
    assert "pass: decompose\nrewrite #" in text
    assert "decompose/relu in @f: relu(f32[8,4]) : f32[8,4] -> f32[8,4]" in text
    assert "at net.py:8:9, in layer 'net/act'" in text
    assert "\n- %3 = relu(%2) : f32[8,4]\n+ " in text
    assert "maximum(%2, 0.0)" in text


def rerun(made: Reproducer) -> Blame:
    """What the files of a reproducer say."""
    files = made.files()
    graph = parse(files["reduced.gir"].decode())
    assert files["rerun.sh"].startswith(b"#!/bin/sh\n")
    arrays = [made.arrays[p.name or ""] for p in graph.parameters]
    return blame(
        graph, arrays, made.symptom, made.target, made.pipeline, reduce_seconds=0
    )


@pytest.mark.parametrize("name", ["canonicalize", "cse", "inline", "fusion"])
def test_the_graph_and_its_inputs_are_made_small(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    fault = fault_of(name)
    fault.put_in(monkeypatch)
    found = find(fault.text, seconds=20, pipeline=fault.pipeline)
    made = found.reproducer
    assert made is not None
    assert sum(len(each) for each in made.graph.reachable()) <= 2
    assert sum(array.size for array in made.arrays.values()) <= 32
    again = rerun(made)
    assert again.rewrite is not None
    assert (again.rewrite.pass_name, again.rewrite.rule) == (name, fault.rule)


def test_a_rewrite_that_makes_nan_is_found(monkeypatch: pytest.MonkeyPatch):
    fitted = Rewriter._fitted

    def undefined(
        self: Rewriter, node: Node, rule: str, operands: Sequence[Operand]
    ) -> Sequence[Operand]:
        if rule == "relu":
            zero = Literal(0.0, operands[0].type.dtype)
            operands = [OPS["divide"](operands[0], zero)]
        return fitted(self, node, rule, operands)

    monkeypatch.setattr(Rewriter, "_fitted", undefined)
    found = find(DENSE, symptom="nan")
    assert found.rewrite is not None
    assert found.rewrite.rule == "relu"


def test_what_float64_tells_apart_is_found_though_float32_would_not(
    monkeypatch: pytest.MonkeyPatch,
):
    # The result hardly depends on what is wrong: its relative error is some 3e-7.
    text = """
        graph @f(%x: f32[64]) -> (f32[64]) {
          %0 = add(%x, 0.0) : f32[64]
          %1 = multiply(%x, 3e-7) : f32[64]
          %2 = reverse(%1) {axes=[0]} : f32[64]
          %3 = add(%x, %2) : f32[64]
          return %3
        }"""
    monkeypatch.setattr(cse, "_key", lambda node: node.result.type)
    assert find(text, pipeline="cse").problem is not None


def test_a_graph_that_makes_nan_by_itself_is_not_the_fault_of_passes():
    found = find(
        """
        graph @f(%x: f32[4]) -> (f32[4]) {
          %0 = subtract(%x, %x) : f32[4]
          %1 = divide(%0, %0) : f32[4]
          return %1
        }""",
        symptom="nan",
    )
    assert found.problem is not None
    assert found.rewrite is None
    assert "the passes are innocent" in str(found)


def test_a_pass_that_breaks_the_graph_is_found(monkeypatch: pytest.MonkeyPatch):
    put = Rewriter._put

    def careless(self: Rewriter, node: Node, *rest: Any) -> None:
        if node.op.name == "relu":
            node.graph.move(node.operands[0].node, None)
        put(self, node, *rest)

    monkeypatch.setattr(Rewriter, "_put", careless)
    found = find(DENSE, symptom="error", seconds=10)
    assert found.problem is not None
    assert found.pass_text == "decompose"
    assert found.rewrite is not None
    assert found.rewrite.rule == "relu"
    assert found.reproducer is not None
    assert rerun(found.reproducer).pass_text == "decompose"


def test_a_pass_that_raises_is_found_whatever_was_looked_for(
    monkeypatch: pytest.MonkeyPatch,
):
    expand = Rewriter.expand

    def raising(self: Rewriter, node: Node, *rest: Any) -> bool:
        if node.op.name == "relu":
            raise KeyError("lost")
        return expand(self, node, *rest)

    monkeypatch.setattr(Rewriter, "expand", raising)
    found = find(DENSE, seconds=10)
    assert found.symptom == "error"
    assert found.problem == "PassError: decompose failed: KeyError: 'lost'"
    assert found.reproducer is not None
    assert [n.op.name for n in found.reproducer.graph.nodes] == ["relu"]


def test_emission_is_to_blame_if_the_passes_are_innocent(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(SPELLINGS, "tanh", Spelling("sine"))
    found = find(
        """
        graph @f(%x: f32[4]) -> (f32[4]) {
          %0 = abs(%x) : f32[4]
          %1 = tanh(%0) : f32[4]
          return %1
        }""",
        target="xla",
        seconds=20,
    )
    assert found.problem is not None
    assert found.rewrite is None
    assert "graphc vote" in str(found)
    assert found.reproducer is not None
    assert [n.op.name for n in found.reproducer.graph.nodes] == ["tanh"]


ROOT = """
graph @f(%x: f32[8]) -> (f32[8]) {
  %0 = abs(%x) : f32[8]
  %1 = divide(%0, 4.0) : f32[8]
  %2 = tanh(%1) : f32[8]
  return %2
}
"""


def test_a_rewrite_that_only_the_target_minds_is_found(
    monkeypatch: pytest.MonkeyPatch,
):
    # There is no multiply before canonicalize puts one for the division.
    monkeypatch.setitem(SPELLINGS, "multiply", Spelling("add"))
    found = find(ROOT, target="xla")
    assert found.rewrite is not None
    assert found.rewrite.rule == "divide_by_power_of_two"
    assert "By the evaluator the passes keep the meaning" in str(found)
    assert f"GRAPHC_OPT_BISECT={found.rewrite.number} stops with it" in str(found)


def test_a_rewrite_that_the_compiler_refuses_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SPELLINGS, "multiply", Spelling("no_such_op"))
    found = find(ROOT, target="xla", symptom="error")
    assert found.rewrite is not None
    assert found.rewrite.rule == "divide_by_power_of_two"


def test_a_rewrite_that_needs_memory_is_found(monkeypatch: pytest.MonkeyPatch):
    def memory(self: Executable) -> Memory:
        has_product = any(node.op.name == "multiply" for node in self.graph.nodes)
        return Memory(0, 0, 0, 4096 if has_product else 64, 0)

    monkeypatch.setattr(Executable, "memory", memory)
    found = find(ROOT, target="xla", symptom="larger")
    assert found.rewrite is not None
    assert found.rewrite.rule == "divide_by_power_of_two"
    assert found.problem == "4,096 bytes of temporaries, 64 without rewrites"
    assert found.pass_text == "canonicalize"
    assert found.change is not None
    assert "multiply(" in found.change


def test_a_rewrite_that_is_slow_is_found(monkeypatch: pytest.MonkeyPatch):
    def seconds(program: Executable, arrays: Sequence[Any], count: int) -> float:
        has_product = any(node.op.name == "multiply" for node in program.graph.nodes)
        return 2e-3 if has_product else 1e-3

    monkeypatch.setattr("graphc.debug.judges._seconds", seconds)
    found = find(ROOT, target="xla", symptom="slower")
    assert found.rewrite is not None
    assert found.rewrite.rule == "divide_by_power_of_two"
    assert found.problem == "2000 us, 1000 us without rewrites"


def test_noise_is_not_slower(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(
        "graphc.debug.judges._seconds", lambda *_: rng.uniform(1e-3, 1.2e-3)
    )
    assert find(ROOT, target="xla", symptom="slower").problem is None


def test_large_programs_are_judged_by_the_target_itself(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("graphc.debug.judges.MOST_FLOPS", 1)
    fault_of("canonicalize").put_in(monkeypatch)
    found = find(DENSE, target="xla")
    assert found.rewrite is not None
    assert found.rewrite.rule == "divide_by_power_of_two"
    assert "the program without optional rewrites on xla" in str(found)


def test_an_unknown_symptom_is_refused():
    with pytest.raises(GraphcError, match="unknown symptom") as error:
        find(DENSE, symptom="odd")
    assert all(symptom in str(error.value) for symptom in SYMPTOMS)
