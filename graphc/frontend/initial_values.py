"""Initial values: all of a model's variables from one small program.

Every draw has a key of its own, made from the seed and the variable's path, so adding
a layer moves no other layer's numbers. The bits of all draws come from one flat counter
kernel; compiling a generator for each variable would cost seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from graphc.frontend.execution import run_once
from graphc.frontend.seeds import global_seed, random_key
from graphc.ir import Graph, Literal, Operand, TensorType, building
from graphc.ir import ops as ir_ops
from graphc.ir.ops.random import segment_starts
from graphc.ir.types import U32, product


@dataclass(frozen=True, slots=True)
class Recipe:
    """An initial value as ``offset + scale * sample``.

    Attributes:
        distribution: What the sample is drawn from: ``"uniform"`` in 0..1,
            ``"normal"``, ``"truncated_normal"`` (at two standard deviations), or
            ``"constant"``, which has no sample.
        offset: Added to the scaled sample; the value of a constant.
        scale: What the sample is multiplied by.
        seed: The seed of this draw alone, or None for the global one.
    """

    distribution: str
    offset: float = 0.0
    scale: float = 1.0
    seed: int | None = None


@runtime_checkable
class HasRecipe(Protocol):
    """An initializer whose values follow a `Recipe`."""

    def recipe(self, shape: Sequence[int]) -> Recipe:
        """How values of this shape are made."""
        ...


@dataclass(frozen=True, slots=True)
class Draw:
    """One variable to initialize: its type, recipe and the path its key comes from."""

    type: TensorType
    recipe: Recipe
    path: str

    @property
    def key(self) -> np.ndarray[Any, Any]:
        """The random key of the draw."""
        if self.recipe.seed is not None:
            return random_key(self.recipe.seed, "")
        return random_key(global_seed(), self.path)


def draw(draws: Sequence[Draw]) -> list[np.ndarray[Any, Any]]:
    """The initial values of `draws`, in their order.

    The samples come from one program; cutting them into variables is done on the host,
    since compiling hundreds of slices would take longer than everything else.
    """
    random = _random(draws)
    samples = dict[str, np.ndarray[Any, Any]]()
    if random:
        graph = Graph("samples")
        keys = graph.add_parameter(TensorType((len(random), 4), U32), "keys")
        with building(graph):
            by_name = _samples(random, keys)
        graph.results = list(by_name.values())
        found = run_once(graph, [np.stack([d.key for d in random])])
        samples = dict(zip(by_name, map(np.asarray, found), strict=True))
    starts = dict(zip(map(id, random), segment_starts(_sizes(random)), strict=True))
    values: list[np.ndarray[Any, Any]] = []
    for d in draws:
        shape, dtype = d.type.static_shape, d.type.dtype.numpy
        if d.recipe.distribution == "constant":
            values.append(np.full(shape, d.recipe.offset, dtype))
            continue
        start = starts[id(d)]
        flat = samples[d.recipe.distribution][start : start + math.prod(shape)]
        scaled = flat * np.float32(d.recipe.scale) + np.float32(d.recipe.offset)
        values.append(scaled.astype(dtype).reshape(shape))
    return values


def initial_values_graph(draws: Sequence[Draw]) -> Graph:
    """The graph ``init``: keys u32[S,4] of the random draws to all initial values."""
    graph = Graph("init")
    random = _random(draws)
    results: list[Operand] = []
    with building(graph):
        samples: dict[str, Any] = {}
        if random:
            type = TensorType((len(random), 4), U32)
            samples = _samples(random, graph.add_parameter(type, "keys"))
        starts = dict(zip(map(id, random), segment_starts(_sizes(random)), strict=True))
        for d in draws:
            if d.recipe.distribution == "constant":
                fill = Literal(d.recipe.offset, d.type.dtype)
                results.append(
                    ir_ops.broadcast_in_dim(fill, shape=d.type.shape, dims=[])
                )
                continue
            start = starts[id(d)]
            limit = start + product(d.type.shape)
            flat = samples[d.recipe.distribution]
            part = ir_ops.slice_(flat, start=[start], limit=[limit])
            scaled = ir_ops.add(ir_ops.multiply(part, d.recipe.scale), d.recipe.offset)
            converted = ir_ops.convert(scaled, dtype=d.type.dtype)
            results.append(ir_ops.reshape(converted, shape=d.type.shape))
    graph.results = results
    return graph


def _random(draws: Sequence[Draw]) -> list[Draw]:
    return [d for d in draws if d.recipe.distribution != "constant"]


def _sizes(draws: Sequence[Draw]) -> list[int]:
    return [product(d.type.shape) for d in draws]


def _samples(draws: Sequence[Draw], keys: Any) -> dict[str, Any]:
    """Flat samples for all draws, once for each distribution that occurs."""
    bits = ir_ops.random_bits_batched(keys, sizes=_sizes(draws))
    transforms = {
        "uniform": ir_ops.bits_to_uniform,
        "normal": ir_ops.bits_to_normal,
        "truncated_normal": ir_ops.bits_to_truncated_normal,
    }
    names = dict.fromkeys(d.recipe.distribution for d in draws)
    return {name: transforms[name](bits) for name in names}
