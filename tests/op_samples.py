"""Samples of op records as graphs and arrays, for the tests generated from them.

A sample may name dimension symbols; `SIZES` says what they are bound to. An op whose
attributes name a graph finds one called ``sample``, which takes f32[3] and returns a
scalar; an op that reads a constant finds one called ``sample``, an f32[2,3].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from graphc.ir import Arg, Graph, Module, OpDef, Sample, Value, building, tensor_type
from graphc.ir.body import as_tuple
from graphc.ir.dims import substitute
from graphc.ir.opdef import AttributeKind, IllTyped
from graphc.ir.ops import OPS, multiply, reduce_sum
from graphc.ir.types import TensorType

SIZES = {"B": 3, "T": 4, "H": 5, "W": 6, "S": 4}
"""What the symbols in samples are bound to."""

Array = np.ndarray[Any, Any]


def sample_cases(
    wanted: Callable[[OpDef, Sample], bool] = lambda op, sample: True,
) -> list[Any]:
    """All samples of all ops as pytest parameters ``(op, sample)``."""
    return [
        pytest.param(op, sample, id=f"{name}-{number}")
        for name, op in sorted(OPS.items())
        for number, sample in enumerate(op.samples)
        if wanted(op, sample)
    ]


def operand_type(operand: str | Arg) -> TensorType:
    """The type of a sample's operand that is not a number."""
    return tensor_type(operand.type if isinstance(operand, Arg) else operand)


def sample_types(sample: Sample | IllTyped) -> list[TensorType]:
    """The types of the operands that are not numbers: the graph's parameters."""
    return [
        operand_type(operand)
        for operand in sample.operands
        if isinstance(operand, (str, Arg))
    ]


def sample_symbols(sample: Sample | IllTyped) -> set[str]:
    """The dimension symbols that the operands of a sample name."""
    return set[str]().union(*(type.symbols for type in sample_types(sample)))


def build_sample(op: OpDef, sample: Sample | IllTyped, module: Module) -> Graph:
    """A graph of one node, the op applied to the sample's operands.

    Raises:
        GraphError: If the use is ill-typed.
    """
    graph = Graph("f", module)
    graph.ranges = dict.fromkeys(sample_symbols(sample), (1, 64))
    types = iter(sample_types(sample))
    operands = [
        graph.add_parameter(next(types)) if isinstance(operand, (str, Arg)) else operand
        for operand in sample.operands
    ]
    with building(graph):
        graph.results = as_tuple(op(*operands, **sample.attributes))
    return graph


def sample_graph(op: OpDef, sample: Sample) -> Graph:
    """A graph of one node in a module of its own, with the sample's symbols."""
    return build_sample(op, sample, sample_module(op))


def bound_graph(op: OpDef, sample: Sample) -> Graph:
    """The sample's graph with its symbols bound to `SIZES`."""
    sizes = {name: SIZES[name] for name in sample_symbols(sample)}
    return sample_graph(op, sample).bind(**sizes)


def sample_module(op: OpDef) -> Module:
    """A module with what the attributes of the op name: a graph or a constant."""
    module = Module()
    kinds = {attribute.kind for attribute in op.attributes.values()}
    if AttributeKind.CONSTANT in kinds:
        array = np.arange(6, dtype=np.float32).reshape(2, 3)
        module.add_constant(array, "sample")
    if AttributeKind.GRAPH in kinds:
        callee = Graph("sample", module)
        x = callee.add_parameter(tensor_type("f32[3]"))
        with building(callee):
            callee.results = [reduce_sum(multiply(multiply(x, x), x), axes=[0])]
    return module


def sample_arrays(sample: Sample, rng: np.random.Generator) -> list[Array]:
    """Random arrays for the parameters of the sample's graph."""
    return [
        random_array(operand, rng)
        for operand in sample.operands
        if isinstance(operand, (str, Arg))
    ]


def random_array(operand: str | Arg, rng: np.random.Generator) -> Array:
    """A random array of an operand's type, its elements within the operand's range."""
    type = operand_type(operand)
    shape = tuple(int(substitute(d, SIZES)) for d in type.shape)
    arg = operand if isinstance(operand, Arg) else Arg(operand)
    low, high, dtype = arg.low, arg.high, type.dtype
    if dtype.kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.is_float:
        return rng.uniform(low, high, shape).astype(dtype.numpy)
    start = max(int(low), 0) if dtype.kind == "uint" else int(low)
    return rng.integers(start, max(int(high), start + 1), shape).astype(dtype.numpy)


def float_values(values: Sequence[Any]) -> list[Value]:
    """The values whose elements are floating-point numbers."""
    return [v for v in values if isinstance(v, Value) and v.dtype.is_float]
