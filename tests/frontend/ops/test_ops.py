"""Every function of ops against Keras, eagerly and traced with a symbolic batch."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import optree
import pytest

from graphc.frontend import ops
from graphc.frontend.program import Slot, trace_program
from graphc.frontend.tensor import Array, Tensor
from graphc.ir import TensorType, dtype, evaluate
from graphc.ir.dims import SymbolicDim
from tests.frontend.ops.examples import BATCH, EXAMPLES, Example

os.environ.setdefault("KERAS_BACKEND", "jax")

NOT_IN_KERAS = {"mish"}
"""Functions that Keras has elsewhere than in ops, under the same name."""


@pytest.fixture(scope="session")
def keras() -> Any:
    with pytest.MonkeyPatch.context():
        return pytest.importorskip("keras")


def expected(keras: Any, example: Example) -> Any:
    home = keras.activations if example.name in NOT_IN_KERAS else keras.ops
    return getattr(home, example.name)(*example.arguments, **example.keywords)


def leaves(results: Any) -> list[Any]:
    return optree.tree_leaves(results)  # type: ignore[return-value]


def same(actual: Any, wanted: Any) -> None:
    if not hasattr(wanted, "dtype"):
        assert actual == wanted
        return
    name = str(wanted.dtype)
    array = np.asarray(actual)
    assert array.dtype.name == name
    assert array.shape == tuple(wanted.shape)
    reference = np.asarray(wanted).astype(np.float64)
    np.testing.assert_allclose(
        array.astype(np.float64),
        reference,
        rtol=2e-3 if "16" in name and "float" in name else 3e-5,
        atol=3e-6 if "float" in name else 0,
    )


def describe(example: Example) -> str:
    return f"{example.name}-{EXAMPLES.index(example)}"


@pytest.mark.parametrize("example", EXAMPLES, ids=describe)
def test_agrees_with_keras(keras: Any, example: Example) -> None:
    wanted = leaves(expected(keras, example))
    actual = leaves(
        getattr(ops, example.name)(*example.arguments, **example.keywords)
    )
    assert len(actual) == len(wanted)
    for ours, theirs in zip(actual, wanted, strict=True):
        same(ours, theirs)


def symbolic_types(arrays: list[np.ndarray]) -> list[TensorType]:
    symbol = SymbolicDim.symbol("B")
    return [
        TensorType(
            tuple(
                symbol if axis == 0 and size == BATCH else size
                for axis, size in enumerate(array.shape)
            ),
            dtype(array.dtype),
        )
        for array in arrays
    ]


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.batched], ids=describe)
def test_traces_with_a_symbolic_batch(example: Example) -> None:
    function = getattr(ops, example.name)
    arrays: list[np.ndarray] = []

    def slot(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray) and leaf.shape[:1] == (BATCH,):
            arrays.append(leaf)
            return Slot(len(arrays) - 1)
        return leaf

    filled = optree.tree_map(slot, example.arguments)
    keywords = optree.tree_map(slot, example.keywords)
    program = trace_program(
        "traced",
        lambda arguments, keywords: function(*arguments, **keywords),
        (filled, keywords),
        symbolic_types(arrays),
    )
    program.graph.verify()
    if arrays:
        assert program.graph.symbols == {"B"}
    results = evaluate(program.graph, *arrays)
    eager = leaves(function(*example.arguments, **example.keywords))
    for ours, theirs in zip(results, eager, strict=True):
        np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-5, atol=1e-6)


def test_every_function_has_an_example() -> None:
    assert set(ops.__all__) == {example.name for example in EXAMPLES}


def test_every_function_has_keras_signature(keras: Any) -> None:
    import inspect

    for name in ops.__all__:
        theirs = getattr(keras.ops, name, None)
        if theirs is None:
            assert name in NOT_IN_KERAS
            continue
        ours = inspect.signature(getattr(ops, name)).parameters
        wanted = inspect.signature(theirs).parameters
        assert list(ours) == list(wanted), name
        for parameter, other in zip(ours.values(), wanted.values(), strict=True):
            assert parameter.default == other.default, (name, parameter.name)
            assert parameter.kind == other.kind, (name, parameter.name)


def test_results_are_arrays() -> None:
    result = ops.add(np.float32([1, 2]), 1)
    assert isinstance(result, Array)
    assert isinstance(result, Tensor)
