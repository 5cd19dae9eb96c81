"""Artifacts for ranges of sizes: inputs are padded, and nothing is compiled again."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.artifacts import Contract, load
from graphc.artifacts.building import Source, write_artifact
from graphc.artifacts.contract import Sizes
from graphc.ir import parse
from graphc.ir.errors import GraphError, UnsupportedError
from graphc.ir.evaluate import evaluate
from tests.closeness import assert_close

GRAPH = """
graph @f(%x: f32[B,T], %w: f32[3] {role="state"})
    -> (f32[B,T], f32[T], f32[2*B,3], i32[], f32[3]) where B in 1..64, T in 1..64 {
  %0 = softmax(%x) {axis=1} : f32[B,T]
  %1 = reduce_max(%0) {axes=[0]} : f32[T]
  %2 = reduce_sum(%0) {axes=[0,1]} : f32[]
  %3 = add(%2, %w) : f32[3]
  %4 = broadcast_in_dim(%3) {dims=[1], shape=["2*B",3]} : f32[2*B,3]
  %5 = dimension_size(%x) {axis=1} : i32[]
  return %0, %1, %4, %5, %3
}
"""
W = np.arange(3, dtype=np.float32)


def source() -> Source:
    outputs = ("softmax", "mean", "wide", "size")
    graph = parse(GRAPH)
    return Source("f", "graph", graph, ("x",), outputs, {"w": W}, (0,))


def array(batch: int, length: int) -> np.ndarray:
    return np.random.default_rng(batch).normal(size=(batch, length)).astype(np.float32)


@pytest.mark.parametrize(
    ("target", "low", "lengths"),
    [
        ("numpy", 1, (2, 3)),
        pytest.param("xla:cpu", 5, (3,), marks=pytest.mark.slow),
    ],
)
def test_sizes_in_a_range(
    tmp_path: Path, target: str, low: int, lengths: tuple[int, ...]
):
    path = tmp_path / "f.gcx"
    contract = Contract({"B": Sizes.between(low, 8), "T": Sizes(lengths)})
    write_artifact(str(path), source(), contract, [target])
    program = load(path, target)
    program.prepare()
    used = dict(program.used)
    state = W
    for batch, length in itertools.product((8, 5, low, 7), lengths):
        expected = evaluate(source().graph, array(batch, length), state)
        found = program(array(batch, length))
        state = expected[-1]
        for got, want in zip(found, expected, strict=False):
            assert_close(np.asarray(got), want)
        assert_close(program.state["w"], state)
    assert program.used == used, "nothing is compiled for further sizes"
    assert len(used) == len(list(contract.programs()))
    with pytest.raises(GraphError, match=f"compiled for B = {low} to 8"):
        program(array(9, 3))


def test_programs_for_ranges_are_packed(tmp_path: Path):
    path = tmp_path / "f.gcx"
    contract = Contract({"B": Sizes.between(3, 4), "T": Sizes.between(2, 3)})
    write_artifact(str(path), source(), contract)
    program = load(path, trust="code")
    expected = evaluate(source().graph, array(3, 3), W)
    for got, want in zip(program(array(3, 3)), expected, strict=False):
        assert_close(np.asarray(got), want)
    assert program.used == {(("B", 4), ("T", 3)): "file"}


def test_what_cannot_be_padded_is_said_when_an_artifact_is_built(tmp_path: Path):
    graph = parse("""
        graph @f(%x: f32[3,B]) -> (f32[B,3]) where B in 1..8 {
          %0 = reshape(%x) {shape=["B",3]} : f32[B,3]
          return %0
        }""")
    made = Source("f", "graph", graph, ("x",), ("y",), {})
    contract = Contract({"B": Sizes.between(1, 8)})
    with pytest.raises(UnsupportedError, match="reshape cannot run on padded inputs"):
        write_artifact(str(tmp_path / "f.gcx"), made, contract)
    assert not list(tmp_path.iterdir())


def test_training_on_any_batch_size(tmp_path: Path):
    model = graphc.Sequential(
        [
            graphc.Input((4,)),
            layers.Dense(4, use_bias=False),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse", metrics=["mae"])
    model.export(tmp_path / "t.gcx", "train_step", ["numpy"], ranges={"B": (2, 8)})
    program = load(tmp_path / "t.gcx", "numpy")
    for batch in (8, 5, 3, 2):
        x = array(batch, 4)
        y = x.sum(axis=1, keepdims=True)
        before = list(program.state.values())
        expected = evaluate(program.graph, x, y, *before)
        found = program(x, y)
        after = [program.contents.state[place] for place in program.contents.written]
        results = [*found, *(program.state[name] for name in after)]
        for got, want in zip(results, expected, strict=True):
            assert_close(np.asarray(got), want)
    assert sorted(program.used) == [(("B", size),) for size in (2, 4, 8)]
