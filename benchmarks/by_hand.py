"""Layers in jax with gradients by hand, in the forms that XLA is fastest with on CPUs.

What jax derives from a product of ``[batch, time, features]`` transposes in memory; what
it derives from a normalization, a GELU or a cross-entropy computes much again; what it
derives from a recurrent layer sums the kernel's gradient in the loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import pi, sqrt
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Weights = Mapping[str, Any]


def _summed_product(x: Any, g: Any) -> Any:
    """The gradient of a kernel: the product of all rows of x and g."""
    rows = (a.reshape(-1, a.shape[-1]) for a in (x, g))
    return lax.dot_general(*rows, (((0,), (0,)), ((), ())))


@jax.custom_vjp
def _product(x: Any, kernel: Any) -> Any:
    return x @ kernel


def _product_gradient(kept: Any, g: Any) -> Any:
    x, kernel = kept
    rows = g.reshape(-1, g.shape[-1])
    return (rows @ kernel.T).reshape(x.shape), _summed_product(x, g)


_product.defvjp(lambda x, kernel: (x @ kernel, (x, kernel)), _product_gradient)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    return _norm_forward(x, gamma, beta, epsilon)[0]


def _norm_forward(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    scale = lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)
    normal = centred * scale
    return normal * gamma + beta, (normal, scale, gamma)


def _norm_gradient(epsilon: float, kept: Any, g: Any) -> Any:
    normal, scale, gamma = kept
    scaled, axes = g * gamma, tuple(range(g.ndim - 1))
    mean = scaled.mean(-1, keepdims=True)
    along = (scaled * normal).mean(-1, keepdims=True)
    x = scale * (scaled - mean - normal * along)
    return x, (g * normal).sum(axes), g.sum(axes)


_norm.defvjp(_norm_forward, _norm_gradient)


@jax.custom_vjp
def _gelu(x: Any) -> Any:
    return _gelu_forward(x)[0]


def _gelu_forward(x: Any) -> Any:
    below = 0.5 * (1 + lax.erf(x * sqrt(0.5)))
    return x * below, (x, below)


def _gelu_gradient(kept: Any, g: Any) -> Any:
    x, below = kept
    return (g * (below + x * jnp.exp(-0.5 * x * x) / sqrt(2 * pi)),)


_gelu.defvjp(_gelu_forward, _gelu_gradient)


@jax.custom_vjp
def _cross_entropy(logits: Any, labels: Any) -> Any:
    return _cross_entropy_forward(logits, labels)[0]


def _cross_entropy_forward(logits: Any, labels: Any) -> Any:
    most = logits.max(-1, keepdims=True)
    powers = jnp.exp(logits - most)
    total = powers.sum(-1, keepdims=True)
    chosen = jnp.take_along_axis(logits, labels[:, None], -1)
    return (jnp.log(total) + most - chosen).mean(), (powers, total, labels)


def _cross_entropy_gradient(kept: Any, g: Any) -> Any:
    powers, total, labels = kept
    share = g / len(labels)
    found = powers * (share / total)
    return found.at[jnp.arange(len(labels)), labels].add(-share), None


_cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_gradient)


@jax.custom_vjp
def _recurrence(projected: Any, kernel: Any) -> Any:
    return _recurrence_forward(projected, kernel)[0]


def _recurrence_forward(projected: Any, kernel: Any) -> Any:
    def cell(state: Any, at: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(at + h @ kernel, 4, -1)
        i, f, o = (jax.nn.sigmoid(gate) for gate in (i, f, o))
        g = jnp.tanh(g)
        new = f * c + i * g
        t = jnp.tanh(new)
        return (o * t, new), (h, c, i, f, g, o, t)

    start = jnp.zeros((projected.shape[1], len(kernel)))
    (h, _), (before, *kept) = lax.scan(cell, (start, start), projected)
    return h, (before, kept, kernel)


def _recurrence_gradient(given: Any, dh: Any) -> Any:
    before, kept, kernel = given
    back = kernel.T

    def cell(state: Any, at: Any) -> Any:
        dh, dc = state
        c, i, f, g, o, t = at
        dc = dc + dh * o * (1 - t * t)
        parts = (
            dc * g * i * (1 - i),
            dc * c * f * (1 - f),
            dc * i * (1 - g * g),
            dh * t * o * (1 - o),
        )
        gates = jnp.concatenate(parts, -1)
        return (gates @ back, dc * f), gates

    _, gates = lax.scan(cell, (dh, jnp.zeros_like(dh)), kept, reverse=True)
    return gates, _summed_product(before, gates)


_recurrence.defvjp(_recurrence_forward, _recurrence_gradient)


class ByHand:
    """Layers with the interface of `benchmarks.gpu.functional.Jax`, as far as needed."""

    def dense(self, p: Weights, name: str, x: Any) -> Any:
        """A linear layer."""
        return _product(x, p[f"{name}/kernel"]) + p[f"{name}/bias"]

    def norm(self, p: Weights, name: str, x: Any, epsilon: float) -> Any:
        """Layer normalization."""
        return _norm(x, p[f"{name}/gamma"], p[f"{name}/beta"], epsilon)

    def gelu(self, x: Any, approximate: bool) -> Any:
        """The exact GELU."""
        if approximate:
            raise ValueError("only the exact GELU has a gradient by hand")
        return _gelu(x)

    def split(self, x: Any, parts: int) -> Any:
        """Equal parts along the last axis."""
        return jnp.split(x, parts, -1)

    def cross_entropy(self, logits: Any, labels: Any) -> Any:
        """The mean over all labels."""
        return _cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))

    def lstm(self, p: Weights, name: str, x: Any) -> Any:
        """The last state of a recurrent layer."""
        projected = self.dense(p, name, x.transpose(1, 0, 2))
        return _recurrence(projected, p[f"{name}/recurrent_kernel"])
