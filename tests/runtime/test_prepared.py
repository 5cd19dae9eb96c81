"""Prepared weights: made once for the same arrays, anew for others, and freed."""

from __future__ import annotations

import gc

import jax.numpy as jnp
import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.ir import LoadError, parse
from graphc.runtime import load_backend
from graphc.runtime.backend import Packed
from graphc.runtime.compile import compile_graph
from graphc.runtime.prepared import PREPARED, PreparedProgram, unpack
from graphc.runtime.targets import JAXLIB, find_target
from tests.closeness import Comparison, assert_close

GRAPH = """
    graph @f(%x: f32[128,128], %w: f32[128,128] {role="state"}) -> (f32[128,128]) {
      %0 = exponential(%w) : f32[128,128]
      %1 = dot_general(%x, %0) {contract=[[1],[0]]} : f32[128,128]
      return %1
    }"""


class Counted:
    """A program that counts its runs."""

    def __init__(self, program):
        self.program = program
        self.runs = 0

    def run(self, *arrays):
        self.runs += 1
        return self.program.run(*arrays)


@pytest.fixture
def counted(monkeypatch):
    """A compiled graph, and its first part, which counts its runs."""
    program = compile_graph(parse(GRAPH), prepare=True).program
    assert isinstance(program, PreparedProgram)
    monkeypatch.setattr(program, "_first", Counted(program._first))
    return program, program._first


def wanted(x, w):
    return np.asarray(x) @ np.exp(np.asarray(w))


def test_the_same_arrays_are_prepared_once(counted, rng):
    program, first = counted
    x, one, other = (jnp.asarray(rng.random((128, 128), "f4")) for _ in range(3))
    for weights, runs in ((one, 1), (one, 1), (other, 2), (other, 2), (one, 3)):
        assert_close(program.run(x, weights)[0], wanted(x, weights), Comparison.TRAINED)
        assert first.runs == runs


def test_arrays_that_can_change_are_prepared_in_each_run(counted, rng):
    program, first = counted
    x, weights = rng.random((2, 128, 128), "f4")
    for runs in (1, 2):
        assert_close(program.run(x, weights)[0], wanted(x, weights), Comparison.TRAINED)
        weights *= 0.5
        assert first.runs == runs


def test_what_is_prepared_goes_with_its_weights(counted, rng):
    program, _ = counted
    x, weights = (jnp.asarray(rng.random((128, 128), "f4")) for _ in range(2))
    program.run(x, weights)
    assert program._kept is not None
    del weights
    gc.collect()
    assert program._kept is None


def test_only_who_asks_for_it_gets_it():
    assert not isinstance(compile_graph(parse(GRAPH)).program, PreparedProgram)
    for asked in ({"check": "numerics"}, {"memory_budget": "1GiB"}, {"donate": [1]}):
        program = compile_graph(parse(GRAPH), prepare=True, **asked).program
        assert not isinstance(program, PreparedProgram)


@pytest.mark.parametrize("target", ["xla", "triton:interpreter"])
def test_predictions_follow_the_weights(target, rng):
    """The weights in bfloat16 are made once, and again when there are others."""
    model = graphc.Sequential([graphc.Input((64,)), layers.Dense(256)])
    model.compile("sgd", "mse", precision="bfloat16", target=target)
    x = rng.random((32, 64), "f4")
    plain = compile_graph(model.graph("predict", 32), target, precision="bfloat16")
    for _ in range(2):
        want = np.asarray(plain(x, *model.get_weights())[0])
        for _ in range(2):
            assert_close(model.predict_on_batch(x), want, Comparison.OURS)
        model.set_weights([0.5 * weights for weights in model.get_weights()])
    programs = model.step("predict").programs.values()
    (executable,) = [made for each in programs for made in each.executables]
    assert isinstance(executable.program, PreparedProgram)


# -- packed programs -------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed() -> Packed:
    found = compile_graph(parse(GRAPH), "xla:cpu", prepare=True).program.pack()
    assert found is not None
    return found


@pytest.mark.parametrize("target", ["xla:cpu", JAXLIB.name])
def test_what_is_packed_prepares_as_well(target, packed, rng):
    runner = JAXLIB if target == JAXLIB.name else find_target(target)
    backend = load_backend(runner.backend)
    program = unpack(backend, packed, parse(GRAPH), runner.device, ())
    x, w = rng.random((2, 128, 128), "f4")
    weights = program.place(w)
    for _ in range(2):
        found = np.asarray(program.run(x, weights)[0])
        assert_close(found, wanted(x, w), Comparison.TRAINED)
    assert program._kept is not None


@pytest.mark.parametrize(
    ("said", "text", "message"),
    [
        ([], None, "not complete"),
        ({"operands": [1]}, None, "not complete"),
        ({"operands": [1], "facts": {PREPARED: {}}}, None, "not complete"),
        ({"operands": [2], "facts": {}}, None, "reads others than the program has"),
        ({"operands": ["1"], "facts": {}}, None, "reads others than the program has"),
        ({"operands": [True], "facts": {}}, None, "reads others than the program has"),
        ({"operands": [], "facts": {}}, None, "reads others than the program has"),
        ({"operands": [1], "facts": {}}, b"", "is not valid"),
        ({"operands": [1], "facts": {}}, b"\xff", "is not valid"),
    ],
)
def test_damage_is_refused(said, text, message, packed):
    files = dict(packed.files)
    if text is not None:
        files["prepared.gir"] = text
    damaged = Packed({**packed.facts, PREPARED: said}, files)
    with pytest.raises(LoadError, match=message):
        unpack(load_backend("xla"), damaged, parse(GRAPH), "cpu", ())
