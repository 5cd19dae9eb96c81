"""Every function of ops against Keras, eagerly and traced with a symbolic batch.

Keras compiles every example, which takes minutes: its results lie in an archive, which
``pytest tests/frontend/ops/test_ops.py --update-golden`` writes again.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optree
import pytest

from graphc.frontend import ops
from graphc.frontend.keras_tensor import KerasTensor
from graphc.frontend.program import Slot, trace_program
from graphc.frontend.tensor import Array
from graphc.ir import TensorType, dtype, evaluate
from graphc.ir.dims import SymbolicDim
from graphc.runtime.compile import compile_graph
from tests.closeness import Comparison, assert_close
from tests.frontend.ops import examples, rarer_examples
from tests.frontend.ops.examples import BATCH, Example

ARCHIVE = Path(__file__).parents[2] / "golden/frontend/ops/keras.npz"
EXAMPLES = [*examples.EXAMPLES, *rarer_examples.EXAMPLES]
NOT_IN_OPS = {"mish"}
"""Functions that Keras has among its activations only."""
NOT_IN_KERAS = {"print"}
"""Functions that Keras does not have."""
OF_FUNCTIONS = {
    *("associative_scan", "cond", "custom_gradient", "fori_loop", "jvp", "map", "scan"),
    *("switch", "vectorize", "vectorized_map", "while_loop"),
}
"""Functions of functions, which have tests of their own."""
IN_FILES_OF_THEIR_OWN = {"ctc_decode", "ctc_loss"}
"""Functions that other files compare with Keras."""


@pytest.fixture(scope="session")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    return pytest.importorskip("keras")


@pytest.fixture(scope="session")
def wanted(request: pytest.FixtureRequest) -> dict[str, list[np.ndarray]]:
    """What Keras returns for each example."""
    if request.config.getoption("update_golden"):
        module = request.getfixturevalue("keras")
        arrays = {
            f"{key(example)}/{position}": result
            for example in EXAMPLES
            for position, result in enumerate(keras_results(module, example))
        }
        ARCHIVE.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(ARCHIVE, allow_pickle=False, **arrays)
    found: dict[str, list[np.ndarray]] = {}
    with np.load(ARCHIVE) as archive:
        for name in archive.files:
            found.setdefault(name.rpartition("/")[0], []).append(archive[name])
    return found


def keras_results(keras: Any, example: Example) -> list[np.ndarray]:
    home = keras.activations if example.name in NOT_IN_OPS else keras.ops
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy on overflows, inside Keras
        results = getattr(home, example.name)(*example.arguments, **example.keywords)
        return [np.asarray(leaf) for leaf in leaves(results)]


def leaves(results: Any) -> list[Any]:
    return optree.tree_leaves(results)  # type: ignore[return-value]


def key(example: Example) -> str:
    """A name for an example: its function, and its number among those of it."""
    same = [e for e in EXAMPLES if e.name == example.name]
    return f"{example.name}-{same.index(example)}"


UP_TO_SIGNS = ("eigh", "svd")
"""Functions whose vectors have the signs that Keras's library happens to choose."""


@pytest.mark.parametrize("example", EXAMPLES, ids=key)
def test_agrees_with_keras(
    wanted: dict[str, list[np.ndarray]], example: Example
) -> None:
    function = getattr(ops, example.name)
    actual = leaves(function(*example.arguments, **example.keywords))
    for ours, theirs in zip(map(np.asarray, actual), wanted[key(example)], strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        if theirs.dtype.kind == "U":
            assert ours == theirs
            continue
        if example.name in UP_TO_SIGNS:
            ours, theirs = np.abs(ours), np.abs(theirs)
        assert_close(ours, theirs, Comparison.FRAMEWORK)


@pytest.mark.slow
def test_archive_is_what_keras_returns(
    keras: Any, wanted: dict[str, list[np.ndarray]]
) -> None:
    for example in EXAMPLES:
        for stored, fresh in zip(
            wanted[key(example)], keras_results(keras, example), strict=True
        ):
            if stored.dtype.kind == "U":
                assert stored == fresh
            else:
                assert_close(stored, fresh, Comparison.FRAMEWORK)


def symbolic_types(arrays: list[np.ndarray]) -> list[TensorType]:
    symbol = SymbolicDim.symbol("B")
    return [
        TensorType((symbol, *array.shape[1:]), dtype(array.dtype)) for array in arrays
    ]


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.batched], ids=key)
def test_traces_with_a_symbolic_batch(example: Example) -> None:
    function = getattr(ops, example.name)
    arrays: list[np.ndarray] = []

    def slot(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray) and leaf.shape[:1] == (BATCH,):
            arrays.append(leaf)
            return Slot(len(arrays) - 1)
        return leaf

    arguments = optree.tree_map(slot, (example.arguments, example.keywords))
    program = trace_program(
        "traced",
        lambda arguments, keywords: function(*arguments, **keywords),
        arguments,
        symbolic_types(arrays),
    )
    program.graph.verify()
    assert program.graph.symbols == ({"B"} if arrays else set())
    results = evaluate(program.graph, *arrays)
    eager = leaves(function(*example.arguments, **example.keywords))
    for ours, theirs in zip(results, eager, strict=True):
        assert_close(ours, np.asarray(theirs))


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.batched], ids=key)
def test_symbolic_inputs_of_the_functional_api(example: Example) -> None:
    function = getattr(ops, example.name)

    def symbolic(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray) and leaf.shape[:1] == (BATCH,):
            return KerasTensor((None, *leaf.shape[1:]), leaf.dtype.name)
        return leaf

    arguments, keywords = optree.tree_map(
        symbolic, (example.arguments, example.keywords)
    )
    results = leaves(function(*arguments, **keywords))
    eager = leaves(function(*example.arguments, **example.keywords))
    for ours, theirs in zip(results, eager, strict=True):
        assert ours.dtype == theirs.dtype
        if isinstance(ours, KerasTensor):
            known = zip(ours.shape, theirs.shape, strict=True)
            assert all(size in (None, actual) for size, actual in known)


FIRST = list({e.name: e for e in reversed(EXAMPLES) if e.batched}.values())
"""One example of each function that can be traced."""


@pytest.mark.slow
@pytest.mark.parametrize("example", FIRST, ids=key)
def test_xla_agrees_with_the_evaluator(example: Example) -> None:
    arrays: list[np.ndarray] = []

    def slot(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        arrays.append(leaf)
        return Slot(len(arrays) - 1)

    arguments = optree.tree_map(slot, (example.arguments, example.keywords))
    program = trace_program(
        "traced",
        lambda arguments, keywords: getattr(ops, example.name)(*arguments, **keywords),
        arguments,
        [TensorType(array.shape, dtype(array.dtype)) for array in arrays],
    )
    compiled = compile_graph(program.graph)(*arrays)
    for found, meant in zip(compiled, evaluate(program.graph, *arrays), strict=True):
        assert_close(np.asarray(found), meant, Comparison.FRAMEWORK)


def test_every_function_has_an_example() -> None:
    compared = set(ops.__all__) - NOT_IN_KERAS - OF_FUNCTIONS - IN_FILES_OF_THEIR_OWN
    assert compared == {example.name for example in EXAMPLES}


def test_every_function_has_a_docstring() -> None:
    assert [name for name in ops.__all__ if not getattr(ops, name).__doc__] == []


def test_results_are_arrays() -> None:
    assert isinstance(ops.add(np.float32([1, 2]), 1), Array)
