"""Printing values from steps that are compiled."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers, ops
from graphc.ir import GraphError, UnsupportedError, parse
from graphc.runtime.compile import compile_graph

X = np.float32([1, 2, 4])


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_eager_calls_print_at_once(capsys: pytest.CaptureFixture[str]):
    result = ops.print("x = {:.1f}", X)
    np.testing.assert_array_equal(result, X)
    ops.print("n", np.int32(3), 0.5, True)
    ops.print("{1} before {0:03d}", 7, 8)
    ops.print("{mean:.2f} of {}", X, mean=ops.mean(X))
    ops.print(X)
    assert ops.print("a {{brace}}") is None
    assert lines(capsys) == [
        "x = [1.0 2.0 4.0]",
        "n 3 0.5 True",
        "8 before 007",
        "2.33 of [1. 2. 4.]",
        "[1. 2. 4.]",
        "a {brace}",
    ]


@pytest.mark.parametrize("target", ["xla", "numpy"])
def test_compiled_steps_print_each_time_in_order(
    target: str, capsys: pytest.CaptureFixture[str]
):
    def step(x: Any) -> Any:
        ops.print("first {}", x[0])
        ops.print("second {}", x[1])
        ops.print("second {}", x[1])  # equal prints are not merged
        return ops.sum(x)

    run = graphc.compile(step, graphc.TensorSpec((3,)), target=target)
    assert lines(capsys) == []
    for number in range(2):
        run(X + number)
        first, second = f"first {1.0 + number}", f"second {2.0 + number}"
        assert lines(capsys) == [first, second, second]


def test_loops_and_gradients_print_what_they_run(capsys: pytest.CaptureFixture[str]):
    def body(i: Any, total: Any) -> Any:
        ops.print("{} {}", i, total)
        return total * 2

    def loss(x: Any) -> Any:
        return ops.fori_loop(0, 2, body, ops.sum(ops.print("x", x)))

    spec = graphc.TensorSpec((3,))
    value, gradient = graphc.compile(graphc.value_and_grad(loss), spec)(X)
    assert float(value) == 28
    np.testing.assert_array_equal(gradient, [4, 4, 4])
    assert lines(capsys) == ["x [1. 2. 4.]", "0 7.0", "1 14.0"]


class Talking(layers.Layer):
    def call(self, x: Any) -> Any:
        ops.print("mean {:.3f}", ops.mean(x))
        return x * 2


def test_layers_print_in_fit(capsys: pytest.CaptureFixture[str]):
    model = graphc.Sequential([graphc.Input((1,)), Talking(), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.float32([[1], [1], [3], [3]])
    model.fit(x, x, batch_size=2, shuffle=False, verbose=0)
    assert lines(capsys) == ["mean 1.000", "mean 3.000"]


def test_functional_models_print_and_are_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    x = graphc.Input((1,))
    model = graphc.Model(x, layers.Dense(1)(ops.print("x {}", x)))
    path = tmp_path / "model.graphc"
    model.save(path)
    expected = model.predict(X[:1, None], verbose=0)
    loaded = graphc.load_model(path).predict(X[:1, None], verbose=0)
    np.testing.assert_array_equal(loaded, expected)
    assert lines(capsys) == ["x [[1.]]", "x [[1.]]"]


def test_formats_that_do_not_fit_are_refused():
    with pytest.raises(GraphError, match=r"field \{y\} is none of the tensors"):
        ops.print("{y}", X, x=X)
    with pytest.raises(GraphError, match=r"\{1\} is none of the 1 operands"):
        ops.print("{} {}", X)
    with pytest.raises(GraphError, match="not well formed"):
        ops.print("{", X)
    with pytest.raises(GraphError, match="is none of the tensors"):
        ops.print("{0.__class__}", X)
    with pytest.raises(GraphError, match="does not format f32"):
        ops.print("{:9999f}", X)
    with pytest.raises(GraphError, match=r"'d' does not format f32\[3\]"):
        ops.print("{:d}", X)


def test_platforms_without_host_calls_refuse_it(monkeypatch: pytest.MonkeyPatch):
    graph = parse(
        "graph @f(%x: f32[3]) -> (f32[3]) {\n"
        '  %0 = print(%x) {format="{}"} : f32[3]  loc(model.py:3:5)\n'
        "  return %0\n}\n"
    )
    monkeypatch.setattr("graphc.runtime.xla_runtime._platform", lambda device: "tpu")
    with pytest.raises(UnsupportedError, match="print is not known on tpu") as raised:
        compile_graph(graph)
    assert "model.py:3:5" in str(raised.value)
