"""Inputs of random programs: they follow from the program's text alone.

A program carries its seed as an attribute of the graph, ``seed``, and what a parameter
holds as attributes of the parameter: ``low`` and ``high`` bound its elements, ``step``
makes them multiples of a number, so that there are zeros and ties. Dimension symbols
have the size nearest to `SIZE` in their range.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from graphc.ir.dims import substitute
from graphc.ir.graph import Graph
from graphc.ir.random_inputs import HIGH, LOW, Array, random_array
from graphc.ir.values import Value

__all__ = ["HIGH", "LOW", "Array", "inputs", "parameter_array", "sizes"]

_LIMITS = ("low", "high", "step")
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
    limits = {k: value.attributes[k] for k in _LIMITS if k in value.attributes}
    return random_array(value.type.with_shape(shape), rng, **limits)
