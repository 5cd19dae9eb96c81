"""Functions of symbolic tensors: order of operations and layers, calling again."""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers, ops
from graphc.frontend.models.function import Function
from tests.closeness import assert_close

F32 = np.float32
X = np.ones((2, 3), F32)


def test_operations_come_after_what_they_read() -> None:
    x = graphc.Input((3,))
    a = ops.exp(x)
    b = ops.sin(x)
    c = a * b + ops.cos(b)
    function = Function(x, c)
    seen: set[Any] = {x.operation}
    for operation in function.operations:
        assert all(t.operation in seen for t in operation.inputs)
        seen.add(operation)
    assert [o.name for o in function.operations].count("sin") == 1


def test_layers_are_sorted_by_depth() -> None:
    x = graphc.Input((3,), name="x")
    long = layers.Dense(3, name="long_2")(layers.Dense(3, name="long_1")(x))
    short = layers.Dense(3, name="short")(x)
    function = Function(x, layers.Add(name="add")([short, long]))
    names = [layer.name for layer in function.sorted_layers()]
    assert names == ["x", "long_1", "short", "long_2", "add"]


def test_starts_at_any_tensor() -> None:
    x = graphc.Input((3,))
    middle = ops.exp(x)
    function = Function(middle, ops.log(middle))
    assert_close(function(X), np.zeros((2, 3)))
    assert len(function.operations) == 1


def test_one_output_of_several_and_an_input_as_output() -> None:
    x = graphc.Input((4,))
    left, _ = ops.split(x, 2, axis=1)
    found = Function(x, [x, left, left])(np.arange(4.0, dtype=F32)[None])
    np.testing.assert_array_equal(found[0], [[0, 1, 2, 3]])
    np.testing.assert_array_equal(found[2], [[0, 1]])


def test_very_deep_functions_need_no_recursion() -> None:
    x = graphc.Input((1,))
    y = x
    for _ in range(1500):
        y = y + 1.0
    function = Function(x, y)
    assert len(function.operations) == 1500
    assert len(function.sorted_layers()) > 1


def test_errors() -> None:
    x, other = graphc.Input((3,)), graphc.Input((3,), name="other")
    with pytest.raises(ValueError, match="outputs depend on 'other'"):
        Function(x, x + other)
    with pytest.raises(ValueError, match="All `inputs` of a functional model"):
        Function(X, x)
    with pytest.raises(ValueError, match=r"expects 1 input\(s\)"):
        Function(x, x + 1.0)([X, X])


def test_symbolic_dimensions_are_bound_again() -> None:
    x = graphc.Input((None, 2))
    model = graphc.Model(x, ops.sum(x, axis=1))
    for length in (1, 4):
        found = model(np.ones((3, length, 2), F32))
        np.testing.assert_array_equal(found, np.full((3, 2), length))
    graph = model.graph("predict")
    assert len(graph.symbols) == 2
