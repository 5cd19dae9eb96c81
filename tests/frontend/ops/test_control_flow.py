"""Branches and loops: values and gradients against jax, and how Python meets them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import graphc
from graphc import ops
from graphc.ir import GraphError, evaluate
from graphc.ir.tolerance import inaccuracy
from graphc.runtime.compile import compile_graph
from tests.closeness import assert_close
from tests.frontend.ops.loop_programs import (
    arrays_for,
    each_program,
    graphc_ops,
    jax_ops,
)
from tests.frontend.recorded import Recorded, archive, recorded

__all__ = ["archive", "recorded"]  # fixtures

Shapes = tuple[tuple[int, ...], ...]
each = pytest.mark.parametrize(("program", "shapes"), each_program())


def gradients(program: Callable[..., Any], recompute: bool, count: int) -> Any:
    """The program's value and gradients, by graphc."""

    def run(*arrays: Any) -> Any:
        return program(graphc_ops(), recompute, *arrays)

    return graphc.value_and_grad(run, argnums=tuple(range(count)))


def second_gradients(program: Callable[..., Any], recompute: bool, count: int) -> Any:
    """The gradients of the sum of the squares of the gradients, by graphc."""
    first = gradients(program, recompute, count)

    def squares(*arrays: Any) -> Any:
        return sum(ops.sum(g * g) for g in first(*arrays)[1] if g is not None)

    return graphc.grad(squares, argnums=tuple(range(count)))


def by_jax(
    program: Callable[..., Any], arrays: list[Any]
) -> tuple[list[Any], list[Any]]:
    """Value and gradients, and second gradients, by jax in float64."""
    positions = tuple(range(len(arrays)))

    def run(*arrays: Any) -> Any:
        return program(jax_ops(), False, *arrays)

    first = jax.value_and_grad(run, argnums=positions)

    def squares(*arrays: Any) -> Any:
        return sum(jnp.sum(g * g) for g in first(*arrays)[1])

    with jax.enable_x64(True):
        wide = [a.astype(np.float64) for a in arrays]
        both = jax.jit(lambda *a: (first(*a), jax.grad(squares, positions)(*a)))
        (value, found), second = both(*wide)
        return [np.asarray(x) for x in (value, *found)], [np.asarray(x) for x in second]


def evaluated(function: Callable[..., Any], arrays: list[Any]) -> list[Any]:
    """The results of a traced function in float64."""
    graph = graphc.trace(function, *arrays)
    graph.verify()
    return list(evaluate(graph, *arrays, dtype="f64"))


@each
def test_values_and_gradients_are_those_of_jax(
    program: Callable[..., Any], shapes: Shapes, recorded: Recorded
) -> None:
    arrays = arrays_for(shapes)
    first, second = recorded(lambda: by_jax(program, arrays))
    for recompute in (False, True):
        found = evaluated(gradients(program, recompute, len(shapes)), arrays)
        for mine, theirs in zip(found, first, strict=True):
            assert_close(mine, theirs)
        found = evaluated(second_gradients(program, recompute, len(shapes)), arrays)
        for mine, theirs in zip(found, second, strict=True):
            assert_close(mine, theirs)


@each
def test_xla_agrees_with_the_evaluator(
    program: Callable[..., Any], shapes: Shapes
) -> None:
    arrays = arrays_for(shapes)
    graph = graphc.trace(gradients(program, False, len(shapes)), *arrays)
    judge = evaluate(graph, *arrays, dtype="f64")
    reference = evaluate(graph, *arrays)
    for found, eager, exact in zip(
        compile_graph(graph)(*arrays), reference, judge, strict=True
    ):
        assert not inaccuracy(found, eager, exact)


# -- functions, structures and closures ------------------------------------------------


def test_eager_calls_return_arrays() -> None:
    x = ops.array([1.0, 2.0, 3.0])
    total, sums = ops.scan(lambda c, row: (c + row, c + row), 0.0, x)
    assert float(total) == 6
    assert sums.tolist() == [1, 3, 6]
    assert ops.map(lambda row: {"a": row * 2}, x)["a"].tolist() == [2, 4, 6]
    assert ops.vectorized_map(lambda row: row + 1, x).tolist() == [2, 3, 4]
    assert float(ops.cond(x[0] > 0, lambda: x[1], lambda: x[2])) == 2
    assert float(ops.switch(7, [ops.sin, ops.square], 3.0)) == 9
    assert float(ops.switch(-7, [ops.square, ops.sin], 3.0)) == 9


