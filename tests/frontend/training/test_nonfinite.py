"""What is not finite is traced to the node, the layer and the line that made it."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.frontend import layers, ops
from graphc.ir import PassError
from graphc.ir.errors import NonFiniteError


@dataclass(frozen=True)
class Injection:
    """A function with one way to something that is not finite.

    Attributes:
        function: What is compiled.
        arrays: What it is called with.
        op: The op that is to be blamed.
        line: A part of the line that is to be named.
    """

    function: Callable[..., Any]
    arrays: tuple[Any, ...]
    op: str
    line: str


ROWS = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], np.float32)
ONES = np.ones((2, 3), np.float32)


def normalized(x: Any) -> Any:
    total = ops.sum(x, axis=1, keepdims=True)
    return x / total


def standardized(x: Any) -> Any:
    centred = x - ops.mean(x, axis=1, keepdims=True)
    return centred / ops.std(x, axis=1, keepdims=True)


def softmax_without_shift(x: Any) -> Any:
    grown = ops.exp(x * 100.0)
    return grown / ops.sum(grown, axis=1, keepdims=True)


def ratio_of_logs(x: Any) -> Any:
    logs = ops.log(x)
    return logs - ops.flip(logs, axis=1)


def masked_softmax(x: Any) -> Any:
    masked = ops.where(x > 5.0, x, float("-inf"))
    shifted = masked - ops.max(masked, axis=1, keepdims=True)
    return ops.exp(shifted)


def slope_of_norm(x: Any) -> Any:
    def norm(x: Any) -> Any:
        return ops.sum(ops.sqrt(ops.sum(x * x, axis=1)))

    return graphc.grad(norm)(x)


def slope_behind_where(x: Any) -> Any:
    def total(x: Any) -> Any:
        return ops.sum(ops.where(x > 0.0, ops.sqrt(x), 0.0))

    return graphc.grad(total)(x)


def in_half(x: Any) -> Any:
    half = ops.cast(x, "float16")
    return ops.cast(half * 40000.0, "float32")


def growing_loop(x: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        grown = carry * carry
        return grown, row

    return ops.scan(step, x[0] + 9.0, ops.ones((12, 1)))[0]


INJECTIONS = {
    "log of zero": Injection(lambda x: ops.log(x) + 1.0, (ROWS,), "log", "ops.log(x)"),
    "log of a negative": Injection(
        lambda x: ops.sum(ops.log(x - 2.0)), (ONES,), "log", "ops.log(x - 2.0)"
    ),
    "zero by zero": Injection(normalized, (ROWS,), "divide", "x / total"),
    "by zero": Injection(lambda x: 1.0 / x, (ROWS,), "divide", "1.0 / x"),
    "root of a negative": Injection(
        lambda x: ops.sqrt(-x) * 0.0, (ONES,), "sqrt", "ops.sqrt(-x)"
    ),
    "root of zero": Injection(lambda x: ops.rsqrt(x), (ROWS,), "rsqrt", "ops.rsqrt"),
    "no variance": Injection(standardized, (ONES,), "divide", "centred /"),
    "overflow in exp": Injection(
        softmax_without_shift, (ROWS,), "exponential", "ops.exp(x * 100.0)"
    ),
    "infinity minus infinity": Injection(
        ratio_of_logs, (ROWS,), "log", "logs = ops.log(x)"
    ),
    "a row of masks": Injection(masked_softmax, (ROWS,), "subtract", "masked - "),
    "slope of a norm": Injection(slope_of_norm, (ROWS,), "divide", "ops.sqrt"),
    "slope behind where": Injection(
        slope_behind_where, (ROWS,), "divide", "ops.sqrt(x)"
    ),
    "overflow in half": Injection(in_half, (ROWS,), "multiply", "half * 40000.0"),
    "overflow in a product": Injection(
        lambda x: ops.matmul(x * 1e20, ops.transpose(x * 1e20)),
        (ROWS,),
        "dot_general",
        "ops.matmul",
    ),
    "overflow in a loop": Injection(growing_loop, (ROWS,), "multiply", "carry * carry"),
    "a fraction as exponent": Injection(
        lambda x: (x - 2.0) ** 0.3, (ONES,), "power", "** 0.3"
    ),
    "outside of arccos": Injection(
        lambda x: ops.arccos(x + 1.0), (ONES,), "acos", "ops.arccos"
    ),
    "atanh of one": Injection(lambda x: ops.arctanh(x), (ONES,), "atanh", "arctanh"),
    "log1p of minus one": Injection(
        lambda x: ops.log1p(-x), (ONES,), "log_plus_one", "ops.log1p"
    ),
    "remainder by zero": Injection(
        lambda x, y: ops.mod(x, y), (ONES, ROWS), "remainder", "ops.mod"
    ),
    "an input": Injection(
        lambda x: x * 2.0, (np.full((2, 3), np.nan, np.float32),), "input x", ""
    ),
}


@pytest.mark.parametrize("name", INJECTIONS)
def test_each_injection_is_found_where_it_is(name: str):
    injection = INJECTIONS[name]
    specs = [graphc.TensorSpec(array.shape) for array in injection.arrays]
    run = graphc.compile(injection.function, *specs, target="numpy", check="nan")
    with pytest.raises(NonFiniteError) as caught:
        run(*injection.arrays)
    error = caught.value
    assert f"comes from {injection.op}" in error.message
    if injection.line:
        assert error.location is not None
        source = linecache.getline(__file__, error.location.line)
        assert injection.line in source


def test_finite_runs_return_the_same_results():
    run = graphc.compile(normalized, graphc.TensorSpec((2, 3)), check="nan")
    plain = graphc.compile(normalized, graphc.TensorSpec((2, 3)))
    assert np.array_equal(run(ONES).numpy(), plain(ONES).numpy())
    assert len(run.executables[0](ONES)) == 1


def test_what_a_result_does_not_show_is_no_fault():
    run = graphc.compile(
        lambda x: ops.where(x > 0.0, ops.log(x), 0.0),
        graphc.TensorSpec((2, 3)),
        target="numpy",
        check="nan",
    )
    assert np.isfinite(run(ROWS).numpy()).all()


def test_infinities_that_the_program_writes_are_told_from_those_it_makes():
    run = graphc.compile(
        lambda x: ops.where(x > 5.0, x, float("-inf")),
        graphc.TensorSpec((2, 3)),
        check="nan",
    )
    with pytest.raises(NonFiniteError, match="an infinity that the program writes"):
        run(ROWS)


def test_unknown_checks_are_refused():
    with pytest.raises(PassError, match="check must be 'numerics', 'nan' or None"):
        graphc.compile(normalized, graphc.TensorSpec((2, 3)), check="inf")


# -- models ----------------------------------------------------------------------------


class Log(layers.Layer):
    """A layer that fails on data below 2."""

    def call(self, x: Any) -> Any:
        return ops.log(x - 2.0)


def model_of(*inner: Any, optimizer: Any = "sgd", **options: Any) -> Any:
    x = graphc.Input((4,), name="x")
    y = x
    for layer in inner:
        y = layer(y)
    model = graphc.Model(x, layers.Dense(1, name="last")(y), name="m")
    model.compile(optimizer, "mse", check="nan", **options)
    return model


def data() -> tuple[Any, Any]:
    x = np.full((24, 4), 3.0, np.float32)
    return x, np.zeros((24, 1), np.float32)


@pytest.mark.parametrize("target", ["numpy", "xla"])
def test_fit_names_batch_layer_and_line_and_keeps_the_model(target: str):
    x, y = data()
    x[17] = 1.0
    model = model_of(Log(name="log"), target=target, steps_per_execution=2)
    with pytest.raises(NonFiniteError) as caught:
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    text = str(caught.value)
    assert text.startswith("epoch 1, batch 3: the first nan comes from log")
    assert "in layer 'm/log'" in text
    assert "return ops.log(x - 2.0)" in text
    assert "operands in -1 .. 1" in text
    assert "hint: an operand is negative" in text
    assert int(model.optimizer.iterations) == 2
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_evaluate_and_predict_name_the_batch():
    x, y = data()
    x[9] = 1.0
    model = model_of(Log(name="log"), target="numpy")
    for run in (
        lambda: model.predict(x, batch_size=8, verbose=0),
        lambda: model.evaluate(x, y, batch_size=8, verbose=0),
    ):
        with pytest.raises(NonFiniteError, match=r"^batch 2: the first nan comes from"):
            run()
    assert np.isfinite(model.predict(x[:8], batch_size=8, verbose=0)).all()


def test_nested_layers_are_named_by_their_path():
    x, y = data()
    inner = graphc.Sequential([Log(name="log")], name="inner")
    model = model_of(inner, target="numpy")
    with pytest.raises(NonFiniteError) as caught:
        model.train_on_batch(x - 2.0, y)
    assert caught.value.location is not None
    assert caught.value.location.path == "m/inner/log"


def test_weights_that_are_not_finite_are_named():
    x, y = data()
    model = model_of(layers.Dense(4, name="first"), target="numpy")
    kernel, *rest = model.get_weights()
    kernel[0, 0] = np.nan
    model.set_weights([kernel, *rest])
    with pytest.raises(NonFiniteError, match=r"comes from variable .*first.*kernel"):
        model.train_on_batch(x, y)


def test_weights_of_samples_are_named():
    x, y = data()
    model = model_of(target="numpy")
    weights = np.ones(24, np.float32)
    weights[3] = np.inf
    with pytest.raises(NonFiniteError, match="comes from input sample_weight"):
        model.train_on_batch(x, y, sample_weight=weights)


def test_targets_are_named():
    x, y = data()
    y[0] = np.nan
    with pytest.raises(NonFiniteError, match="comes from input y"):
        model_of(target="numpy").train_on_batch(x, y)


def test_an_optimizer_that_blows_up_is_named():
    x, y = data()
    optimizer = graphc.optimizers.SGD(learning_rate=1e38)
    model = model_of(optimizer=optimizer, target="numpy")
    with pytest.raises(NonFiniteError) as caught:
        model.fit(x, y + 1e3, batch_size=8, verbose=0)
    # The first step overflows, in weights that it does not read any more.
    assert caught.value.message.startswith(
        "epoch 1, batch 2: in the run before, the first inf comes from multiply"
    )
    assert "lower the learning rate" in str(caught.value)
