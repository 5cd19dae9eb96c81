"""Derivatives of single ops: their graphs, and what differences say of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphc.ir import Arg, Graph, GraphError, OpDef, Sample, building, evaluate, inline
from graphc.ir.differentiate import differentiate
from graphc.ir.dims import substitute
from graphc.ir.opdef import AttributeKind
from graphc.ir.ops import add, convert, multiply, reduce_sum
from graphc.ir.types import F32, F64
from graphc.testing.op_cases import Array, in_dtype
from graphc.testing.op_samples import (
    SIZES,
    bound_graph,
    float_values,
    operand_type,
    sample_arrays,
    sample_graph,
)

STEPS = (1e-4, 1e-6)
"""Steps of the differences. The smaller one is for points that are near a kink."""

ALLOWED = 1e-6
"""How far a derivative may be from the difference, relative to the terms of both."""


# -- graphs ----------------------------------------------------------------------------


def weighted_sum(values: Sequence[Any], weights: Sequence[Any]) -> Any:
    """The sum of the products of all elements with their weights, as an f64."""
    total: Any = None
    for value, weight in zip(values, weights, strict=True):
        axes = list(range(value.type.rank))
        term = reduce_sum(multiply(value, weight), axes=axes)
        term = convert(term, dtype=F64)
        total = term if total is None else add(total, term)
    return total


def loss_graph(graph: Graph) -> Graph:
    """Makes `graph` return its float results' sum, weighted by further parameters."""
    results = [r for r in graph.results if r.type.dtype.is_float]
    weights = [graph.add_parameter(result.type) for result in results]
    with building(graph):
        graph.results = [weighted_sum(results, weights)]
    return graph


def gradient_graph(graph: Graph, wrt: Sequence[int]) -> Graph:
    """The gradients of `graph` alone, weighted by further parameters and summed."""
    gradient = differentiate(graph, wrt)
    outer = Graph("outer", graph.module)
    outer.ranges = graph.ranges
    operands = [outer.add_parameter(p.type) for p in graph.parameters]
    with building(outer):
        outer.results = inline(gradient, operands)[1:]
    graph.module.remove(gradient)
    return loss_graph(outer)


def random_weights(
    graph: Graph, arrays: Sequence[Array], rng: np.random.Generator
) -> list[Array]:
    """Arrays for the parameters of `graph` that `arrays` does not cover."""
    shapes = [
        tuple(int(substitute(d, SIZES)) for d in parameter.shape)
        for parameter in graph.parameters[len(arrays) :]
    ]
    return [rng.uniform(0.5, 1.5, shape) for shape in shapes]


# -- differences -----------------------------------------------------------------------


def check_gradient(
    graph: Graph, wrt: Sequence[int], arrays: Sequence[Array], rng: np.random.Generator
) -> bool:
    """Compares the gradients of `graph` in float64 with differences.

    All operands move along one random direction; the differences are of fourth order.
    Returns whether there are any: the largest of no elements has none.
    """
    arrays = [*arrays, *random_weights(graph, arrays, rng)]
    gradient = differentiate(graph, wrt)
    gradient.verify()
    value, *slopes = evaluate(gradient, *arrays, dtype="f64")
    check_bound(gradient, arrays, slopes)
    assert [s.shape for s in slopes] == [arrays[i].shape for i in wrt]
    if not np.isfinite(value):
        return False
    assert all(np.isfinite(slope).all() for slope in slopes)
    directions = [rng.standard_normal(slope.shape) for slope in slopes]
    found = sum(float(np.sum(s * d)) for s, d in zip(slopes, directions, strict=True))
    size = sum(
        float(np.sum(np.abs(s * d))) for s, d in zip(slopes, directions, strict=True)
    )

    def at(step: float) -> float:
        moved = list(arrays)
        for position, direction in zip(wrt, directions, strict=True):
            moved[position] = moved[position].astype(np.float64) + step * direction
        return float(evaluate(graph, *moved, dtype="f64")[0])

    expected = [difference(at, step) for step in STEPS]
    allowed = ALLOWED * max(size, abs(float(value)), 1e-3)
    assert any(abs(found - e) <= allowed for e in expected), (
        f"the derivative is {found}, differences are {expected}:\n{gradient}"
    )
    return True