def test_eager_calls_see_what_their_functions_close_over_now() -> None:
    scale = [2.0]

    def body(i: Any, total: Any) -> Any:
        return total + scale[0]

    assert float(ops.fori_loop(0, 3, body, 0.0)) == 6
    scale[0] = 3.0
    assert float(ops.fori_loop(0, 3, body, 0.0)) == 9


def test_large_loops_are_compiled() -> None:
    x = np.ones((300, 64), np.float32)
    last, _ = ops.scan(lambda c, row: (c + row * row, None), ops.zeros((64,)), x)
    assert last.numpy().tolist() == [300.0] * 64


def test_while_loop_takes_variables_as_keras_does() -> None:
    assert int(ops.while_loop(lambda i: i < 10, lambda i: i + 1, 0)) == 10
    pair = ops.while_loop(lambda i, y: i < 10, lambda i, y: (i + 1, y * 2), [0, 1])
    assert isinstance(pair, tuple)
    assert [int(p) for p in pair] == [10, 1024]
    limited = ops.while_loop(lambda i: True, lambda i: i + 1, 0, maximum_iterations=4)
    assert int(limited) == 4
    nested = ops.while_loop(
        lambda tree: tree["i"] < 3,
        lambda tree: {"i": tree["i"] + 1, "x": tree["x"] * 2.0},
        {"i": 0, "x": ops.array([1.0, 2.0])},
    )
    assert nested["x"].tolist() == [8, 16]


@pytest.mark.parametrize(("lower", "upper"), [(0, 4), (2, 3), (3, 3), (5, 2)])
def test_fori_loop_with_numbers_and_with_tensors(lower: int, upper: int) -> None:
    def body(i: Any, total: Any) -> Any:
        return total * 2 + i

    expected = 1
    for i in range(lower, upper):
        expected = body(i, expected)
    assert int(ops.fori_loop(lower, upper, body, 1)) == expected
    bounds = ops.array(lower), ops.array(upper)
    assert int(ops.fori_loop(*bounds, body, 1)) == expected


def test_a_number_takes_the_dtype_that_the_loop_makes_of_it() -> None:
    last = ops.fori_loop(0, 2, lambda i, total: total + 0.5, 0)
    assert last.dtype == "float32"
    assert float(last) == 1


def test_outputs_may_be_nothing() -> None:
    last, outputs = ops.scan(lambda c, x: (c + x, None), 0.0, ops.arange(3.0))
    assert outputs is None
    assert float(last) == 3
    assert ops.scan(lambda c, x: (c, ()), None, length=3) == (None, ())
    assert ops.cond(ops.array(True), lambda: None, lambda: None) is None


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 6, 7])
def test_associative_scan_is_a_scan(count: int, reverse: bool) -> None:
    x = np.arange(2.0, 2.0 + 2 * count, dtype=np.float32).reshape(2, count)
    lasts = ops.associative_scan(lambda a, b: a * 0 + b, x, axis=1)
    assert lasts.tolist() == x.tolist()
    sums = ops.associative_scan(ops.add, x, reverse, axis=-1).numpy()
    expected = np.cumsum(x[:, ::-1], 1)[:, ::-1] if reverse else np.cumsum(x, 1)
    np.testing.assert_array_equal(sums, expected)


