"""Symbolic tensors and the operations recorded between them."""

import inspect
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers, ops
from graphc.frontend.keras_tensor import KerasTensor, symbolic_leaves
from tests.closeness import assert_close


def test_shape_dtype_and_name() -> None:
    x = graphc.Input((3, None), name="x")
    assert (x.shape, x.dtype, x.ndim, x.name) == ((None, 3, None), "float32", 3, "x")
    assert repr(x) == "<KerasTensor shape=(None, 3, None), dtype=float32, name=x>"
    assert graphc.Input(batch_shape=(2, 3), dtype="int32").shape == (2, 3)
    with pytest.raises(ValueError, match=r"integers and None\. Received"):
        KerasTensor((None, "a"))


def test_unknown_sizes_are_told_apart() -> None:
    a, b = graphc.Input((None,)), graphc.Input((None,))
    assert a.type.shape[0] == b.type.shape[0]
    assert a.type.shape[1] != b.type.shape[1]


def test_operators_and_ops_are_recorded() -> None:
    x, y = graphc.Input((3,)), graphc.Input((3,), dtype="int32")
    z = ops.sin(x * 2.0 + 1.0) - y
    assert isinstance(z, KerasTensor)
    assert (z.shape, z.dtype) == ((None, 3), "float32")
    model = graphc.Model([x, y], z)
    given = [np.ones((2, 3), np.float32), np.ones((2, 3), np.int32)]
    assert_close(model(given), np.full((2, 3), np.sin(3.0) - 1))


def test_shapes_are_computed() -> None:
    x = graphc.Input((4, 6))
    assert ops.matmul(x, np.ones((6, 2), np.float32)).shape == (None, 4, 2)
    assert ops.mean(x, axis=0).shape == (4, 6)
    assert ops.reshape(x, (-1, 24)).shape == (None, 24)
    assert x[:, 0].shape == (None, 6)
    assert ops.transpose(x, (0, 2, 1)).shape == (None, 6, 4)
    assert [part.shape for part in ops.split(x, 2, axis=2)] == [(None, 4, 3)] * 2


def test_operation_knows_its_inputs_and_line() -> None:
    x = graphc.Input((3,))
    y = layers.Dense(2)(x)
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    operation = y.operation
    assert operation is not None
    assert operation.inputs == [x] or operation.inputs[0] is x
    assert operation.location is not None
    assert operation.location.line == line
    made: Any = np.ones((2, 3), np.float32)
    assert operation.replay(lambda tensor: made).shape == (2, 2)


def test_outputs_of_one_operation() -> None:
    x = graphc.Input((4,))
    left, right = ops.split(x, 2, axis=1)
    assert left.operation is right.operation
    assert (left.index, right.index) == (0, 1)
    model = graphc.Model(x, right - left)
    np.testing.assert_array_equal(model(np.array([[1.0, 2.0, 5.0, 7.0]])), [[4, 5]])


def test_symbolic_leaves() -> None:
    x = graphc.Input((4,))
    assert symbolic_leaves({"a": [x, 1.0], "b": (None, np.ones(2))})[0] is x
    assert symbolic_leaves([1.0, np.ones(2)]) == []


@pytest.mark.parametrize("convert", [bool, float, int, list, np.asarray])
def test_no_value(convert: Any) -> None:
    with pytest.raises(ValueError, match="A KerasTensor has no value"):
        convert(graphc.Input((3,)))
