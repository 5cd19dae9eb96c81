"""How fast are softmax and cross-entropy, and how much memory does a head take?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.gpu.cases import Input, Kernels
from benchmarks.gpu.frameworks import torch
from graphc import ops


def of_logits(tiny: bool) -> Sequence[Kernels]:
    """K5: of given logits, as many as GPT-2 and Llama 3 have."""
    if tiny:
        return [_softmax(8, 200), _loss(8, 200)]
    rows, classes = 16384, (50304, 131072)
    return [make(rows, n) for n in classes for make in (_softmax, _loss)]


def _softmax(rows: int, classes: int) -> Kernels:
    x = Input((rows, classes))
    return Kernels(
        f"softmax {rows}x{classes}, with gradient",
        (x,),
        lambda x: (ops.softmax(x),),
        lambda x: (torch.softmax(x, -1),),
        lambda x: (jax.nn.softmax(_wide(x)).astype(x.dtype),),
        wrt=(0,),
        cotangents=(x,),
        bytes=2 * rows * classes * 5,
    )


def _loss(rows: int, classes: int) -> Kernels:
    return Kernels(
        f"cross-entropy {rows}x{classes}, with gradient",
        (Input((rows, classes)), Input((rows,), "int32", below=classes)),
        lambda x, y: (_our_loss(x, y),),
        lambda x, y: (_torch_loss(x, y),),
        lambda x, y: (_jax_loss(x, y),),
        wrt=(0,),
        cotangents=(Input((), "float32"),),
        bytes=2 * rows * classes * 3,
    )


def of_linear(tiny: bool) -> Sequence[Kernels]:
    """K6: of the outputs of a linear layer, with the gradients of both."""
    shapes = ((16, 32, 200),) if tiny else ((32768, 768, 50304), (8192, 4096, 131072))
    return [_head(*shape) for shape in shapes]


def _head(rows: int, width: int, classes: int) -> Kernels:
    return Kernels(
        f"{rows}x{width}x{classes}, with gradients",
        (
            Input((rows, width)),
            Input((width, classes), scale=width**-0.5),
            Input((rows,), "int32", below=classes),
        ),
        lambda x, w, y: (_our_loss(ops.matmul(x, w), y),),
        lambda x, w, y: (_torch_loss(x @ w, y),),
        lambda x, w, y: (_jax_loss(x @ w, y),),
        wrt=(0, 1),
        cotangents=(Input((), "float32"),),
        flops=6 * rows * width * classes,
        workspace=2 * rows * classes,
    )


def _our_loss(logits: Any, labels: Any) -> Any:
    losses = ops.sparse_categorical_crossentropy(
        labels, ops.cast(logits, "float32"), from_logits=True
    )
    return ops.mean(losses)


def _torch_loss(logits: Any, labels: Any) -> Any:
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return torch.nn.functional.cross_entropy(wide, labels.long())


def _jax_loss(logits: Any, labels: Any) -> Any:
    logits = _wide(logits)
    chosen = jnp.take_along_axis(logits, labels[:, None], -1)[:, 0]
    return (jax.nn.logsumexp(logits, -1) - chosen).mean()


def _wide(x: Any) -> Any:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