def test_symbolic_lengths() -> None:
    def run(x: Any) -> Any:
        size = x.shape[1]

        def step(carry: Any, row: Any) -> Any:
            carry = carry + row * x.shape[0] + ops.zeros((size,))
            return carry, ops.sum(carry)

        last, sums = ops.scan(step, ops.zeros((size,)), x)
        counted = ops.fori_loop(0, x.shape[0], lambda i, total: total + i, 0)
        return ops.sum(last), sums, counted

    graph = graphc.trace(run, graphc.TensorSpec(("T", "B")))
    graph.verify()
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    last, sums, counted = evaluate(graph, x)
    assert sums.tolist() == [3.0, 18.0, 45.0]
    assert (float(last), int(counted)) == (45.0, 3)
    for found, expected in zip(
        compile_graph(graph.bind(T=3, B=2))(x), (last, sums, counted), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_functional_models() -> None:
    x = graphc.layers.Input((5, 3))
    steps = ops.transpose(x, (1, 0, 2))
    last, ys = ops.scan(lambda c, row: (c + row, c * row), x[:, 0] * 0.0, steps)
    assert (last.shape, ys.shape) == ((None, 3), (5, None, 3))
    squares = ops.map(ops.square, x)
    model = graphc.Model(x, [last, squares])
    given = np.arange(30, dtype=np.float32).reshape(2, 5, 3)
    found = model.predict(given, verbose=0)
    np.testing.assert_array_equal(found[0], given.sum(1))
    np.testing.assert_array_equal(found[1], given**2)


# -- variables -------------------------------------------------------------------------


def test_variables_that_a_body_assigns_are_carried() -> None:
    count, total = graphc.Variable(0), graphc.Variable(np.zeros(2, np.float32))

    @graphc.jit
    def run(x: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            count.assign_add(1)
            total.assign(total * 2.0 + row)
            return carry + total, count.value

        return ops.scan(step, ops.zeros((2,)), x)

    last, counts = run(np.ones((3, 2), np.float32))
    assert counts.tolist() == [1, 2, 3]
    assert last.tolist() == [11, 11]
    assert total.numpy().tolist() == [7, 7]
    assert int(count) == 3


def test_variables_in_branches_and_while_loops() -> None:
    count = graphc.Variable(0)

    def often(i: Any) -> Any:
        count.assign_add(10)
        return i + 1

    assert int(ops.while_loop(lambda i: count < 25, often, 0)) == 3
    assert int(count) == 30
    found = ops.cond(count > 20, lambda: count.assign(5) * 1, lambda: count * 2)
    assert (int(found), int(count)) == (5, 5)
    found = ops.cond(count > 20, lambda: count.assign(6) * 1, lambda: count * 2)
    assert (int(found), int(count)) == (10, 5)


def test_gradients_reach_variables_that_a_body_reads() -> None:
    w = graphc.Variable(np.float32(0.5))

    def loss(x: Any) -> Any:
        return ops.scan(lambda c, row: (c * w + row, None), 0.0, x)[0]

    found, gradients = graphc.value_and_grad(loss, variables=[w])(ops.array([1.0, 2.0]))
    assert (float(found), float(gradients[0])) == (2.5, 1.0)


def test_dropout_draws_anew_at_each_step() -> None:
    dropout = graphc.layers.Dropout(0.5, seed=1)
    x = np.ones((4, 64), np.float32)

    @graphc.jit
    def run(x: Any) -> Any:
        return ops.map(lambda row: dropout(row, training=True), x)

    rows = run(x).numpy()
    assert len({row.tobytes() for row in rows}) == 4
    assert set(np.unique(rows)) == {0.0, 2.0}


# -- mistakes --------------------------------------------------------------------------

x3 = np.ones(3, np.float32)
MISTAKES: list[tuple[str, Callable[[], Any], str]] = [
    (
        "another shape",
        lambda: ops.scan(lambda c, x: (c + x3, c), ops.array(0.0), x3),
        "f must return the carry that it takes, that of init: the same structure of"
        " tensors of the same shapes and dtypes\n"
        "  received: f32[] at the start and f32[3] after a step",
    ),
    (
        "another structure",
        lambda: ops.scan(lambda c, x: ({"a": c}, c), (x3, 0), x3),
        "received: (f32[3], i32[]) at the start and {'a': (f32[3], i32[])} after",
    ),
    (
        "another dtype",
        lambda: ops.while_loop(lambda i: i < 3, lambda i: i + 0.5, ops.array(0)),
        "body must return the loop variables that it takes",
    ),
    ("no pair", lambda: ops.scan(lambda c, x: c, x3, x3), "f must return a pair"),
    ("no length", lambda: ops.scan(lambda c, x: (c, c), x3), "length=..."),
    (
        "lengths that differ",
        lambda: ops.scan(lambda c, x: (c, c), x3, (x3, x3[:2])),
        "the leading sizes of xs, and length, must be equal\n"
        "  received: f32[3], f32[2]",
    ),
    (
        "another length",
        lambda: ops.scan(lambda c, x: (c, c), x3, x3, length=4),
        "received: f32[3], length=4",
    ),
    ("a scalar", lambda: ops.map(ops.sin, 3.0), "must have a leading axis"),
    (
        "unroll",
        lambda: ops.scan(lambda c, x: (c, c), x3, x3, unroll=0),
        "Expected `unroll` to be a positive integer",
    ),
    ("no branches", lambda: ops.switch(0, [], x3), "at least one branch"),
    (
        "branches that differ",
        lambda: ops.switch(0, [ops.sin, lambda x: (x, x)], x3),
        "branch 0 and branch 1 must return the same structure of tensors of the same"
        " types\n  received: f32[3] and (f32[3], f32[3])",
    ),
    (
        "a vector that chooses",
        lambda: ops.cond(x3 > 0, lambda: x3, lambda: x3),
        "the value that chooses a branch must be a scalar",
    ),
    (
        "a vector that ends",
        lambda: ops.while_loop(lambda y: y > 0, lambda y: y, ops.array(x3)),
        "cond must return one boolean scalar\n  received: bool[3]",
    ),
    (
        "the gradient of a while",
        lambda: graphc.grad(
            lambda x: ops.while_loop(lambda y: y < 9.0, lambda y: y * 2.0, x)
        )(1.0),
        "while has no gradient: the number of steps is not known; use scan, or"
        " fori_loop",
    ),
]


@pytest.mark.parametrize(
    ("call", "message"), [pytest.param(*m[1:], id=m[0]) for m in MISTAKES]
)
def test_mistakes(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(GraphError) as caught:
        call()
    assert message in str(caught.value)
    assert "test_control_flow.py" in str(caught.value)


def test_a_condition_may_not_assign() -> None:
    count = graphc.Variable(0)

    def cond(i: Any) -> Any:
        return count.assign_add(1) < 3

    with pytest.raises(GraphError, match="cond must not assign to variables"):
        ops.while_loop(cond, lambda i: i, 0)


def test_python_control_flow_names_these_functions() -> None:
    def run(x: Any) -> Any:
        return x if x > 0 else -x

    with pytest.raises(GraphError, match=r"ops\.cond; loop with ops\.while_loop"):
        graphc.jit(run)(1.0)


# -- gradients that are given ----------------------------------------------------------


def test_custom_gradient() -> None:
    @ops.custom_gradient
    def log1pexp(x: Any) -> Any:
        e = ops.exp(x)

        def gradient(*arguments: Any, upstream: Any = None) -> Any:
            (upstream,) = arguments
            return ops.multiply(upstream, 1.0 - 1.0 / ops.add(1.0, e))

        return ops.log(1.0 + e), gradient

    assert_close(float(log1pexp(0.0)), np.log(2.0))
    assert float(graphc.grad(log1pexp)(100.0)) == 1.0
    second = graphc.grad(graphc.grad(log1pexp))(0.5)
    assert_close(float(second), np.exp(0.5) / (1 + np.exp(0.5)) ** 2)
    looped = graphc.grad(lambda x: ops.sum(ops.map(log1pexp, x)))
    assert_close(looped(np.zeros(3, np.float32)), [0.5] * 3)


def test_custom_gradient_of_structures_and_integers() -> None:
    factor = ops.array(3.0)

    @ops.custom_gradient
    def scaled(pair: Any, count: Any) -> Any:
        x, y = pair["x"], pair["y"]

        def gradient(upstream: Any) -> Any:
            return {"x": upstream["a"] * factor, "y": upstream["b"] * y}, count

        return {"a": x * count, "b": y * y, "count": count}, gradient

    def loss(x: Any, y: Any) -> Any:
        out = scaled({"x": x, "y": y}, 2)
        return out["a"] + out["b"]

    found, (by_x, by_y) = graphc.jit(graphc.value_and_grad(loss, (0, 1)))(1.0, 4.0)
    assert (float(found), float(by_x), float(by_y)) == (18, 3, 4)


def test_custom_gradient_of_another_shape() -> None:
    @ops.custom_gradient
    def wrong(x: Any) -> Any:
        return x, lambda upstream: ops.sum(upstream)

    with pytest.raises(GraphError, match="one tensor like each argument"):
        wrong(x3)
