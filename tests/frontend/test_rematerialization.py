"""`remat`, `RematScope` and memory budgets of models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers, ops
from tests.closeness import assert_close


def test_gradients_are_those_without_it():
    def f(x, scale=1.0):
        return ops.sum(ops.sin(ops.exp(x) * scale))

    x = np.linspace(-1.0, 1.0, 5, dtype=np.float32)
    again = graphc.remat(f)
    assert again.__name__ == "f"
    np.testing.assert_array_equal(again(x), f(x))
    np.testing.assert_array_equal(graphc.grad(again)(x), graphc.grad(f)(x))
    scaled = graphc.grad(lambda x: again(x, scale=2.0))(x)
    np.testing.assert_array_equal(scaled, graphc.grad(lambda x: f(x, scale=2.0))(x))


def test_structures_captured_tensors_and_variables():
    count = graphc.Variable(np.float32(0.0), name="count")
    weight = graphc.Variable(np.float32(3.0), name="weight")

    def loss(x):
        @graphc.remat
        def f(pair, flag):
            count.assign_add(1.0)
            a, b = pair["a"], pair["b"]
            return {"y": ops.exp(a * weight) * (b if flag else x), "n": pair["n"]}

        found = f({"a": x, "b": x * 2.0, "n": ops.cast(x, "int32")}, True)
        return ops.sum(found["y"]) + 0.0 * ops.cast(found["n"], "float32")

    value, (gradient,) = graphc.jit(graphc.value_and_grad(loss, variables=[weight]))(
        np.float32(0.5)
    )
    assert_close(float(value), np.exp(1.5))
    assert_close(float(gradient), 0.5 * np.exp(1.5))
    assert float(count.numpy()) == 1.0


def build(scope: graphc.RematScope) -> Any:
    with scope:
        hidden = [layers.Dense(32, "gelu", name=f"hidden_{i}") for i in range(2)]
    return graphc.Sequential(
        [graphc.Input((16,)), *hidden, layers.BatchNormalization(), layers.Dense(1)]
    )


SCOPES = {
    "none": {"mode": None},
    "full": {"mode": "full"},
    "activations": {"mode": "activations"},
    "larger": {"mode": "larger_than", "output_size_threshold": 31},
    "smaller": {"mode": "larger_than", "output_size_threshold": 32},
    "listed": {"mode": "list_of_layers", "layer_names": ["hidden_1"]},
}
BARRIERS = {
    "none": 0,
    "full": 2,
    "activations": 2,
    "larger": 2,
    "smaller": 0,
    "listed": 1,
}


@pytest.mark.slow
def test_scopes_choose_layers_and_keep_losses():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 16)).astype(np.float32)
    y = rng.normal(size=(8, 1)).astype(np.float32)
    weights: Any = None
    losses: dict[str, list[float]] = {}
    for name, options in SCOPES.items():
        model = build(graphc.RematScope(**options))
        model.compile("sgd", "mse")
        weights = weights or model.get_weights()
        model.set_weights(weights)
        losses[name] = [model.train_on_batch(x, y) for _ in range(2)]
        (program,) = model.step("train_step").programs.values()
        text = program.executables[0].text
        assert text.count("stablehlo.optimization_barrier") == BARRIERS[name], name
    for found in losses.values():
        assert_close(found, losses["none"])


def test_inner_scopes_hold_and_end():
    with graphc.RematScope():
        with graphc.RematScope(mode=None):
            assert layers.Dense(1).remat_scope is None
        assert layers.Dense(1).remat_scope.mode == "full"
    assert layers.Dense(1).remat_scope is None


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode='all'"):
        graphc.RematScope(mode="all")


@pytest.mark.slow
def test_a_model_trains_the_same_within_a_budget():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 16)).astype(np.float32)
    y = rng.normal(size=(64, 1)).astype(np.float32)

    def model(budget: int | None) -> Any:
        found = graphc.Sequential(
            [
                graphc.Input((16,)),
                layers.Dense(32, activation="gelu"),
                layers.Dense(1),
            ]
        )
        found.compile("adam", "mse", memory_budget=budget)
        return found

    def plan(of: Any) -> Any:
        (program,) = of.step("train_step").programs.values()
        return program.executables[0].memory_plan()

    free = model(None)
    weights = free.get_weights()
    wanted = [free.train_on_batch(x, y) for _ in range(3)]
    budget = plan(free).bill.parameters + plan(free).bill.temporaries // 3
    small = model(budget)
    small.set_weights(weights)
    found = [small.train_on_batch(x, y) for _ in range(3)]
    assert_close(found, wanted)
    assert plan(small).peak <= budget
    assert plan(small).micro_batches > 1


def test_a_budget_is_checked_at_once():
    model = graphc.Sequential([graphc.Input((2,)), layers.Dense(1)])
    with pytest.raises(graphc.errors.PassError, match="positive number of bytes"):
        model.compile("sgd", "mse", memory_budget="20 apples")


def test_compile_takes_a_budget_and_shows_the_bill():
    def f(x):
        return ops.sum(ops.matmul(ops.exp(x), x))

    spec = graphc.TensorSpec((8, 8))
    step = graphc.compile(graphc.grad(f), spec, memory_budget="1MiB")
    plan = step.memory_plan()
    assert plan.budget == 2**20
    assert "predicted peak" in str(plan)
    with pytest.raises(graphc.errors.PassError, match="does not fit"):
        graphc.compile(graphc.grad(f), spec, memory_budget=16)
