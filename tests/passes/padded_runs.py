"""Graphs run on padded inputs, compared with the same graphs without padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from graphc.artifacts.programs import PRIMITIVES
from graphc.fuzz.inputs import parameter_array
from graphc.ir.dims import substitute
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ir.types import TensorType
from graphc.passes import run
from graphc.passes.padding import pad_dimensions
from tests.closeness import assert_close

Array = np.ndarray[Any, Any]


def garbage(type: TensorType, rng: np.random.Generator) -> Array:
    """What inputs may hold outside of what counts."""
    shape, dtype = type.static_shape, type.dtype
    if dtype.is_float:
        with np.errstate(over="ignore"):
            number = rng.choice([np.nan, np.inf, -np.inf, 1e30])
            return np.full(shape, number).astype(dtype.numpy)
    if dtype.kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    limits = ml_dtypes.iinfo(dtype.numpy)
    return np.full(shape, rng.choice([limits.min, limits.max, 0, 7]), dtype.numpy)


def drawn(
    graph: Graph, sizes: Mapping[str, int], rng: np.random.Generator
) -> list[Array]:
    """Inputs without padding: positive numbers, and class numbers up to 2."""
    arrays: list[Array] = []
    for parameter in graph.parameters:
        shape = [int(substitute(dim, sizes)) for dim in parameter.shape]
        numbers = rng.uniform(0.1, 2, shape)
        if not parameter.dtype.is_float:
            numbers = rng.integers(0, 3, shape)
        arrays.append(np.asarray(numbers).astype(parameter.dtype.numpy))
    return arrays


def primitives(graph: Graph) -> Graph:
    """The graph that padding takes."""
    return run(graph, PRIMITIVES)


def assert_unseen(
    graph: Graph,
    padded: Graph,
    room: Mapping[str, int],
    sizes: Mapping[str, int],
    arrays: list[Array] | None = None,
    seed: int = 0,
) -> None:
    """Asserts that a graph for padded inputs returns what the graph itself does.

    Both are evaluated in float64, where sums in another order are close enough for the
    table of float32.
    """
    rng = np.random.default_rng(seed)
    if arrays is None:
        arrays = [parameter_array(p, sizes, seed) for p in graph.parameters]
    given: list[Array] = []
    for parameter, array in zip(graph.parameters, arrays, strict=True):
        shape = [substitute(dim, room) for dim in parameter.shape]
        large = garbage(parameter.type.with_shape(shape), rng)
        large[tuple(map(slice, array.shape))] = array
        given.append(large)
    counts = [np.int32(sizes[name]) for name in sorted(room)]
    expected = evaluate(graph, *arrays, dtype="f64")
    found = evaluate(padded, *given, *counts, dtype="f64")
    for want, got in zip(expected, found, strict=True):
        cut = got[tuple(map(slice, want.shape))]
        with np.errstate(over="ignore"):
            assert_close(_narrow(cut), _narrow(want))


def _narrow(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def pad(graph: Graph, room: Mapping[str, int]) -> tuple[Graph, Graph]:
    """A graph of primitives and the same one for padded inputs."""
    prepared = primitives(graph)
    padded = pad_dimensions(prepared, room)
    padded.verify()
    assert not padded.mentioned_symbols
    return prepared, padded
