"""Dots: against einsum, and the form of their gradients."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.ir import Graph, building, evaluate, tensor_type
from graphc.ir.differentiate import differentiate
from graphc.ir.ops import dot_general, reduce_sum
from graphc.ir.ops.contraction import labelled_dot
from tests.closeness import assert_close

SIZES = dict(zip("abcdefgh", (2, 3, 1, 2, 3, 4, 2, 1), strict=True))


@st.composite
def equations(draw: st.DrawFn) -> tuple[str, str, str]:
    """Labels of two operands and a result: each in two or three of them."""
    roles = draw(st.lists(st.sampled_from("ABCD"), max_size=6))
    sides: list[list[str]] = [[], [], []]
    for label, role in zip("abcdefgh", roles, strict=False):
        # free in the first, free in the second, summed, batch
        for side in {"A": (0, 2), "B": (1, 2), "C": (0, 1), "D": (0, 1, 2)}[role]:
            sides[side].append(label)
    first, second, result = ("".join(draw(st.permutations(side))) for side in sides)
    return first, second, result


@given(equations())
def test_labelled_dot_is_einsum(equation: tuple[str, str, str]):
    rng = np.random.default_rng(0)
    first, second, result = equation
    arrays = [
        rng.standard_normal([SIZES[label] for label in labels])
        for labels in (first, second)
    ]
    graph = Graph("f")
    a, b = (
        graph.add_parameter(tensor_type(f"f64[{','.join(map(str, array.shape))}]"))
        for array in arrays
    )
    with building(graph):
        graph.results = [labelled_dot(a, first, b, second, result)]
    graph.verify()
    (found,) = evaluate(graph, *arrays)
    expected = np.einsum(f"{first},{second}->{result}", *arrays)
    assert_close(found, expected)


def gradient_nodes(a: str, b: str, contract: Sequence[Sequence[int]]) -> list[str]:
    """The nodes of the gradient of a dot's sum: op, attributes and result type."""
    graph = Graph("f")
    graph.ranges = {"B": (1, 9), "T": (1, 9)}
    operands = [graph.add_parameter(tensor_type(type)) for type in (a, b)]
    with building(graph):
        y = dot_general(*operands, contract=contract)
        graph.results = [reduce_sum(y, axes=list(range(y.type.rank)))]
    gradient = differentiate(graph, [0, 1])
    return [
        f"{node.op.name} {node.attributes.get('contract', '')} {node.result.type}"
        for node in list(gradient.nodes)[3:]
    ]


def test_gradients_of_a_dense_layer_are_dots_of_matrices():
    assert gradient_nodes("f32[B,T,4]", "f32[4,2]", [[2], [0]]) == [
        "reshape  f32[B*T,2]",
        "dot_general [[1], [1]] f32[B*T,4]",
        "reshape  f32[B,T,4]",
        "reshape  f32[B*T,4]",
        "reshape  f32[B*T,2]",
        "dot_general [[0], [0]] f32[4,2]",
    ]


@pytest.mark.parametrize("contract", [[[1], [0]], [[1], [1]], [[0], [0]], [[0], [1]]])
def test_gradients_of_matrix_products_need_no_transpose(contract: list[list[int]]):
    nodes = gradient_nodes("f32[4,4]", "f32[4,4]", contract)
    assert [node.split()[0] for node in nodes] == ["dot_general", "dot_general"]


def test_narrow_operands_are_multiplied_in_their_dtype_and_summed_in_the_result_s():
    graph = Graph("f")
    a = graph.add_parameter(tensor_type("bf16[8,16]"))
    b = graph.add_parameter(tensor_type("bf16[16,8]"))
    with building(graph):
        y = dot_general(a, b, contract=[[1], [0]], dtype="f32")
        graph.results = [reduce_sum(y, axes=[0, 1])]
    gradient = differentiate(graph, [0, 1])
    dots = [node for node in gradient.nodes if node.op is dot_general]
    assert [str(o.type.dtype) for dot in dots for o in dot.operands] == ["bf16"] * 6
    assert [str(dot.result.type.dtype) for dot in dots] == ["f32"] * 3
    assert [str(r.type) for r in gradient.results[1:]] == ["bf16[8,16]", "bf16[16,8]"]


def test_integers_are_summed_in_the_result_dtype():
    graph = Graph("f")
    a = graph.add_parameter(tensor_type("i8[3]"))
    with building(graph):
        graph.results = [dot_general(a, a, contract=[[0], [0]], dtype="i32")]
    assert evaluate(graph, np.array([100, 100, 100], np.int8))[0] == 30000
