"""Samples of op records as graphs and arrays, for the tests generated from them.

A sample may name dimension symbols; `SIZES` says what they are bound to. An op whose
attributes name graphs finds those of `GRAPHS`; an op that reads a constant finds one
called ``sample``, an f32[2,3].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir import (
    Arg,
    Graph,
    Module,
    OpDef,
    Sample,
    Value,
    building,
    parse,
    random_inputs,
    tensor_type,
)
from graphc.ir.body import as_tuple
from graphc.ir.dims import substitute
from graphc.ir.graph import clone_graph
from graphc.ir.opdef import AttributeKind, IllTyped
from graphc.ir.types import TensorType

SIZES = {"B": 3, "T": 4, "H": 5, "W": 6, "S": 4}
"""What the symbols in samples are bound to."""

Array = np.ndarray[Any, Any]

GRAPHS = """
graph @sample(%x: f32[3]) -> (f32[]) {
  %0 = multiply(%x, %x) : f32[3]
  %1 = multiply(%0, %x) : f32[3]
  %2 = reduce_sum(%1) {axes=[0]} : f32[]
  return %2
}
graph @sample_map(%x: f32[3]) -> (f32[3], f32[]) {
  %0 = tanh(%x) : f32[3]
  return %0, 2.0
}
graph @sample_branch(%x: f32[3]) -> (f32[3], f32[]) {
  %0 = call(%x) {graph="sample"} : f32[]
  %1 = multiply(%0, %x) : f32[3]
  return %1, %0
}
graph @sample_cond(%i: i32[], %x: f32[3]) -> (bool[]) {
  %0 = compare(%i, 5:i32) {direction="LT"} : bool[]
  return %0
}
graph @sample_body(%i: i32[], %x: f32[3]) -> (i32[], f32[3]) {
  %0 = add(%i, 1:i32) : i32[]
  %1 = multiply(%x, 2.0) : f32[3]
  return %0, %1
}
graph @sample_kept(%x: f32[3]) -> (f32[], f32[3]) {
  %0 = sine(%x) : f32[3]
  %1 = reduce_sum(%0) {axes=[0]} : f32[]
  %2 = cosine(%x) : f32[3]
  return %1, %2
}
graph @sample_pullback(%g: f32[], %c: f32[3]) -> (f32[3]) {
  %0 = multiply(%c, %g) : f32[3]
  return %0
}
graph @sample_lost(%g: f32[3], %y: f32[]) -> (f32[]) {
  return %y
}
graph @sample_step(%c: f32[3], %x: f32[3], %w: f32[3,3]) -> (f32[3], f32[]) {
  %0 = dot_general(%c, %w) {contract=[[0],[0]]} : f32[3]
  %1 = add(%0, %x) : f32[3]
  %2 = tanh(%1) : f32[3]
  %3 = call(%2) {graph="sample"} : f32[]
  return %2, %3
}
graph @sample_norm(%a: f32[], %b: f32[]) -> (f32[]) {
  %0 = multiply(%a, %a) : f32[]
  %1 = multiply(%b, %b) : f32[]
  %2 = add(%0, %1) : f32[]
  %3 = sqrt(%2) : f32[]
  return %3
}
graph @sample_smaller(%a: f32[], %i: i32[], %b: f32[], %j: i32[]) -> (f32[], i32[]) {
  %0 = compare(%a, %b) {direction="LE"} : bool[]
  %1 = select(%0, %a, %b) : f32[]
  %2 = select(%0, %i, %j) : i32[]
  return %1, %2
}
graph @sample_wide(%a: f32[], %b: f32[]) -> (f32[]) {
  %0 = broadcast_in_dim(%a) {dims=[], shape=[3]} : f32[3]
  %1 = reduce_sum(%0) {axes=[0]} : f32[]
  return %1
}
"""
"""What samples of ops that call graphs may call."""


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
    if op.calls_graphs:
        for graph in parse(GRAPHS).module.graphs.values():
            clone_graph(graph, graph.name, module)
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
    array = random_inputs.random_array(type.with_shape(shape), rng, arg.low, arg.high)
    if arg.diagonal:
        rows, columns = shape[-2:]
        array = (array + arg.diagonal * np.eye(rows, columns)).astype(array.dtype)
    return array


def float_values(values: Sequence[Any]) -> list[Value]:
    """The values whose elements are floating-point numbers."""
    return [v for v in values if isinstance(v, Value) and v.dtype.is_float]
