"""Costs: floating-point operations by the op's record, bytes by the types."""

from typing import Any

import numpy as np
import pytest

from graphc.ir import OPS, Graph, building, parse, tensor_type
from graphc.ir.cost import Cost, graph_cost, node_cost
from graphc.ir.dims import parse_dim
from graphc.ir.opdef import Kind, Sample
from graphc.ir.ops import convolution
from graphc.ir.register import primitive


def cost_of(op: str, *types: str, **attributes: Any) -> Cost:
    """The cost of one node."""
    graph = Graph("f")
    operands = [graph.add_parameter(tensor_type(t)) for t in types]
    with building(graph):
        OPS[op](*operands, **attributes)
    (node,) = graph.nodes
    return node_cost(node)


def plain(rank: int, labels: str, **changes: Any) -> dict[str, Any]:
    return {
        "labels": labels,
        "strides": [1] * rank,
        "padding": [[0, 0]] * rank,
        "input_dilation": [1] * rank,
        "kernel_dilation": [1] * rank,
        **changes,
    }


def test_a_matrix_product():
    cost = cost_of("dot_general", "f32[3,4]", "f32[4,5]", contract=[[1], [0]])
    assert cost == Cost(2 * 3 * 4 * 5, 4 * (12 + 20 + 15))


def test_a_batch_of_matrix_products():
    cost = cost_of(
        *("dot_general", "bf16[2,3,4,6]", "bf16[2,4,6,5]"),
        contract=[[2, 3], [1, 2]],
        batch=[[0], [0]],
        dtype="f32",
    )
    assert cost == Cost(2 * 2 * 3 * 5 * 24, 2 * (144 + 240) + 4 * 30)


def test_an_outer_product_has_one_product_per_element():
    cost = cost_of("dot_general", "f32[3]", "f32[5]", contract=[[], []])
    assert cost.flops == 2 * 15


def test_symbolic_sizes():
    cost = cost_of("dot_general", "f32[B,T,4]", "f32[4,5]", contract=[[2], [0]])
    assert cost.flops == parse_dim("40*B*T")
    assert cost.bytes == parse_dim("36*B*T+80")


def test_a_convolution():
    attributes = plain(2, "b01f_01io->b01f", strides=[2, 2], padding=[[1, 1], [1, 1]])
    cost = cost_of("convolution", "f32[8,32,32,3]", "f32[3,3,3,16]", **attributes)
    assert cost.flops == 2 * (8 * 16 * 16 * 16) * (3 * 3 * 3)


def test_groups_make_a_convolution_cheaper():
    attributes = plain(1, "b0f_0io->b0f")
    dense = cost_of("convolution", "f32[B,9,8]", "f32[2,8,4]", **attributes)
    grouped = cost_of("convolution", "f32[B,9,8]", "f32[2,2,4]", groups=4, **attributes)
    assert dense.flops == parse_dim("B") * (2 * 8 * 4 * 2 * 8)
    assert grouped.flops * 4 == dense.flops


def test_gradients_of_a_convolution_cost_what_it_costs():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[2,16,3]"))
    kernel = graph.add_parameter(tensor_type("f32[2,3,4]"))
    with building(graph):
        y = convolution(x, kernel, **plain(1, "b0f_0io->b0f", strides=[2]))
        (node,) = graph.nodes
        convolution.vjp(y, y, x, kernel, **node.op.decode(node.attributes, None))
    costs = [node_cost(n).flops for n in graph.nodes if n.op is convolution]
    assert costs == [2 * (2 * 8 * 4) * (2 * 3)] * 3


@pytest.mark.parametrize(
    ("op", "types", "attributes", "flops"),
    [
        ("add", ["f32[3,4]", "f32[]"], {}, 12),
        ("tanh", ["f16[B]"], {}, parse_dim("B")),
        ("select", ["bool[7]", "f32[]", "f32[7]"], {}, 7),
        ("add", ["i32[3,4]", "i32[]"], {}, 0),
        ("compare", ["f32[3]", "f32[3]"], {"direction": "LT"}, 0),
        ("convert", ["i32[3]"], {"dtype": "f32"}, 0),
        ("stop_gradient", ["f32[3]"], {}, 0),
        ("transpose", ["f32[3,4]"], {"permutation": [1, 0]}, 0),
        ("broadcast_in_dim", ["f32[3]"], {"shape": [3, 4], "dims": [0]}, 0),
        ("iota", [], {"shape": [4], "dtype": "f32", "axis": 0}, 0),
        ("reduce_sum", ["f32[3,4]"], {"axes": [1]}, 12),
        ("argmax", ["f32[3,4]"], {"axis": 1}, 12),
        ("reduce_sum", ["i32[3,4]"], {"axes": [1]}, 0),
        ("reduce_and", ["bool[3,4]"], {"axes": [1]}, 0),
        ("dot_general", ["i32[2,2]", "i32[2,2]"], {"contract": [[1], [0]]}, 0),
    ],
)
def test_operations_of_other_ops(
    op: str, types: list[str], attributes: dict[str, Any], flops: object
):
    assert cost_of(op, *types, **attributes).flops == flops


def test_a_composite_costs_its_body_and_moves_its_operands_and_results():
    cost = cost_of("silu", "f32[5]")
    assert cost == Cost(2 * 5, 4 * 10)  # a logistic and a multiply


def test_bytes_of_narrow_dtypes():
    assert cost_of("transpose", "bool[3,4]", permutation=[1, 0]).bytes == 24
    assert cost_of("transpose", "i4[3]", permutation=[0]).bytes == 4
    assert cost_of("negate", "bf16[3,B]").bytes == parse_dim("12*B")


def test_literals_and_constants_move_when_they_are_read():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[6]"))
    name = graph.module.add_constant(np.zeros(6, np.float32))
    with building(graph):
        stored = OPS["constant"](name=name)
        OPS["multiply"](OPS["add"](x, stored), 2.0)
    constant, add, multiply = (node_cost(node) for node in graph.nodes)
    assert constant == Cost(0, 0)
    assert add == Cost(6, 3 * 24)
    assert multiply == Cost(6, 2 * 24)
    assert graph_cost(graph) == Cost(12, 5 * 24)


def test_a_call_costs_its_callee_each_time():
    graph = parse("""
        graph @f(%x: f32[B]) -> (f32[B]) where B in 1..8 {
          %0 = call(%x) {graph="g"} : f32[B]
          %1 = call(%0) {graph="g"} : f32[B]
          return %1
        }
        graph @g(%x: f32[B]) -> (f32[B]) where B in 1..8 {
          %0 = add(%x, 1.0) : f32[B]
          return %0
        }""")
    assert graph_cost(graph) == Cost(parse_dim("2*B"), parse_dim("16*B"))


def test_an_empty_graph_costs_nothing():
    assert graph_cost(Graph("f")) == Cost(0, 0)


def test_a_contraction_must_say_what_it_costs():
    with pytest.raises(TypeError, match="number of floating-point operations"):
        primitive(
            Kind.CONTRACTION, lambda: None, vjp="none", samples=[Sample(())], errors=()
        )(cost_of)
