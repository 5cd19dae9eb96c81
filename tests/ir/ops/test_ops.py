"""What holds for every op, tested on the samples and ill-typed calls of its record."""

from __future__ import annotations

import keyword
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import graphc.ir.ops as table
from graphc.ir import (
    Graph,
    GraphError,
    OpDef,
    Sample,
    building,
    evaluate,
    inline,
    parse,
)
from graphc.ir.body import as_tuple
from graphc.ir.differentiate import differentiate
from graphc.ir.dims import substitute
from graphc.ir.evaluate import Evaluator
from graphc.ir.opdef import IllTyped
from graphc.ir.ops import OPS, add, convert, multiply, reduce_sum
from graphc.ir.types import F32
from tests.op_samples import (
    SIZES,
    Array,
    bound_graph,
    build_sample,
    float_values,
    sample_arrays,
    sample_cases,
    sample_graph,
    sample_module,
    sample_symbols,
    sample_types,
)

DIRECTIONS = 2
STEP = 1e-6


def has_gradient(op: OpDef, sample: Sample) -> bool:
    if isinstance(op.vjp, str) or not sample.smooth:
        return False
    if not any(type.dtype.is_float for type in sample_types(sample)):
        return False
    try:
        return bool(float_values(sample_graph(op, sample).results))
    except GraphError:  # an ill-typed sample: let its test fail, not the collection
        return True


SAMPLES = sample_cases()
DIFFERENTIABLE = sample_cases(has_gradient)
SYMBOLIC = sample_cases(lambda op, sample: bool(sample_symbols(sample)))
ILL_TYPED = [
    pytest.param(op, error, id=f"{name}-{number}")
    for name, op in sorted(OPS.items())
    for number, error in enumerate(op.errors)
]
each_sample = pytest.mark.parametrize(("op", "sample"), SAMPLES)
each_differentiable = pytest.mark.parametrize(("op", "sample"), DIFFERENTIABLE)


# -- the table -------------------------------------------------------------------------


def test_every_op_is_named_in_the_package():
    for op in OPS.values():
        name = table.python_name(op)
        assert getattr(table, name) is op
        assert name in (op.name, f"{op.name}_")
        assert not keyword.iskeyword(name)


def test_no_op_hides_a_module():
    modules = {module.name for module in pkgutil.iter_modules(table.__path__)}
    assert not modules & set(OPS)


