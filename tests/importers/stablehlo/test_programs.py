"""Whole programs of jax users: lowered by jax, imported, run on both executors."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import graphc
from graphc.ir import evaluate
from graphc.runtime.compile import compile_graph
from tests.closeness import assert_close

Tree = Any


def mlp_step(rng: np.random.Generator) -> tuple[Callable[..., Tree], tuple[Any, ...]]:
    """A step of Adam on the cross-entropy of a multilayer perceptron."""

    def loss(w: Tree, x: Any, y: Any) -> Any:
        hidden = jax.nn.relu(x @ w["a"] + w["b"])
        logits = jax.nn.log_softmax(hidden @ w["c"])
        return -jnp.mean(jnp.take_along_axis(logits, y[:, None], axis=1))

    def step(w: Tree, m: Tree, v: Tree, x: Any, y: Any) -> Tree:
        value, g = jax.value_and_grad(loss)(w, x, y)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, v, g)
        w = jax.tree.map(lambda w, m, v: w - 0.1 * m / (jnp.sqrt(v) + 1e-3), w, m, v)
        return value, w, m, v

    w = {
        "a": rng.normal(size=(5, 8)).astype(np.float32),
        "b": np.zeros(8, np.float32),
        "c": rng.normal(size=(8, 3)).astype(np.float32),
    }
    zeros = jax.tree.map(np.zeros_like, w)
    x = rng.normal(size=(4, 5)).astype(np.float32)
    return step, (w, zeros, zeros, x, np.array([0, 2, 1, 1], np.int32))


def transformer_block(
    rng: np.random.Generator,
) -> tuple[Callable[..., Tree], tuple[Any, ...]]:
    """Causal attention and a gated network, with their gradients."""
    size, heads = 8, 2

    def norm(x: Any, scale: Any) -> Any:
        mean = x.mean(-1, keepdims=True)
        return (x - mean) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale

    def block(w: Tree, x: Any) -> Any:
        q, k, v = jnp.split(norm(x, w["n"]) @ w["qkv"], 3, axis=-1)
        shape = (*x.shape[:2], heads, size // heads)
        q, k, v = (y.reshape(shape) for y in (q, k, v))
        scores = jnp.einsum("bthd,bshd->bhts", q, k) / np.sqrt(size // heads)
        mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        shares = jax.nn.softmax(jnp.where(mask, scores, -1e30))
        x = x + jnp.einsum("bhts,bshd->bthd", shares, v).reshape(x.shape) @ w["o"]
        return x + (jax.nn.gelu(norm(x, w["n"]) @ w["up"])) @ w["up"].T

    def step(w: Tree, x: Any) -> Tree:
        return jax.value_and_grad(lambda w: jnp.mean(block(w, x) ** 2))(w)

    w = {
        "n": np.ones(size, np.float32),
        "qkv": rng.normal(size=(size, 3 * size)).astype(np.float32) / 3,
        "o": rng.normal(size=(size, size)).astype(np.float32) / 3,
        "up": rng.normal(size=(size, 2 * size)).astype(np.float32) / 3,
    }
    return step, (w, rng.normal(size=(2, 4, size)).astype(np.float32))


def recurrence(rng: np.random.Generator) -> tuple[Callable[..., Tree], tuple[Any, ...]]:
    """A scan with dropout by jax's own random bits, and its gradient."""

    def run(w: Any, xs: Any, key: Any) -> Any:
        def cell(state: Any, x: Any) -> Any:
            state, key = state
            key, now = jax.random.split(key)
            kept = jax.random.bernoulli(now, 0.8, x.shape)
            state = jnp.tanh(state @ w + jnp.where(kept, x / 0.8, 0.0))
            return (state, key), state

        (state, _), states = jax.lax.scan(cell, (jnp.zeros_like(xs[0]), key), xs)
        return jnp.sum(state * states.mean(0))

    w = rng.normal(size=(3, 3)).astype(np.float32)
    xs = rng.normal(size=(5, 2, 3)).astype(np.float32)
    return jax.value_and_grad(run), (w, xs, np.array([3, 4], np.uint32))


def convolution(
    rng: np.random.Generator,
) -> tuple[Callable[..., Tree], tuple[Any, ...]]:
    """A convolution with pooling, and its gradients."""

    def loss(w: Any, x: Any) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=numbers
        )
        window = (1, 2, 2, 1)
        y = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, window, window, "VALID")
        return jnp.sum(y * y)

    w = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)
    x = rng.normal(size=(2, 6, 6, 2)).astype(np.float32)
    return jax.value_and_grad(loss, argnums=(0, 1)), (w, x)


@pytest.mark.parametrize(
    "program", [mlp_step, transformer_block, recurrence, convolution]
)
def test_programs_of_jax_run_equally(
    program: Callable[..., Any], rng: np.random.Generator
):
    function, arguments = program(rng)
    lowered = jax.jit(function).lower(*arguments)
    wanted = jax.tree.leaves(lowered.compile()(*arguments))
    graph = graphc.from_stablehlo(lowered.as_text(debug_info=True))
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(arguments)]
    for results in (evaluate(graph, *arrays), compile_graph(graph)(*arrays)):
        for got, want in zip(results, wanted, strict=True):
            assert_close(np.asarray(got), np.asarray(want))


def test_nodes_carry_the_lines_of_the_jax_program():
    lowered = jax.jit(lambda x: jnp.tanh(x) + 1.0).lower(np.float32(2))
    graph = graphc.from_stablehlo(lowered.as_text(debug_info=True))
    places = {node.location.file for node in graph.nodes if node.location}
    assert any(place.endswith("test_programs.py") for place in places)
    assert any(
        "tanh" in (node.location.path or "") for node in graph.nodes if node.location
    )
