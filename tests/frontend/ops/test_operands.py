"""Broadcasting, axes and shapes as arguments of ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.frontend import ops
from graphc.frontend.ops import operands
from graphc.frontend.program import Program, Slot, trace_program
from graphc.ir import TensorType, dtype, evaluate
from graphc.ir.dims import SymbolicDim, parse_dim
from graphc.ir.errors import GraphError
from tests.closeness import assert_close

B = SymbolicDim.symbol("B")
T = SymbolicDim.symbol("T")


def traced(function: Callable[..., Any], *shapes: tuple[Any, ...]) -> Program:
    types = [TensorType(shape, dtype("float32")) for shape in shapes]
    slots = tuple(Slot(i) for i in range(len(shapes)))
    return trace_program("f", function, slots, types)


def shape_of(function: Callable[..., Any], *shapes: tuple[Any, ...]) -> Any:
    return traced(function, *shapes).graph.results[0].type.shape


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        (((2, 3), (3,)), (2, 3)),
        (((2, 1), (1, 3)), (2, 3)),
        (((), (4,)), (4,)),
        (((B, 1), (1, T)), (B, T)),
        (((B, 3), (B, 1)), (B, 3)),
        (((0,), (1,)), (0,)),
    ],
)
def test_broadcast_shape(shapes: Any, wanted: Any) -> None:
    assert operands.broadcast_shape(*shapes) == wanted
    assert operands.broadcast_shape(*reversed(shapes)) == wanted


@pytest.mark.parametrize("shapes", [((2,), (3,)), ((B,), (T,)), ((B,), (2,))])
def test_shapes_that_do_not_broadcast(shapes: Any) -> None:
    with pytest.raises(GraphError, match="do not broadcast") as caught:
        operands.broadcast_shape(*shapes)
    assert caught.value.received == ", ".join(f"({s[0]},)" for s in shapes)


def test_errors_point_at_the_users_line() -> None:
    with pytest.raises(GraphError) as caught:
        ops.add(np.ones((2, 3)), np.ones((2, 4)))
    assert "test_operands.py" in str(caught.value)
    assert "ops.add(np.ones((2, 3)), np.ones((2, 4)))" in str(caught.value)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (2, r"`axis` to be in -2\.\.1 for a tensor of rank 2. Received: axis=2"),
        (-3, "Received: axis=-3"),
        ((0, -2), r"distinct axes. Received: axis=\(0, -2\)"),
        (1.5, "to be an integer. Received: axis=1.5"),
        ("x", "to be an integer. Received: axis='x'"),
    ],
)
def test_wrong_axes(axis: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        ops.sum(np.ones((2, 3)), axis=axis)


def test_shapes_are_not_tensors() -> None:
    with pytest.raises(GraphError, match="`shape` to consist of integers"):
        ops.zeros((2.5, 1))
    with pytest.raises(GraphError, match="`shape` to consist of integers") as caught:
        traced(lambda x: ops.zeros((x, 1)), ())
    assert "fixed when the graph is traced" in str(caught.value)


def test_numpy_integers_are_sizes() -> None:
    assert ops.zeros((np.int64(2), np.int32(3))).shape == (2, 3)
    assert ops.reshape(np.ones(6), np.array([2, 3])).shape == (2, 3)
    assert ops.one_hot([0, 1], np.int64(3)).shape == (2, 3)
    assert ops.arange(np.int64(3)).shape == (3,)


def test_a_size_that_is_not_known_computes() -> None:
    program = traced(lambda x: ops.sum(x) / ops.shape(x)[0], (B, 2))
    (found,) = evaluate(program.graph, np.ones((5, 2), np.float32))
    assert found == 2.0
    program = traced(lambda x: ops.cast(ops.shape(x)[0] * 2 + 1, "float32"), (B, 2))
    (found,) = evaluate(program.graph, np.ones((5, 2), np.float32))
    assert found == 11.0
    assert found.dtype == np.float32


def test_sizes_in_shapes() -> None:
    assert shape_of(lambda x: ops.zeros((ops.shape(x)[0], 3)), (B, 2)) == (B, 3)
    assert shape_of(lambda x: ops.reshape(x, (-1, 2)), (B, 4)) == (2 * B, 2)
    assert shape_of(lambda x: ops.reshape(x, (-1, 8)), (B, 2, 4)) == (B, 8)
    assert shape_of(lambda x: ops.arange(ops.shape(x)[1]), (B, T)) == (T,)
    assert shape_of(lambda x: ops.concatenate([x, x]), (B, 2)) == (2 * B, 2)
    assert shape_of(lambda x: ops.pad(x, ((1, 2), (0, 0))), (B, 2)) == (B + 3, 2)
    wanted = parse_dim("(T+1)//2")
    assert shape_of(lambda x: x[:, ::2], (B, T)) == (B, wanted)
    assert shape_of(lambda x: ops.eye(ops.shape(x)[0]), (B,)) == (B, B)
    assert shape_of(lambda x: ops.tile(x, (1, 3)), (B, T)) == (B, 3 * T)
    assert shape_of(lambda x: ops.size(x) * ops.ones(()), (B,)) == ()


def test_operators() -> None:
    x = ops.convert_to_tensor(np.float32([1, -2, 4]))
    y = np.float32([2, 2, 3])
    a, b = x.numpy(), y
    for ours, wanted in (
        (x + y, a + b),
        (y - x, b - a),
        (2 * x, 2 * a),
        (x / y, a / b),
        (1 / x, 1 / a),
        (x // y, a // b),
        (7 % y + x, 7 % b + a),
        (x**2, a**2),
        (2.0**x, 2.0**a),
        (-x, -a),
        (abs(x), abs(a)),
        (x @ y, a @ b),
        (x < y, a < b),
        (x >= 1, a >= 1),
        (x == y, a == b),
        (x != y, a != b),
        ((x > 0) & (y > 2), (a > 0) & (b > 2)),
        ((x > 0) | (y > 2), (a > 0) | (b > 2)),
        ((x > 0) ^ (y > 2), (a > 0) ^ (b > 2)),
        (~(x > 0), ~(a > 0)),
        (x[1:], a[1:]),
        (x.reshape(3, 1).T, a.reshape(3, 1).T),
        (x.astype("int32"), a.astype("int32")),
    ):
        assert_close(np.asarray(ours), wanted)
