"""Arguments that functions refuse, and gradients where they are delicate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphc.frontend import ops
from graphc.frontend.program import Slot, trace_program
from graphc.frontend.tensor import Array
from graphc.ir import Graph, TensorType, building, dtype, evaluate
from graphc.ir import ops as ir_ops
from graphc.ir.errors import GraphError
from tests.closeness import Comparison, assert_close

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.where(X > 1), "both `x1` and `x2`. Received: x1=None"),
        (lambda: ops.select([X > 1], [X, X]), "1 conditions, 2 choices"),
        (lambda: ops.select([], []), "at least one"),
        (lambda: ops.round(np.array([True])), "Received: bool"),
        (lambda: ops.round(np.int32([15]), decimals=-1), "decimals=-1"),
        (lambda: ops.max(np.zeros((0, 2), np.float32), axis=0), "or `initial`"),
        (
            lambda: ops.average(X, axis=0, weights=np.ones(3)),
            "one weight for each of 2",
        ),
        (lambda: ops.average(X, weights=np.ones(3)), "of rank 1 with one `axis`"),
        (lambda: ops.norm(X, ord="max"), "Received: ord='max'"),
        (lambda: ops.norm(X, ord=3, axis=(0, 1)), "Received: ord=3"),
        (lambda: ops.top_k(X, 4), r"`k` in 0..3. Received: k=4"),
        (lambda: ops.searchsorted(X, X), "a sequence of rank 1"),
        (lambda: ops.searchsorted(X[0], X, side="up"), "Received: side='up'"),
        (lambda: ops.arange(0, 3, 0), "a step other than 0"),
        (lambda: ops.arange("3"), "Expected numbers. Received: str"),
        (lambda: ops.linspace(0, 1, -1), "Received: num=-1"),
        (lambda: ops.tril(X[0]), "a matrix, or a stack"),
        (lambda: ops.diag(X[None]), "rank 1 or 2"),
        (lambda: ops.diagonal(X, axis1=1, axis2=1), "Expected two axes"),
        (lambda: ops.matmul(X, X), "the last size of x1"),
        (lambda: ops.matmul(X, 2.0), "rank 1 or more"),
        (lambda: ops.tensordot(X, X, axes=1), "to be of one size"),
        (lambda: ops.tensordot(X, X, axes=[[0, 1], [0]]), "as many axes"),
        (lambda: ops.glu(X), "even size"),
        (lambda: ops.view(X, "int8"), "not of the same width"),
        (lambda: ops.convert_to_tensor(X, sparse=True), "dense tensors"),
        (lambda: ops.one_hot([1], 3, sparse=True), "dense tensors"),
        (lambda: ops.multi_hot([1]), "Expected `num_classes`"),
        (lambda: ops.binary_crossentropy(X, X[:, :2]), "do not broadcast"),
        (lambda: ops.categorical_crossentropy(X[:1], X), "of the same shape"),
        (
            lambda: ops.sparse_categorical_crossentropy(np.int32([1]), X),
            r"target.shape=\(1,\)",
        ),
        (lambda: ops.batch_normalization(X, X, X, axis=1), "`mean` of shape"),
        (lambda: ops.dot_product_attention(X, X, X), "rank 4"),
    ],
)
def test_wrong_arguments(call: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        call()


def gradient(function: Any, x: Any) -> np.ndarray:
    """The gradient of the sum of a function's result."""
    array = np.asarray(x, np.float32)
    program = trace_program(
        "loss",
        lambda x: ops.sum(function(x)),
        (Slot(0),),
        [TensorType(array.shape, dtype("float32"))],
    )
    outer = Graph("outer", program.graph.module)
    parameter = outer.add_parameter(program.graph.parameters[0].type)
    with building(outer):
        outer.results = ir_ops.value_and_gradient(
            parameter, graph=program.graph, wrt=[0]
        )
    return evaluate(outer, array)[1]


