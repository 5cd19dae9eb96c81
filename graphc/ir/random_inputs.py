"""Random arrays for the parameters of a graph, drawn from their types and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.ir.dims import substitute
from graphc.ir.graph import Graph
from graphc.ir.types import TensorType
from graphc.ir.values import Value

Array = np.ndarray[Any, Any]


LOW, HIGH = -2.0, 2.0
"""What elements lie between unless something else is asked for, as in op samples."""


def random_array(
    type: TensorType,
    rng: np.random.Generator,
    low: float = LOW,
    high: float = HIGH,
    step: float = 0.0,
) -> Array:
    """Random elements of a type without symbols.

    Args:
        type: The type.
        rng: What they are drawn from.
        low: The least element; integers without a sign are not below 0.
        high: What elements are below.
        step: What floats are multiples of, unless it is 0.
    """
    shape, dtype = type.static_shape, type.dtype
    if dtype.kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.is_float:
        drawn = rng.uniform(low, high, shape)
        drawn = np.round(drawn / step) * step if step else drawn
        return np.asarray(drawn).astype(dtype.numpy)
    start = max(int(low), 0) if dtype.kind == "uint" else int(low)
    end = max(int(high), start + 1)
    drawn_as = np.uint64 if end > 2**63 else np.int64
    drawn = rng.integers(start, end, shape, dtype=drawn_as)
    return np.asarray(drawn).astype(dtype.numpy)


def random_inputs(
    graph: Graph, seed: int = 0, sizes: Mapping[str, int] | None = None
) -> list[Array]:
    """An array for each parameter of `graph`.

    Elements lie between the attributes ``low`` and ``high`` of their parameter if it has
    them, integers below ``high``. Other floats are normal; those of state are not
    negative, because variances are state too. Other integers are 0 or 1: they may be
    class numbers or indices, and few axes are shorter.

    Args:
        graph: The graph.
        seed: What the arrays are drawn from.
        sizes: The sizes of the dimension symbols.
    """
    rng = np.random.default_rng(seed)
    return [_random_array(p, rng, sizes or {}) for p in graph.parameters]


def _random_array(
    of: Value, rng: np.random.Generator, sizes: Mapping[str, int]
) -> Array:
    shape = [substitute(dim, sizes) for dim in of.shape]
    size = TensorType(tuple(shape), of.dtype).static_shape
    low, high = of.attributes.get("low"), of.attributes.get("high")
    if not of.dtype.is_float:
        drawn = rng.integers(int(low or 0), int(2 if high is None else high), size)
    elif low is not None and high is not None:
        drawn = rng.uniform(low, high, size)
    else:
        drawn = rng.normal(size=size)
        if of.attributes.get("role") == "state":
            drawn = np.abs(drawn)
    return np.asarray(drawn).astype(of.dtype.numpy)
