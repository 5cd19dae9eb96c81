"""The convolution against its definition, and its notation of labels."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from graphc.ir import Graph, GraphError, building, evaluate, tensor_type
from graphc.ir.differentiate import differentiate
from graphc.ir.evaluate import evaluate_op
from graphc.ir.ops import convolution, reduce_sum
from graphc.ir.ops.convolutions import parse_labels
from tests.closeness import assert_close


def by_definition(
    x: Any,
    kernel: Any,
    strides: Any,
    padding: Any,
    holes: Any,
    spread: Any,
    groups: int,
) -> Any:
    """One output at a time; x is [batch, space, feature], the kernel [space, in, out]."""
    batch, (length, inner, out) = x.shape[0], kernel.shape
    places = (x.shape[1] - 1) * holes + 1 + sum(padding)
    count = max((places - (length - 1) * spread - 1) // strides + 1, 0)
    result = np.zeros((batch, count, out))
    for b, i, o, k, c in itertools.product(*map(range, (*result.shape, length, inner))):
        place, rest = divmod(i * strides + k * spread - padding[0], holes)
        if rest == 0 and 0 <= place < x.shape[1]:
            feature = o // (out // groups) * inner + c
            result[b, i, o] += x[b, place, feature] * kernel[k, c, o]
    return result


@given(st.data())
def test_convolution_is_its_definition(data: st.DataObject):
    small = st.integers(1, 3)
    groups, batch_groups = data.draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2)]))
    inner, batch = data.draw(small), data.draw(small) * batch_groups
    out = data.draw(small) * groups * batch_groups
    size, length = data.draw(st.integers(1, 6)), data.draw(small)
    stride, holes, spread = data.draw(st.tuples(small, small, small))
    padding = data.draw(st.tuples(st.integers(-1, 3), st.integers(-1, 3)))
    assume((size - 1) * holes + 1 + sum(padding) >= 0)  # no more is cropped than is
    labels = [data.draw(st.permutations(list(of))) for of in ("b0f", "0io", "b0f")]

    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, size, inner * groups))
    kernel = rng.standard_normal((length, inner, out))
    parts = [
        by_definition(rows, columns, stride, padding, holes, spread, groups)
        for rows, columns in zip(
            np.split(x, batch_groups),
            np.split(kernel, batch_groups, axis=2),
            strict=True,
        )
    ]
    expected = np.concatenate(parts, axis=2)

    found = evaluate_op(
        "convolution",
        np.transpose(x, ["b0f".index(c) for c in labels[0]]),
        np.transpose(kernel, ["0io".index(c) for c in labels[1]]),
        labels=f"{''.join(labels[0])}_{''.join(labels[1])}->{''.join(labels[2])}",
        strides=[stride],
        padding=[padding],
        input_dilation=[holes],
        kernel_dilation=[spread],
        groups=groups,
        batch_groups=batch_groups,
    )
    found = np.transpose(found, [labels[2].index(c) for c in "b0f"])
    assert_close(found, expected)


def test_labels_say_where_dimensions_lie():
    x, kernel, result = parse_labels("b01f_1io0->fb10")
    assert (x.outer, x.inner, x.spatial) == (0, 3, (1, 2))
    assert (kernel.outer, kernel.inner, kernel.spatial) == (2, 1, (3, 0))
    assert result.order == (1, 0, 3, 2)


@pytest.mark.parametrize(
    "labels",
    [
        "",
        "b0f",
        "b0f_0io",
        "b0f_0io->",
        "b0f_0io->b0",
        "b1f_1io->b1f",
        "b00f_00io->b00f",
    ],
)
def test_ill_formed_labels(labels: str):
    with pytest.raises(GraphError, match="must name each dimension once"):
        parse_labels(labels)


def test_gradients_are_convolutions():
    graph = Graph("f")
    graph.ranges = {"B": (1, 9)}
    x = graph.add_parameter(tensor_type("f32[B,8,8,4]"))
    kernel = graph.add_parameter(tensor_type("f32[3,3,4,6]"))
    with building(graph):
        y = convolution(
            x,
            kernel,
            labels="b01f_01io->b01f",
            strides=[2, 2],
            padding=[[0, 1], [0, 1]],
            input_dilation=[1, 1],
            kernel_dilation=[1, 1],
        )
        graph.results = [reduce_sum(y, axes=[0, 1, 2, 3])]
    gradient = differentiate(graph, [0, 1])
    _, by_x, by_kernel = (n for n in gradient.nodes if n.op is convolution)
    assert by_x.attributes["labels"] == "b01f_01oi->b01f"
    assert by_x.attributes["input_dilation"] == [2, 2]
    assert by_kernel.attributes["labels"] == "f01b_i01o->01bf"
    assert by_kernel.attributes["kernel_dilation"] == [2, 2]


@pytest.mark.parametrize("size", [3, 4, 5, 6])
def test_gradients_of_a_symbolic_size_are_those_of_each_size(size: int):
    def gradients(length: int | str) -> Any:
        graph = Graph("f")
        graph.ranges = {"H": (1, 9)}
        x = graph.add_parameter(tensor_type(f"f32[1,{length},2]"))
        kernel = graph.add_parameter(tensor_type("f32[3,2,2]"))
        with building(graph):
            y = convolution(
                x,
                kernel,
                labels="b0f_0io->b0f",
                strides=[2],
                padding=[[1, 0]],
                input_dilation=[1],
                kernel_dilation=[1],
            )
            graph.results = [reduce_sum(y, axes=[0, 1, 2])]
        rng = np.random.default_rng(size)
        arrays = rng.random((1, size, 2), np.float32), rng.random((3, 2, 2), np.float32)
        return evaluate(differentiate(graph, [0, 1]), *arrays)[1:]

    for symbolic, fixed in zip(gradients("H"), gradients(size), strict=True):
        assert_close(symbolic, fixed)