@pytest.mark.parametrize(
    ("function", "x", "wanted"),
    [
        (lambda x: ops.divide_no_nan(1.0, x), [0.0, 2.0], [0.0, -0.25]),
        (lambda x: ops.logaddexp(x, x), [3.0, 1e30], [1.0, 1.0]),
        (lambda x: ops.hypot(x, 0.0), [0.0, 3.0], None),
        (ops.arcsinh, [1e30, 0.0, -1e30], [1e-30, 1.0, 1e-30]),
        (ops.normalize, [[0.0, 0.0]], None),
        (lambda x: ops.power(x, 2), [0.0, -3.0], [0.0, -6.0]),
        (lambda x: ops.where(x > 0, ops.log(ops.maximum(x, 1e-9)), 0.0), [0.0], [0.0]),
        (lambda x: ops.clip(x, -1.0, 1.0), [-2.0, 0.5, 2.0], [0.0, 1.0, 0.0]),
        (lambda x: ops.relu(x), [-1.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
        (lambda x: ops.stop_gradient(x) * x, [3.0], [3.0]),
        (lambda x: ops.max(x), [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
        (lambda x: ops.celu(x), [-30.0, 5.0], None),
    ],
)
def test_delicate_gradients(function: Any, x: Any, wanted: Any) -> None:
    found = gradient(function, x)
    assert np.isfinite(found).all()
    if wanted is not None:
        assert_close(found, wanted)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.einsum("ij,kj->ik", x, x),
        lambda x: ops.take_along_axis(x, np.int32([[0, 2], [1, 1]]), axis=1) ** 2,
        lambda x: x[:, ::-1] * ops.get_item(x, (slice(None), np.int32([0, 0, 1]))),
        lambda x: ops.cumprod(x, axis=1),
        lambda x: ops.logsumexp(x, axis=0),
        lambda x: ops.sort(x, axis=1) * np.float32([1, 2, 3]),
        lambda x: ops.std(x, axis=1),
        lambda x: ops.scatter_update(x, [[0, 1]], x[1, :1], reduction="add") ** 2,
        lambda x: ops.conv_transpose(x[:, :, None], np.ones((2, 1, 1)), 2) ** 2,
        lambda x: ops.kron(x, x),
        lambda x: ops.arccosh(x + 1.0),
        lambda x: ops.mod(x, 0.7) * x,
        lambda x: ops.linspace(x, x * 2, 4) ** 2,
        lambda x: ops.dot_product_attention(
            x[None, :, None], x[None, :, None], x[None, :, None], bias=x[:, :2]
        ),
    ],
)
def test_gradients_agree_with_differences(function: Any) -> None:
    x = np.float32([[0.5, 1.25, -0.75], [1.5, 0.25, 2.0]])
    if np.isnan(np.asarray(function(x))).any():
        x = np.abs(x)
    found = gradient(function, x)
    numeric = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-2
        above, below = (
            np.asarray(function(x + sign * step), np.float64).sum() for sign in (1, -1)
        )
        numeric[place] = (above - below) / 2e-2
    assert_close(found, numeric, Comparison.DIFFERENCES)


# -- comparisons -----------------------------------------------------------------------


def test_closeness_is_relative_for_large_numbers_and_absolute_for_small() -> None:
    x = np.float32([1e3, 1e3, 1e-9, 1e-7])
    y = np.float32([1000.005, 1000.02, 6e-9, 2e-7])
    np.testing.assert_array_equal(ops.isclose(x, y), [True, False, True, False])


def test_the_lower_of_two_elements_is_nearest_to_their_middle() -> None:
    assert float(ops.quantile(np.float32([1, 2]), 0.5, method="nearest")) == 1


def test_a_range_of_one_number_is_widened_on_both_sides() -> None:
    _, edges = ops.histogram(np.float32([1, 2, 3]), bins=2, range=(2.0, 2.0))
    np.testing.assert_array_equal(edges, [1.5, 2.0, 2.5])


# -- conversion ------------------------------------------------------------------------


def test_conversion_to_tensors() -> None:
    for given, name in (
        ([1.0, 2.0], "float32"),
        ([1, 2], "int32"),
        (True, "bool"),
        (np.float16([1]), "float16"),
        (np.arange(2), "int64"),
        ([], "float32"),
    ):
        found = ops.convert_to_tensor(given)
        assert found.dtype == name
        assert ops.dtype(given) == name
        np.testing.assert_array_equal(np.asarray(found), np.asarray(given))
    tensor = ops.convert_to_tensor([1.5, 300.0])
    assert ops.convert_to_tensor(tensor) is tensor
    assert ops.convert_to_tensor(tensor, "uint8").tolist() == [1, 255]
    assert ops.convert_to_tensor([tensor, [0, 1]]).tolist() == [[1.5, 300.0], [0, 1]]


@pytest.mark.parametrize("given", [["a"], None, object(), 1j, [1, [2]]])
def test_what_is_no_tensor(given: Any) -> None:
    with pytest.raises(GraphError, match=r"nested lists of numbers. Received: "):
        ops.convert_to_tensor(given)


def test_conversion_to_numpy() -> None:
    assert type(ops.convert_to_numpy(Array(X))) is np.ndarray
    with pytest.raises(GraphError, match="not known while tracing"):
        trace_program(
            "f", ops.convert_to_numpy, (Slot(0),), [TensorType((), dtype("f32"))]
        )


def test_shapes_of_lists() -> None:
    assert ops.shape([[1, 2, 3]]) == (1, 3)
    assert ops.ndim(2.0) == 0
    assert ops.size([[1, 2, 3]]) == 3


@pytest.mark.parametrize("name", ["floor_divide", "mod", "hypot"])
def test_zeros_infinities_and_nan_are_numpys(name: str) -> None:
    numbers = np.float32([1, -2.5, 0, -0.0, np.inf, -np.inf, np.nan])
    a, b = (x.ravel() for x in np.meshgrid(numbers, numbers))
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(a, b)
        found = getattr(ops, name)(a, b).numpy()
    np.testing.assert_array_equal(found, wanted)


def test_integers_that_the_dtype_cannot_hold_are_compared() -> None:
    bytes_ = np.uint8([0, 3, 255])
    for number in (-1, 3, 256, -(2**40)):
        for name in ("equal", "less", "greater_equal"):
            compared = getattr(np, name)
            found = getattr(ops, name)
            np.testing.assert_array_equal(
                found(bytes_, number), compared(bytes_, np.int64(number))
            )
            np.testing.assert_array_equal(
                found(number, bytes_), compared(np.int64(number), bytes_)
            )


@pytest.mark.parametrize("name", ["int32", "uint8", "int8"])
def test_remainders_of_zero_are_zero(name: str) -> None:
    a, b = np.array([7, 5, 0, 3], name), np.array([0, 3, 0, 2], name)
    for function in (ops.mod, ops.fmod):
        np.testing.assert_array_equal(function(a, b), [0, 2, 0, 1])
    np.testing.assert_array_equal(ops.mod(a, 0), np.zeros(4))


@pytest.mark.parametrize("offset", [1, -1, 2, -3, 9, -9])
def test_diagonals_beyond_a_matrix_are_empty(offset: int) -> None:
    for x in (X, X[:0], X[:, :0], np.stack([X, X])):
        wanted = np.diagonal(x, offset)
        np.testing.assert_array_equal(ops.diagonal(x, offset), wanted)
        np.testing.assert_array_equal(ops.trace(x, offset), wanted.sum(-1))


def test_differences_of_more_than_there_is_are_empty() -> None:
    for n in range(5):
        np.testing.assert_array_equal(ops.diff(X, n), np.diff(X, n))
    with pytest.raises(GraphError, match="Received: n=-1"):
        ops.diff(X, -1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_nan_is_behind_all_numbers(side: Any) -> None:
    numbers = np.float32([0, 1, np.inf, np.nan, np.nan])
    values = np.float32([np.nan, 0.5, np.inf, 2, -np.inf])
    found = ops.searchsorted(numbers, values, side)
    np.testing.assert_array_equal(found, np.searchsorted(numbers, values, side))


@pytest.mark.parametrize(
    "subscripts", ["ij->ji", "ij->", "ii->i", "ij,jk,kl->il", "ij,k->i", "ij,ij->ij"]
)
def test_sums_of_products_of_int8_are_int32(subscripts: str) -> None:
    terms = subscripts.partition("->")[0].split(",")
    operands = [np.full((3, 3)[: len(term)], 99, np.int8) for term in terms]
    found = ops.einsum(subscripts, *operands)
    wanted = np.einsum(subscripts, *(x.astype(np.int32) for x in operands))
    assert found.dtype == "int32"
    np.testing.assert_array_equal(found, wanted)


def test_shapes_are_arrays_too() -> None:
    for function in (ops.zeros, ops.ones, ops.empty):
        assert function(np.array([2, 3])).shape == (2, 3)
    assert ops.full(np.array([2]), 1.0).shape == (2,)
