"""Inputs of random programs: they follow from the program's text alone.

A program carries its seed as an attribute of the graph, ``seed``, and what a parameter
holds as attributes of the parameter: ``low`` and ``high`` bound its elements, ``step``
makes them multiples of a number, so that there are zeros and ties. Dimension symbols
have the size nearest to `SIZE` in their range.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from graphc.ir.dims import substitute
from graphc.ir.graph import Graph
from graphc.ir.types import TensorType
from graphc.ir.values import Attributes, Value

Array: TypeAlias = np.ndarray[Any, Any]

LOW, HIGH = -2.0, 2.0
"""What elements lie between unless a parameter says otherwise, as in op samples."""

SIZE = 3
"""What a dimension symbol is bound to, within its range."""


def sizes(graph: Graph) -> dict[str, int]:
    """The sizes of the dimension symbols of `graph`, within their ranges."""
    return {
        symbol: min(max(SIZE, low), high)
        for symbol, (low, high) in sorted(graph.ranges.items())
    }


def inputs(graph: Graph) -> list[Array]:
    """One array for each parameter of `graph`.

    What a parameter gets depends on the seed and the parameter's name, not on the
    other parameters, so it stays when a program is reduced.
    """
    bindings = sizes(graph)
    seed = int(graph.attributes.get("seed", 0))
    return [parameter_array(p, bindings, seed) for p in graph.parameters]


def parameter_array(value: Value, bindings: Mapping[str, int], seed: int) -> Array:
    """The array for one parameter."""
    name = value.name or f"parameter{value.index}"
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    shape = [substitute(d, bindings) for d in value.shape]
    return random_array(value.type.with_shape(shape), value.attributes, rng)


def random_array(
    type: TensorType, attributes: Attributes, rng: np.random.Generator
) -> Array:
    """Random elements of a type without symbols, as the attributes ask for.

    Integers are at least ``low`` and below ``high``, as indices are.
    """
    shape, dtype = type.static_shape, type.dtype
    low = float(attributes.get("low", LOW))
    high = float(attributes.get("high", HIGH))
    if dtype.kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.is_float:
        array = rng.uniform(low, high, shape)
        if step := attributes.get("step"):
            array = np.round(array / step) * step
        return np.asarray(array).astype(dtype.numpy)
    start = max(int(low), 0) if dtype.kind == "uint" else int(low)
    array = rng.integers(start, max(int(high), start + 1), shape)
    return np.asarray(array).astype(dtype.numpy)
