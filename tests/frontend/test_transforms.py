"""trace, jit, grad and value_and_grad, alone and inside each other."""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc import TensorSpec
from graphc.frontend import ops
from graphc.ir import evaluate, parse
from tests.closeness import Comparison, assert_close

F32 = np.float32
X = np.array([1.0, 2.0, 3.0], F32)


def same(found: Any, wanted: Any) -> None:
    assert_close(np.asarray(found), np.asarray(wanted))


def cube(x: Any) -> Any:
    return x * x * x


def sum_of_cubes(x: Any) -> Any:
    return ops.sum(cube(x))


# Specs and traces.


def test_spec() -> None:
    spec = TensorSpec((None, 3, "T", None), "int32", name="tokens")
    assert repr(spec) == "TensorSpec(i32[B,3,T,D3])"
    assert (spec.dtype, spec.name) == ("int32", "tokens")
    for shape in (3, "ab", (-1,)):
        with pytest.raises(ValueError, match="Received: shape="):
            TensorSpec(shape)
    with pytest.raises(ValueError, match="unknown dtype"):
        TensorSpec((3,), "flaot32")


def test_trace_names_parameters_and_symbols() -> None:
    graph = graphc.trace(
        lambda x, y: ops.matmul(x, y),
        TensorSpec((None, 3), name="left"),
        TensorSpec((3, "K")),
    )
    assert graph.name == "function"
    assert [str(p.type) for p in graph.parameters] == ["f32[B,3]", "f32[3,K]"]
    assert [p.name for p in graph.parameters] == ["left", "y"]
    assert sorted(graph.ranges) == ["B", "K"]
    assert parse(str(graph)) == graph
    (product,) = evaluate(graph, np.ones((2, 3), F32), np.ones((3, 5), F32))
    same(product, np.full((2, 5), 3.0))


def test_trace_takes_structures_arrays_and_numbers() -> None:
    def total(parts: Any, scale: Any, flag: Any = None) -> Any:
        assert flag == "static"
        return {"sum": (parts["a"] + parts["b"][0]) * scale}

    graph = graphc.trace(total, {"a": X, "b": [TensorSpec((3,))]}, 2.0, "static")
    assert [str(p.type) for p in graph.parameters] == ["f32[3]", "f32[3]", "f32[]"]
    assert [p.name for p in graph.parameters] == ["parts", "parts_1", "scale"]
    same(evaluate(graph, X, X, F32(2.0))[0], 4 * X)


def test_trace_of_a_model_and_of_variadic_functions() -> None:
    inputs = graphc.Input((3,))
    model = graphc.Model(inputs, graphc.layers.Dense(2, name="d")(inputs), name="m")
    graph = graphc.trace(model, TensorSpec((None, 3)))
    assert [p.name for p in graph.parameters] == ["inputs", "d_kernel", "d_bias"]
    graph = graphc.trace(lambda *xs: xs[0] + xs[1], TensorSpec(()), TensorSpec(()))
    assert [p.name for p in graph.parameters] == [None, None]


def test_trace_shows_state() -> None:
    v = graphc.Variable(X, name="v")
    graph = graphc.trace(lambda x: v.assign_add(x) * 2.0, TensorSpec((3,)))
    assert [p.attributes for p in graph.parameters] == [{}, {"role": "state"}]
    assert len(graph.results) == 2
    same(evaluate(graph, X, X)[1], 2 * X)
    same(v, X)


# jit.


def test_jit_is_traced_once_per_types() -> None:
    traced = []

    @graphc.jit
    def double(x: Any) -> Any:
        traced.append(x.shape)
        return x * 2.0

    same(double(X), 2 * X)
    same(double(X + 1), 2 * X + 2)
    same(double(3.0), 6.0)
    same(double(4.0), 8.0)
    assert traced == [(3,), ()]
    assert double.__name__ == "double"


def test_jit_with_structures_keywords_and_static_arguments() -> None:
    @graphc.jit
    def apply(tree: Any, mode: str, *, scale: Any = None) -> Any:
        x = tree["x"] + tree["rest"][0]
        x = x if scale is None else x * scale
        return {"y": (-x if mode == "minus" else x, None)}

    tree = {"x": X, "rest": (X,)}
    same(apply(tree, "plus")["y"][0], 2 * X)
    same(apply(tree, "minus", scale=2.0)["y"][0], -4 * X)
    assert apply(tree, "plus")["y"][1] is None


def test_jit_tells_apart_where_tensors_stand_among_other_arguments() -> None:
    @graphc.jit
    def first_tensor(a: Any, b: Any) -> Any:
        return a * 2.0 if isinstance(b, str) else b * 3.0

    x = np.ones(2, np.float32)
    assert first_tensor(x, "a").tolist() == [2.0, 2.0]
    assert first_tensor("a", x).tolist() == [3.0, 3.0]


def test_jit_reads_and_assigns_variables() -> None:
    total = graphc.Variable(np.zeros(3, F32))

    @graphc.jit
    def add(x: Any) -> Any:
        total.assign_add(x)
        return total * 1.0

    same(add(X), X)
    same(add(X), 2 * X)
    total.assign(np.ones(3))
    same(add(X), X + 1)
    same(total, X + 1)
    assert graphc.jit(lambda x: None)(X) is None


def test_jit_of_a_method() -> None:
    class Scaler:
        scale = 3.0

        @graphc.jit
        def __call__(self, x: Any) -> Any:
            return x * self.scale

        @graphc.jit
        def shift(self, x: Any) -> Any:
            return x + self.scale

    same(Scaler().shift(X), X + 3)
    same(Scaler()(X), 3 * X)


