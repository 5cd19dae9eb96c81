"""Shape ops: what is easy to get wrong and no sample shows."""

import numpy as np
import pytest

from graphc.ir import Graph, GraphError, building, tensor_type
from graphc.ir.dims import SymbolicDim
from graphc.ir.evaluate import evaluate_op
from graphc.ir.ops import broadcast_in_dim, pad, slice_
from graphc.ir.ops.shape import exceeds, expand, expand_axes

B, T = SymbolicDim.symbol("B"), SymbolicDim.symbol("T")


def test_exceeds_is_sure_or_false():
    assert exceeds(3, 2)
    assert not exceeds(2, 2)
    assert exceeds(B + 1, B)
    assert not exceeds(B, B)
    assert not exceeds(B, T)
    assert not exceeds(B, 1)


def test_pad_with_negative_edges_crops():
    x = np.arange(5, dtype=np.float32)
    found = evaluate_op("pad", x, np.float32(9), low=[-2], high=[1], interior=[0])
    np.testing.assert_array_equal(found, [2, 3, 4, 9])


def test_pad_crops_between_elements():
    x = np.array([1, 2, 3], np.float32)
    # 1 9 9 2 9 9 3 without two places at the front and one at the end
    found = evaluate_op("pad", x, np.float32(9), low=[-2], high=[-1], interior=[2])
    np.testing.assert_array_equal(found, [9, 2, 9, 9])


def test_slice_takes_symbolic_limits():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[B,T]"))
    with building(graph):
        found = slice_(x, start=[1, 0], limit=[B, T], strides=[1, 2])
    assert str(found.type) == "f32[B-1,(T+1)//2]"


@pytest.mark.parametrize("start", [-5, 0, 2, 99])
def test_dynamic_starts_are_clamped(start: int):
    x = np.arange(6, dtype=np.float32)
    first = min(max(start, 0), 4)
    index = np.int32(start)
    found = evaluate_op("dynamic_slice", x, index, sizes=[2])
    np.testing.assert_array_equal(found, x[first : first + 2])
    update = np.array([-1, -2], np.float32)
    found = evaluate_op("dynamic_update_slice", x, update, index)
    x[first : first + 2] = update
    np.testing.assert_array_equal(found, x)


def test_iota_counts_along_its_axis():
    found = evaluate_op("iota", shape=[2, 3], axis=1, dtype="f32")
    np.testing.assert_array_equal(found, np.array([[0, 1, 2]] * 2, np.float32))


def test_expand_makes_no_node_where_the_shape_fits():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[B,3]"))
    with building(graph):
        assert expand(x, [B, 3], [0, 1]) is x
        assert expand_axes(x, [B, T, 3], [1]).type == tensor_type("f32[B,T,3]")
    assert [node.op for node in graph.nodes] == [broadcast_in_dim]


def test_a_literal_padding_value_gets_no_gradient_nodes():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3]"))
    with building(graph):
        y = pad(x, 0.0, low=[1], high=[1])
        before = len(graph)
        by_x, by_value = pad.vjp(y, y, x, y.node.operands[1], (1,), (1,), None)
    assert by_value is None
    assert by_x.type == x.type
    assert len(graph) == before + 1


def test_errors_say_what_was_received():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[3,4]"))
    with building(graph), pytest.raises(GraphError) as caught:
        slice_(x, start=[0, 2], limit=[3, 1])
    assert caught.value.message == (
        "slice: 0, start 2, limit 1 and size 4 must lie in order"
    )
    assert caught.value.received == "f32[3,4]"
