"""Traces: parameters, state, captures, sizes, locations and what becomes a value."""

import inspect
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import TensorSpec
from graphc.errors import GraphError, UnknownDimError
from graphc.frontend import ops
from graphc.frontend.tensor import Array
from graphc.frontend.tracing import (
    Trace,
    current_path,
    current_trace,
    name_scope,
    value,
)
from graphc.ir import Graph, evaluate, tensor_type
from tests.closeness import assert_close

F32 = np.float32
X = np.array([1.0, 2.0, 3.0], F32)


def types(graph: Graph) -> list[str]:
    return [str(p.type) for p in graph.parameters]


def test_values_of_python_and_numpy_data() -> None:
    cases = {
        "f32[]": [1.5, np.float32(1.5), np.float64(1.5)],
        "i32[]": [3, np.int32(3)],
        "bool[]": [True, np.bool_(True)],
        "f32[2]": [[1.0, 2.0], (1, 2.5), np.ones(2)],
        "i32[2]": [[1, 2], np.arange(2, dtype=np.int32)],
        "bool[2]": [[True, False]],
        "u8[1]": [np.ones(1, np.uint8)],
    }
    with Trace(Graph("f"))():
        for wanted, given in cases.items():
            for x in given:
                assert str(value(x).type) == wanted, x
        assert str(value(1, "bfloat16").type) == "bf16[]"
        assert str(value([1, 2], "float32").type) == "f32[2]"


@pytest.mark.parametrize("given", ["text", object(), [object()], ["a"]])
def test_values_of_other_things(given: Any) -> None:
    with (
        Trace(Graph("f"))(),
        pytest.raises(GraphError, match="expected a tensor, an array or a number"),
    ):
        value(given)


def test_value_outside_of_a_trace() -> None:
    assert current_trace() is None
    with pytest.raises(GraphError, match="no graph is being traced"):
        value(1.0)


def test_lists_of_tensors_are_stacked_in_a_common_dtype() -> None:
    graph = graphc.trace(
        lambda a, b: ops.convert_to_tensor([a, b, 3]),
        TensorSpec((), "int32"),
        TensorSpec(()),
    )
    (found,) = evaluate(graph, np.int32(1), F32(2.5))
    np.testing.assert_array_equal(found, [1.0, 2.5, 3.0])
    assert found.dtype == F32


def test_sizes_of_symbolic_dimensions() -> None:
    def function(x: Any) -> Any:
        rows, columns = x.shape
        flat = ops.reshape(x, (rows * columns,))
        return flat, ops.cast(rows * columns + 1, "float32"), ops.shape(x)[0] * 2

    graph = graphc.trace(function, TensorSpec((None, "T")))
    flat, size, double = evaluate(graph, np.ones((2, 3), F32))
    assert flat.shape == (6,)
    assert (float(size), int(double)) == (7.0, 4)


def test_size_asked_for_in_python() -> None:
    with pytest.raises(UnknownDimError, match="dimension B is not known"):
        graphc.trace(lambda x: x * int(x.shape[0]), TensorSpec((None,)))


def test_state_is_read_once_and_written_last() -> None:
    v = graphc.Variable(X, name="v")

    def function(x: Any) -> Any:
        v.assign_add(x)
        first = v.value
        v.assign(v * 2.0)
        return first + v

    graph = graphc.trace(function, TensorSpec((3,)))
    assert types(graph) == ["f32[3]", "f32[3]"]
    result, new = evaluate(graph, X, X)
    np.testing.assert_array_equal(result, 6 * X)
    np.testing.assert_array_equal(new, 4 * X)


def test_written_only_state_is_no_parameter() -> None:
    v = graphc.Variable(X)
    graph = graphc.trace(lambda x: v.assign(x), TensorSpec((3,)))
    assert types(graph) == ["f32[3]"]
    assert len(graph.results) == 2


def test_inner_trace_captures_from_the_outer_one() -> None:
    def function(x: Any) -> Any:
        y = ops.exp(x)
        return graphc.grad(lambda z: ops.sum(z * y * y))(x)

    graph = graphc.trace(function, TensorSpec((3,)))
    (call,) = [n for n in graph.nodes if n.op.name == "value_and_gradient"]
    assert len(call.operands) == 2
    assert [g.name for g in graph.module.graphs.values()] == ["function", "loss"]
    assert_close(evaluate(graph, X)[0], np.exp(2 * X))


def test_names_of_parameters_are_unique() -> None:
    trace = Trace(Graph("f"))
    made = [trace.parameter(tensor_type("f32[]"), "x y").value for _ in range(2)]
    assert [p.name for p in made] == ["x_y", "x_y_1"]


def test_name_scopes_are_the_path_of_nodes_and_variables() -> None:
    made = []

    def function(x: Any) -> Any:
        with name_scope("outer"), name_scope("inner") as path:
            made.append((path, current_path(), graphc.Variable(X, name="w").path))
            x = x + 1.0
        return x * 2.0

    graph = graphc.trace(function, TensorSpec((3,)))
    assert made == [("outer/inner", "outer/inner", "outer/inner/w")]
    assert [n.location.path for n in graph.nodes] == ["outer/inner", None]


def test_locations_are_the_users_lines() -> None:
    def function(x: Any) -> Any:
        y = ops.softmax(x)
        return y * 2.0

    start = inspect.getsourcelines(function)[1]
    graph = graphc.trace(function, TensorSpec((3,)))
    lines = [n.location.line for n in graph.nodes]
    assert lines[0] == start + 1
    assert lines[-1] == start + 2
    assert {n.location.file for n in graph.nodes} == {"tests/frontend/test_tracing.py"}


def test_locations_in_a_functional_model_are_those_of_its_layers() -> None:
    inputs = graphc.Input((3,))
    hidden = graphc.layers.Dense(2, name="hidden")(inputs)
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    model = graphc.Model(inputs, ops.tanh(hidden), name="m")
    graph = model.graph("predict")
    product, *_, last = graph.nodes
    assert (product.location.line, product.location.path) == (line, "m/hidden")
    assert (last.location.line, last.location.path) == (line + 2, "m")


def test_large_constants_are_of_the_module() -> None:
    graph = graphc.trace(lambda x: x + Array(X), TensorSpec((3,)))
    assert len(graph.module.constants) == 1
    assert [n.op.name for n in graph.nodes] == ["constant", "add"]


def test_a_failed_trace_leaves_nothing_open() -> None:
    def fail(x: Any) -> Any:
        with name_scope("failing"):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        graphc.trace(fail, TensorSpec((3,)))
    assert current_trace() is None
    assert current_path() == ""