def test_jit_with_a_target() -> None:
    halve = graphc.jit(target="numpy")(lambda x: x / 2.0)
    same(halve(X), X / 2)
    (program,) = halve.programs.values()
    assert program.options.target == "numpy"


def test_float64_is_a_choice_only_as_an_array() -> None:
    double = graphc.jit(lambda x: x * 2.0)
    assert double(np.ones(3)).dtype == "float32"
    assert graphc.grad(ops.sum)(np.ones(3)).dtype == "float32"
    assert double(ops.ones(3, "float64")).dtype == "float64"


# Gradients.


def test_grad_against_finite_differences(rng: np.random.Generator) -> None:
    x = rng.normal(size=3)

    def function(x: Any) -> Any:
        return ops.sum(ops.tanh(x) * ops.exp(x))

    found = np.asarray(graphc.grad(function)(x))
    for i in range(3):
        step = np.zeros(3)
        step[i] = 1e-2
        difference = float(function(x + step)) - float(function(x - step))
        assert_close(found[i], difference / 2e-2, Comparison.DIFFERENCES)


def test_gradients_nest() -> None:
    first = graphc.grad(sum_of_cubes)
    second = graphc.grad(lambda x: ops.sum(first(x)))
    third = graphc.grad(lambda x: ops.sum(second(x)))
    same(first(X), 3 * X**2)
    same(second(X), 6 * X)
    same(third(X), [6, 6, 6])


def test_grad_and_jit_nest_both_ways() -> None:
    same(graphc.jit(graphc.grad(sum_of_cubes))(X), 3 * X**2)
    same(graphc.grad(graphc.jit(sum_of_cubes))(X), 3 * X**2)
    twice = graphc.jit(graphc.grad(lambda x: ops.sum(graphc.grad(sum_of_cubes)(x))))
    same(twice(X), 6 * X)
    same(graphc.jit(graphc.jit(cube))(X), X**3)


def test_argnums() -> None:
    def function(a: Any, b: Any, c: Any) -> Any:
        return ops.sum(a * b + c)

    arguments = (X, 2 * X, 3 * X)
    same(graphc.grad(function)(*arguments), 2 * X)
    same(graphc.grad(function, argnums=1)(*arguments), X)
    same(graphc.grad(function, argnums=-1)(*arguments), [1, 1, 1])
    a, c = graphc.grad(function, argnums=(0, 2))(*arguments)
    same(a, 2 * X)
    same(c, [1, 1, 1])
    (only,) = graphc.grad(function, argnums=[1])(*arguments)
    same(only, X)


def test_gradients_have_the_structure_of_the_argument() -> None:
    found = graphc.grad(lambda p: ops.sum(p["a"] * p["b"][0]))({"a": X, "b": [2 * X]})
    same(found["a"], 2 * X)
    same(found["b"][0], X)
    left, right = graphc.grad(lambda pair: pair[0] * pair[1])((2.0, 3.0))
    assert (float(left), float(right)) == (3.0, 2.0)


def test_value_aux_and_keywords() -> None:
    def function(x: Any, *, scale: Any) -> Any:
        y = x * scale
        return ops.sum(y * y), {"y": y, "none": None}

    transformed = graphc.value_and_grad(function, has_aux=True)
    (value, aux), gradient = transformed(X, scale=2.0)
    assert float(value) == 56.0
    same(aux["y"], 2 * X)
    assert aux["none"] is None
    same(gradient, 8 * X)
    value, gradient = graphc.value_and_grad(sum_of_cubes)(X)
    assert float(value) == 36.0
    same(gradient, 3 * X**2)


def test_variables() -> None:
    v, w = graphc.Variable(X), graphc.Variable(2 * X)
    unused = graphc.Variable(X)
    value, gradients = graphc.value_and_grad(
        lambda: ops.sum(v * v * w), variables=[v, w, unused]
    )()
    assert float(value) == 72.0
    same(gradients[0], 4 * X * X)
    same(gradients[1], X * X)
    assert gradients[2] is None


def test_variable_assigned_under_differentiation() -> None:
    v = graphc.Variable(X)

    def function() -> Any:
        before = ops.sum(v * v)
        v.assign(v * 2.0)
        return before + ops.sum(v)

    _, (gradient,) = graphc.value_and_grad(function, variables=[v])()
    same(gradient, 2 * X + 2)
    same(v, 2 * X)


def test_closures_over_arrays_tensors_and_variables() -> None:
    v = graphc.Variable(2 * X)

    @graphc.jit
    def function(x: Any) -> Any:
        outer = x * 3.0
        return graphc.grad(lambda y: ops.sum(y * y * outer * v * X))(x)

    same(function(X), 12 * X**4)


def test_gradient_through_an_inner_gradient_of_variables() -> None:
    w = graphc.Variable(X)

    def penalty(x: Any) -> Any:
        _, (gradient,) = graphc.value_and_grad(
            lambda: ops.sum(w * w * x), variables=[w]
        )()
        return ops.sum(gradient * gradient)

    same(graphc.grad(penalty)(2 * X), 16 * X**3)


def test_eager_gradients_of_one_text_are_compiled_once(caplog: Any) -> None:
    big = np.ones((300, 300), F32)
    with caplog.at_level("INFO", "graphc"):
        for scale in (1.0, 2.0):
            found = graphc.grad(lambda x: ops.sum(x * x))(big * scale)
            same(found, 2 * scale * big)
    assert len(caplog.records) == 1
