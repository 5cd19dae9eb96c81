"""Random bits: those of XLA, bit for bit."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import graphc
from graphc.ir import UnsupportedError, evaluate
from graphc.runtime.compile import compile_graph
from graphc.runtime.xla_export import Spec, exported

STATES = {
    2: np.array([0x123456789ABCDEF0, 2**64 - 3], np.uint64),
    3: np.array([5, 2**64 - 2, 2**64 - 1], np.uint64),
}
"""States whose counters overflow."""

RESULTS = [
    ((), np.uint32),
    ((5,), np.uint8),
    ((3, 4), np.uint32),
    ((7, 3, 5), np.uint32),
    ((2, 0, 3), np.uint64),
    ((3, 3), np.uint64),
]


def type_text(shape: tuple[int, ...], dtype: type[np.generic]) -> str:
    dims = "".join(f"{size}x" for size in shape)
    return f"tensor<{dims}ui{np.dtype(dtype).itemsize * 8}>"


def program(algorithm: str, words: int) -> str:
    """A module that returns the state after bits of each shape and dtype, and these."""
    state = f"tensor<{words}xui64>"
    types = [type_text(shape, dtype) for shape, dtype in RESULTS]
    lines = [
        f"%s{i}, %b{i} = stablehlo.rng_bit_generator %s, algorithm = {algorithm}"
        f" : ({state}) -> ({state}, {type})"
        for i, type in enumerate(types)
    ]
    names = ", ".join(f"%s{i}, %b{i}" for i in range(len(types)))
    returned = ", ".join(f"{state}, {type}" for type in types)
    body = "\n".join([*lines, f"return {names} : {returned}"])
    return (
        f"module @bits {{\nfunc.func public @main(%s: {state}) -> ({returned})"
        f" {{\n{body}\n}}\n}}"
    )


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [("THREE_FRY", 2), ("PHILOX", 2), ("PHILOX", 3), ("DEFAULT", 2)],
)
def test_bits_and_states_are_those_of_xla(algorithm: str, words: int):
    text, state = program(algorithm, words), STATES[words]
    specs = [
        Spec(*each)
        for shape, dtype in RESULTS
        for each in (((words,), np.uint64), (shape, dtype))
    ]
    parameters = [Spec((words,), np.uint64)]
    with jax.enable_x64(True):
        function = exported(text, "bits", parameters, specs, "cpu")
        wanted = jax.jit(function.call)(state)
    found = evaluate(graphc.from_stablehlo(text), state)
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, np.asarray(want))
        assert got.dtype == want.dtype


def test_the_graph_gives_the_same_bits_when_xla_runs_it():
    graph = graphc.from_stablehlo(program("THREE_FRY", 2))
    results = compile_graph(graph)(STATES[2])
    for found, want in zip(results, evaluate(graph, STATES[2]), strict=True):
        np.testing.assert_array_equal(np.asarray(found), want)


def test_other_states_are_refused():
    with pytest.raises(UnsupportedError, match="the state must be two or three u64"):
        graphc.from_stablehlo(program("PHILOX", 4))
