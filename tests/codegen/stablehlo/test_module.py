"""Whole modules: functions, names, constants, locations, and what cannot break out."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from jax.extend.mlir import ir

from graphc.codegen.stablehlo import emit_module, emit_stablehlo
from graphc.ir import (
    Graph,
    GraphError,
    Literal,
    Location,
    Module,
    UnsupportedError,
    building,
    tensor_type,
)
from graphc.ir.ops import (
    add,
    argmax,
    call,
    compare,
    constant,
    convert,
    convolution,
    cumulative_sum,
    dot_general,
    gather,
    maximum,
    multiply,
    optimization_barrier,
    reduce_sum,
    reduce_window_max,
    scatter,
    select,
    select_and_scatter_add,
    silu,
    sort,
    stop_gradient,
    subtract,
)
from graphc.ir.parser import parse
from tests.runtime.interpret import context

Golden = Callable[..., None]

TRAIN_STEP = """
graph @step(%x: f32[8,4], %y: i32[8], %w: f32[4,3], %rate: f32[]) -> (f32[], f32[4,3]) {
  %logits = dot_general(%x, %w) {contract=[[1],[0]]} : f32[8,3]  loc("dense" mlp.py:20:9)
  %loss = call(%logits, %y) {graph="loss"} : f32[]  loc("loss" mlp.py:23:5)
  %0 = multiply(%w, %rate) : f32[4,3]  loc("optimizer" mlp.py:26:5 from "gradient of %logits")
  %1 = subtract(%w, %0) : f32[4,3]  loc("optimizer" mlp.py:26:5)
  %w_new = multiply(%1, 0.5) : f32[4,3]
  return %loss, %w_new
}
graph @loss(%logits: f32[8,3], %y: i32[8]) -> (f32[]) {
  %0 = compare(%logits, 0.0) {direction="GT"} : bool[8,3]  loc("loss" mlp.py:30:5)
  %1 = select(%0, %logits, 0.0) : f32[8,3]  loc("loss" mlp.py:30:5)
  %total = reduce_sum(%1) {axes=[0,1]} : f32[]  loc("loss" mlp.py:31:5)
  return %total
}
"""


def test_program(golden: Golden):
    golden(emit_stablehlo(parse(TRAIN_STEP)))


def test_structured_primitives(golden: Golden):
    graph = Graph("structured")
    x = graph.add_parameter(tensor_type("bf16[2,8,8,3]"), "x")
    k = graph.add_parameter(tensor_type("bf16[3,3,3,4]"), "k")
    i = graph.add_parameter(tensor_type("i32[5]"), "i")
    windows = {
        "window": [1, 2, 2, 1],
        "strides": [1, 2, 2, 1],
        "padding": [[0, 0]] * 4,
    }
    ones = {"strides": [1, 1], "input_dilation": [1, 1], "kernel_dilation": [1, 1]}
    with building(graph):
        y = convolution(x, k, labels="b01f_01io->b01f", padding=[[1, 1]] * 2, **ones)
        pooled = reduce_window_max(y, **windows)
        wide = convert(k, dtype="f32")
        rows = gather(
            wide,
            i,
            offset_dims=[1, 2, 3],
            collapsed_dims=[0],
            start_index_map=[0],
            index_axis=1,
            slice_sizes=[1, 3, 3, 4],
        )
        graph.results = [
            select_and_scatter_add(y, pooled, **windows),
            argmax(wide, axis=3),
            cumulative_sum(wide, axis=1, reverse=True),
            *sort(wide, wide, axis=0),
            scatter(
                wide,
                i,
                rows,
                update_window_dims=[1, 2, 3],
                inserted_dims=[0],
                index_map=[0],
                index_axis=1,
            ),
        ]
    golden(emit_stablehlo(graph))


def test_emission_is_deterministic():
    assert emit_stablehlo(parse(TRAIN_STEP)) == emit_stablehlo(parse(TRAIN_STEP))


def test_each_line_knows_its_node():
    graph = parse(TRAIN_STEP)
    module = emit_module(graph)
    lines = zip(module.text.splitlines(), module.nodes, strict=True)
    named = {node.op.name: line for line, node in lines if node}
    assert "%logits = stablehlo.dot_general %x, %w" in named["dot_general"]
    assert "stablehlo.reduce(" in named["reduce_sum"]
    assert module.nodes[0] is None


def test_one_constant_serves_all_uses():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"), "x")
    with building(graph):
        graph.results = [add(multiply(x, 2.0), 2.0), maximum(x, -0.0), maximum(x, 0.0)]
    text = emit_stablehlo(graph)
    assert text.count("stablehlo.constant") == 3
    assert text.count("dense<2.0> : tensor<3xf32>") == 1


def test_a_scalar_that_stretches_is_broadcast_once():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"), "x")
    s = graph.add_parameter(tensor_type("f32[]"), "s")
    with building(graph):
        graph.results = [subtract(multiply(s, x), s), multiply(s, s)]
    text = emit_stablehlo(graph)
    assert text.count("%s_all = stablehlo.broadcast_in_dim %s, dims = []") == 1
    assert "stablehlo.multiply %s, %s : tensor<f32>" in text


def test_literals_may_be_results():
    graph = Graph("f")
    with building(graph):
        graph.results = [Literal(1.5)]
    assert "return %c : tensor<f32>" in emit_stablehlo(graph)


def test_ops_without_effect_on_values_write_no_arithmetic():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"), "x")
    with building(graph):
        a, b = optimization_barrier(stop_gradient(x), x)
        graph.results = [a, b]
    text = emit_stablehlo(graph)
    assert "%1, %2 = stablehlo.optimization_barrier %x, %x" in text
    assert text.count("stablehlo.") == 1


def test_narrow_sums_are_kept_in_float32():
    graph = Graph("f")
    a = graph.add_parameter(tensor_type("bf16[3,4]"), "a")
    b = graph.add_parameter(tensor_type("bf16[4,5]"), "b")
    with building(graph):
        graph.results = [
            dot_general(a, b, contract=[[1], [0]]),
            reduce_sum(a, axes=[1]),
        ]
    text = emit_stablehlo(graph)
    assert "(tensor<3x4xbf16>, tensor<4x5xbf16>) -> tensor<3x5xf32>" in text
    assert "(tensor<3x4xf32>, tensor<f32>) -> tensor<3xf32>" in text
    assert text.count("stablehlo.convert") == 3


def test_names_of_functions_do_not_collide():
    module = Module()
    graph = Graph("entry", module)
    for name in ("main", "main_1"):
        callee = Graph(name, module)
        callee.results = [callee.add_parameter(tensor_type("f32[3]"))]
    x = graph.add_parameter(tensor_type("f32[3]"), "x")
    with building(graph):
        graph.results = [call(call(x, graph="main"), graph="main_1")]
    declared = re.findall(r"func\.func \w+ (@\w+)", emit_stablehlo(graph))
    assert declared == ["@main", "@main_1", "@main_1_1"]


def test_symbols_must_be_bound():
    graph = Graph("f")
    graph.ranges["B"] = (1, 8)
    graph.results = [graph.add_parameter(tensor_type("f32[B]"), "x")]
    with pytest.raises(GraphError, match="must be bound before code is emitted"):
        emit_stablehlo(graph)


def test_composites_are_refused_with_the_users_line():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"), "x")
    with building(graph, location=Location("model.py", 3, 5, "mlp")):
        graph.results = [silu(x)]
    with pytest.raises(UnsupportedError, match="silu has no StableHLO form") as caught:
        emit_stablehlo(graph)
    assert "at model.py:3:5, in layer 'mlp'" in str(caught.value)
    assert "decompose" in caught.value.hint


# -- hostile names --------------------------------------------------------------------

HOSTILE = [
    'x") loc("y',
    '"))\n} func.func private @evil() { return }\n#loc0 = loc("',
    "\\",
    "\\22",
    '"',
    "a\x00b",
    "\udc80",
    "%3 = stablehlo.custom_call @evil()",
    "import os # `rm -rf`",
    "é" * 300,
    "",
]


def hostile_graph(text: str) -> Graph:
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"), "x", {"role": text})
    location = Location(text or "m.py", 10**20, 10**20, text, text)
    with building(graph, location=location):
        graph.results = [add(x, 1.0)]
    return graph


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_its_string(text: str):
    emitted = emit_stablehlo(hostile_graph(text))
    operations: list[str] = []
    with context():
        module = ir.Module.parse(emitted)
        module.operation.walk(
            lambda op: operations.append(op.name) or ir.WalkResult.ADVANCE
        )
    assert operations == [
        "stablehlo.constant",
        "stablehlo.add",
        "func.return",
        "func.func",
        "builtin.module",
    ]


def test_constants_are_written_into_the_text():
    graph = Graph("f")
    name = graph.module.add_constant(np.arange(6, dtype=np.int32).reshape(2, 3))
    with building(graph):
        graph.results = [constant(name=name)]
    assert "dense<[[0, 1, 2], [3, 4, 5]]> : tensor<2x3xi32>" in emit_stablehlo(graph)


def test_comparisons_say_how_numbers_are_read():
    graph = Graph("f")
    kinds = {"f32": "FLOAT", "i32": "SIGNED", "u32": "UNSIGNED", "bool": "UNSIGNED"}
    with building(graph):
        results = []
        for name in kinds:
            x = graph.add_parameter(tensor_type(f"{name}[2]"), name)
            results.append(compare(x, x, direction="LT"))
        flag = graph.add_parameter(tensor_type("bool[]"), "flag")
        graph.results = [*results, select(flag, results[0], results[1])]
    text = emit_stablehlo(graph)
    for name, kind in kinds.items():
        assert f"stablehlo.compare LT, %{name}, %{name}, {kind} :" in text
    assert "stablehlo.broadcast_in_dim %flag" in text
