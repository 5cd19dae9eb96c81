"""Programs with loops and branches, each written once for graphc and for jax.

A program takes ``ops`` (a namespace that both libraries fill), ``recompute`` and
arrays, and returns a float scalar. Its gradients are those with respect to all arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import graphc

PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {}
"""Each program with the shapes of its arrays."""


def program(*shapes: tuple[int, ...]) -> Callable[[Callable[..., Any]], Any]:
    """Adds the decorated program."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        PROGRAMS[function.__name__] = function, shapes
        return function

    return register


def each_program() -> list[Any]:
    """All programs as pytest parameters ``(program, shapes)``."""
    return [pytest.param(*entry, id=name) for name, entry in PROGRAMS.items()]


def arrays_for(shapes: tuple[tuple[int, ...], ...], seed: int = 0) -> list[Any]:
    """Random arrays of these shapes."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, shape).astype(np.float32) for shape in shapes]


def graphc_ops() -> Any:
    """The namespace for graphc."""
    return SimpleNamespace(
        **{name: getattr(graphc.ops, name) for name in graphc.ops.__all__},
        grad=graphc.grad,
    )


SHARED = (
    *("concatenate", "exp", "matmul", "reshape", "sin", "square", "sum", "tanh"),
    *("transpose", "zeros"),
)
"""What graphc and ``jax.numpy`` have alike."""


def jax_ops() -> Any:
    """The namespace for jax."""

    def scan(
        f: Any, init: Any, xs: Any = None, recompute: bool = False, **k: Any
    ) -> Any:
        return lax.scan(f, init, xs, **k)

    def while_loop(cond: Any, body: Any, loop_vars: Any) -> Any:
        return lax.while_loop(lambda v: cond(*v), lambda v: body(*v), loop_vars)

    return SimpleNamespace(
        cond=lax.cond,
        switch=lax.switch,
        scan=scan,
        map=lax.map,
        fori_loop=lax.fori_loop,
        while_loop=while_loop,
        associative_scan=lax.associative_scan,
        stop_gradient=lax.stop_gradient,
        cast=lambda x, dtype: x.astype(dtype),
        grad=jax.grad,
        **{name: getattr(jnp, name) for name in SHARED},
    )


# -- scan ------------------------------------------------------------------------------


@program((5, 2, 3), (2, 4), (3, 4), (4, 4), (4,))
def recurrent_cell(ops: Any, recompute: bool, x: Any, h: Any, w: Any, u: Any, b: Any):
    def step(h: Any, x: Any) -> Any:
        h = ops.tanh(ops.matmul(x, w) + ops.matmul(h, u) + b)
        return h, h * x[:, :1]

    last, ys = ops.scan(step, h, x, recompute=recompute)
    return ops.sum(last * last) + ops.sum(ops.sin(ys))


@program((4, 3), (3,), (3, 3))
def reverse_loop_with_dict_carry(ops: Any, recompute: bool, x: Any, h: Any, w: Any):
    def step(carry: Any, x: Any) -> Any:
        a = ops.tanh(ops.matmul(carry["a"], w) + x["x"])
        total = carry["total"] + ops.sum(a * x["y"])
        return {"total": total, "a": a}, (a, total)

    init = {"a": h, "total": h[0]}
    sequences = {"x": x, "y": x * x}
    last, (rows, totals) = ops.scan(
        step, init, sequences, reverse=True, recompute=recompute
    )
    return last["total"] + ops.sum(rows[1:] * rows[:-1]) + ops.sum(totals * totals)


@program((4, 2, 3), (3, 2))
def loop_without_carries(ops: Any, recompute: bool, x: Any, w: Any):
    ys = ops.map(lambda row: ops.sin(ops.matmul(row, w)), x)
    return ops.sum(ys * ys)


@program((3,), (3, 3))
def loop_without_sequences(ops: Any, recompute: bool, h: Any, w: Any):
    def step(h: Any, _: Any) -> Any:
        return ops.sin(ops.matmul(w, h)), None

    last, _ = ops.scan(step, h, length=4, recompute=recompute)
    return ops.sum(last)


@program((4, 3), (3,), (3,))
def integer_and_unused_carries(ops: Any, recompute: bool, x: Any, h: Any, w: Any):
    def step(carry: Any, x: Any) -> Any:
        i, h, unused, constant = carry
        scale = ops.cast(i, h.dtype)
        y = h * scale + x * constant
        return (i + 1, y * w, unused + h, ops.zeros((3,), y.dtype)), (y, i, x)

    init = (0, h, h, w)
    (i, last, _, _), (ys, places, _) = ops.scan(step, init, x, recompute=recompute)
    weights = ops.reshape(ops.cast(places, x.dtype), (4, 1))
    return ops.sum(last) * ops.cast(i, x.dtype) + ops.sum(ops.square(ys) * weights)


@program((5, 3), (3,), (3, 3), (3,))
def weights_used_twice(ops: Any, recompute: bool, x: Any, h: Any, w: Any, s: Any):
    def step(carry: Any, x: Any) -> Any:
        a, b = carry
        c = ops.tanh(ops.matmul(a, w) + ops.matmul(ops.transpose(w), b) * s)
        return (b, c + x * w[0]), c * s

    (a, b), ys = ops.scan(step, (h, ops.sin(h)), x, recompute=recompute)
    return ops.sum(a * b) + ops.sum(ys * x)


@program((1, 3), (3,), (3,))
def loop_of_one_step(ops: Any, recompute: bool, x: Any, h: Any, w: Any):
    step = lambda h, x: (h * w + x, h)  # noqa: E731
    last, ys = ops.scan(step, h, x, recompute=recompute)
    return ops.sum(last * last) + ops.sum(ys)


@program((3,), (3,))
def loop_of_no_steps(ops: Any, recompute: bool, h: Any, w: Any):
    def step(h: Any, _: Any) -> Any:
        return h * w, h

    last, ys = ops.scan(step, h, length=0, recompute=recompute)
    return ops.sum(last * last) + ops.sum(ys)


@program((3, 4, 2), (2,), (2, 2))
def loop_in_a_loop(ops: Any, recompute: bool, x: Any, h: Any, w: Any):
    def inner(h: Any, x: Any) -> Any:
        h = ops.tanh(ops.matmul(h, w) + x)
        return h, h * x

    def outer(h: Any, rows: Any) -> Any:
        h, ys = ops.scan(inner, h, rows, recompute=recompute)
        return h * w[0], ops.sum(ys)

    last, totals = ops.scan(outer, h, x, recompute=recompute)
    return ops.sum(last) + ops.sum(totals * totals)


# -- branches --------------------------------------------------------------------------


@program((5, 3), (3,), (3,))
def branch_in_a_loop(ops: Any, recompute: bool, x: Any, h: Any, w: Any):
    def step(h: Any, x: Any) -> Any:
        h = ops.cond(x[0] > 0, lambda: ops.tanh(h * w + x), lambda: h - x)
        return h, h[0]

    last, ys = ops.scan(step, h, x, recompute=recompute)
    return ops.sum(last * last) + ops.sum(ys)


@program((4, 3), (3,), (3,))
def loop_in_a_branch(ops: Any, recompute: bool, x: Any, h: Any, w: Any):
    def looped() -> Any:
        step = lambda h, x: (ops.sin(h * w) + x, h)  # noqa: E731
        last, ys = ops.scan(step, h, x, recompute=recompute)
        return ops.sum(last) + ops.sum(ys * w)

    plain = lambda: ops.sum(h)  # noqa: E731
    first = ops.cond(h[0] > 2, plain, looped)
    second = ops.cond(h[0] < 2, plain, looped)
    return first * second


@program((3,), (3,))
def switch_in_a_loop(ops: Any, recompute: bool, h: Any, w: Any):
    branches = [ops.sin, lambda x: x * w, lambda x: x + w * w]
    last = ops.fori_loop(-1, 4, lambda i, h: ops.switch(i, branches, h), h)
    return ops.sum(last * last)


@program((3,), (3,))
def branch_that_cuts_the_gradient(ops: Any, recompute: bool, h: Any, w: Any):
    def cut(h: Any) -> Any:
        return ops.stop_gradient(h) * 2.0, w

    both = lambda h: (h * w, h)  # noqa: E731
    parts = [ops.switch(i, [cut, both, cut], h) for i in range(3)]
    return sum(ops.sum(a * b) for a, b in parts)


# -- others ----------------------------------------------------------------------------


@program((3,), (3, 3))
def steps_of_descent(ops: Any, recompute: bool, x: Any, w: Any):
    def loss(x: Any) -> Any:
        return ops.sum(ops.square(ops.matmul(w, ops.sin(x))))

    return ops.sum(ops.fori_loop(0, 3, lambda i, x: x - 0.125 * ops.grad(loss)(x), x))


@program((3,), (3,))
def while_loop_without_gradient(ops: Any, recompute: bool, x: Any, w: Any):
    def body(i: Any, y: Any) -> Any:
        return i + 1, y * 1.5 + w

    start = (0, ops.stop_gradient(x * w))
    steps, y = ops.while_loop(lambda i, y: ops.sum(y * y) < 20.0, body, start)
    return ops.sum(x * ops.stop_gradient(y)) * ops.cast(steps, x.dtype)


@program((5, 2), (5, 2))
def linear_recurrence(ops: Any, recompute: bool, a: Any, b: Any):
    def combine(left: Any, right: Any) -> Any:
        return left[0] * right[0], left[1] * right[0] + right[1]

    products, sums = ops.associative_scan(combine, (a, b))
    return ops.sum(ops.sin(products)) + ops.sum(sums * sums)
