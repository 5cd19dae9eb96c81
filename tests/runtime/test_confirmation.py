"""Executables that are compared with the evaluator on samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir import CompileError, Graph, evaluate, parse
from graphc.ir.types import BF16
from graphc.passes.numerics import precision
from graphc.passes.samples import Samples
from graphc.runtime.compile import compile_graph
from graphc.runtime.confirmation import confirm
from graphc.runtime.numpy_runtime import NumpyProgram

TEXT = """
graph @f(%x: f32[3,4], %w: f32[4,2]) -> (f32[3,2], i32[3]) {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[3,2]
  %1 = softmax(%0) {axis=1} : f32[3,2]
  %2 = argmax(%1) {axis=1} : i32[3]
  return %1, %2
}
"""


class Wrong:
    """A program whose results something is done to."""

    def __init__(self, graph: Graph, change: Callable[[list[Any]], Any]) -> None:
        self.graph, self.change = graph, change

    def run(self, *arrays: Any) -> Any:
        return self.change(list(evaluate(self.graph, *arrays)))


def test_what_xla_compiles_agrees_and_the_report_says_so():
    report = compile_graph(parse(TEXT), check="numerics").report
    assert report is not None
    assert report.check_summary().endswith(
        "xla: results within rounding of the evaluator's on samples"
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda found: [found[0] * np.float32(1.001), found[1]], "result 0 on random"),
        (lambda found: [found[0], found[1] + 1], "result 1 on random numbers"),
        (lambda found: [found[0].astype(np.float64), found[1]], "f64[3, 2], not f32"),
    ],
)
def test_wrong_results_are_refused_with_what_to_do(change: Any, problem: str):
    graph = parse(TEXT)
    with pytest.raises(CompileError) as caught:
        confirm(graph, "xla", Wrong(graph, change), None)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "@f on xla is not what the graph means" in text
    assert problem.replace("f64", "float64").replace("f32", "float32") in text
    assert "graphc vote" in text


def test_the_classes_of_rewrites_allow_what_they_say():
    graph = parse("graph @f(%x: f32[8]) -> (f32[8]) { return %x }")
    rough = Wrong(graph, lambda found: [found[0] * np.float32(1.002)])
    samples = Samples(graph)
    assert samples.disagreement(graph, rough.run) is not None
    assert samples.disagreement(graph, rough.run, [precision(BF16)]) is None


def test_what_is_too_large_says_so():
    graph = parse("graph @f(%x: f32[4096,4096]) -> (f32[4096,4096]) { return %x }")
    found = confirm(graph, "numpy", NumpyProgram(graph), None)
    assert found == "numpy: not compared: the graph is too large to be run on samples"


def test_models_and_functions_take_the_check():
    run = graphc.compile(
        lambda x: graphc.ops.softmax(x), graphc.TensorSpec((2, 3)), check="numerics"
    )
    report = run.executables[0].report
    assert report.checked
    assert report.executed is not None
