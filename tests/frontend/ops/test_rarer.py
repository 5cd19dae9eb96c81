"""What the comparison with Keras leaves out of statistics, loops over elements, sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import ops
from graphc.frontend.keras_tensor import KerasTensor
from graphc.frontend.variables import Variable
from graphc.ir.errors import GraphError
from tests.closeness import assert_close

X = np.float32([[0.5, -1.25, 2.0, 0.25], [1.5, 3.0, -0.75, 1.0]])


# -- sizes that depend on values -------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (ops.nonzero, "ops.where"),
        (ops.bincount, "ops.segment_sum"),
        (ops.unique, "as `size`"),
    ],
)
def test_sizes_that_depend_on_values_are_refused_in_traces(
    function: Any, hint: str
) -> None:
    message = "depends on the values of a tensor"
    with pytest.raises(GraphError, match=message) as caught:
        graphc.trace(function, graphc.TensorSpec((4,), "int32"))
    assert hint in str(caught.value)
    assert caught.value.location is not None
    with pytest.raises(GraphError, match=message):
        function(KerasTensor((4,), "int32"))
    state = Variable(np.int32([1, 2]), trainable=False)
    with pytest.raises(GraphError, match=message):
        graphc.trace(lambda: function(state))


def test_values_of_variables_and_constants_are_known() -> None:
    state = Variable(np.int32([0, 2, 2]), trainable=False)
    assert ops.nonzero(state)[0].tolist() == [1, 2]
    assert ops.bincount(state).tolist() == [1, 0, 2]
    graph = graphc.trace(lambda x: x[ops.nonzero(X[0] > 0)[0]], graphc.TensorSpec((4,)))
    assert graph.results[0].shape == (3,)


def test_unique_of_a_given_size_is_traced() -> None:
    graph = graphc.trace(
        lambda x: ops.unique(x, size=3, return_counts=True, fill_value=-1),
        graphc.TensorSpec(("B",), "int32"),
    )
    values, counts = graphc.compile(graph, target="numpy")(np.int32([5, 2, 5, 5]))
    assert values.tolist() == [2, 5, -1]
    assert counts.tolist() == [1, 3, 0]


# -- functions of functions ------------------------------------------------------------


def test_vectorize_broadcasts_and_leaves_arguments_out() -> None:
    scaled = ops.vectorize(lambda x, y, power: x * y**power, excluded={2, "power"})
    wanted = X * np.float32([[2], [3]]) ** 2
    assert_close(scaled(X, np.float32([[2], [3]]), 2), wanted)
    assert_close(scaled(X, np.float32([[2], [3]]), power=2), wanted)


def test_vectorize_with_a_signature() -> None:
    apply = ops.vectorize(ops.matmul, signature="(m,n),(n)->(m)")
    matrices = np.arange(12, dtype=np.float32).reshape(2, 1, 3, 2)
    vectors = np.float32([[1, 0], [0, 1], [1, 1]])
    found = apply(matrices, vectors).numpy()
    wanted = np.matmul(matrices, vectors[..., None])[..., 0]
    assert_close(found, wanted)
    with pytest.raises(GraphError, match="signature of 2 arguments"):
        ops.vectorize(ops.matmul, signature="(m,n)->(m)")(matrices, vectors)


def test_jvp() -> None:
    def function(x: Any, y: Any) -> Any:
        return {"product": ops.sin(x) * y, "total": ops.sum(x * x)}, ops.max(x)

    arguments, change = (X[0], X[1]), (X[1], np.ones(4, np.float32))
    value, slope, aux = ops.jvp(function, arguments, change, has_aux=True)
    assert float(aux) == X[0].max()
    x, y, dx = (v.astype(np.float64) for v in (X[0], X[1], X[1]))
    assert_close(value["product"], np.sin(x) * y)
    wanted = np.cos(x) * dx * y + np.sin(x)
    assert_close(slope["product"], wanted)
    assert_close(slope["total"], 2 * (x * dx).sum())


# -- properties ------------------------------------------------------------------------


def test_sparsemax_is_the_nearest_point_of_the_simplex() -> None:
    found = ops.sparsemax(X).numpy()
    assert_close(found.sum(axis=1), 1)
    # The elements above 0 are x less one number for each row, the others are below it.
    for row, given in zip(found, X, strict=True):
        limit = (given - row)[row > 0]
        assert_close(limit, limit[0])
        assert (given[row == 0] <= limit[0]).all()


def test_unravel_index_of_more_elements_than_the_dtype_counts() -> None:
    shape = (1 << 16, 1 << 16)
    for index in (np.int32([5, (3 << 16) + 7]), np.uint8([5, 200])):
        found = ops.unravel_index(index, shape)
        for ours, theirs in zip(found, np.unravel_index(index, shape), strict=True):
            np.testing.assert_array_equal(ours, theirs)
            assert np.asarray(ours).dtype == index.dtype


def test_argpartition_puts_smaller_elements_before() -> None:
    places = ops.argpartition(X, 2, axis=1).numpy()
    parted = np.take_along_axis(X, places, axis=1)
    assert (parted[:, :2] <= parted[:, 2:3]).all()
    assert (parted[:, 3:] >= parted[:, 2:3]).all()


def test_factors_multiply_to_the_matrix() -> None:
    square = (X @ X.T).astype(np.float32) + np.eye(2, dtype=np.float32)
    u, s, v = (p.numpy() for p in ops.svd(X, full_matrices=False))
    assert_close(u * s @ v, X)
    q, r = (p.numpy() for p in ops.qr(X, mode="complete"))
    assert_close(q @ r, X)
    values, vectors = (p.numpy() for p in ops.eigh(square))
    assert_close(square @ vectors, vectors * values)
    lower = ops.cholesky(square).numpy()
    assert_close(lower @ lower.T, square)
    upper = ops.cholesky(square, upper=True).numpy()
    assert_close(upper, lower.T)
    assert np.isnan(ops.cholesky(-square).numpy()).any()


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64"])
def test_matrices_of_other_floats(name: str) -> None:
    matrix = ops.cast(np.float32([[4, 1], [1, 3]]), name)
    for function in (ops.inv, ops.det, ops.cholesky, ops.pinv, ops.logdet):
        assert function(matrix).dtype == name
    assert_close(ops.inv(matrix), np.array([[3, -1], [-1, 4]]) / 11)


def test_transforms_are_inverses() -> None:
    assert_close(ops.irfft(ops.rfft(X)), X)
    again = ops.ifft2(ops.fft2((X, X * 2)))
    assert_close(again[0], X)
    assert_close(again[1], X * 2)
    signal = np.sin(np.arange(50, dtype=np.float32) * 0.3)
    frames = ops.stft(signal, 8, 4, 8)
    found = ops.istft(frames, 8, 4, 8, length=44).numpy()
    assert_close(found, signal[:44])


def test_nextafter_and_ldexp_of_other_floats() -> None:
    for name, gap in (("float16", 2**-10), ("bfloat16", 2**-7), ("float64", 2**-52)):
        one = ops.ones((1,), name)
        found = np.asarray(ops.nextafter(one, one + 1)).astype(np.float64)
        assert found.tolist() == [1 + gap]
        assert np.asarray(ops.ldexp(one * 3, [2])).tolist() == [12]
    assert float(ops.ldexp(ops.ones((), "float64"), -1074)) == 5e-324


def test_gradients_at_delicate_places() -> None:
    def slope(function: Any, at: Any) -> np.ndarray:
        return graphc.grad(lambda x: ops.sum(function(x)))(np.float32(at)).numpy()

    np.testing.assert_array_equal(slope(ops.sinc, [0.0]), [0])
    np.testing.assert_array_equal(slope(ops.i0, [0.0, -0.0]), [0, 0])
    np.testing.assert_array_equal(
        slope(lambda x: ops.cdist(x, X[:1]), X[:1]), 0 * X[:1]
    )
    np.testing.assert_array_equal(slope(ops.nanmean, [1.0, np.nan]), [1, 0])
    np.testing.assert_array_equal(slope(lambda x: ops.vander(x, 3), [0.0, 1]), [1, 3])
    assert_close(slope(ops.arccosh, [1e30]) * 1e30, [1])
    inverse = np.linalg.inv(np.float32([[4, 1], [1, 3]]))
    assert_close(slope(ops.logdet, [[4, 1], [1, 3]]), inverse)


# -- wrong arguments -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.quantile(X, 0.5, method="cubic"), "Received: method='cubic'"),
        (lambda: ops.quantile(X, [[0.5]]), "levels of rank 0 or 1"),
        (lambda: ops.median(X[:, :0], axis=1), "at least one element"),
        (lambda: ops.digitize(X, X), "at least one edge, in rank 1"),
        (lambda: ops.nonzero(2.0), "a tensor of rank 1 or more"),
        (lambda: ops.histogram(X, 0), "a number of bins of at least 1"),
        (lambda: ops.histogram(X, range=(1, 0)), "a range that ascends"),
        (lambda: ops.corrcoef(X[None]), "rank 1 or 2"),
        (lambda: ops.correlate(X, X), "tensors of rank 1 and a mode"),
        (lambda: ops.cdist(X, X[:, :2]), "rows of one size"),
        (lambda: ops.psnr(X, X[0], 1.0), "tensors of one shape"),
        (lambda: ops.cross(X, X), "2 or 3 elements. Received: 4 and 4"),
        (lambda: ops.vander(X), "a tensor of rank 1 and N"),
        (lambda: ops.unravel_index(X, (2, 4)), "integer indices"),
        (lambda: ops.argpartition(X, 4), r"`kth` in -4..3. Received: kth=4"),
        (lambda: ops.gcd(X, 2), "Expected integers"),
        (lambda: ops.ldexp(X, X), "integer exponents"),
        (lambda: ops.bartlett(2.5), "to consist of integers"),
        (lambda: ops.bincount([-1]), "at least 0. Received: -1"),
        (lambda: ops.bincount(X), "integers of rank 1 or 2"),
        (lambda: ops.unique(X, axis=0), "axis=None"),
        (lambda: ops.extract_sequences(X, 5, 1), r"a length in 1..4"),
        (lambda: ops.inv(X), "square matrices"),
        (lambda: ops.svd(X[0]), "rank 2 or more"),
        (lambda: ops.solve(np.eye(2), X.T), "right sides"),
        (lambda: ops.lstsq(X, X[0]), "right sides"),
        (lambda: ops.qr(X, mode="r"), "Received: mode='r'"),
        (lambda: ops.fft(X), "a pair of tensors"),
        (lambda: ops.fft((X, X[0])), "parts of one shape"),
        (lambda: ops.stft(X, 5, 1, 4), "frames of at most `fft_length`"),
        (lambda: ops.stft(X, 3, 1, 4, window="box"), "Received: window='box'"),
        (lambda: ops.stft(X, 3, 1, 4, window=[1, 2]), "a window of 3 weights"),
    ],
)
def test_wrong_arguments(call: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        call()
