"""Gradients where a function has a kink or elements tie: those of Keras on JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc
from tests.closeness import assert_close
from tests.frontend.recorded import Recorded, archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]  # fixtures

TIED = np.float32([[3, 1, 3, 3], [0, 0, -1, -2], [5, 5, 5, 5]])
IMAGE = np.float32([[1, 1, 0, 2], [1, 1, 2, 2], [3, 0, 0, 0], [0, 3, 0, 0]])
IMAGE = IMAGE.reshape(1, 4, 4, 1)
WEIGHTS = np.arange(1, 17, dtype=np.float32)

CASES: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "abs": (lambda ops, x: ops.abs(x), [-1, 0, 2]),
    "relu": (lambda ops, x: ops.relu(x), [-1, 0, 2]),
    "relu6": (lambda ops, x: ops.relu6(x), [-1, 0, 2, 6, 7]),
    "leaky_relu": (lambda ops, x: ops.leaky_relu(x), [-1, 0, 2]),
    "elu": (lambda ops, x: ops.elu(x, alpha=1.5), [-1, 0, 2]),
    "celu": (lambda ops, x: ops.celu(x, alpha=1.5), [-1, 0, 2]),
    "selu": (lambda ops, x: ops.selu(x), [-1, 0, 2]),
    "hard_sigmoid": (lambda ops, x: ops.hard_sigmoid(x), [-4, -3, 0, 3, 4]),
    "hard_silu": (lambda ops, x: ops.hard_silu(x), [-4, -3, 0, 3, 4]),
    "hard_tanh": (lambda ops, x: ops.hard_tanh(x), [-2, -1, 0, 1, 2]),
    "soft_shrink": (lambda ops, x: ops.soft_shrink(x), [-1, -0.5, 0, 0.5, 1]),
    "hard_shrink": (lambda ops, x: ops.hard_shrink(x), [-1, -0.5, 0, 0.5, 1]),
    "threshold": (lambda ops, x: ops.threshold(x, 0.5, 2.0), [0, 0.5, 1]),
    "softsign": (lambda ops, x: ops.softsign(x), [-1, 0, 2]),
    "sign": (lambda ops, x: ops.sign(x), [-1, 0, 2]),
    "floor": (lambda ops, x: ops.floor(x), [-1, 0, 2]),
    "round": (lambda ops, x: ops.round(x), [-0.5, 0, 1.5]),
    "sqrt": (lambda ops, x: ops.sqrt(x), [0, 4]),
    "clip": (lambda ops, x: ops.clip(x, -1, 1), [-2, -1, 0, 1, 2]),
    "maximum": (lambda ops, x: ops.maximum(x, 1.0), [0, 1, 2]),
    "minimum": (lambda ops, x: ops.minimum(x, 1.0), [0, 1, 2]),
    "where": (lambda ops, x: ops.where(x > 0, x, 2 * x), [-1, 0, 1]),
    "max": (lambda ops, x: ops.max(x, axis=1), TIED),
    "min": (lambda ops, x: ops.min(x, axis=1), TIED),
    "max of all": (lambda ops, x: ops.max(x), TIED),
    "sort": (lambda ops, x: ops.sort(x, axis=1), TIED),
    "top_k": (lambda ops, x: ops.top_k(x, 2)[0], TIED),
    "prod": (lambda ops, x: ops.prod(x, axis=1), TIED),
    "logsumexp": (lambda ops, x: ops.logsumexp(x, axis=1), TIED),
    "max_pool": (lambda ops, x: ops.max_pool(x, 2, 2), IMAGE),
    "overlapping max_pool": (lambda ops, x: ops.max_pool(x, 3, 1, "same"), IMAGE),
    "segment_max": (
        lambda ops, x: ops.segment_max(x, np.int32([0, 0, 1, 1]), 2),
        [2, 2, 1, 0],
    ),
}


def weighted(ops: Any, y: Any) -> Any:
    """The sum of the elements times 1, 2, and so on: each has its own cotangent."""
    return ops.sum(ops.reshape(y, (-1,)) * WEIGHTS[: int(np.prod(y.shape))])


@pytest.mark.parametrize("name", CASES)
def test_gradient(name: str, keras: Any, recorded: Recorded) -> None:
    function, values = CASES[name]
    x = np.asarray(values, np.float32)

    def by_keras() -> np.ndarray:
        jax = pytest.importorskip("jax")
        slope = jax.grad(lambda x: weighted(keras.ops, function(keras.ops, x)))(x)
        return np.asarray(slope)

    slope = graphc.grad(lambda x: weighted(graphc.ops, function(graphc.ops, x)))(x)
    assert_close(np.asarray(slope), recorded(by_keras))
