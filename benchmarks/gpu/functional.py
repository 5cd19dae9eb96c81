"""Layers as functions of their weights, in torch and in jax: for the baselines' models.

Weights lie as in graphc's and Keras's layers: kernels of dense layers as
``[inputs, outputs]``, of convolutions as ``[height, width, inputs, outputs]``. Torch's
images are ``[batch, channels, height, width]`` in channels-last memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.gpu.frameworks import torch

Weights = Mapping[str, Any]


def _dtypes(weights: Weights, dtype: str) -> Iterator[tuple[str, Any, str]]:
    """The weights and what each is converted to.

    Batch normalization has at least float32, which is what libraries are fast with.
    """
    for name, weight in weights.items():
        statistics = f"{name.split('/')[0]}/moving_mean" in weights
        yield name, weight, "float32" if statistics and "16" in dtype else dtype


class Torch:
    """Torch's layers."""

    def narrowed(self, weights: Weights, dtype: str) -> dict[str, Any]:
        """Weights as layers compute with them."""
        return {
            name: w.to(getattr(torch, wanted))
            for name, w, wanted in _dtypes(weights, dtype)
        }

    def dense(self, p: Weights, name: str, x: Any) -> Any:
        """A linear layer."""
        kernel, bias = p[f"{name}/kernel"], p[f"{name}/bias"]
        return torch.nn.functional.linear(x, kernel.T, bias)

    def norm(self, p: Weights, name: str, x: Any, epsilon: float) -> Any:
        """Layer normalization."""
        gamma, beta = p[f"{name}/gamma"], p[f"{name}/beta"]
        return torch.nn.functional.layer_norm(x, gamma.shape, gamma, beta, epsilon)

    def gelu(self, x: Any, approximate: bool) -> Any:
        """GELU."""
        how = "tanh" if approximate else "none"
        return torch.nn.functional.gelu(x, approximate=how)

    def attention(self, q: Any, k: Any, v: Any, causal: bool) -> Any:
        """Attention of ``[batch, time, heads, depth]``."""
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        attend = torch.nn.functional.scaled_dot_product_attention
        return attend(q, k, v, is_causal=causal).transpose(1, 2)

    def take(self, table: Any, index: Any) -> Any:
        """Rows of a table."""
        return torch.nn.functional.embedding(index, table)

    def split(self, x: Any, parts: int) -> Any:
        """Equal parts along the last axis."""
        return x.chunk(parts, -1)

    def cross_entropy(self, logits: Any, labels: Any) -> Any:
        """The mean over all labels."""
        logits = logits.reshape(-1, logits.shape[-1]).float()
        return torch.nn.functional.cross_entropy(logits, labels.reshape(-1).long())

    def image(self, x: Any, dtype: str) -> Any:
        """Channels-last images as torch has them."""
        return x.permute(0, 3, 1, 2).to(getattr(torch, dtype))

    def conv(self, p: Weights, name: str, x: Any, stride: int, padding: int) -> Any:
        """A convolution without bias."""
        kernel = p[f"{name}/kernel"].permute(3, 2, 0, 1)
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        return torch.nn.functional.conv2d(x, kernel, None, stride, padding)

    def batch_norm(
        self, p: Weights, name: str, x: Any, training: bool, changed: dict[str, Any]
    ) -> Any:
        """Batch normalization; moves the averages of a training step in place."""
        return torch.nn.functional.batch_norm(
            x,
            p[f"{name}/moving_mean"],
            p[f"{name}/moving_variance"],
            p[f"{name}/gamma"],
            p[f"{name}/beta"],
            training,
            0.01,
            1e-5,
        )

    def relu(self, x: Any) -> Any:
        """The positive part."""
        return torch.relu(x)

    def max_pool(self, x: Any, size: int, stride: int, padding: int) -> Any:
        """The largest of each window."""
        return torch.nn.functional.max_pool2d(x, size, stride, padding)

    def pixel_mean(self, x: Any) -> Any:
        """The mean over all pixels."""
        return x.mean((2, 3))

    def flat(self, x: Any) -> Any:
        """An image as a vector, channels last."""
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)


