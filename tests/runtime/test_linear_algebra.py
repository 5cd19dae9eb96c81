"""Factorizations by the routines of XLA's platform, of matrices that are not tiny."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir import Graph, building, tensor_type
from graphc.ir.ops import OPS
from graphc.runtime.compile import compile_graph
from tests.closeness import assert_close


def by_xla(name: str, *arrays: np.ndarray[Any, Any], **attributes: Any) -> list[Any]:
    graph = Graph(name)
    values = [graph.add_parameter(tensor_type(f"f64{list(a.shape)}")) for a in arrays]
    with building(graph):
        results = OPS[name](*values, **attributes)
    graph.results = list(results) if isinstance(results, tuple) else [results]
    return [np.asarray(result) for result in compile_graph(graph)(*arrays)]


def test_factors_multiply_to_what_was_factored(rng: np.random.Generator):
    x = rng.normal(size=(2, 40, 30))
    q, r = by_xla("qr", x)
    assert_close(q @ r, x)
    u, s, vt = by_xla("svd", x)
    assert_close((u * s[:, None]) @ vt, x)
    packed, _, permutation = by_xla("lu", x)
    lower = np.tril(packed, -1) + np.eye(40, 30)
    permuted = np.take_along_axis(x, permutation[..., None].astype(int), -2)
    assert_close(lower @ np.triu(packed[:, :30]), permuted)


def test_symmetric_matrices(rng: np.random.Generator):
    x = rng.normal(size=(2, 30, 40))
    covariance = x @ np.swapaxes(x, -1, -2)
    values, vectors = by_xla("eigh", covariance)
    assert_close((vectors * values[:, None]) @ np.swapaxes(vectors, -1, -2), covariance)
    lower = by_xla("cholesky", covariance)[0]
    assert_close(lower @ np.swapaxes(lower, -1, -2), covariance)
    assert_close(by_xla("triangular_solve", lower, covariance)[0], lower.swapaxes(1, 2))


def test_what_does_not_converge_is_nan():
    bad = np.array([[[1.0, 0.0], [0.0, 1.0]], [[np.nan, 0.0], [0.0, 1.0]]])
    for result in by_xla("svd", bad):
        assert np.isfinite(result[0]).all()
        assert np.isnan(result[1]).all()
    assert np.isnan(by_xla("cholesky", np.array([[1.0, 0.0], [2.0, 1.0]]))[0]).all()
