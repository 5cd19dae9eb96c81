"""Graphs for padded inputs: what is filled where, and that padding is never seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc import layers
from graphc.frontend.models.graphs import step_program
from graphc.fuzz import random_program
from graphc.ir import parse
from graphc.ir.errors import GraphError, UnsupportedError
from graphc.ir.ops import OPS
from graphc.passes.padding import pad_dimensions
from graphc.testing.op_samples import sample_graph, sample_symbols
from tests.passes.padded_runs import assert_unseen, drawn, pad


def check(before: str, after: str, **room: int) -> None:
    found = pad_dimensions(parse(before), room)
    found.verify()
    assert found == parse(after), str(found)


def test_sums_see_zeros_instead_of_padding():
    check(
        """
        graph @f(%x: f32[B,2]) -> (f32[2], f32[B]) where B in 1..8 {
          %0 = exponential(%x) : f32[B,2]
          %1 = reduce_sum(%0) {axes=[0]} : f32[2]
          %2 = reduce_sum(%0) {axes=[1]} : f32[B]
          return %1, %2
        }""",
        """
        graph @f(%x: f32[8,2], %B_size: i32[]) -> (f32[2], f32[8]) {
          %0 = exponential(%x) : f32[8,2]
          %1 = iota() {axis=0, dtype="i32", shape=[8]} : i32[8]
          %2 = compare(%1, %B_size) {direction="LT"} : bool[8]
          %3 = broadcast_in_dim(%2) {dims=[0], shape=[8,2]} : bool[8,2]
          %4 = select(%3, %0, 0.0) : f32[8,2]
          %5 = reduce_sum(%4) {axes=[0]} : f32[2]
          %6 = reduce_sum(%0) {axes=[1]} : f32[8]
          return %5, %6
        }""",
        B=8,
    )


def test_what_is_filled_already_is_not_filled_again():
    check(
        """
        graph @f(%x: f32[B]) -> (f32[], f32[]) where B in 1..8 {
          %0 = broadcast_in_dim(0.0) {dims=[], shape=["B"]} : f32[B]
          %1 = reduce_sum(%0) {axes=[0]} : f32[]
          %2 = exponential(%0) : f32[B]
          %3 = reduce_prod(%2) {axes=[0]} : f32[]
          return %1, %3
        }""",
        """
        graph @f(%x: f32[8], %B_size: i32[]) -> (f32[], f32[]) {
          %0 = broadcast_in_dim(0.0) {dims=[], shape=[8]} : f32[8]
          %1 = reduce_sum(%0) {axes=[0]} : f32[]
          %2 = exponential(%0) : f32[8]
          %3 = reduce_prod(%2) {axes=[0]} : f32[]
          return %1, %3
        }""",
        B=8,
    )


def test_sizes_that_are_asked_for_are_those_without_padding():
    check(
        """
        graph @f(%x: f32[2*B+1,B]) -> (i32[]) where B in 1..8 {
          %0 = dimension_size(%x) {axis=0} : i32[]
          return %0
        }""",
        """
        graph @f(%x: f32[17,8], %B_size: i32[]) -> (i32[]) {
          %0 = multiply(%B_size, 2:i32) : i32[]
          %1 = add(%0, 1:i32) : i32[]
          return %1
        }""",
        B=8,
    )


EACH = [
    # the last elements, what is put behind, in front and between
    "%0 = slice(%x) {start=[\"B-1\",0], limit=[\"B\",3]} : f32[1,3]",
    "%0 = slice(%x) {start=[\"B-2\",0], limit=[\"B\",3], strides=[2,1]} : f32[1,3]",
    "%0 = slice(%x) {start=[1,0], limit=[\"B\",2]} : f32[B-1,2]",
    "%0 = slice(%x) {start=[0,0], limit=[\"B\",3], strides=[2,2]} : f32[(B+1)//2,2]",
    "%0 = pad(%x, 1.5) {low=[1,0], high=[2,0]} : f32[B+3,3]",
    "%0 = pad(%x, 1.5) {low=[-1,0], high=[-1,1]} : f32[B-2,4]",
    "%0 = pad(%x, 1.5) {low=[0,0], high=[1,0], interior=[1,0]} : f32[2*B,3]",
    "%0 = pad(%x, 1.5) {low=[\"B-1\",0], high=[1,0]} : f32[2*B,3]",
    "%0 = concatenate(%x, %x) {axis=0} : f32[2*B,3]",
    "%0 = concatenate(%x, %x) {axis=1} : f32[B,6]",
    "%0 = reverse(%x) {axes=[0,1]} : f32[B,3]",
    "%0 = transpose(%x) {permutation=[1,0]} : f32[3,B]",
    "%0 = reshape(%x) {shape=[\"3*B\"]} : f32[3*B]",
    "%0 = cumulative_sum(%x) {axis=0, reverse=true} : f32[B,3]",
    "%0 = cumulative_sum(%x) {axis=0} : f32[B,3]",
    "%0 = sort(%x) {axis=0} : f32[B,3]",
    "%0 = argmax(%x) {axis=0} : i32[3]",
    "%0 = argmin(%x) {axis=0} : i32[3]",
    "%0 = reduce_min(%x) {axes=[0,1]} : f32[]",
    "%0 = reduce_prod(%x) {axes=[0]} : f32[3]",
    "%0 = dot_general(%x, %x) {contract=[[0],[0]]} : f32[3,3]",
    "%0 = dot_general(%x, %x) {contract=[[1],[1]]} : f32[B,B]",
    "%0 = dynamic_slice(%x, 9:i32, 0:i32) {sizes=[1,3]} : f32[1,3]",
]  # fmt: skip


@pytest.mark.parametrize("node", EACH)
def test_every_size_gives_what_it_gives_without_padding(node: str):
    type = node.rpartition(" : ")[2]
    text = f"""
        graph @f(%x: f32[B,3]) -> ({type}) where B in 3..8 {{
          {node}
          return %0
        }}"""
    graph, padded = pad(parse(text), {"B": 8})
    for size in (3, 4, 7, 8):
        assert_unseen(graph, padded, {"B": 8}, {"B": size}, seed=size)


def test_indices_are_kept_inside():
    text = """
        graph @f(%x: f32[B,3], %i: i32[4,1]) -> (f32[4,3], f32[B,3]) where B in 1..8 {
          %0 = gather(%x, %i) {collapsed_dims=[0], index_axis=1, offset_dims=[1],
            slice_sizes=[1,3], start_index_map=[0]} : f32[4,3]
          %1 = scatter(%x, %i, %0) {index_axis=1, index_map=[0], inserted_dims=[0],
            update_window_dims=[1]} : f32[B,3]
          return %0, %1
        }"""
    graph, padded = pad(parse(text), {"B": 8})
    rng = np.random.default_rng(0)
    for size in (1, 4, 8):
        arrays = [
            rng.normal(size=(size, 3)).astype(np.float32),
            np.array([[-3], [0], [size], [7]], np.int32),
        ]
        assert_unseen(graph, padded, {"B": 8}, {"B": size}, arrays)


def test_loops_keep_their_carries_where_elements_are_padding():
    text = """
        graph @f(%c: f32[], %x: f32[T]) -> (f32[], f32[T], f32[]) where T in 1..8 {
          %0, %1 = scan(%c, %x) {body="step", carries=1, length="T", sequences=1} : f32[], f32[T]
          %2, %3 = scan(%c, %1) {body="step", carries=1, length="T", reverse=true,
            sequences=1} : f32[], f32[T]
          return %0, %3, %2
        }
        graph @step(%c: f32[], %x: f32[]) -> (f32[], f32[]) {
          %0 = add(%c, 1.0) : f32[]
          %1 = multiply(%0, %x) : f32[]
          return %1, %0
        }"""
    graph, padded = pad(parse(text), {"T": 8})
    for size in (1, 5, 8):
        assert_unseen(graph, padded, {"T": 8}, {"T": size})


def test_two_symbols_where_the_inner_one_is_padded_too():
    text = """
        graph @f(%x: f32[B,T,2]) -> (f32[2], f32[]) where B in 1..8, T in 2..8 {
          %0 = reshape(%x) {shape=["B*T", 2]} : f32[B*T,2]
          %1 = exponential(%0) : f32[B*T,2]
          %2 = reduce_sum(%1) {axes=[0]} : f32[2]
          %3 = reshape(%1) {shape=["B","2*T"]} : f32[B,2*T]
          %4 = reduce_max(%3) {axes=[0,1]} : f32[]
          return %2, %4
        }"""
    room = {"B": 4, "T": 8}
    graph, padded = pad(parse(text), room)
    for sizes in ({"B": 1, "T": 2}, {"B": 3, "T": 7}, room):
        assert_unseen(graph, padded, room, sizes)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            '%0 = reshape(%x) {shape=["3*B"]} : f32[3*B]\n'
            '%1 = reshape(%0) {shape=[3,"B"]} : f32[3,B]',
            "elements of f32\\[3\\*B\\] lie elsewhere in f32\\[3,B\\]",
        ),
        ("%1 = print(%x) {format=\"x\"} : f32[B,3]", "shows padding to others"),
    ],
)  # fmt: skip
def test_what_cannot_be_padded_is_refused(nodes: str, message: str):
    type = nodes.rpartition(" : ")[2]
    graph = parse(
        f"graph @f(%x: f32[B,3]) -> ({type}) where B in 1..8 {{\n{nodes}\nreturn %1\n}}"
    )
    with pytest.raises(UnsupportedError, match=message) as caught:
        pad_dimensions(graph, {"B": 8})
    assert "--batch" in str(caught.value)


def test_sizes_that_do_not_fit_the_graph():
    graph = parse("""
        graph @f(%x: f32[B]) -> (f32[3]) where B in 1..8 {
          %0 = slice(%x) {start=[0], limit=[3]} : f32[3]
          return %0
        }""")
    with pytest.raises(GraphError, match="must lie in order"):
        pad_dimensions(graph, {"B": 8})
    with pytest.raises(GraphError, match=r"B must be in 1\.\.8"):
        pad_dimensions(graph, {"B": 9})
    with pytest.raises(GraphError, match="without a size to pad to"):
        pad_dimensions(graph, {})


def test_samples_of_ops():
    """Each op with symbols in its types, but for those that draw across the batch."""
    rng = np.random.default_rng(0)
    compared = 0
    for op in OPS.values():
        for sample in op.samples:
            if not sample_symbols(sample):
                continue
            graph = sample_graph(op, sample)
            names = graph.mentioned_symbols
            graph.ranges = dict.fromkeys(names, (3, 8))
            room, sizes = dict.fromkeys(names, 8), dict.fromkeys(names, 5)
            try:
                prepared, padded = pad(graph, room)
            except UnsupportedError:
                continue
            arrays = drawn(prepared, sizes, rng)
            assert_unseen(prepared, padded, room, sizes, arrays)
            compared += 1
    assert compared >= 90


# -- models ------------------------------------------------------------------------------


def classifier() -> graphc.Model:
    model = graphc.Sequential(
        [graphc.Input((4,)), layers.Dense(5, "relu"), layers.Dropout(0.3),
         layers.Dense(3, "softmax")]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def convolutional() -> graphc.Model:
    model = graphc.Sequential(
        [graphc.Input((4, 4, 2)), layers.Conv2D(3, 3, padding="same"),
         layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(),
         layers.Flatten(), layers.Dense(3)]
    )  # fmt: skip
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    return model


def transformer() -> graphc.Model:
    tokens = graphc.Input((None,), dtype="int32")
    x = layers.Embedding(7, 4)(tokens)
    attended = layers.MultiHeadAttention(2, 2)(x, x, use_causal_mask=True)
    x = layers.LayerNormalization()(x + attended)
    model = graphc.Model(tokens, layers.Dense(7)(x))
    loss = graphc.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    return model


def recurrent() -> graphc.Model:
    inputs = graphc.Input((None, 2))
    x = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(inputs)
    model = graphc.Model(inputs, layers.Dense(1)(layers.GRU(2)(x)))
    model.compile("sgd", "mae")
    return model


@pytest.mark.parametrize(
    "build",
    [classifier, convolutional, transformer, recurrent],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("kind", ["predict", "train_step"])
def test_models(build: Any, kind: str):
    model = build()
    program = step_program(model, kind)
    graph = program.graph.copy()
    others = sorted(graph.symbols - {"B"})
    graph.ranges = {"B": (1, 8), **dict.fromkeys(others, (2, 8))}
    room = {"B": 4, **dict.fromkeys(others, 8)}
    prepared, padded = pad(graph, room)
    rng = np.random.default_rng(0)
    for batch, length in ((1, 2), (3, 5), (4, 8)):
        sizes = {"B": batch, **dict.fromkeys(others, length)}
        arrays = drawn(prepared, sizes, rng)
        assert_unseen(prepared, padded, room, sizes, arrays)


# -- random programs ---------------------------------------------------------------------


def check_program(seed: int, nodes: int) -> bool:
    """Whether the program of a seed has symbols and can be padded; compares if so."""
    graph = random_program(seed, nodes)
    names = sorted(graph.mentioned_symbols)
    if not names:
        return False
    graph.ranges = {
        n: (max(low, 3), max(high, 3)) for n, (low, high) in graph.ranges.items()
    }
    room = {n: min(graph.ranges[n][1], 8 + i) for i, n in enumerate(names)}
    try:
        prepared, padded = pad(graph, room)
    except (UnsupportedError, GraphError):
        return False
    for size in (3, 5):
        sizes = {
            n: min(room[n], max(size, graph.ranges[n][0]) + i)
            for i, n in enumerate(names)
        }
        assert_unseen(prepared, padded, room, sizes, seed=seed)
    return True


def test_random_programs():
    assert sum(check_program(seed, 8) for seed in range(20)) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("group", range(20))
def test_many_random_programs(group: int):
    found = [check_program(1000 + 20 * group + i, 25) for i in range(20)]
    assert any(found)