def check_bound(
    gradient: Graph, arrays: Sequence[Array], slopes: Sequence[Array]
) -> None:
    """Checks that a gradient with symbols means what it means with sizes for them."""
    sizes = {name: SIZES[name] for name in gradient.symbols}
    if not sizes:
        return
    bound = gradient.bind(**sizes)
    bound.verify()
    again = evaluate(bound, *arrays, dtype="f64")[1:]
    for a, b in zip(slopes, again, strict=True):
        np.testing.assert_array_equal(a, b)


def difference(at: Any, step: float) -> float:
    """The derivative at 0 by central differences, of which Richardson takes two."""
    near, far = at(step) - at(-step), at(2 * step) - at(-2 * step)
    return (8 * near - far) / (12 * step)


# -- shapes ----------------------------------------------------------------------------


def varied(sample: Sample, op: OpDef) -> Iterator[tuple[str, Sample]]:
    """The sample in other shapes, each with the name of its kind.

    One size is 0, 1 or larger wherever it occurs, or an operand is of rank 0. Shapes
    that the op does not take are among them.
    """
    sizes = {dim for operand in sample.operands for dim in operand_dims(operand)}
    for size in sorted(sizes, key=str):
        for kind, new in (("empty", 0), ("one", 1), ("other", 7)):
            if size != new:
                yield kind, resized(sample, op, size, new)
    for place, operand in enumerate(sample.operands):
        if operand_dims(operand):
            operands = list(sample.operands)
            operands[place] = reshaped(operand, ())
            yield "stretched", Sample(tuple(operands), sample.attributes)


def operand_dims(operand: str | Arg | float) -> tuple[Any, ...]:
    """The sizes of a sample's operand; none for numbers."""
    return operand_type(operand).shape if isinstance(operand, str | Arg) else ()


def reshaped(operand: str | Arg | float, shape: Sequence[Any]) -> str | Arg | float:
    """The operand of a sample with another shape."""
    if not isinstance(operand, str | Arg):
        return operand
    text = str(operand_type(operand).with_shape(shape))
    return replace(operand, type=text) if isinstance(operand, Arg) else text


def resized(sample: Sample, op: OpDef, old: Any, new: int) -> Sample:
    """The sample with size `new` in the place of `old`, in operands and attributes."""

    def changed(sizes: Sequence[Any]) -> list[Any]:
        return [new if size == old or size == str(old) else size for size in sizes]

    operands = [reshaped(o, changed(operand_dims(o))) for o in sample.operands]
    attributes = dict(sample.attributes)
    for name, declared in op.attributes.items():
        if name in attributes and declared.kind is AttributeKind.SHAPE:
            attributes[name] = changed(attributes[name])
        elif name in attributes and declared.kind is AttributeKind.DIM:
            (attributes[name],) = changed([attributes[name]])
    return Sample(tuple(operands), attributes, sample.smooth)


def has_gradient(op: OpDef, sample: Sample) -> bool:
    """Whether derivatives of the sample are what differences tell.

    Raises:
        GraphError: If the op does not take the sample.
    """
    graph = sample_graph(op, sample)
    graph.verify()  # a symbol may be left in an attribute
    bound_graph(op, sample).verify()  # and a dim be negative
    return (
        not isinstance(op.vjp, str)
        and sample.smooth
        and bool(float_values(graph.parameters))
        and bool(float_values(graph.results))
    )


def gradient_samples(op: OpDef) -> list[Sample]:
    """The samples of an op whose gradient differences tell, in float64 if it may be."""
    samples = [sample for sample in op.samples if has_gradient(op, sample)]
    if op.calls_graphs:
        return samples
    return [replace(in_dtype(s, F32, F64), smooth=s.smooth) for s in samples]


def varied_samples(op: OpDef) -> list[tuple[str, Sample]]:
    """The gradient samples of an op in all other shapes that it takes."""
    found: dict[Any, tuple[str, Sample]] = {}
    for sample in gradient_samples(op):
        for kind, other in varied(sample, op):
            try:
                if has_gradient(op, other):
                    found.setdefault(str(other), (kind, other))
            except GraphError:  # the op does not take these shapes
                continue
    return list(found.values())


def check_derivatives(
    op: OpDef, samples: Iterable[Sample], rng: np.random.Generator
) -> None:
    """Checks the first and the second derivative of each sample."""
    for sample in samples:
        arrays = sample_arrays(sample, rng)
        graph = sample_graph(op, sample)
        wrt = [p.index for p in float_values(graph.parameters)]
        if check_gradient(loss_graph(graph), wrt, arrays, rng):
            check_gradient(gradient_graph(graph, wrt), wrt, arrays, rng)
