"""How fast is attention, forward and with its gradients?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from benchmarks.gpu.cases import Input, Kernels
from benchmarks.gpu.frameworks import torch
from graphc import ops


def cases(tiny: bool) -> Sequence[Kernels]:
    """K3: heads of 64 as in GPT-2, and of 128, causal."""
    shapes = ((1, 32, 2, 16),) if tiny else ((32, 1024, 12, 64), (4, 4096, 16, 128))
    return [_case(*shape, wrt) for shape in shapes for wrt in ((), (0, 1, 2))]


def _case(b: int, t: int, h: int, d: int, wrt: tuple[int, ...]) -> Kernels:
    one = Input((b, t, h, d))
    products = 2 * 2 * b * h * t * t * d // 2  # half of the logits are masked
    return Kernels(
        f"B{b} T{t} H{h} D{d}, {'with gradients' if wrt else 'forward'}",
        (one, one, one),
        lambda q, k, v: (ops.dot_product_attention(q, k, v, is_causal=True),),
        lambda q, k, v: (_in_torch(q, k, v),),
        _in_jax,
        wrt=wrt,
        cotangents=(one,) if wrt else (),
        flops=products * (7 if wrt else 2) // 2,
        others={"torch cuDNN": _by_cudnn, "torch flash": _by_flash},
    )


def _in_torch(q: Any, k: Any, v: Any) -> Any:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(q, k, v, is_causal=True).transpose(1, 2)


def _by_cudnn(q: Any, k: Any, v: Any) -> Any:
    with torch.nn.attention.sdpa_kernel(
        [torch.nn.attention.SDPBackend.CUDNN_ATTENTION]
    ):
        return (_in_torch(q, k, v),)


def _by_flash(q: Any, k: Any, v: Any) -> Any:
    with torch.nn.attention.sdpa_kernel(
        [torch.nn.attention.SDPBackend.FLASH_ATTENTION]
    ):
        return (_in_torch(q, k, v),)


def _in_jax(q: Any, k: Any, v: Any) -> Any:
    gpu = jax.default_backend() == "gpu" and q.dtype != "float64"
    return (
        jax.nn.dot_product_attention(
            q, k, v, is_causal=True, implementation="cudnn" if gpu else None
        ),
    )
