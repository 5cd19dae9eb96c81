"""How fast are normalizations of rows behind a residual connection?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from benchmarks.gpu.cases import Input, Kernels
from benchmarks.gpu.frameworks import torch
from graphc import ops

EPSILON = 1e-5


def cases(tiny: bool) -> Sequence[Kernels]:
    """K4: LayerNorm and RMSNorm of short and of long rows."""
    shapes = ((16, 64),) if tiny else ((32768, 768), (32768, 4096))
    makers = (_layer_norm, _rms_norm)
    return [
        make(*shape, gradients)
        for make in makers
        for shape in shapes
        for gradients in (False, True)
    ]


def _name(what: str, rows: int, columns: int, gradients: bool) -> str:
    return f"{what} {rows}x{columns}, {'with gradients' if gradients else 'forward'}"


def _bytes(rows: int, columns: int, gradients: bool) -> int:
    """Read x and r, write x + r and y; then read x + r, its and y's gradients, write dx.

    The gradient with respect to r is that with respect to x, and the same array.
    """
    return 2 * rows * columns * (8 if gradients else 4)


def _layer_norm(rows: int, columns: int, gradients: bool) -> Kernels:
    x, scale = Input((rows, columns)), Input((columns,))

    def ours(x: Any, r: Any, g: Any, b: Any) -> Any:
        h = x + r
        return h, ops.layer_normalization(h, g, b, axis=-1, epsilon=EPSILON)

    def in_torch(x: Any, r: Any, g: Any, b: Any) -> Any:
        h = x + r
        return h, torch.nn.functional.layer_norm(h, (columns,), g, b, EPSILON)

    def in_jax(x: Any, r: Any, g: Any, b: Any) -> Any:
        h = x + r
        wide = h.astype(jnp.promote_types(h.dtype, jnp.float32))
        centred = wide - wide.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        y = centred / jnp.sqrt(variance + EPSILON) * g + b
        return h, y.astype(h.dtype)

    return Kernels(
        _name("LayerNorm", rows, columns, gradients),
        (x, x, scale, scale),
        ours,
        in_torch,
        in_jax,
        wrt=(0, 2, 3) if gradients else (),
        cotangents=(x, x) if gradients else (),
        bytes=_bytes(rows, columns, gradients),
    )


def _rms_norm(rows: int, columns: int, gradients: bool) -> Kernels:
    x = Input((rows, columns))

    def ours(x: Any, r: Any, g: Any) -> Any:
        h = x + r
        return h, ops.rms_normalization(h, g, axis=-1, epsilon=EPSILON)

    def in_torch(x: Any, r: Any, g: Any) -> Any:
        h = x + r
        return h, torch.nn.functional.rms_norm(h, (columns,), g, EPSILON)

    def in_jax(x: Any, r: Any, g: Any) -> Any:
        h = x + r
        wide = h.astype(jnp.promote_types(h.dtype, jnp.float32))
        square = jnp.square(wide).mean(-1, keepdims=True)
        return h, (wide / jnp.sqrt(square + EPSILON) * g).astype(h.dtype)

    return Kernels(
        _name("RMSNorm", rows, columns, gradients),
        (x, x, Input((columns,))),
        ours,
        in_torch,
        in_jax,
        wrt=(0, 2) if gradients else (),
        cotangents=(x, x) if gradients else (),
        bytes=_bytes(rows, columns, gradients),
    )
