"""Reductions by graphs: grouping, order, several tensors at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc.ir import Graph, GraphError, Module, building, evaluate, parse, tensor_type
from graphc.ir.differentiate import differentiate
from graphc.ir.ops import reduce, reduce_sum, reduce_window
from tests.closeness import assert_close

COMBINERS = """
graph @compose(%a: f64[], %b: f64[], %c: f64[], %d: f64[]) -> (f64[], f64[]) {
  %0 = multiply(%a, %c) : f64[]
  %1 = multiply(%b, %c) : f64[]
  %2 = add(%1, %d) : f64[]
  return %0, %2
}
graph @larger(%a: f64[], %b: f64[]) -> (f64[]) {
  %0 = call(%a, %b) {graph="inner"} : f64[]
  return %0
}
graph @inner(%a: f64[], %b: f64[]) -> (f64[]) {
  %0 = maximum(%a, %b) : f64[]
  return %0
}
"""


def combined(name: str, op: Any, *arrays: Any, **attributes: Any) -> list[Any]:
    """The results of `op` with the combiner called `name`."""
    module: Module = parse(COMBINERS).module
    graph = Graph("f", module)
    values = [
        graph.add_parameter(tensor_type(f"f64{list(np.shape(a))}")) for a in arrays
    ]
    with building(graph):
        results = op(*values, graph=module.graphs[name], **attributes)
    graph.results = list(results) if isinstance(results, tuple) else [results]
    graph.verify()
    return list(evaluate(graph, *map(np.asarray, arrays)))


def test_order_is_kept(rng: np.random.Generator):
    # The composition of x -> a x + b is associative but not commutative.
    a, b = rng.normal(size=(2, 3, 7))
    slope, offset = combined("compose", reduce, a, b, 1.0, 0.0, axes=[1])
    x = np.zeros(3)
    for step in range(7):
        x = a[:, step] * x + b[:, step]
    assert_close(offset, x)
    assert_close(slope, np.prod(a, axis=1))


@pytest.mark.parametrize("axes", [[0], [1, 2], [0, 1, 2], []])
def test_axes(axes: list[int], rng: np.random.Generator):
    x = rng.normal(size=(3, 4, 5))
    (found,) = combined("larger", reduce, x, -np.inf, axes=axes)
    np.testing.assert_array_equal(found, np.max(x, tuple(axes)))


def test_no_elements_give_the_start():
    (found,) = combined("larger", reduce, np.zeros((0, 2)), 7.0, axes=[0])
    np.testing.assert_array_equal(found, [7, 7])


def test_windows_are_combined_in_order():
    a, b = np.array([2.0, 3.0, 5.0]), np.array([1.0, 1.0, 1.0])
    found = combined(
        "compose",
        reduce_window,
        a,
        b,
        1.0,
        0.0,
        window=[2],
        strides=[1],
        padding=[[1, 0]],
    )
    np.testing.assert_array_equal(found[0], [2, 6, 15])
    np.testing.assert_array_equal(found[1], [1, 4, 6])


def slopes(name: str, op: Any, *arrays: Any, **attributes: Any) -> list[Any]:
    """The gradients of the sum of the last result of `op` with a combiner."""
    module: Module = parse(COMBINERS).module
    graph = Graph("f", module)
    values = [
        graph.add_parameter(tensor_type(f"f64{list(np.shape(a))}")) for a in arrays
    ]
    with building(graph):
        results = op(*values, graph=module.graphs[name], **attributes)
        last = results[-1] if isinstance(results, tuple) else results
        graph.results = [reduce_sum(last, axes=list(range(last.type.rank)))]
    gradient = differentiate(graph, range(len(arrays)))
    gradient.verify()
    return list(evaluate(gradient, *map(np.asarray, arrays)))[1:]


def test_the_gradient_by_a_named_op_is_that_of_its_reduction():
    to_x, to_start = slopes("larger", reduce, [[1.0, 5.0], [7.0, 2.0]], 3.0, axes=[1])
    np.testing.assert_array_equal(to_x, [[0, 1], [1, 0]])
    assert to_start == 0
    placing = {"window": [2], "strides": [1], "padding": [[1, 0]]}
    to_x, to_start = slopes("larger", reduce_window, [1.0, 5.0, 2.0], 3.0, **placing)
    np.testing.assert_array_equal(to_x, [0, 2, 0])
    assert to_start == 1


def test_the_gradient_by_any_graph_is_that_of_its_steps(rng: np.random.Generator):
    a, b = rng.normal(size=(2, 4))
    to_a, to_b, _, to_offset = slopes("compose", reduce, a, b, 1.0, 0.5, axes=[0])
    x, states = 0.5, []
    for step in range(4):
        states.append(x)
        x = a[step] * x + b[step]
    after = [np.prod(a[step + 1 :]) for step in range(4)]
    assert_close(to_a, np.multiply(after, states))
    assert_close(to_b, after)
    assert_close(to_offset, np.prod(a))


def test_windows_that_are_too_large_have_no_gradient():
    placing = {"window": [2000], "strides": [1], "padding": [[0, 0]]}
    with pytest.raises(GraphError, match="a window of more than 1024 elements"):
        slopes("compose", reduce_window, np.ones(3000), np.ones(3000), 1, 0, **placing)
