"""Gather and scatter: places outside the operand and places written twice."""

from typing import Any

import numpy as np
import pytest

from graphc.ir import Graph, building, evaluate, tensor_type
from graphc.ir.differentiate import differentiate
from graphc.ir.evaluate import evaluate_op
from graphc.ir.ops import multiply, reduce_sum, scatter, take

ELEMENTS = {
    "update_window_dims": [],
    "inserted_dims": [0],
    "index_map": [0],
    "index_axis": 1,
}
PAIRS = {
    "update_window_dims": [1],
    "inserted_dims": [],
    "index_map": [0],
    "index_axis": 1,
}


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


def integers(*values: int) -> Any:
    return np.array(values, np.int32)


def test_take_clamps():
    x = floats(10, 11, 12)
    found = evaluate_op("take", x, integers(-1, 1, 7), axis=0)
    np.testing.assert_array_equal(found, [10, 11, 12])


def test_the_gradient_of_a_clamped_index_goes_to_the_edge():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"))
    indices = graph.add_parameter(tensor_type("i32[4]"))
    weights = graph.add_parameter(tensor_type("f32[4]"))
    with building(graph):
        y = multiply(take(x, indices, axis=0), weights)
        graph.results = [reduce_sum(y, axes=[0])]
    found = evaluate(
        differentiate(graph, [0]),
        floats(0, 0, 0),
        integers(-1, 1, 7, 1),
        floats(1, 2, 4, 8),
    )
    np.testing.assert_array_equal(found[1], [1, 10, 4])


def test_scatter_drops_what_lies_outside():
    indices, updates = integers(-1, 1, 3, 1), floats(1, 2, 4, 8)
    found = evaluate_op("scatter", floats(0, 0, 0), indices, updates, **ELEMENTS)
    np.testing.assert_array_equal(found, [0, 10, 0])


def test_scatter_drops_windows_that_are_partly_outside():
    updates = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    indices = integers(-1, 0, 2)
    found = evaluate_op("scatter", floats(0, 0, 0), indices, updates, **PAIRS)
    np.testing.assert_array_equal(found, [3, 4, 0])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("add", [1, 7, 1]),
        ("set", [1, 4, 1]),
        ("min", [1, 1, 1]),
        ("max", [1, 4, 1]),
        ("multiply", [1, 8, 1]),
    ],
)
def test_scatter_combines_updates_of_one_place(mode: str, expected: list[float]):
    indices, updates = integers(1, 1), floats(2, 4)
    found = evaluate_op(
        "scatter", floats(1, 1, 1), indices, updates, mode=mode, **ELEMENTS
    )
    np.testing.assert_array_equal(found, expected)


def scatter_gradients(mode: str, x: Any, indices: Any, updates: Any) -> Any:
    """Gradients of the sum of the result weighted with 1, 10, 100, ..."""
    graph = Graph("f")
    operands = [
        graph.add_parameter(tensor_type(f"f32[{len(x)}]")),
        graph.add_parameter(tensor_type(f"i32[{len(indices)}]")),
        graph.add_parameter(tensor_type(f"f32[{len(updates)}]")),
        graph.add_parameter(tensor_type(f"f32[{len(x)}]")),
    ]
    with building(graph):
        y = multiply(scatter(*operands[:3], mode=mode, **ELEMENTS), operands[3])
        graph.results = [reduce_sum(y, axes=[0])]
    weights = 10.0 ** np.arange(len(x), dtype=np.float32)
    return evaluate(differentiate(graph, [0, 2]), x, indices, updates, weights)[1:]


def test_only_the_update_that_was_kept_has_a_gradient():
    by_x, by_updates = scatter_gradients(
        "set", floats(1, 2, 3), integers(1, 1, 2, 5), floats(7, 8, 9, 9)
    )
    np.testing.assert_array_equal(by_x, [1, 0, 0])
    np.testing.assert_array_equal(by_updates, [0, 10, 100, 0])


def test_updates_that_tie_share_the_gradient():
    by_x, by_updates = scatter_gradients(
        "max", floats(4, 4, 9), integers(0, 1, 1, -1), floats(5, 4, 3, 99)
    )
    np.testing.assert_array_equal(by_x, [0, 5, 100])
    np.testing.assert_array_equal(by_updates, [1, 5, 0, 0])


def test_scatter_into_a_scalar():
    found = evaluate_op(
        "scatter",
        np.float32(1),
        np.zeros((3, 0), np.int32),
        floats(1, 2, 4),
        update_window_dims=[],
        inserted_dims=[],
        index_map=[],
        index_axis=1,
    )
    assert found.shape == ()
    assert found == 8
