"""Arrays and the operators of tensors."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import ops
from graphc.frontend.tensor import Array, is_tensor
from tests.closeness import assert_close

F32 = np.float32
X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], F32)
Y = np.array([[2.0, 2.0, 1.0], [3.0, 0.5, 6.0]], F32)

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
]


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
def test_binary_operators(function: Callable[..., Any]) -> None:
    wanted = function(X, Y)
    variable = graphc.Variable(X)
    for left, right in (
        (Array(X), Array(Y)),
        (Array(X), Y),
        (X, Array(Y)),
        (variable, Array(Y)),
        (variable, Y),
    ):
        found = function(left, right)
        assert isinstance(found, Array)
        assert found.dtype == wanted.dtype.name
        assert_close(found, wanted)
    for left, right in ((Array(X), 2), (2, Array(X)), (2.0, variable)):
        wanted = function(np.asarray(left), np.asarray(right))
        assert_close(function(left, right), wanted)


def test_matrix_product_and_unary_operators() -> None:
    x = Array(X)
    assert_close(x @ Y.T, X @ Y.T)
    assert_close(X @ Array(Y).T, X @ Y.T)
    np.testing.assert_array_equal(-x, -X)
    np.testing.assert_array_equal(abs(-x), X)
    assert +x is x
    flags = Array(X > 2)
    np.testing.assert_array_equal(~flags, X <= 2)
    np.testing.assert_array_equal(flags & (X < 5), (X > 2) & (X < 5))
    np.testing.assert_array_equal(flags | True, np.ones((2, 3), bool))
    np.testing.assert_array_equal(flags ^ flags, np.zeros((2, 3), bool))


def test_shape_methods_and_indexing() -> None:
    x = Array(X)
    assert (x.shape, x.ndim, x.size, len(x), x.dtype) == ((2, 3), 2, 6, 2, "float32")
    np.testing.assert_array_equal(x.reshape(3, 2), X.reshape(3, 2))
    np.testing.assert_array_equal(x.reshape((6,)), X.reshape(6))
    np.testing.assert_array_equal(x.T, X.T)
    np.testing.assert_array_equal(x[0], X[0])
    np.testing.assert_array_equal(x[:, 1:], X[:, 1:])
    np.testing.assert_array_equal(x[..., None, -1], X[..., None, -1])
    assert x.astype("int32").dtype == "int32"
    np.testing.assert_array_equal([row.numpy() for row in x], X)


def test_as_numbers_and_text() -> None:
    one = ops.sum(Array(X))
    assert (float(one), int(one), bool(one), one.item()) == (21.0, 21, True, 21.0)
    assert [10, 20][ops.convert_to_tensor(1)] == 20
    assert f"{one:.1f}" == "21.0"
    assert str(Array(X[0])) == f"{Array(X[0])}" == "[1. 2. 3.]"
    assert repr(Array(X[0])) == "Array([1., 2., 3.], dtype=float32)"
    assert Array(X).tolist() == X.tolist()
    with pytest.raises(ValueError, match="more than one element"):
        bool(Array(X))


def test_as_arrays_of_other_libraries() -> None:
    x = Array(X)
    assert np.asarray(x).dtype == F32
    assert np.asarray(x, np.float64).dtype == np.float64
    np.testing.assert_array_equal(np.from_dlpack(x), X)
    np.testing.assert_array_equal(np.sin(x), np.sin(X))
    assert len({Array(X), Array(X)}) == 2


def test_what_is_a_tensor() -> None:
    for tensor in (Array(X), graphc.Variable(X), graphc.Input((3,))):
        assert is_tensor(tensor)
    assert not is_tensor(X)
    seen = []
    graphc.jit(lambda x: seen.append((is_tensor(x), repr(x), x.dtype)))(X)
    assert seen == [(True, "<TracedTensor f32[2,3]>", "float32")]


def test_traced_tensors_have_length_and_rows() -> None:
    @graphc.jit
    def rows(x: Any) -> Any:
        assert len(x) == 2
        first, second = x
        return first + second

    np.testing.assert_array_equal(rows(X), X.sum(0))
    with pytest.raises(TypeError, match="rank 0"):
        graphc.jit(len)(1.0)
    with pytest.raises(TypeError, match="rank 0"):
        graphc.jit(list)(1.0)