def test_the_table_prints():
    command = [sys.executable, "-m", "graphc.ir.ops"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["op", "kind", "reference", "vjp", "samples"]
    assert len(lines) == len(OPS) + 1
    assert lines[1].split() == ["abs", "elementwise", "numpy", "rule", "3"]


# -- types, text and meaning -----------------------------------------------------------


def reference_results(op: OpDef, graph: Graph, arrays: Sequence[Array]) -> Any:
    """What the op's own reference returns, before anything is rounded or converted."""
    (node,) = graph.nodes
    evaluator = Evaluator({})
    values = dict(zip(graph.parameters, arrays, strict=True))
    operands = [evaluator.read(values, operand) for operand in node.operands]
    attributes = op.decode(node.attributes, graph.module)
    if op.calls_graphs:
        attributes["run"] = evaluator.run
    assert op.reference is not None
    with np.errstate(all="ignore"):
        return as_tuple(op.reference(*operands, **attributes))


@each_sample
def test_type_rule_agrees_with_reference(
    op: OpDef, sample: Sample, rng: np.random.Generator
):
    graph = bound_graph(op, sample)
    arrays = sample_arrays(sample, rng)
    narrow = any(a.dtype.name in ("bfloat16", "float16") for a in arrays)
    if op.reference is None or narrow:  # narrow floats are computed in float32
        results = evaluate(graph, *arrays)
    else:
        results = reference_results(op, graph, arrays)
    found = [(np.shape(a), np.asarray(a).dtype) for a in results]
    assert found == [(r.type.shape, r.type.dtype.numpy) for r in graph.results]


@each_sample
def test_references_leave_their_operands_alone(
    op: OpDef, sample: Sample, rng: np.random.Generator
):
    arrays = sample_arrays(sample, rng)
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    evaluate(sample_graph(op, sample), *arrays)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@each_sample
def test_sample_verifies(op: OpDef, sample: Sample):
    sample_graph(op, sample).verify()
    bound_graph(op, sample).verify()


@each_sample
def test_text_round_trip(op: OpDef, sample: Sample):
    graph = sample_graph(op, sample)
    assert parse(str(graph)) == graph


@pytest.mark.parametrize(("op", "error"), ILL_TYPED)
def test_ill_typed_call(op: OpDef, error: IllTyped):
    with pytest.raises(GraphError) as caught:
        build_sample(op, error, sample_module(op))
    assert error.message in str(caught.value)
    assert caught.value.location is not None
    assert caught.value.location.file.endswith("op_samples.py")


@pytest.mark.parametrize(("op", "sample"), SYMBOLIC)
def test_symbols_mean_the_sizes_they_are_bound_to(
    op: OpDef, sample: Sample, rng: np.random.Generator
):
    symbolic, bound = sample_graph(op, sample), bound_graph(op, sample)
    assert not any(r.type.symbols for r in bound.results)
    for before, after in zip(symbolic.results, bound.results, strict=True):
        assert (
            tuple(substitute(d, SIZES) for d in before.type.shape) == after.type.shape
        )
    arrays = sample_arrays(sample, rng)
    for a, b in zip(evaluate(symbolic, *arrays), evaluate(bound, *arrays), strict=True):
        np.testing.assert_array_equal(a, b)


# -- gradients -------------------------------------------------------------------------


def weighted_sum(values: Sequence[Any], weights: Sequence[Any]) -> Any:
    """The sum of the products of all elements with their weights, as an f32."""
    total: Any = None
    for value, weight in zip(values, weights, strict=True):
        axes = list(range(value.type.rank))
        term = reduce_sum(multiply(value, weight), axes=axes)
        term = convert(term, dtype=F32)
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


def check_gradient(
    graph: Graph, wrt: Sequence[int], arrays: Sequence[Array], rng: np.random.Generator
) -> None:
    """Compares gradients of `graph` with differences along random directions."""
    arrays = [*arrays, *random_weights(graph, arrays, rng)]
    gradient = differentiate(graph, wrt)
    gradient.verify()
    found = evaluate(gradient, *arrays, dtype="f64")[1:]
    sizes = {name: SIZES[name] for name in graph.symbols}
    if sizes:  # what is emitted is bound first
        bound = gradient.bind(**sizes)
        bound.verify()
        again = evaluate(bound, *arrays, dtype="f64")[1:]
        for a, b in zip(found, again, strict=True):
            np.testing.assert_array_equal(a, b)

    def shifted(position: int, by: Array) -> float:
        moved = list(arrays)
        moved[position] = moved[position].astype(np.float64) + by
        return float(evaluate(graph, *moved, dtype="f64")[0])

    for position, slope in zip(wrt, found, strict=True):
        assert slope.shape == arrays[position].shape
        for _ in range(DIRECTIONS if slope.size else 0):
            direction = rng.standard_normal(slope.shape)
            step = STEP * direction
            difference = shifted(position, step) - shifted(position, -step)
            expected = difference / (2 * STEP)
            actual = float(np.sum(slope * direction))
            assert actual == pytest.approx(expected, abs=1e-5, rel=1e-3), (
                f"gradient of operand {position}:\n{gradient}"
            )


@each_differentiable
def test_gradient_agrees_with_differences(
    op: OpDef, sample: Sample, rng: np.random.Generator
):
    arrays = sample_arrays(sample, rng)
    graph = sample_graph(op, sample)
    wrt = [p.index for p in float_values(graph.parameters)]
    check_gradient(loss_graph(graph), wrt, arrays, rng)


@each_differentiable
def test_second_gradient_agrees_with_differences(
    op: OpDef, sample: Sample, rng: np.random.Generator
):
    arrays = sample_arrays(sample, rng)
    graph = sample_graph(op, sample)
    wrt = [p.index for p in float_values(graph.parameters)]
    twice = gradient_graph(loss_graph(graph), wrt)
    check_gradient(twice, wrt, arrays, rng)
