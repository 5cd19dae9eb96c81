"""Cost models: the roofline by hand, the learned one on times that it can learn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from graphc.ir import Graph, GraphError, LoadError, building, parse, tensor_type
from graphc.ir.ops import add, dot_general, reduce_sum, tanh
from graphc.passes.cost_model import Rates, Roofline
from graphc.passes.learned_cost import (
    FEATURES,
    Measurement,
    features,
    fit,
    rank_correlation,
    read_measurements,
    write_measurements,
)

RATES = Rates("test", bandwidth=1e9, narrow=4e9, single=1e9, launch=1e-6)
MODEL = Roofline(RATES)

TEXT = """
    graph @f(%x: f32[64,64], %h: bf16[64,64]) -> (f32[64,64]) {
      %0 = add(%x, %x) : f32[64,64]
      %1 = dot_general(%x, %0) {contract=[[1],[0]]} : f32[64,64]
      %2 = dot_general(%h, %h) {contract=[[1],[0]]} : bf16[64,64]
      %3 = call(%1) {graph="g"} : f32[64,64]
      return %3
    }
    graph @g(%x: f32[64,64]) -> (f32[64,64]) {
      %0 = negate(%x) : f32[64,64]
      %1 = negate(%0) : f32[64,64]
      return %1
    }"""


def test_the_roofline_is_the_slower_of_memory_and_arithmetic():
    graph = parse(TEXT)
    sum_, wide, narrow, call = graph.nodes
    matrix = 64 * 64 * 4
    assert math.isclose(MODEL.seconds(sum_), 1e-6 + 3 * matrix / 1e9)
    assert math.isclose(MODEL.seconds(wide), 1e-6 + 2 * 64**3 / 1e9)
    assert math.isclose(MODEL.seconds(narrow), 1e-6 + 2 * 64**3 / 4e9)
    assert math.isclose(MODEL.seconds(call), 2 * (1e-6 + 2 * matrix / 1e9))
    total = sum(MODEL.seconds(node) for node in graph.nodes)
    assert math.isclose(MODEL.seconds(graph), total)


def test_sizes_must_be_known():
    graph = Graph("f")
    x = graph.add_parameter(tensor_type("f32[B,4]"))
    graph.ranges = {"B": (1, 8)}
    with building(graph):
        graph.results = [tanh(x)]
    with pytest.raises(GraphError, match="depends on its sizes"):
        MODEL.seconds(graph)


def measurements(sizes: range) -> list[Measurement]:
    """Times by the roofline of nodes of three kinds."""
    found: list[Measurement] = []
    for size in sizes:
        graph = Graph("f")
        x = graph.add_parameter(tensor_type(f"f32[{size},{3 * size}]"))
        y = graph.add_parameter(tensor_type(f"f32[{3 * size},{size}]"))
        with building(graph):
            graph.results = [
                add(x, x),
                reduce_sum(x, axes=[0]),
                dot_general(x, y, contract=[[1], [0]]),
            ]
        found += [Measurement(features(n), MODEL.seconds(n)) for n in graph.nodes]
    return found


def test_a_model_learns_times_of_nodes_that_it_has_not_seen():
    model = fit(measurements(range(4, 300, 7)))
    held_out = measurements(range(6, 250, 11))
    found = [model.predict(each.features) for each in held_out]
    times = [each.seconds for each in held_out]
    assert rank_correlation(found, times) > 0.95
    assert np.median(np.abs(np.log(np.divide(found, times)))) < np.log(1.5)
    with pytest.raises(ValueError, match="needs measurements"):
        fit([])


def test_measurements_are_a_table(tmp_path: Path):
    rows = measurements(range(4, 8))
    path = tmp_path / "rows.csv"
    write_measurements(path, rows)
    assert list(read_measurements(path)) == rows
    lines = path.read_text().splitlines()
    for damaged in (["a,b", *lines[1:]], [lines[0], "x"], [lines[0], "1.0,2.0"]):
        path.write_text("\n".join(damaged))
        with pytest.raises(LoadError):
            list(read_measurements(path))
    assert len(rows[0].features) == len(FEATURES)


def test_rank_correlation_is_spearmans():
    assert math.isclose(rank_correlation([1, 2, 3], [10, 20, 30]), 1)
    assert math.isclose(rank_correlation([3, 2, 1], [10, 20, 30]), -1)
    # By the formula for ties: ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4.
    expected = np.corrcoef([1, 2.5, 2.5, 4], [1, 2, 3, 4])[0, 1]
    assert math.isclose(rank_correlation([1, 5, 5, 9], [1, 2, 3, 4]), expected)
