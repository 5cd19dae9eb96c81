"""A few programs that together run each kind of kernel, for `compute-sanitizer`.

compute-sanitizer --tool memcheck python -m tests.gpu_sample triton
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc
from graphc import ops
from graphc.ir.random_inputs import random_inputs
from graphc.runtime.compile import compile_graph

Spec = graphc.TensorSpec


def product(a: Any, b: Any) -> Any:
    """A matrix product with an epilogue, at sizes that no tile divides."""
    return ops.gelu(ops.matmul(a, b))


def normalized(x: Any) -> Any:
    """Reductions along rows, and along columns in the gradient."""
    return graphc.grad(lambda x: ops.sum(ops.square(ops.softmax(x))))(x)


def attended(q: Any, k: Any, v: Any) -> Any:
    """Attention with its gradients."""

    def total(q: Any, k: Any, v: Any) -> Any:
        return ops.sum(ops.dot_product_attention(q, k, v, is_causal=True))

    return graphc.grad(total, argnums=(0, 1, 2))(q, k, v)


def convolved(x: Any, w: Any) -> Any:
    """A convolution with its gradients, and pooling."""

    def total(x: Any, w: Any) -> Any:
        return ops.sum(ops.max_pool(ops.conv(x, w, padding="same"), 2))

    return graphc.grad(total, argnums=(0, 1))(x, w)


def gathered(table: Any, rows: Any) -> Any:
    """The gradient of a look-up: rows are added to."""
    return graphc.grad(lambda t: ops.sum(ops.square(ops.take(t, rows, axis=0))))(table)


def turned(x: Any) -> Any:
    """Elements that are stored in one order and read in another."""
    return ops.transpose(x) + 1.0


SAMPLES: tuple[tuple[Callable[..., Any], tuple[Spec, ...]], ...] = (
    (product, (Spec((130, 70), "bfloat16"), Spec((70, 50), "bfloat16"))),
    (normalized, (Spec((33, 200)),)),
    (attended, (Spec((1, 70, 2, 32), "float16"),) * 3),
    (convolved, (Spec((2, 9, 9, 5)), Spec((3, 3, 5, 7)))),
    (gathered, (Spec((20, 12)), Spec((30,), "int32"))),
    (turned, (Spec((100, 90)),)),
)


def run(target: str) -> int:
    """Runs all samples; how many arrays they returned, all of them finite."""
    count = 0
    for function, specs in SAMPLES:
        graph = graphc.trace(function, *specs)
        for array in compile_graph(graph, target)(*random_inputs(graph)):
            found = np.asarray(array).astype(np.float64)
            if not np.isfinite(found).all():
                raise SystemExit(f"{function.__name__}: not all numbers are finite")
            count += 1
    return count


if __name__ == "__main__":
    print(f"{run(sys.argv[1])} arrays")
