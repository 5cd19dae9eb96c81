"""Factors multiply to what was factored; degenerate matrices and gradients."""

import numpy as np
import pytest

from graphc.ir import NoGradientError
from tests.closeness import assert_close
from tests.op_results import gradients, run

SHAPES = [(3, 3), (5, 3), (3, 5), (2, 4, 3), (1, 1), (0, 3, 2), (4, 0), (0, 4)]


@pytest.fixture(params=SHAPES, ids=str)
def x(request: pytest.FixtureRequest, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=request.param)


def transposed(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -1, -2)


def assert_orthonormal(columns: np.ndarray):
    product = transposed(columns) @ columns
    wanted = np.broadcast_to(np.eye(columns.shape[-1]), product.shape)
    assert_close(product, wanted)


@pytest.mark.parametrize("full_matrices", [False, True])
def test_qr(x: np.ndarray, full_matrices: bool):
    q, r = run("qr", x, full_matrices=full_matrices)
    assert_orthonormal(q)
    assert_close(q @ r, x)
    np.testing.assert_array_equal(np.tril(r, -1), 0)


@pytest.mark.parametrize("full_matrices", [False, True])
def test_svd(x: np.ndarray, full_matrices: bool):
    u, s, vt = run("svd", x, full_matrices=full_matrices)
    assert_orthonormal(u)
    assert_orthonormal(transposed(vt))
    size = s.shape[-1]
    product = (u[..., :size] * s[..., None, :]) @ vt[..., :size, :]
    assert_close(product, x)
    assert (np.diff(s, axis=-1) <= 0).all()
    assert (u.max(-2, initial=0) >= np.abs(u).max(-2, initial=0)).all()


def test_lu(x: np.ndarray):
    packed, pivots, permutation = run("lu", x)
    size = pivots.shape[-1]
    lower = np.tril(packed[..., :size], -1) + np.eye(x.shape[-2], size)
    upper = np.triu(packed[..., :size, :])
    permuted = np.take_along_axis(x, permutation[..., None].astype(int), -2)
    assert_close(lower @ upper, permuted)
    assert (np.abs(lower) <= 1).all()
    assert (pivots >= np.arange(size)).all()


def test_eigh(rng: np.random.Generator):
    x = rng.normal(size=(2, 5, 5))
    values, vectors = run("eigh", x)
    symmetric = np.tril(x) + transposed(np.tril(x, -1))
    assert_close(symmetric @ vectors, vectors * values[:, None])
    assert (np.diff(values) >= 0).all()
    assert_orthonormal(vectors)
    np.testing.assert_array_equal(vectors.max(-2), np.abs(vectors).max(-2))


def test_matrices_that_have_no_factors_give_nan():
    bad = np.array([[[1.0, 0.0], [0.0, 1.0]], [[np.nan, 0.0], [0.0, 1.0]]])
    for result in run("svd", bad):
        assert np.isfinite(result[0]).all()
        assert np.isnan(result[1]).all()
    values, _ = run("eigh", bad)
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).any()
    indefinite = np.array([[1.0, 0.0], [2.0, 1.0]])
    assert np.isnan(run("cholesky", indefinite)).all()


def test_a_singular_matrix_has_an_upper_factor_with_a_zero():
    packed, _, permutation = run("lu", np.array([[1.0, 2.0], [2.0, 4.0]]))
    np.testing.assert_array_equal(packed, [[2, 4], [0.5, 0]])
    np.testing.assert_array_equal(permutation, [1, 0])


@pytest.mark.parametrize("lower", [True, False])
def test_cholesky_reads_one_triangle(lower: bool):
    given = np.array([[4.0, 9.0], [2.0, 5.0]])
    factor = run("cholesky", given if lower else given.T, lower=lower)
    expected = np.array([[2.0, 0.0], [1.0, 2.0]])
    assert_close(factor, expected if lower else expected.T)
    (slope,) = gradients("cholesky", [given if lower else given.T], lower=lower)
    assert (slope[0, 1] if lower else slope[1, 0]) == 0


@pytest.mark.parametrize("name", ["qr", "svd"])
def test_full_matrices_have_no_gradient(name: str):
    with pytest.raises(NoGradientError, match="full matrices is not unique") as caught:
        gradients(name, [np.ones((3, 2))], full_matrices=True)
    assert caught.value.hint == "use full_matrices=False"


def test_the_gradient_of_a_determinant():
    # The logarithm of |det x| is the sum of those of U's diagonal; its gradient x^-T.
    x = np.array([[0.0, 2.0, 1.0], [1.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
    packed = run("lu", x)[0]
    weights = np.diag(1 / np.diag(packed))
    (slope,) = gradients("lu", [x], [weights, np.zeros(3), np.zeros(3)])
    assert_close(slope, np.linalg.inv(x).T)
