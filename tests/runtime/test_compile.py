"""Compiling and running graphs: stages, targets, donation, dumps, errors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from graphc.codegen import spellings
from graphc.codegen.spellings import Spelling
from graphc.ir import (
    CompileError,
    Graph,
    GraphError,
    UnsupportedError,
    building,
    evaluate,
    tensor_type,
)
from graphc.ir.ops import add
from graphc.ir.parser import parse
from graphc.runtime.compile import compile_graph, emit
from tests.closeness import assert_close

ROOT = Path(__file__).parents[2]

STEP = """
graph @step(%w: f32[4,3], %x: f32[8,4], %y: i32[8]) -> (f32[], f32[4,3]) {
  %loss, %dw = value_and_gradient(%w, %x, %y) {graph="loss", wrt=[0]} : f32[], f32[4,3]
  %0 = multiply(%dw, 0.1) : f32[4,3]  loc("optimizer" mlp.py:26:5)
  %new = subtract(%w, %0) : f32[4,3]  loc("optimizer" mlp.py:27:5)
  return %loss, %new
}
graph @loss(%w: f32[4,3], %x: f32[8,4], %y: i32[8]) -> (f32[]) {
  %0 = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,3]  loc("dense" mlp.py:20:9)
  %1 = silu(%0) : f32[8,3]  loc("dense" mlp.py:21:9)
  %2 = cross_entropy(%1, %y) : f32[8]  loc("loss" mlp.py:23:5)
  %3 = reduce_sum(%2) {axes=[0]} : f32[]
  return %3
}
"""


def step_arrays(rng: np.random.Generator) -> list[np.ndarray]:
    return [
        rng.normal(size=(4, 3)).astype(np.float32),
        rng.normal(size=(8, 4)).astype(np.float32),
        rng.integers(0, 3, 8).astype(np.int32),
    ]


@pytest.mark.parametrize("target", ["xla", "xla:cpu", "numpy"])
def test_a_training_step(target: str, rng: np.random.Generator):
    graph, arrays = parse(STEP), step_arrays(rng)
    executable = compile_graph(graph, target)
    loss, new = executable(*arrays)
    expected = evaluate(graph, *arrays)
    assert_close(loss, expected[0])
    assert_close(new, expected[1])
    assert executable.target == target
    assert graph == parse(STEP)


def test_results_are_a_tuple_even_of_one(rng: np.random.Generator):
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"), "x")
    with building(graph):
        graph.results = [add(x, 1.0)]
    results = compile_graph(graph)(np.zeros(3, np.float32))
    assert type(results) is tuple
    np.testing.assert_array_equal(results[0], np.ones(3))


def test_an_executable_says_what_it_is():
    executable = compile_graph(parse(STEP))
    assert list(executable.compile_seconds) == ["passes", "emit", "compile"]
    assert all(seconds > 0 for seconds in executable.compile_seconds.values())
    assert executable.text == emit(parse(STEP))
    assert not any(node.op.is_composite for node in executable.graph.nodes)
    assert executable.report.by_rule().total() > 0
    assert repr(executable).startswith("<Executable @step for xla, ")
    memory = executable.memory()
    assert memory.parameters == 4 * (12 + 32 + 8)
    assert memory.results >= 4 * 13  # and a table of pointers
    assert memory.aliased == 0
    assert memory.peak >= memory.parameters + memory.results
    assert executable.cost()["flops"] > 2 * 8 * 4 * 3


def test_the_numpy_target_knows_no_memory():
    executable = compile_graph(parse(STEP), "numpy")
    assert executable.memory() is None
    assert executable.cost() is None
    assert executable.report is None
    assert executable.text == emit(parse(STEP), "numpy") == str(parse(STEP))


def test_xla_shows_the_name_of_the_graph():
    compiled = compile_graph(parse(STEP)).program.compiled
    assert "HloModule jit_step" in compiled.as_text()


# -- donation --------------------------------------------------------------------------


def test_donated_arrays_are_reused(rng: np.random.Generator):
    executable = compile_graph(parse(STEP), donate=[0])
    assert executable.memory().aliased == 48
    w, x, y = map(jax.numpy.asarray, step_arrays(rng))
    place = w.unsafe_buffer_pointer()
    _, new = executable(w, x, y)
    assert w.is_deleted()
    assert new.unsafe_buffer_pointer() == place


def test_donated_arrays_that_fit_no_result_are_left_alone(rng: np.random.Generator):
    executable = compile_graph(parse(STEP), donate=[0, 1, 2])
    w, x, y = map(jax.numpy.asarray, step_arrays(rng))
    executable(w, x, y)
    assert [a.is_deleted() for a in (w, x, y)] == [True, False, False]


@pytest.mark.parametrize("position", [-1, 3])
def test_only_parameters_can_be_donated(position: int):
    with pytest.raises(GraphError, match="donate must name parameters by position"):
        compile_graph(parse(STEP), donate=[position])


# -- errors ----------------------------------------------------------------------------


def test_symbols_must_be_bound():
    text = "graph @f(%x: f32[B,T]) -> (f32[B,T]) where B in 1..4, T in 1..4 {\n"
    graph = parse(text + "  return %x\n}\n")
    with pytest.raises(GraphError, match="graph @f has dimension symbols") as caught:
        compile_graph(graph)
    assert caught.value.received == "B, T"
    assert caught.value.hint == "bind them: graph.bind(B=..., T=...)"
    (result,) = compile_graph(graph.bind(B=2, T=3))(np.ones((2, 3), np.float32))
    assert result.shape == (2, 3)


@pytest.mark.parametrize("target", ["xla", "numpy"])
@pytest.mark.parametrize(
    ("arrays", "message", "received"),
    [
        ([], "graph @f takes 2 arrays", "0"),
        ([np.zeros(3), np.zeros(3), np.zeros(3)], "graph @f takes 2 arrays", "3"),
        (
            [np.zeros(4, np.float32), np.zeros(3, np.int32)],
            "parameter %x is f32[3]",
            "shape (4,)",
        ),
        (
            [np.zeros(3, np.float32), np.zeros(3, np.float32)],
            "parameter %n is i32[3]",
            "dtype float32",
        ),
    ],
)
def test_arrays_must_fit(
    target: str, arrays: list[np.ndarray], message: str, received: str
):
    graph = parse(
        "graph @f(%x: f32[3], %n: i32[3]) -> (f32[3], i32[3]) {\n  return %x, %n\n}\n"
    )
    with pytest.raises(GraphError) as caught:
        compile_graph(graph, target)(*arrays)
    assert message in caught.value.message
    assert received in caught.value.received


def test_a_pipeline_must_leave_what_the_target_takes():
    with pytest.raises(UnsupportedError, match="value_and_gradient has no StableHLO"):
        compile_graph(parse(STEP), pipeline="decompose")
    with pytest.raises(UnsupportedError, match="silu has no StableHLO form") as caught:
        compile_graph(parse(STEP), pipeline="autodiff")
    assert "at mlp.py:21:9, in layer 'dense'" in str(caught.value)


def test_a_refusal_of_xla_names_node_layer_and_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(spellings.SPELLINGS, "logistic", Spelling("nonsense"))
    with pytest.raises(CompileError) as caught:
        compile_graph(parse(STEP))
    error = caught.value
    assert re.fullmatch(r"XLA refused graph @step at %\w+ = logistic", error.message)
    assert error.received == "custom op 'stablehlo.nonsense' is unknown"
    assert (error.location.path, error.location.line) == ("dense", 21)


def test_a_failure_while_running_names_the_graph(monkeypatch: pytest.MonkeyPatch):
    def fail(*arrays: object) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    executable = compile_graph(parse(STEP))
    monkeypatch.setattr(executable, "_run", fail)
    with pytest.raises(CompileError, match="XLA refused graph @step") as caught:
        executable()
    assert caught.value.received == "RESOURCE_EXHAUSTED: out of memory"


# -- what the environment asks for -----------------------------------------------------


def test_stages_are_dumped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path / "dumps"))
    executable = compile_graph(parse(STEP))
    compile_graph(parse(STEP), "numpy")
    first, second = sorted((tmp_path / "dumps").iterdir())
    assert (first.name, second.name) == ("0001-step", "0002-step")
    assert [path.name for path in sorted(first.iterdir())] == [
        "01-input.gir",
        "02-passes",
        "03-lowered.gir",
        "04-stablehlo.mlir",
        "05-optimized.hlo",
    ]
    assert parse((first / "01-input.gir").read_text()) == parse(STEP)
    assert parse((first / "03-lowered.gir").read_text()) == executable.graph
    assert (first / "04-stablehlo.mlir").read_text() == executable.text
    assert "HloModule jit_step" in (first / "05-optimized.hlo").read_text()
    assert list((first / "02-passes").iterdir())


def test_graphs_are_verified_when_asked(monkeypatch: pytest.MonkeyPatch):
    graph = parse(STEP)
    graph.last.result.type = tensor_type("f32[5,5]")
    monkeypatch.setenv("GRAPHC_VERIFY", "1")
    with pytest.raises(GraphError, match="declared result types differ"):
        compile_graph(graph)


def test_numpy_needs_no_jax():
    script = (
        "import sys; from graphc.runtime.compile import compile_graph;"
        "from graphc.ir.parser import parse;"
        "g = parse('graph @f(%x: f32[]) -> (f32[]) {\\n  return %x\\n}\\n');"
        "import numpy as np; y, = compile_graph(g, 'numpy')(np.float32(2.5));"
        "print(y, 'jax' in sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert process.stdout.split() == ["2.5", "False"], process.stderr
