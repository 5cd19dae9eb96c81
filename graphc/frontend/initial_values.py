"""Initial values: all of a model's variables from one small program.

Every draw has a key of its own, made from the seed and the variable's path, so adding
a layer moves no other layer's numbers. The bits of all draws come from one flat counter
kernel; compiling a generator for each variable would cost seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from graphc.frontend.execution import run_once
from graphc.frontend.seeds import global_seed, random_key
from graphc.ir import Graph, Literal, Operand, TensorType, building
from graphc.ir import ops as ir_ops
from graphc.ir.ops.random import segment_starts
from graphc.ir.types import F32, U32, product


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


def draw(draws: Sequence[Draw]) -> list[Any]:
    """The initial values of `draws`, in their order."""
    graph = initial_values_graph(draws)
    keys = [d.key for d in draws if d.recipe.distribution != "constant"]
    arrays = [np.stack(keys)] if keys else []
    return list(run_once(graph, arrays))


def initial_values_graph(draws: Sequence[Draw]) -> Graph:
    """The graph ``init``: keys u32[S,4] of the random draws to all initial values."""
    graph = Graph("init")
    values: dict[int, Operand] = {}
    random = [i for i, d in enumerate(draws) if d.recipe.distribution != "constant"]
    with building(graph):
        if random:
            keys = graph.add_parameter(TensorType((len(random), 4), U32), "keys")
            sizes = [product(draws[i].type.shape) for i in random]
            bits = ir_ops.random_bits_batched(keys, sizes=sizes)
            values.update(_samples(draws, random, sizes, bits))
        for i, d in enumerate(draws):
            if i not in values:
                fill = Literal(d.recipe.offset, d.type.dtype)
                values[i] = ir_ops.broadcast_in_dim(fill, shape=d.type.shape, dims=[])
    graph.results = [values[i] for i in range(len(draws))]
    return graph


def _samples(
    draws: Sequence[Draw], random: Sequence[int], sizes: Sequence[int], bits: Any
) -> dict[int, Operand]:
    """The values of the random draws; each distribution is computed once, flat."""
    transforms = {
        "uniform": ir_ops.bits_to_uniform,
        "normal": ir_ops.bits_to_normal,
        "truncated_normal": ir_ops.bits_to_truncated_normal,
    }
    samples = {
        name: transforms[name](bits)
        for name in dict.fromkeys(draws[i].recipe.distribution for i in random)
    }
    values: dict[int, Operand] = {}
    starts = segment_starts(sizes)
    for i, size, start in zip(random, sizes, starts, strict=True):
        d = draws[i]
        flat = samples[d.recipe.distribution]
        part = ir_ops.slice_(flat, start=[start], limit=[start + size])
        start += size
        scaled = ir_ops.multiply(part, d.recipe.scale)
        if d.recipe.offset:
            scaled = ir_ops.add(scaled, d.recipe.offset)
        if d.type.dtype is not F32:
            scaled = ir_ops.convert(scaled, dtype=d.type.dtype)
        values[i] = ir_ops.reshape(scaled, shape=d.type.shape)
    return values
