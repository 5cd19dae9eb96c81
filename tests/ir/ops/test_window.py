"""Windows: padding, ties and the limit of unrolling."""

import numpy as np
import pytest

from graphc.ir import Graph, GraphError, building, evaluate, tensor_type
from graphc.ir.differentiate import differentiate
from graphc.ir.evaluate import evaluate_op
from graphc.ir.ops import reduce_sum, reduce_window_max
from graphc.ir.ops.window import MAX_UNROLLED, dilated_size, window_count

INF = float("inf")


@pytest.mark.parametrize(
    ("size", "window", "stride", "count"),
    [
        (5, 3, 1, 3),
        (5, 3, 2, 2),
        (5, 5, 1, 1),
        (5, 6, 1, 0),
        (0, 1, 1, 0),
        (7, 2, 3, 2),
    ],
)
def test_window_count(size: int, window: int, stride: int, count: int):
    assert window_count(size, window, stride) == count
    starts = range(0, size - window + 1, stride)
    assert len(starts) == count


def test_dilated_size():
    assert [dilated_size(n, 3) for n in (0, 1, 2, 3)] == [0, 1, 4, 7]


def test_padding_never_wins():
    attributes = {"window": [3], "strides": [1], "padding": [[1, 1]]}
    x = np.array([-INF, -INF], np.float32)
    source = np.array([1, 2], np.float32)
    found = evaluate_op("select_and_scatter_add", x, source, **attributes)
    np.testing.assert_array_equal(found, [3, 0])
    found = evaluate_op("reduce_window_max", x, **attributes)
    np.testing.assert_array_equal(found, [-INF, -INF])


def test_the_first_of_equal_elements_wins():
    x = np.array([[1, 1], [1, 1]], np.float32)
    source = np.array([[5]], np.float32)
    found = evaluate_op(
        "select_and_scatter_add",
        x,
        source,
        window=[2, 2],
        strides=[1, 1],
        padding=[[0, 0], [0, 0]],
    )
    np.testing.assert_array_equal(found, [[5, 0], [0, 0]])


def test_ties_of_dilated_windows_are_broken_alike():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[6]"))
    with building(graph):
        y = reduce_window_max(
            x, window=[3], strides=[1], padding=[[1, 1]], dilation=[2]
        )
        graph.results = [reduce_sum(y, axes=[0])]
    found = evaluate(differentiate(graph, [0]), np.ones(6, np.float32))[1]
    # Windows begin at -1, 0, 1, 2 and take every second element.
    np.testing.assert_array_equal(found, [1, 2, 1, 0, 0, 0])


def test_a_huge_dilated_window_has_no_gradient():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[9999]"))
    with building(graph):
        y = reduce_window_max(
            x,
            window=[MAX_UNROLLED + 1],
            strides=[1],
            padding=[[0, 0]],
            dilation=[2],
        )
        graph.results = [reduce_sum(y, axes=[0])]
    with pytest.raises(GraphError, match="a window of more than 1024 elements"):
        differentiate(graph, [0])
