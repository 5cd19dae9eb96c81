"""How fast are matrix products, alone and with what can be fused into them?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.gpu.cases import Input, Kernels
from benchmarks.gpu.frameworks import torch
from graphc import ops

GPT2 = ((768, 2304), (768, 768), (768, 3072), (3072, 768))
"""The inner size and the outputs of the linear layers of GPT-2."""


def products(tiny: bool) -> Sequence[Kernels]:
    """K1: square and as in GPT-2, with each operand transposed."""
    if tiny:
        return [_product(48, 32, 64, layout) for layout in ("NN", "NT", "TN")]
    tokens = 32768
    return [
        _product(8192, 8192, 8192, "NN"),
        *(_product(tokens, k, n, layout) for k, n in GPT2 for layout in ("NN", "NT")),
        *(_product(k, tokens, n, "TN") for k, n in GPT2),
    ]


def _product(m: int, k: int, n: int, layout: str) -> Kernels:
    turned_a, turned_b = (letter == "T" for letter in layout)

    def product(a: Any, b: Any) -> Any:
        return (a.T if turned_a else a) @ (b.T if turned_b else b)

    def ours(a: Any, b: Any) -> Any:
        a = ops.transpose(a) if turned_a else a
        return (ops.matmul(a, ops.transpose(b) if turned_b else b),)

    return Kernels(
        f"{m}x{k}x{n} {layout}",
        (
            Input((k, m) if turned_a else (m, k)),
            Input((n, k) if turned_b else (k, n)),
        ),
        ours,
        lambda a, b: (product(a, b),),
        lambda a, b: (product(a, b),),
        flops=2 * m * k * n,
    )


def with_epilogues(tiny: bool) -> Sequence[Kernels]:
    """K2: bias and GELU behind a product; the gradient of GELU before one."""
    m, k, n = (48, 32, 64) if tiny else (32768, 768, 3072)
    x, w, b = Input((m, k)), Input((k, n), scale=k**-0.5), Input((n,))
    dy, h = Input((m, k)), Input((m, n))

    def ours(x: Any, w: Any, b: Any) -> Any:
        h = ops.matmul(x, w) + b
        return h, ops.gelu(h, approximate=True)

    def in_torch(x: Any, w: Any, b: Any) -> Any:
        h = torch.nn.functional.linear(x, w.T, b)
        return h, torch.nn.functional.gelu(h, approximate="tanh")

    def in_jax(x: Any, w: Any, b: Any) -> Any:
        h = jnp.matmul(x, w) + b
        return h, jax.nn.gelu(h, approximate=True)

    return [
        Kernels(
            f"{m}x{k}x{n}, bias, GELU",
            (x, w, b),
            ours,
            in_torch,
            in_jax,
            flops=2 * m * k * n,
        ),
        _gelu_before(h, Input((n, k), scale=n**-0.5), dy),
    ]


def _gelu_before(h: Input, w: Input, dy: Input) -> Kernels:
    """The gradients of ``gelu(h) @ w``: products with GELU's gradient around them."""
    (m, n), (_, k) = h.shape, w.shape
    return Kernels(
        f"{m}x{n}x{k}, GELU before, with gradients",
        (h, w),
        lambda h, w: (ops.matmul(ops.gelu(h, approximate=True), w),),
        lambda h, w: (torch.nn.functional.gelu(h, approximate="tanh") @ w,),
        lambda h, w: (jax.nn.gelu(h, approximate=True) @ w,),
        wrt=(0, 1),
        cotangents=(dy,),
        flops=6 * m * n * k,
    )