class Jax:
    """jax's layers."""

    def narrowed(self, weights: Weights, dtype: str) -> dict[str, Any]:
        """Weights as layers compute with them."""
        return {name: w.astype(wanted) for name, w, wanted in _dtypes(weights, dtype)}

    def dense(self, p: Weights, name: str, x: Any) -> Any:
        """A linear layer."""
        return x @ p[f"{name}/kernel"] + p[f"{name}/bias"]

    def norm(self, p: Weights, name: str, x: Any, epsilon: float) -> Any:
        """Layer normalization, computed in float32."""
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        centred = wide - wide.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        y = centred * lax.rsqrt(variance + epsilon)
        return (y * p[f"{name}/gamma"] + p[f"{name}/beta"]).astype(x.dtype)

    def gelu(self, x: Any, approximate: bool) -> Any:
        """GELU."""
        return jax.nn.gelu(x, approximate=approximate)

    def attention(self, q: Any, k: Any, v: Any, causal: bool) -> Any:
        """Attention of ``[batch, time, heads, depth]``."""
        attend = partial(jax.nn.dot_product_attention, is_causal=causal)
        if jax.default_backend() == "gpu" and q.dtype.itemsize == 2:
            return attend(q, k, v, implementation="cudnn")
        # XLA has no attention of float16 for CPUs.
        wide = (x.astype(jnp.float32) for x in (q, k, v))
        return attend(*wide).astype(q.dtype)

    def take(self, table: Any, index: Any) -> Any:
        """Rows of a table."""
        return jnp.take(table, index, axis=0)

    def split(self, x: Any, parts: int) -> Any:
        """Equal parts along the last axis."""
        return jnp.split(x, parts, -1)

    def cross_entropy(self, logits: Any, labels: Any) -> Any:
        """The mean over all labels."""
        logits = logits.astype(jnp.float32)
        chosen = jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
        return (jax.nn.logsumexp(logits, -1) - chosen).mean()

    def image(self, x: Any, dtype: str) -> Any:
        """Channels-last images."""
        return x.astype(dtype)

    def conv(self, p: Weights, name: str, x: Any, stride: int, padding: int) -> Any:
        """A convolution without bias."""
        return lax.conv_general_dilated(
            x,
            p[f"{name}/kernel"],
            (stride, stride),
            [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    def batch_norm(
        self, p: Weights, name: str, x: Any, training: bool, changed: dict[str, Any]
    ) -> Any:
        """Batch normalization; puts the moved averages of a training step aside."""
        wide = x.astype(jnp.float32)
        mean, variance = p[f"{name}/moving_mean"], p[f"{name}/moving_variance"]
        if training:
            batch, spread = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
            changed[f"{name}/moving_mean"] = 0.99 * mean + 0.01 * batch
            changed[f"{name}/moving_variance"] = 0.99 * variance + 0.01 * spread
            mean, variance = batch, spread
        scale = lax.rsqrt(variance + 1e-5) * p[f"{name}/gamma"]
        return ((wide - mean) * scale + p[f"{name}/beta"]).astype(x.dtype)

    def relu(self, x: Any) -> Any:
        """The positive part."""
        return jax.nn.relu(x)

    def max_pool(self, x: Any, size: int, stride: int, padding: int) -> Any:
        """The largest of each window."""
        return lax.reduce_window(
            x,
            -jnp.inf,
            lax.max,
            (1, size, size, 1),
            (1, stride, stride, 1),
            ((0, 0), (padding, padding), (padding, padding), (0, 0)),
        )

    def pixel_mean(self, x: Any) -> Any:
        """The mean over all pixels."""
        return x.mean((1, 2))

    def flat(self, x: Any) -> Any:
        """An image as a vector."""
        return x.reshape(x.shape[0], -1)
