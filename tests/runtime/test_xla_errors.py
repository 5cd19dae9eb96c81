"""Complaints about emitted text become complaints about nodes."""

import jax
import numpy as np
import pytest

from graphc.codegen.stablehlo import StableHLO, emit_module
from graphc.ir.parser import parse
from graphc.runtime.xla_errors import compile_error
from graphc.runtime.xla_export import Spec, exported

GRAPH = """
graph @f(%x: f32[3], %s: f32[]) -> (f32[3,3]) {
  %a = add(%x, 1.0) : f32[3]  loc("enc/mlp" my%20model.py:12:3)
  %b = multiply(%a, %x) : f32[3]  loc("enc/mlp" my%20model.py:12:3)
  %c = broadcast_in_dim(%b) {dims=[1], shape=[3,3]} : f32[3,3]  loc("enc/mlp" my%20model.py:12:3)
  %d = negate(%c) : f32[3,3]
  return %d
}
"""
MODEL = "  at my model.py:12:3, in layer 'enc/mlp'"


def refusal(old: str, new: str):
    """The error for the module of `GRAPH` with one text replaced by another."""
    graph = parse(GRAPH)
    module = emit_module(graph)
    assert module.text.count(old) == 1
    broken = StableHLO(module.text.replace(old, new), module.nodes)
    specs = [Spec((3,), np.float32), Spec((), np.float32)]
    with pytest.raises(jax.errors.JaxRuntimeError) as caught:
        exported(broken.text, "f", specs, [Spec((3, 3), np.float32)], "cpu")
    return compile_error(caught.value, graph, broken)


def test_a_broken_rule_names_the_operation_of_the_place():
    error = refusal(
        "stablehlo.multiply %a, %x : tensor<3xf32>",
        '"stablehlo.multiply"(%a, %s) : (tensor<3xf32>, tensor<f32>) -> tensor<3xf32>',
    )
    assert error.message == "XLA refused graph @f at %b = multiply"
    assert "requires compatible types for all operands" in error.received
    assert error.location.describe() == MODEL


def test_no_node_is_named_when_several_may_be_meant():
    error = refusal("dims = [1]", "dims = [7]")
    assert error.message == "XLA refused graph @f"
    assert "invalid value 7" in error.received
    assert error.location.describe() == MODEL


def test_what_does_not_parse_is_found_by_its_line():
    error = refusal("stablehlo.negate %c", "stablehlo.negate %nothing")
    assert error.message == "XLA refused graph @f at %d = negate"
    assert error.received == "use of undeclared SSA value name"
    assert error.location is None


def test_an_error_without_a_place_names_the_graph():
    module = emit_module(parse(GRAPH))
    error = compile_error(RuntimeError("NOT_FOUND: no handler"), parse(GRAPH), module)
    assert error.message == "XLA refused graph @f"
    assert error.received == "NOT_FOUND: no handler"
    assert "GRAPHC_DUMP" in error.hint


@pytest.mark.parametrize("line", [0, 10**6])
def test_a_line_that_is_not_there_names_no_node(line: int):
    words = RuntimeError(f"UNKNOWN: -:{line}:1: error: nonsense")
    error = compile_error(words, parse(GRAPH), emit_module(parse(GRAPH)))
    assert (error.message, error.location) == ("XLA refused graph @f", None)
